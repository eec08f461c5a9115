"""The full stack as people start it, under a project name and a port of its own; `make e2e` runs it.

Airflow notices a dead worker after its heartbeat time-out, here 30 s instead of 300.
"""

import json
import os
import re
import signal
import time
import urllib.error
from collections import Counter

import pytest

from include.pipelines import all_pipelines
from tests.docker_proxy.stack import docker
from tools import stack as tool
from tools.own_stack import Stack

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.e2e,
]
OTHER_DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
"""Than that of the scheduled run, which publishes too: older results never replace newer ones."""


def refused(stack, path, token):
    with pytest.raises(urllib.error.HTTPError) as error:
        stack.call("GET", path, token=token)
    error.value.close()
    return error.value.code


def test_every_dag_is_there_without_an_import_error(stack):
    assert stack.call("GET", "/api/v2/importErrors")["import_errors"] == []
    dags = {dag["dag_id"] for dag in stack.call("GET", "/api/v2/dags")["dags"]}
    assert dags == {"inbox", "maintenance"} | {pipeline.definition.dag_id for pipeline in all_pipelines()[0]}


def test_a_run_goes_through_worker_proxy_and_containers_to_its_report(stack):
    stack.dag("POST", "/dagRuns", {"dag_run_id": "first", "logical_date": None, "conf": {"households": 3} | OTHER_DAY})
    assert stack.wait("first") == "success"
    run = stack.run_folder("first")
    [report] = run.glob("pipeline_report_*.json")
    assert json.loads(report.read_bytes())["overall_status"] == "success"
    results = [json.loads(path.read_bytes()) for path in run.glob("steps/energy-*/result.json")]
    assert {result["runtime"] for result in results} == {"docker"}
    assert {path.stat().st_uid for path in (run / "files").iterdir()} == {tool.WORKER_UID}
    log = stack.compose("logs", "--no-color", "docker-policy").stdout
    verdicts = Counter(json.loads(line)["verdict"] for line in re.findall(r"\{.*\}", log))
    assert verdicts["passed"] >= 9, "three steps, each created, started and removed"
    assert verdicts["refused"] == 0


def test_airflows_own_command_works_in_a_service(stack):
    said = stack.compose("exec", "-T", "scheduler", "airflow", "dags", "list", "-o", "json").stdout
    assert {each["dag_id"] for each in json.loads(said)} >= {"energy_pipeline", "satellite_pipeline", "maintenance"}


def test_airflow_dags_test_in_a_service_is_a_one_off_run_that_the_schedulers_do_not_see(stack):
    command = ["scheduler", "airflow", "dags", "test", "energy_pipeline", "2026-02-03", "--conf", '{"households": 3}']
    before = triggered(stack)
    stack.compose("exec", "-T", "-e", "GROUNDTRUTH_RUNTIME=local", *command)
    [folder] = (stack.data / "runs" / "energy_pipeline").glob("test__*")
    [report] = folder.glob("pipeline_report_*.json")
    assert json.loads(report.read_bytes())["overall_status"] == "success"
    assert list(folder.glob(".airflow.db*")) == []
    refused = stack.compose("exec", "-T", *command, check=False)
    assert refused.returncode == 1, "the scheduler cannot reach the Docker engine"
    assert triggered(stack) == before


def triggered(stack):
    """The runs that no schedule made."""
    runs = stack.dag("GET", "/dagRuns?limit=100")["dag_runs"]
    return {run["dag_run_id"] for run in runs if run["run_type"] != "scheduled"}


def test_nobody_reads_without_logging_in(stack):
    assert refused(stack, "/api/v2/dags", "") == 401
    assert refused(stack, "/api/v2/dags", "wrong") in (401, 403)


def test_a_worker_killed_amid_a_step_changes_nothing_but_the_number_of_the_try(stack):
    [worker] = stack.containers("worker")
    process = int(docker("inspect", "-f", "{{.State.Pid}}", worker))
    own = ("--filter", f"label=io.groundtruth.data={stack.data}", "--filter", "label=io.groundtruth.run=killed")
    stack.dag(
        "POST", "/dagRuns", {"dag_run_id": "killed", "logical_date": None, "conf": {"households": 400} | OTHER_DAY}
    )
    deadline = time.monotonic() + 120
    while not (step := docker("ps", "-q", *own)) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    assert step, "the step was to be at work"
    assert stack.wait("killed") == "success"
    tasks = stack.dag("GET", "/dagRuns/killed/taskInstances")["task_instances"]
    assert sum(each["try_number"] > 1 for each in tasks) == 1
    assert docker("ps", "-aq", *own) == ""


def test_without_a_secret_nothing_starts_and_the_sentence_says_why(stack, tmp_path):
    other = Stack(tmp_path, stack.port + 1)
    tool.make_secrets(str(tmp_path / "stack" / "secrets"))
    (tmp_path / "stack" / "secrets" / "airflow" / "fernet_key").unlink()
    try:
        assert other.compose("up", "-d", check=False).returncode != 0
        said = other.compose("logs", "--no-color", "secrets").stdout
        assert "stack/secrets lacks airflow/fernet_key: run `make secrets`" in said
        assert docker("ps", "-q", "--filter", f"name=groundtruth-{other.port}") == "", "nothing may run"
    finally:
        other.compose("down", "-v", check=False)
