"""Airflow's own UI, scheduler and executor, as `make ui` starts them: triggers, backfills, clears, dead workers."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from include.core.runs import safe_name

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
DAG = "/dags/energy_pipeline"
BROKEN = '{"workflow_name": "broken-pipeline", "containers": [{"id": "a b", "comand": "x"}]}'


class Airflow:
    """A running Airflow and what a person does with it, over the API that the UI uses."""

    def __init__(self, process, address, password, environment, data):
        self.process, self.address, self.environment, self.data = process, address, environment, data
        self.token = None
        self.token = self.call("POST", "/auth/token", {"username": "admin", "password": password})["access_token"]

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, content, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.loads(answer.read() or "{}")

    def api(self, method, path, body=None):
        return self.call(method, f"/api/v2{path}", body)

    def trigger(self, run, **conf):
        self.api("POST", f"{DAG}/dagRuns", {"dag_run_id": run, "logical_date": None, "conf": conf})

    def wait(self, run):
        while True:
            state = self.api("GET", f"{DAG}/dagRuns/{run}")["state"]
            if state in ("success", "failed"):
                return state
            time.sleep(0.5)

    def runs(self):
        return self.api("GET", f"{DAG}/dagRuns?limit=100")["dag_runs"]

    def settle(self):
        """Wait until nothing runs: SQLite refuses a writer that began as a reader while another writes."""
        while any(run["state"] in ("queued", "running") for run in self.runs()):
            time.sleep(0.5)

    def clear(self, run, task):
        body = {"dry_run": False, "dag_run_id": run, "task_ids": [task], "include_downstream": True}
        self.api("POST", f"{DAG}/clearTaskInstances", body | {"only_failed": False, "reset_dag_runs": True})

    def tries(self, run):
        found = self.api("GET", f"{DAG}/dagRuns/{run}/taskInstances")["task_instances"]
        return {each["task_id"]: each["try_number"] for each in found}

    def folder(self, run):
        return self.data / "runs" / "energy_pipeline" / run

    def result(self, run, step):
        return json.loads((self.folder(run) / "steps" / step / "result.json").read_bytes())

    def report(self, run):
        return json.loads(max(self.folder(run).glob("pipeline_report_*.json")).read_bytes())


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """`make ui` with a home, a database and a data folder of its own; stopped at the end, whatever happened."""
    folder = tmp_path_factory.mktemp("ui")
    home, data, definitions = folder / "home", folder / "data", folder / "definitions"
    home.mkdir()
    (data / "inbox").mkdir(parents=True)
    shutil.copytree(ROOT / "include/config", definitions)
    (definitions / "broken.json").write_text(BROKEN)
    own = ROOT / ".airflow"
    (home / "airflow.cfg").write_text((own / "airflow.cfg").read_text().replace(str(own), str(home)))
    shutil.copyfile(own / "template.db", home / "airflow.db")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")} | {
        "AIRFLOW_HOME": str(home),
        "GROUNDTRUTH_DATA_DIR": str(data),
        "GROUNDTRUTH_DEFINITIONS_DIR": str(definitions),
        "PORT": "18080",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with (folder / "ui.txt").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "tools.ui"], cwd=ROOT, env=environment, stdout=output)
    try:
        said = wait_for_address(process, folder / "ui.txt")
        address, password = re.search(r"(http://\S+)  \(user admin, password (\S+)\)", said).groups()
        environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] = f"{address}/execution/"
        running = Airflow(process, address, password, environment, data)
        wait_for_dag(running)
        running.api("PATCH", DAG, {"is_paused": False})
        yield running
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        psutil.wait_procs(children, timeout=10)
        assert [child for child in children if child.is_running()] == [], "nothing may outlive `make ui`"


def wait_for_address(process, output):
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline and process.poll() is None:
        if "stop with Ctrl+C" in output.read_text():
            return output.read_text()
        time.sleep(0.3)
    raise AssertionError(f"the UI did not start: {output.read_text()}")


def wait_for_dag(running):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            return running.api("GET", DAG)
        except urllib.error.HTTPError:
            time.sleep(0.5)
    raise AssertionError("the DAG did not appear")


def test_it_listens_on_this_machine_alone(airflow):
    addresses = {
        connection.laddr.ip
        for process in psutil.Process(airflow.process.pid).children(recursive=True)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_nobody_gets_in_without_the_password(airflow):
    request = urllib.request.Request(f"{airflow.address}/api/v2{DAG}")  # noqa: S310 - loopback
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310
    assert refused.value.code == 401
    refused.value.close()


def test_a_broken_definition_is_an_import_error_with_every_fault_while_the_good_dag_lives(airflow):
    [error] = airflow.api("GET", "/importErrors")["import_errors"]
    for fault in ("broken.json", "$.containers[0].id", "$.containers[0].comand"):
        assert fault in error["stack_trace"]
    assert airflow.api("GET", DAG)["dag_id"] == "energy_pipeline"


def test_a_trigger_with_changed_params(airflow):
    airflow.trigger(
        "changed", households=3, high_usage_kw=0.5, start="2026-02-01T00:00:00Z", end="2026-02-02T00:00:00Z"
    )
    assert airflow.wait("changed") == "success"
    report = airflow.report("changed")
    assert report["params"]["households"] == 3
    assert report["steps"][1]["output_summary"]["high_usage"] > 0
    assert report["steps"][0]["log_url"].startswith(airflow.address)
    assert (airflow.data / "published/energy/2026-02-01/energy_report.csv").exists()


def test_three_days_backfilled_in_reverse_order(airflow):
    airflow.settle()
    days = {"from_date": "2026-01-05T00:00:00Z", "to_date": "2026-01-07T00:00:00Z", "run_backwards": True}
    airflow.api("POST", "/backfills", {"dag_id": "energy_pipeline", "dag_run_conf": {"households": 2}, **days})
    runs = [run["dag_run_id"] for run in airflow.runs() if run["run_type"] == "backfill"]
    assert len(runs) == 3
    assert {run: airflow.wait(run) for run in runs} == dict.fromkeys(runs, "success")
    assert {airflow.report(safe_name(run))["params"]["households"] for run in runs} == {2}
    published = airflow.data / "published/energy"
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
    files = airflow.folder("killed") / "files"
    deadline, victim = time.monotonic() + 90, None
    while victim is None and time.monotonic() < deadline:
        for process in psutil.Process(airflow.process.pid).children(recursive=True):
            try:
                if any(Path(file.path).is_relative_to(files) for file in process.open_files()):
                    victim = process
            except psutil.Error:
                continue
    victim.kill()
    assert airflow.wait("killed") == "success"
    assert max(airflow.tries("killed").values()) == 2
    assert airflow.report("killed")["overall_status"] == "success"
    assert [path.name for path in files.iterdir() if path.name.startswith(".")] == []
