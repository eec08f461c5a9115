"""Runs by Airflow's own hand, and what a mail server or a web hook on this machine is given of them."""

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from tests.airflow_runs import run_dag  # isort: skip - sets Airflow's home first

from include.core.run_folder import Run, RunFolder, Started, StepInfo, StepResult, write_json
from include.core.settings import get_settings
from plugins.notifications.callbacks import notify_of_deadline, notify_of_failure, notify_of_promotion
from tests.core.small_pipeline import NOW
from tests.receivers import mail_server, web_hook

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]


@pytest.fixture
def hook(monkeypatch):
    """A web hook that the connection names."""
    with web_hook() as receiver:
        configure(monkeypatch, receiver.url)
        yield receiver


def configure(monkeypatch, url):
    monkeypatch.setenv("GROUNDTRUTH_NOTIFY_CONNECTION", "team")
    monkeypatch.setenv("AIRFLOW_CONN_TEAM", json.dumps({"conn_type": "generic", "password": url}))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team")
    get_settings.cache_clear()


def bad_input(data_dir):
    (data_dir / "inbox").mkdir(parents=True)
    (data_dir / "inbox" / "bad.csv").write_text("a,b\n1,2\n")
    return {"csv": ["bad.csv"]}


def test_a_failed_run_is_mailed_with_its_step_its_sentence_its_kind_and_where_to_look(data_dir, monkeypatch, capfd):
    conf = bad_input(data_dir)
    with mail_server() as server:
        configure(monkeypatch, server.url)
        monkeypatch.setenv("GROUNDTRUTH_RUNBOOK_URL", "https://git.example.org/docs/runbook/")
        assert run_dag("energy_pipeline", conf).state == "failed"
    [mail] = server.mails
    assert mail["subject"] == "energy_pipeline failed: energy-generator"
    text = mail.get_body(["plain"]).get_content()
    [run] = [path.name for path in (data_dir / "runs" / "energy_pipeline").iterdir()]
    assert text.startswith("bad.csv: has no column 'timestamp'")
    assert "Step: Collect meter data (energy-generator)" in text
    assert "Kind of fault: bad_input" in text
    assert "Runbook: https://git.example.org/docs/runbook/bad-input.md" in text
    assert "In Airflow: https://airflow.example.org/team/dags/energy_pipeline/runs/manual__" in text
    assert run.split("T")[0] in text
    assert server.url not in "".join(capfd.readouterr())


def test_a_receiver_that_is_down_changes_nothing_about_the_run(data_dir, monkeypatch):
    configure(monkeypatch, "json://reporter:s3cret@127.0.0.1:9/T0KEN")
    outcome = run_dag("energy_pipeline", bad_input(data_dir))
    assert outcome.tasks["report"] == "failed"
    assert outcome.report["failure_point"]["kind"] == "bad_input"
    assert not (outcome.folder.path / "notices" / "failure").exists(), "whoever comes next may tell it"


def test_a_green_run_tells_nobody(hook):
    assert run_dag("energy_pipeline", {"households": 2}).state == "success"
    assert hook.told == []


# what ends otherwise: the callbacks with what Airflow hands them


DAG_ID, RUN_ID = "energy_pipeline", "manual__1"
FAILED = {"dag": SimpleNamespace(dag_id=DAG_ID, dagrun_timeout=timedelta(hours=3)), "run_id": RUN_ID}


@pytest.fixture
def run_folder(data_dir):
    """A run whose second step is at work."""
    folder = RunFolder.of(data_dir, DAG_ID, RUN_ID)
    steps = [StepInfo(id=name, title=name.title(), description="") for name in ("measure", "analyze")]
    run = Run(pipeline="energy-pipeline", dag_id=DAG_ID, run_id=RUN_ID, runtime="local", created_at=NOW, steps=steps)
    write_json(folder.path / "run.json", run)
    write_json(folder.step("analyze") / "started.json", Started(step="analyze", started_at=NOW))
    return folder


def test_a_run_that_was_ended_by_its_limit_says_so_and_what_was_under_way(hook, run_folder):
    notify_of_failure(FAILED | {"reason": "timed_out"})
    [told] = hook.told
    assert told["title"] == "energy_pipeline failed: analyze"
    assert "longer than its limit of 3:00:00 (dagrun_timeout)" in told["message"]
    assert "docs/runbook/stuck-run.md" in told["message"]


def test_a_worker_that_died_is_told_as_lost(hook, run_folder):
    notify_of_failure(FAILED | {"reason": "task_failure"})
    [told] = hook.told
    assert "Analyze: the worker died while it ran" in told["message"]
    assert "Kind of fault: lost" in told["message"]


def test_a_run_that_left_nothing_is_told_with_the_task_that_airflow_blames(hook, data_dir):
    notify_of_failure(FAILED | {"reason": "task_failure", "ti": SimpleNamespace(task_id="prepare")})
    [told] = hook.told
    assert "prepare: the task failed and left no verdict" in told["message"]


def test_whoever_tells_it_a_run_s_failure_is_told_once(hook, run_folder):
    for _ in range(2):
        notify_of_failure(FAILED | {"reason": "task_failure"})
    assert len(hook.told) == 1


def late(state="running", run_type="manual"):
    run = {"dag_id": DAG_ID, "dag_run_id": RUN_ID, "state": state, "run_type": run_type}
    asyncio.run(notify_of_deadline(minutes=60, context={"dag_run": run}))


def test_a_missed_deadline_is_told_once_with_what_is_under_way(hook, run_folder):
    late()
    late()
    [told] = hook.told
    assert told["title"] == "energy_pipeline is late"
    assert "has not ended 60 minutes after it was queued" in told["message"]
    assert "Under way: Analyze" in told["message"]


@pytest.mark.parametrize(("state", "run_type"), [("failed", "manual"), ("success", "manual"), ("running", "backfill")])
def test_who_has_ended_and_the_days_of_a_backfill_are_not_late(hook, run_folder, state, run_type):
    late(state, run_type)
    assert hook.told == []


@pytest.mark.parametrize("promoted", [True, False])
def test_a_promotion_is_told_and_a_refusal_is_not(hook, run_folder, promoted):
    summary = {"promoted": promoted, "env_file": "/srv/app/pipeline.env", "model_version": "v7", "synthetic": False}
    result = StepResult(
        step="configure", title="Configure", description="", version="1", status="success", summary=summary,
        started_at=NOW, ended_at=NOW, duration_seconds=1,
    )  # fmt: skip
    write_json(run_folder.step("configure") / "result.json", result)
    task = SimpleNamespace(task_id="configure")
    notify_of_promotion({"dag_run": SimpleNamespace(dag_id=DAG_ID, run_id=RUN_ID), "ti": task})
    assert [told["title"] for told in hook.told] == (["energy_pipeline promoted model v7"] if promoted else [])
    assert all("Trained on: real imagery" in told["message"] for told in hook.told)
