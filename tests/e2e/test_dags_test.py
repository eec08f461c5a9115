"""`airflow dags test` beside a running scheduler, with the DAG switched on: it runs, and leaves every date alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from include.core.run_folder import safe_name
from tests.e2e.running_airflow import ROOT, running_airflow

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(480)]
LOGICAL_DATE, DAY = "2026-02-03", "2026-02-02"
"""The interval of `airflow dags test … D` ends at D. The date is older than `dagrun_timeout`."""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    with running_airflow(tmp_path_factory.mktemp("ci"), "energy_pipeline", 18480) as running:
        running.unpause()
        running.settle()
        yield running


def dags_test(airflow, dag_id="energy_pipeline", **conf):
    """What a user types after `source env.sh`; `airflow.environment` names this Airflow's home, as `env.sh` does."""
    command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", dag_id, LOGICAL_DATE]
    return subprocess.run(
        [*command, "--conf", json.dumps(conf)],
        cwd=ROOT,
        env=airflow.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def backfill(airflow):
    """Backfill the date; returns its run and how it ended."""
    date = f"{LOGICAL_DATE}T00:00:00Z"
    body = {"dag_id": "energy_pipeline", "from_date": date, "to_date": date, "dag_run_conf": {"households": 2}}
    airflow.api("POST", "/backfills", body)
    [run] = [run["dag_run_id"] for run in airflow.runs() if run["run_type"] == "backfill"]
    return run, airflow.wait(run)


def of_the_date(airflow):
    """The runs in Airflow's database that have the date, and their states."""
    runs = airflow.runs()
    return {run["dag_run_id"]: run["state"] for run in runs if str(run["logical_date"]).startswith(LOGICAL_DATE)}


def latest(airflow):
    """Folder and report of the latest run of `airflow dags test`."""
    folder = max(airflow.data.glob("runs/energy_pipeline/test__*"))
    [report] = folder.glob("pipeline_report_*.json")
    return folder, json.loads(report.read_bytes())


def test_it_runs_to_its_report_and_a_backfill_of_the_same_date_runs_too(airflow):
    ended = dags_test(airflow, households=2)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    folder, report = latest(airflow)
    assert report["overall_status"] == "success"
    assert {step["status"] for step in report["steps"]} == {"success"}
    assert report["interval"]["start"].startswith(DAY)
    assert list(folder.glob(".airflow.db*")) == []
    assert (airflow.data / "published" / "energy" / "manual" / DAY / "energy_report.csv").is_file()
    assert of_the_date(airflow) == {}
    run, state = backfill(airflow)
    assert state == "success"
    assert airflow.report(safe_name(run))["params"]["households"] == 2
    assert dags_test(airflow, households=2).returncode == 0
    assert of_the_date(airflow) == {run: "success"}, "the run of the backfill stays"


def test_a_run_that_fails_ends_1_with_its_report(airflow):
    ended = dags_test(airflow, files=["nothing.csv"])
    assert ended.returncode == 1
    assert "DagRun failed" in ended.stderr
    _, report = latest(airflow)
    assert report["overall_status"] == "failed"
    assert "nothing.csv: no such file" in report["failure_point"]["message"]


def test_maintenance_runs_its_tasks(airflow):
    ended = dags_test(airflow, "maintenance")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    runs = [run for run in airflow.of("maintenance").runs() if run["triggered_by"] == "test"]
    assert [run["state"] for run in runs] == ["success"]
    states = {task["task_id"]: task["state"] for task in airflow.of("maintenance").tasks(runs[0]["dag_run_id"])}
    assert states == dict.fromkeys(("remove_orphans", "sweep_leftovers", "remove_expired"), "success")
