"""Runs side by side, and runs that are killed: the store stays whole, the result the same."""

import multiprocessing
import os
import random
import signal
import time

import pytest

from include.core.artifacts import sha256
from include.satellite.imagery.store import scene_path

FORK = multiprocessing.get_context("fork")


def whole(imagery):
    """Each date with its checksum, which its file has."""
    assert all(sha256(scene_path(each)) == each.sha256 for each in imagery.acquisitions)
    return {each.date: each.sha256 for each in imagery.acquisitions}


def leftovers(run):
    return list((run.files.parent / "data" / "imagery" / "sentinel-2-l2a").rglob(".*"))


def test_runs_at_once_over_the_same_area_corrupt_nothing(api, make_run):
    runs = [make_run() for _ in range(3)]
    children = [FORK.Process(target=run.go) for run in runs]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    found = [whole(run.collect()) for run in runs]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 4
    assert leftovers(runs[0]) == []
    api.forget()
    assert whole(make_run().go()) == found[0]
    assert api.scenes_served() == []


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_is_killed_anywhere_ends_the_same_when_it_is_run_again(api, make_run, seed):
    run = make_run()
    child = FORK.Process(target=run.go)
    child.start()
    time.sleep(random.Random(seed).uniform(0.05, 1.0))  # noqa: S311
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    before = {path: sha256(path) for path in (run.files.parent / "data").rglob("*.tif")}
    again = whole(run.go())
    assert len(again) == 4
    assert all(sha256(path) == checksum for path, checksum in before.items())
    for path in leftovers(run):  # a day later nothing of it lies about
        os.utime(path, (0, 0))
    run.collect()
    assert leftovers(run) == []
    undisturbed = whole(make_run().go())
    assert again == undisturbed
