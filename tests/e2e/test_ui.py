"""Airflow's own UI, scheduler and executor, as `make ui` starts them: triggers, backfills, clears, dead workers."""

import json
import os
import shutil
import signal
import urllib.error
import urllib.request

import pytest

from include.core.run_folder import safe_name
from tests.e2e.running_airflow import ROOT, running_airflow, until

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(240)]

BROKEN = '{"workflow_name": "broken-pipeline", "containers": [{"id": "a b", "comand": "x"}]}'


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """A running Airflow that sees one broken definition beside the good ones."""
    folder = tmp_path_factory.mktemp("ui")
    definitions = folder / "definitions"
    shutil.copytree(ROOT / "include/config", definitions)
    (definitions / "broken.json").write_text(BROKEN)
    with running_airflow(folder, "energy_pipeline", 18080, GROUNDTRUTH_DEFINITIONS_DIR=str(definitions)) as running:
        running.unpause()
        yield running


def test_it_listens_on_this_machine_alone(airflow):
    assert {ip for ip, _ in airflow.listening()} == {"127.0.0.1"}


def test_nobody_gets_in_without_the_password(airflow):
    request = urllib.request.Request(f"{airflow.address}/api/v2/dags/energy_pipeline")  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310
    assert refused.value.code == 401
    refused.value.close()


def test_a_broken_definition_is_an_import_error_with_every_fault_while_the_good_dag_lives(airflow):
    [error] = airflow.api("GET", "/importErrors")["import_errors"]
    for fault in ("broken.json", "$.containers[0].id", "$.containers[0].comand"):
        assert fault in error["stack_trace"]
    assert airflow.dag()["dag_id"] == "energy_pipeline"


def test_a_trigger_with_changed_params(airflow):
    airflow.trigger(
        "changed", households=3, high_usage_kw=0.5, start="2026-02-01T00:00:00Z", end="2026-02-02T00:00:00Z"
    )
    assert airflow.wait("changed") == "success"
    report = airflow.report("changed")
    assert report["params"]["households"] == 3
    assert report["steps"][1]["output_summary"]["high_usage"] > 0
    assert report["steps"][0]["log_url"].startswith(airflow.address)
    assert (airflow.data / "published/energy/manual/2026-02-01/energy_report.csv").exists()


def test_three_days_backfilled_in_reverse_order(airflow):
    airflow.settle()
    days = {"from_date": "2026-01-05T00:00:00Z", "to_date": "2026-01-07T00:00:00Z", "run_backwards": True}
    airflow.api("POST", "/backfills", {"dag_id": "energy_pipeline", "dag_run_conf": {"households": 2}, **days})
    runs = [run["dag_run_id"] for run in airflow.runs() if run["run_type"] == "backfill"]
    assert len(runs) == 3
    assert {run: airflow.wait(run) for run in runs} == dict.fromkeys(runs, "success")
    assert {airflow.report(safe_name(run))["params"]["households"] for run in runs} == {2}
    published = airflow.data / "published/energy/manual"
    for day in ("2026-01-05", "2026-01-06", "2026-01-07"):
        document = json.loads((published / day / "output2.json").read_text())
        assert day in json.dumps(document)
        assert (published / day / "energy_report.csv").read_text().splitlines()[1].startswith(day)


def test_a_failed_run_resumes_where_it_broke_and_a_cleared_green_step_runs_again(airflow):
    airflow.trigger("files", csv=["late.csv"])
    assert airflow.wait("files") == "failed"
    assert "late.csv: no such file" in airflow.report("files")["failure_point"]["message"]
    rows = [f"2026-01-01T{hour:02}:00:00Z,A,{hour / 10},230.0,5.0" for hour in range(24)]
    header = "timestamp,household_id,power_consumption,voltage,current"
    (airflow.data / "inbox/late.csv").write_text("\n".join([header, *rows, ""]))
    airflow.clear("files", "prepare")
    assert airflow.wait("files") == "success"
    generated = airflow.result("files", "energy-generator")
    analyzed = airflow.result("files", "energy-analyzer")
    airflow.clear("files", "energy-analyzer")
    assert airflow.wait("files") == "success"
    assert airflow.result("files", "energy-generator") == generated
    again = airflow.result("files", "energy-analyzer")
    assert again["generation"] > analyzed["generation"]
    assert again["started_at"] > analyzed["started_at"]
    assert again["outputs"] == analyzed["outputs"]
    assert airflow.report("files")["overall_status"] == "success"


def test_a_task_whose_process_is_killed_gets_another_attempt(airflow):
    airflow.trigger("killed", households=800, start="2026-01-01T00:00:00Z", end="2026-02-01T00:00:00Z")
    folder = airflow.folder("killed")
    until(lambda: list(folder.glob("work/*/*")), 90)  # something is being written
    [victim] = [task["pid"] for task in airflow.tasks("killed") if task["state"] == "running"]
    os.kill(victim, signal.SIGKILL)
    assert airflow.wait("killed") == "success"
    assert max(airflow.tries("killed").values()) == 2
    assert airflow.report("killed")["overall_status"] == "success"
    assert [path.name for path in (folder / "files").iterdir() if path.name.startswith(".")] == []
    assert list(folder.glob("work/*")) == []
