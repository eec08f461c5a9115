"""Checkpoints: a retried step finds those of the attempt before it; a cleared one starts afresh."""

from dataclasses import replace

import pytest

from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.runner import Attempt, called, run_step
from tests.core.small_pipeline import MEASURE, READINGS, plan

TRAIN = replace(MEASURE, id="train", scratch=("checkpoints",), skip_param=None, writes=(Artifact("in.csv"),))


@pytest.fixture
def run(folder):
    plan(folder, TRAIN)
    return folder


def attempt(number=1, generation=0):
    return Attempt(number=number, generation=generation)


def epoch(*, dies):
    """One epoch more than the checkpoint says, as the function of a step; returns how many there were before."""
    seen = []

    def train(files, params):
        checkpoint = files / "checkpoints/epoch.txt"
        seen.append(int(checkpoint.read_text()) if checkpoint.exists() else 0)
        checkpoint.write_text(str(seen[-1] + 1))
        if dies:
            raise RuntimeError("the worker died")
        (files / "in.csv").write_text(READINGS)

    return called(train), seen


def died(folder, **which):
    execute, _ = epoch(dies=True)
    with pytest.raises(RuntimeError):
        run_step(TRAIN, folder, attempt(**which), execute)


def test_an_attempt_finds_the_checkpoint_of_the_one_before(run):
    died(run)
    execute, seen = epoch(dies=False)
    run_step(TRAIN, run, attempt(2), execute)
    assert seen == [1]


def test_a_checkpoint_goes_with_the_step_s_success(run):
    execute, _ = epoch(dies=False)
    run_step(TRAIN, run, attempt(), execute)
    assert not run.scratches("train")


def test_a_step_that_somebody_clears_starts_afresh(run):
    died(run)
    execute, seen = epoch(dies=False)
    run_step(TRAIN, run, attempt(2, generation=1), execute)
    assert seen == [0]


def test_beside_its_scratch_folder_nothing_undeclared_may_be_left(run):
    def train(files, params):
        (files / "in.csv").write_text(READINGS)
        (files / "checkpoints-too").write_text("1")

    with pytest.raises(ContractError, match="checkpoints-too: must not be written"):
        run_step(TRAIN, run, attempt(), called(train))
