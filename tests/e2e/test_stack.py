"""The full stack as people start it, under a project name and a port of its own; `make e2e` runs it.

Airflow notices a dead worker after its heartbeat time-out, here 15 s instead of 300.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.prerequisites import need
from tools import stack as tool

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("STACK") != "1", reason="the full stack: make e2e"),
]
OURS = ("airflow", "docker-policy", "docker-proxy", "energy")
OVERRIDE = {
    "services": {
        "scheduler": {
            "environment": {
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            }
        }
    }
}


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Stack:
    """A composition in a folder of its own."""

    def __init__(self, folder, port):
        self.folder, self.port, self.token = folder, port, ""
        newer = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode == 0
        self.command = ["docker", "compose"] if newer else ["docker-compose"]
        self.environment = os.environ | {"GROUNDTRUTH_PORT": str(port), "PWD": str(folder)}
        shutil.copy(ROOT / "docker-compose.yaml", folder)
        (folder / "docker-compose.override.yaml").write_text(yaml.safe_dump(OVERRIDE))

    def compose(self, *arguments, check=True):
        command = [*self.command, "-p", f"groundtruth-{self.port}", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def containers(self, service):
        return self.compose("ps", "-q", service).stdout.split()

    def call(self, method, path, body=None, *, token=None):
        headers = {"Content-Type": "application/json"}
        if token != "":
            headers["Authorization"] = f"Bearer {token or self.token}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", content, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            text = answer.read().decode()
            return json.loads(text) if "json" in answer.headers["Content-Type"] else text

    def log_in(self):
        password = (self.folder / "stack" / "secrets" / "admin_password").read_text().strip()
        given = {"username": "admin", "password": password}
        self.token = self.call("POST", "/auth/token", given, token="")["access_token"]

    def dag(self, method, path="", body=None, *, dag="energy_pipeline"):
        return self.call(method, f"/api/v2/dags/{dag}{path}", body)

    def wait(self, run):
        while (state := self.dag("GET", f"/dagRuns/{run}")["state"]) not in ("success", "failed"):
            time.sleep(0.5)
        return state


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    need(shutil.which("docker"), "Docker", "install Docker and Compose")
    for name in OURS:
        found = output("docker", "images", "-q", f"groundtruth-{name}:latest")
        need(found, f"the image groundtruth-{name}", "make stack-images")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("stack")
    running = Stack(folder, port)
    tool.make_secrets(str(folder / "stack" / "secrets"))
    try:
        running.compose("--profile", "demo", "up", "-d")
        assert tool.wait(*running.compose("--profile", "demo", "ps", "-q").stdout.split()) == 0
        running.log_in()
        running.dag("PATCH", "", {"is_paused": False})
        yield running
    finally:
        logs = running.compose("--profile", "demo", "logs", "--no-color", check=False).stdout
        (folder / "logs.txt").write_text(logs)
        running.compose("--profile", "demo", "down", "-v", check=False)


def refused(stack, path, token):
    with pytest.raises(urllib.error.HTTPError) as error:
        stack.call("GET", path, token=token)
    error.value.close()
    return error.value.code


def test_every_dag_is_there_without_an_import_error(stack):
    assert stack.call("GET", "/api/v2/importErrors")["import_errors"] == []
    dags = {each["dag_id"] for each in stack.call("GET", "/api/v2/dags")["dags"]}
    assert dags == {"energy_pipeline", "satellite_pipeline", "crop_health_map", "maintenance"}


def test_a_run_goes_through_worker_door_and_containers_to_its_report(stack):
    stack.dag("POST", "/dagRuns", {"dag_run_id": "first", "logical_date": None, "conf": {"households": 3}})
    assert stack.wait("first") == "success"
    run = stack.folder / "stack" / "data" / "runs" / "energy_pipeline" / "first"
    [report] = run.glob("pipeline_report_*.json")
    assert json.loads(report.read_bytes())["overall_status"] == "success"
    results = [json.loads(path.read_bytes()) for path in run.glob("steps/energy-*/result.json")]
    assert {result["runtime"] for result in results} == {"docker"}
    assert {path.stat().st_uid for path in (run / "files").iterdir()} == {tool.UID}
    log = stack.compose("logs", "--no-color", "docker-policy").stdout
    verdicts = Counter(json.loads(line)["verdict"] for line in re.findall(r"\{.*\}", log))
    assert verdicts["passed"] >= 9, "three steps, each created, started and removed"
    assert verdicts["refused"] == 0


def test_nobody_reads_without_logging_in(stack):
    assert refused(stack, "/api/v2/dags", "") == 401
    assert refused(stack, "/api/v2/dags", "wrong") in (401, 403)


def test_a_worker_killed_amid_a_step_changes_nothing_but_the_number_of_the_try(stack):
    [worker] = stack.containers("worker")
    process = int(output("docker", "inspect", "-f", "{{.State.Pid}}", worker))
    label = "label=io.groundtruth.run=killed"
    stack.dag("POST", "/dagRuns", {"dag_run_id": "killed", "logical_date": None, "conf": {"households": 400}})
    deadline = time.monotonic() + 120
    while not (step := output("docker", "ps", "-q", "--filter", label)) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    assert step, "the step was to be at work"
    assert stack.wait("killed") == "success"
    tasks = stack.dag("GET", "/dagRuns/killed/taskInstances")["task_instances"]
    assert sum(each["try_number"] > 1 for each in tasks) == 1
    assert output("docker", "ps", "-aq", "--filter", label) == ""


def test_without_a_secret_nothing_starts_and_the_sentence_says_why(stack, tmp_path):
    other = Stack(tmp_path, stack.port + 1)
    tool.make_secrets(str(tmp_path / "stack" / "secrets"))
    (tmp_path / "stack" / "secrets" / "airflow" / "fernet_key").unlink()
    try:
        assert other.compose("up", "-d", check=False).returncode != 0
        said = other.compose("logs", "--no-color", "secrets").stdout
        assert "stack/secrets lacks airflow/fernet_key: run `make secrets`" in said
        assert output("docker", "ps", "-q", "--filter", f"name=groundtruth-{other.port}") == "", "nothing may run"
    finally:
        other.compose("down", "-v", check=False)
