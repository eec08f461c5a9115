"""When users are notified: each callback with the context that Airflow passes to it, and a sender that records."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from include.core.contracts import Notice
from include.core.outcome import StepMetrics, StepOutcome
from include.core.run_folder import Run, RunFolder, Started, StepInfo, StepResult, write_json
from include.core.settings import get_settings
from include.core.sink import read_events
from plugins.notifications import callbacks
from plugins.notifications.callbacks import notify_of_deadline, notify_of_failure, notify_of_step, run_url
from tests.core.small_pipeline import NOW

pytestmark = pytest.mark.airflow
DAG_ID, RUN_ID = "energy_pipeline", "manual__1"
FAILED = {"dag": SimpleNamespace(dag_id=DAG_ID, dagrun_timeout=timedelta(hours=3)), "run_id": RUN_ID}


@pytest.fixture
def sent(monkeypatch, data_dir):
    """The notices that were sent, to a receiver that can be switched off: `sent.reached = False`."""
    monkeypatch.setenv("GROUNDTRUTH_NOTIFY_CONNECTION", "team")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team/")
    get_settings.cache_clear()
    sent = SimpleNamespace(notices=[], reached=True)

    def send(notice):
        sent.notices.append(notice)
        return sent.reached

    async def send_from_trigger(notice):
        return send(notice)

    monkeypatch.setattr(callbacks, "send", send)
    monkeypatch.setattr(callbacks, "send_from_trigger", send_from_trigger)
    return sent


@pytest.fixture
def run_folder(data_dir):
    """A run whose second step is running."""
    folder = RunFolder.of(data_dir, DAG_ID, RUN_ID)
    steps = [StepInfo(id=name, title=name.title(), description="") for name in ("measure", "analyze")]
    run = Run(pipeline="energy-pipeline", dag_id=DAG_ID, run_id=RUN_ID, runtime="local", created_at=NOW, steps=steps)
    write_json(folder.path / "run.json", run)
    write_json(folder.step("analyze") / "started.json", Started(step="analyze", started_at=NOW))
    return folder


def test_a_failed_run_is_reported_once_with_its_fault_and_where_airflow_shows_it(sent, run_folder):
    notify_of_failure(FAILED | {"reason": "task_failure"})
    notify_of_failure(FAILED | {"reason": "task_failure"})
    [notice] = sent.notices
    assert notice.subject == "energy_pipeline failed: analyze"
    assert [event.words for _, event in read_events(run_folder.path)] == [f"notice sent: {notice.subject}"]
    assert "Analyze: the worker died while it ran" in notice.sentence
    assert (notice.facts["Step"], notice.facts["Kind of fault"]) == ("Analyze (analyze)", "lost")
    assert notice.facts["In Airflow"] == "https://airflow.example.org/team/dags/energy_pipeline/runs/manual__1"


def test_a_failure_after_a_clear_is_another_one(sent, run_folder):
    for generation in (0, 1, 1, 2):
        started = Started(step="analyze", started_at=NOW, generation=generation)
        write_json(run_folder.step("analyze") / "started.json", started)
        notify_of_failure(FAILED | {"reason": "task_failure"})
    assert len(sent.notices) == 3


def test_a_run_that_exceeded_its_limit_names_the_limit_and_the_step_that_was_running(sent, run_folder):
    notify_of_failure(FAILED | {"reason": "timed_out"})
    [notice] = sent.notices
    assert notice.subject == "energy_pipeline failed: analyze"
    assert "longer than its limit of 3:00:00 (dagrun_timeout)" in notice.sentence
    assert notice.facts["Step"] == "Analyze (analyze)"
    assert notice.facts["Runbook"].endswith("stuck-run.md")


def test_a_run_that_exceeded_its_limit_between_two_steps_names_no_step(sent, run_folder):
    (run_folder.step("analyze") / "started.json").unlink()
    notify_of_failure(FAILED | {"reason": "timed_out"})
    assert (sent.notices[0].subject, sent.notices[0].facts["Step"]) == ("energy_pipeline failed", "")


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (SimpleNamespace(task_id="prepare"), "prepare: the task failed and left no result; its log says why."),
        (None, "The run failed: task_failure."),
    ],
)
def test_a_run_that_left_no_record_names_what_airflow_knows(sent, data_dir, task, sentence):
    notify_of_failure(FAILED | {"reason": "task_failure", "ti": task})
    assert [notice.sentence for notice in sent.notices] == [sentence]


def test_a_notice_that_nobody_received_is_sent_again(sent, run_folder):
    sent.reached = False
    notify_of_failure(FAILED)
    notify_of_failure(FAILED)
    assert len(sent.notices) == 2


def test_a_notice_that_cannot_be_composed_is_a_warning(sent, run_folder, monkeypatch, caplog):
    monkeypatch.setattr(callbacks, "_report", lambda *_, **__: 1 / 0)
    notify_of_failure(FAILED)
    assert sent.notices == []
    assert "could not be composed" in caplog.text


def promotion_notice(outcome):
    """The notice of a step that was promoted."""
    return Notice("promoted model v7", "It is in use.", {"Gates": "3"}) if outcome.scalars()["promoted"] else None


@pytest.mark.parametrize("promoted", [True, False])
def test_a_step_sends_the_notice_that_its_outcome_declares(sent, run_folder, promoted):
    result = StepResult(
        step="measure", title="Measure", description="", version="1", status="success", started_at=NOW, ended_at=NOW,
        duration_seconds=1, outcome=StepOutcome(metrics=StepMetrics(promoted=promoted)),
    )  # fmt: skip
    write_json(run_folder.step("measure") / "result.json", result)
    step = SimpleNamespace(id="measure", notice=f"{__name__}:promotion_notice")
    run = SimpleNamespace(dag_id=DAG_ID, run_id=RUN_ID)
    notify_of_step({"dag_run": run, "task": SimpleNamespace(item=SimpleNamespace(step=step))})
    if promoted:
        [notice] = sent.notices
        assert notice.subject == "energy_pipeline promoted model v7"
        assert [*notice.facts] == ["Run", "Gates", "In Airflow"]
    else:
        assert sent.notices == []


def late(state="running", run_type="manual"):
    run = {"dag_id": DAG_ID, "dag_run_id": RUN_ID, "state": state, "run_type": run_type}
    asyncio.run(notify_of_deadline(minutes=60, context={"dag_run": run}))


def test_a_missed_deadline_is_reported_once_with_what_is_running(sent, run_folder):
    late()
    late()
    [notice] = sent.notices
    assert notice.subject == "energy_pipeline is late"
    assert [event.words for _, event in read_events(run_folder.path)] == [f"notice sent: {notice.subject}"]
    assert "has not ended 60 minutes after it was queued" in notice.sentence
    assert (notice.facts["State"], notice.facts["Under way"]) == ("running", "Analyze")


def test_a_missed_deadline_that_nobody_received_is_sent_again(sent, run_folder):
    sent.reached = False
    late("queued")
    late("queued")
    assert len(sent.notices) == 2


@pytest.mark.parametrize(("state", "run_type"), [("failed", "manual"), ("success", "manual"), ("running", "backfill")])
def test_a_run_that_has_ended_and_the_runs_of_a_backfill_are_not_late(sent, run_folder, state, run_type):
    late(state, run_type)
    assert sent.notices == []


def test_the_address_of_a_run_escapes_its_id_and_is_unknown_on_the_command_line(sent, monkeypatch, tmp_path):
    assert run_url("a_dag", "manual__2026-01-01T00:00:00+00:00") == (
        "https://airflow.example.org/team/dags/a_dag/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    )
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(tmp_path))
    get_settings.cache_clear()
    assert run_url("a_dag", "manual__1") is None


def test_without_a_base_url_there_is_no_address(sent, monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    assert run_url("a_dag", "manual__1") is None
