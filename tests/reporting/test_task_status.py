"""The status of a task, from the orchestrator's records and Airflow's states."""

from pathlib import Path

import pytest

from include.core.run_folder import Mark, RunFolder, write_json
from include.reporting.model import StepReport
from include.reporting.task_status import begun_tasks, task_statuses, worst_state, worst_states
from tests.reporting.runs import at, broke, ended, good_run, plan, started


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run that is planned and prepared, and nothing more."""
    folder = RunFolder(tmp_path / "runs" / "energy_pipeline" / "r1")
    plan(folder)
    ended(folder, "prepare", (0, 0.1))
    return folder


def status(folder: RunFolder, task: str, states: dict[str, str] | None = None) -> StepReport:
    tasks = task_statuses(folder, folder.run(), states)
    return next(report for report in (*tasks.steps, *tasks.others) if report.id == task)


def test_steps_come_in_the_order_of_the_plan_then_the_tasks_around_them(tmp_path: Path):
    folder = good_run(tmp_path)
    tasks = task_statuses(folder, folder.run(), None)
    assert [(step.step_number, step.id, step.status) for step in tasks.steps] == [
        (1, "collect", "success"),
        (2, "analyze", "success"),
        (3, "describe", "success"),
    ]
    assert [(task.id, task.status) for task in tasks.others] == [("prepare", "success"), ("publish", "success")]
    assert [*tasks.results] == ["collect", "analyze", "describe", "prepare", "publish"]


def test_without_a_plan_every_step_with_a_record_counts(folder: RunFolder):
    started(folder, "analyze", 1)
    ended(folder, "a_step", (0, 1))
    assert [step.id for step in task_statuses(folder, None, None).steps] == ["a_step", "analyze"]


def test_other_tasks_count_only_if_they_failed(folder: RunFolder):
    tasks = task_statuses(folder, folder.run(), {"notify": "failed", "report": "running", "collect": "failed"})
    assert [task.id for task in tasks.others] == ["prepare", "publish", "notify"]


@pytest.mark.parametrize(("minutes", "named"), [(2, True), (0, False)])
def test_a_task_that_a_user_marked_as_failed_names_the_user_but_not_in_a_later_attempt(folder, minutes, named):
    started(folder, "analyze", 1)
    write_json(folder.step("analyze") / "mark.json", Mark(by="alice", at=at(minutes), state="failed"))
    error = status(folder, "analyze", {"analyze": "failed"}).error
    assert ("was marked as failed by the user alice in Airflow." in error.message) is named
    assert error.kind == ("interrupted" if named else "lost")


def test_times_are_those_of_the_last_attempt(folder: RunFolder):
    ended(folder, "collect", (1, 2), attempt=2, runtime="docker")
    task = status(folder, "collect")
    assert (task.start_time, task.end_time) == (at(1), at(2))
    assert (task.attempt, task.runtime) == (2, "docker")
    assert (status(folder, "analyze").start_time, status(folder, "analyze").attempt) == (None, None)


@pytest.mark.parametrize(
    ("state", "expected", "kind"),
    [
        ("running", "running", None),
        ("deferred", "running", None),
        (None, "failed", "lost"),
        ("failed", "failed", "lost"),
        ("success", "failed", "lost"),
    ],
)
def test_an_attempt_without_a_result_runs_or_is_lost(folder: RunFolder, state, expected, kind):
    started(folder, "collect", 1)
    task = status(folder, "collect", {"collect": state} if state else None)
    assert (task.status, task.error.kind if task.error else None) == (expected, kind)


@pytest.mark.parametrize(
    ("state", "expected", "kind"),
    [
        (None, "pending", None),
        ("queued", "pending", None),
        ("skipped", "skipped", None),
        ("upstream_failed", "skipped", None),
        ("failed", "failed", "lost"),
        ("success", "failed", "contract"),
    ],
)
def test_a_step_that_never_began_succeeds_only_with_a_result(folder: RunFolder, state, expected, kind):
    task = status(folder, "collect", {"collect": state} if state else None)
    assert (task.status, task.error.kind if task.error else None) == (expected, kind)


def test_an_interrupted_attempt_is_reported_as_such(folder: RunFolder):
    started(folder, "collect", 1)
    (folder.path / "interrupted").touch()
    error = status(folder, "collect").error
    assert error is not None
    assert error.kind == "interrupted"


@pytest.mark.parametrize("state", ["failed", "success", None])
def test_an_attempt_that_airflow_stopped_names_the_mark_and_no_lack_of_memory(folder: RunFolder, state):
    started(folder, "collect", 1, stopped=True)
    task = status(folder, "collect", {"collect": state} if state else None)
    assert task.error is not None
    assert (task.status, task.error.kind) == ("failed", "interrupted")
    assert "a user marked or cleared its task in Airflow" in task.error.message


def test_a_failed_result_keeps_its_error(folder: RunFolder):
    broke(folder, "collect", (1, 2), "bad_input", "home.csv: is empty")
    error = status(folder, "collect", {"collect": "failed"}).error
    assert error is not None
    assert (error.kind, error.message) == ("bad_input", "home.csv: is empty")


def test_a_skipped_result_is_skipped(folder: RunFolder):
    ended(folder, "collect", (1, 2), skipped="skip_download")
    assert status(folder, "collect").status == "skipped"


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ({"success", "failed", "running"}, "failed"),
        ({"success", "running", "skipped"}, "running"),
        ({"skipped", "upstream_failed"}, "upstream_failed"),
        ({"success", None}, None),
        ({"success"}, "success"),
        (set(), None),
    ],
)
def test_the_worst_state_stands_for_several_tasks(states, worst):
    assert worst_state(states) == worst


def test_instances_of_a_mapped_task_are_joined_and_unknown_states_kept():
    tasks = [("one", "success"), ("two", "success"), ("two", "failed"), ("two", "skipped"), ("three", "brand_new")]
    assert worst_states(tasks) == {"one": "success", "two": "failed", "three": "brand_new"}


def test_the_tasks_of_a_run_that_goes_on_elsewhere_are_running_once_they_have_begun(tmp_path):
    folder = RunFolder(tmp_path)
    started(folder, "analyze", 1)
    started(folder, "download.003", 1)
    assert begun_tasks(folder) == {"analyze": "running", "download.003": "running", "download": "running"}
