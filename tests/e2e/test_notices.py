"""On a running Airflow: who is told of failed and late runs, and what each line of the logs carries."""

import json
import time

import pytest

from tests.e2e.running_airflow import ROOT, running_airflow, until
from tests.receivers import web_hook

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(900)]

TOKEN = "T0KEN"  # noqa: S105 - of a receiver that takes any
SAYS = """
import json, os, sys, time
task = json.loads(os.environ["STEP_LOG"])
line = {"timestamp": "2026-01-01T00:00:00+00:00", "level": "warning", "event": "one scene is cloudy", "scenes": 3}
print(json.dumps(line | task), flush=True)
print("a plain line", flush=True)
time.sleep(40)
open("/".join([os.environ["DATA_DIR"], "out.json"]), "w").write("[1]")
"""


STUCK = """
from datetime import timedelta
from pathlib import Path

from include.pipelines import load_pipelines  # an airflow dag
from plugins.steps.factory import build_dag

dag = build_dag(load_pipelines(Path("FOLDER"))[0][0], doc_md="")
dag.dagrun_timeout = timedelta(seconds=25)
"""


def pipeline(name, command, minutes):
    step = {"id": "work", "image": "none", "command": command, "output_file": "out.json"}
    settings = {"workflow_name": f"{name}-pipeline", "schedule": None, "deadline_minutes": minutes}
    return json.dumps(settings | {"containers": [step]})


@pytest.fixture(scope="module")
def hook():
    with web_hook() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, hook):
    folder = tmp_path_factory.mktemp("notices")
    definitions = folder / "definitions"
    definitions.mkdir()
    (definitions / "late.json").write_text(pipeline("late", ["python3", "-c", SAYS], 0.4))
    (definitions / "failing.json").write_text(pipeline("failing", "echo 'error: no meter answers'; exit 65", 1))
    stuck, dags = folder / "stuck", folder / "dags"
    for each in (stuck, dags):
        each.mkdir()
    (stuck / "stuck.json").write_text(pipeline("stuck", "sleep 300", None))
    (dags / "stuck.py").write_text(STUCK.replace("FOLDER", str(stuck)))
    (dags / "pipelines.py").write_text((ROOT / "dags" / "pipelines.py").read_text())
    settings = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "GROUNDTRUTH_DEFINITIONS_DIR": str(definitions),
        "GROUNDTRUTH_NOTIFY_CONNECTION": "team",
        "AIRFLOW__LOGGING__JSON_LOGS": "True",
    }
    with running_airflow(folder, "late_pipeline", 18410, **settings) as running:
        connection = {"connection_id": "team", "conn_type": "generic", "password": hook.url}
        running.api("POST", "/connections", connection)
        yield running


@pytest.fixture(scope="module")
def runs(airflow):
    """One late run and one failing run; both have ended, and the deadline of both has passed."""
    late, failing = airflow, airflow.of("failing_pipeline")
    begun = time.monotonic()
    for each in (late, failing):
        each.unpause()
        each.trigger("manual__1")
    states = late.wait("manual__1"), failing.wait("manual__1")
    time.sleep(max(0.0, 75 - (time.monotonic() - begun)))
    return states


def log_lines(airflow, run, task):
    """Every line of a task's log files."""
    files = (airflow.data.parent / "home" / "logs").glob(f"dag_id={airflow.dag_id}/run_id={run}/task_id={task}/*.log")
    return [line for file in sorted(files) for line in file.read_text().splitlines()]


def test_a_failed_run_is_told_once_with_its_step_its_sentence_and_where_to_look(airflow, hook, runs):
    assert runs == ("success", "failed")
    assert len(until(lambda: len(hook.told) > 1 and hook.told)) == 2
    [told] = hook.about("failing_pipeline")
    assert told["title"] == "failing_pipeline failed: work"
    for part in ("no meter answers", "bad_input", "manual__1", "docs/runbook/bad-input.md"):
        assert part in told["message"]
    assert f"{airflow.address}/dags/failing_pipeline/runs/manual__1" in told["message"]


def test_a_late_run_is_told_once_while_it_goes_on(airflow, hook, runs):
    [told] = hook.about("late_pipeline")
    assert told["title"] == "late_pipeline is late"
    assert "has not ended 0.4 minutes after it was queued" in told["message"]
    assert "Under way: work" in told["message"]


def test_a_run_that_failed_is_not_told_again_at_its_deadline(airflow, hook, runs):
    assert len(hook.told) == 2


def test_a_run_that_was_ended_by_its_limit_is_told_with_what_was_under_way(airflow, hook, runs):
    stuck = airflow.of("stuck_pipeline")
    stuck.unpause()
    stuck.trigger("manual__1")
    assert stuck.wait("manual__1") == "failed"
    [told] = until(lambda: hook.about("stuck_pipeline"))
    assert told["title"] == "stuck_pipeline failed: work"
    assert "longer than its limit of 0:00:25 (dagrun_timeout)" in told["message"]
    assert "docs/runbook/stuck-run.md" in told["message"]


def test_a_run_that_was_cleared_and_fails_again_is_told_again_once(airflow, hook, runs):
    failing = airflow.of("failing_pipeline")
    failing.clear("manual__1", "work")
    assert failing.wait("manual__1") == "failed"
    time.sleep(10)
    assert len(hook.about("failing_pipeline")) == 2


def test_every_line_of_a_task_s_log_is_json_with_its_dag_run_step_and_try(airflow, runs):
    keys = {"dag_id": "late_pipeline", "run_id": "manual__1", "task_id": "work", "try_number": 1}
    first, *lines = [json.loads(line) for line in log_lines(airflow, "manual__1", "work")]
    assert first["event"] == "::group::Pre Execute", "Airflow's first line alone comes before it knows its task"
    theirs = [line for line in lines if not keys.items() <= line.items()]
    assert theirs == []


def test_a_program_s_line_keeps_its_level_and_keys_and_a_plain_one_is_as_it_was(airflow, runs):
    lines = {line["event"]: line for line in map(json.loads, log_lines(airflow, "manual__1", "work"))}
    cloudy, plain = lines["one scene is cloudy"], lines["a plain line"]
    assert (cloudy["level"], cloudy["task_id"]) == ("warning", "work")
    assert cloudy["step"] == {"timestamp": "2026-01-01T00:00:00+00:00", "scenes": 3}, "it replaces no key of ours"
    assert plain["level"] == "info"


def test_the_services_log_json_too_and_no_log_holds_an_address(airflow, runs):
    home = airflow.data.parent / "home"
    text = "".join(path.read_text(errors="replace") for path in [home / "ui.log", *home.rglob("logs/**/*.log")])
    assert "failing_pipeline failed: work" in text, "that a notice was sent is logged"
    assert TOKEN not in text
    ours = [line for line in (home / "ui.log").read_text().splitlines() if line.startswith("{")]
    assert len(ours) > 20
