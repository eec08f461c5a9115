"""Old runs are removed, oldest first; what a later run may read stays."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.core.retention import expired_runs, remove_run
from include.core.run_folder import RunFolder, StepResult, write_json

TODAY = datetime(2026, 6, 30, tzinfo=UTC)
LIMIT = TODAY - timedelta(days=10)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def past_run(runs: Path, name: str, days: int, **steps: str) -> Path:
    """A run of `DAG/RUN` that ended so many days ago, with the verdicts of its steps."""
    dag, run = name.split("/")
    folder = RunFolder.of(runs.parent, dag, run)
    ended = TODAY - timedelta(days=days)
    folder.files.mkdir(parents=True)
    (folder.files / "big.csv").write_text("x" * 1000)
    for step, status in steps.items():
        verdict = {"step": step, "title": step, "description": "", "version": "1", "status": status}
        times = {"started_at": ended, "ended_at": ended, "duration_seconds": 0}
        write_json(folder.step(step) / "result.json", StepResult.model_validate(verdict | times))
    for path in (folder.path, *folder.path.rglob("*")):
        os.utime(path, (ended.timestamp(), ended.timestamp()))
    return folder.path


def run_names(folders: list[Path]) -> list[str]:
    return [f"{path.parent.name}/{path.name}" for path in folders]


def test_runs_older_than_the_limit_are_over_oldest_first(runs):
    for days in (1, 9, 11, 20):
        past_run(runs, f"energy/{days}", days, analyze="success")
    assert run_names(expired_runs(runs, LIMIT)) == ["energy/20", "energy/11"]


def test_the_newest_run_of_each_dag_stays_however_old(runs):
    past_run(runs, "energy/only", 99, analyze="failed")
    past_run(runs, "other/only", 99)
    assert expired_runs(runs, LIMIT) == []


def test_the_newest_run_in_which_a_step_succeeded_stays(runs):
    past_run(runs, "satellite/newest", 1, validate="failed")
    past_run(runs, "satellite/validated", 30, validate="success", train="failed")
    past_run(runs, "satellite/trained", 40, validate="success", train="success")
    past_run(runs, "satellite/old", 50, validate="success", train="success")
    assert run_names(expired_runs(runs, LIMIT)) == ["satellite/old"]


def test_a_sign_of_life_in_a_step_counts(runs):
    past_run(runs, "energy/newest", 1, analyze="success")
    alive = past_run(runs, "energy/long", 30)
    (alive / "steps" / "analyze").mkdir(parents=True)
    started = alive / "steps" / "analyze" / "started.json"
    started.write_text("{}")
    os.utime(started, (TODAY.timestamp(), TODAY.timestamp()))
    os.utime(alive, (LIMIT.timestamp() - 1, LIMIT.timestamp() - 1))
    assert expired_runs(runs, LIMIT) == []


@pytest.mark.parametrize("verdict", ['{"step": "train", "status": "success"}', '{"step": "tra', ""])
def test_a_verdict_of_an_older_schema_or_a_damaged_one_is_no_success_and_stops_nothing(runs, verdict, caplog):
    past_run(runs, "satellite/newest", 1, train="failed")
    past_run(runs, "satellite/trained", 40, train="success")
    past_run(runs, "satellite/expired", 50, train="success")
    unread = past_run(runs, "satellite/unread", 30, train="success") / "steps" / "train" / "result.json"
    unread.write_text(verdict)
    for path in (unread, unread.parent, unread.parents[1], unread.parents[2]):
        os.utime(path, (TODAY.timestamp() - 30 * 86400,) * 2)
    assert run_names(expired_runs(runs, LIMIT)) == ["satellite/expired", "satellite/unread"]
    assert f"{unread} cannot be read, so it counts as no success: " in caplog.text


def test_a_removed_run_is_gone_whole_and_its_size_is_said(runs):
    run = past_run(runs, "energy/old", 30)
    assert remove_run(run) >= 1000
    assert list((runs / "energy").iterdir()) == []


def test_a_removal_that_was_interrupted_is_ended_by_the_next(runs):
    past_run(runs, "energy/.removed-half", 1)
    expired = expired_runs(runs, LIMIT)
    assert run_names(expired) == ["energy/.removed-half"]
    remove_run(expired[0])
    assert list((runs / "energy").iterdir()) == []


def test_no_runs_are_no_fault(runs):
    assert expired_runs(runs, LIMIT) == []
