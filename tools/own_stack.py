"""A full stack of its own, beside any other: a folder, a project name and a port that nobody else has.

The end-to-end tests and `tools.soak` start, use and remove one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from include.core.run_folder import RunFolder
from include.domains import DOMAINS
from tools import stack as tool

ROOT = Path(__file__).resolve().parents[1]
IMAGES = (
    *("groundtruth-airflow:latest", "groundtruth-docker-policy:latest", "groundtruth-docker-proxy:latest"),
    *(domain.image for domain in DOMAINS if domain.image),
)
ENDED = ("success", "failed")
POLL_SECONDS = 0.5


class Stack:
    """A composition in a folder of its own.

    Args:
        folder: It gets `docker-compose.yaml`, `include/config/` and `stack/`.
        port: Where the UI listens, on 127.0.0.1; part of the project's name.
        dead_after: Seconds without a sign of life after which Airflow takes a task for dead. Default: as shipped, 300.

    Attributes:
        data: The data folder.
        definitions: The folder of the pipeline definitions that it reads.
        env_file: The file that promotions write.
    """

    def __init__(self, folder: Path, port: int, dead_after: int | None = None) -> None:
        self.folder, self.port, self.token = folder, port, ""
        self.project, self.address = f"groundtruth-{port}", f"http://127.0.0.1:{port}"
        self.data, self.definitions = folder / "stack" / "data", folder / "include" / "config"
        self.env_file = folder / "stack" / "config" / "pipeline.env"
        newer = subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode == 0  # noqa: S607
        self.command = ["docker", "compose"] if newer else ["docker-compose"]
        self.environment = os.environ | {"GROUNDTRUTH_PORT": str(port), "PWD": str(folder)}
        tool.make_settings(folder / "stack")
        shutil.copy(ROOT / "docker-compose.yaml", folder)
        shutil.copytree(ROOT / "include" / "config", self.definitions)
        ask_for_invented_data(self.definitions)
        (folder / "docker-compose.override.yaml").write_text(yaml.safe_dump(override(dead_after)))

    @property
    def password(self) -> str:
        """Of the user admin."""
        return (self.folder / "stack" / "secrets" / "admin_password").read_text().strip()

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Compose on this composition."""
        command = [*self.command, "--env-file", "stack/stack.env", "-p", self.project, "--profile", "demo", *arguments]
        done = subprocess.run(  # noqa: S603 - our own
            command, cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr  # noqa: S101 - what a test shows
        return done

    def containers(self, *services: str) -> list[str]:
        """Ids of the containers of some services, or of all."""
        return self.compose("ps", "-q", *services).stdout.split()

    def up(self, *arguments: str) -> None:
        """Start it, wait until it is healthy, log in."""
        tool.make_secrets(str(self.folder / "stack" / "secrets"))
        self.compose("up", "-d", *arguments)
        assert tool.wait(*self.containers()) == 0, "the stack did not become healthy"  # noqa: S101
        self.log_in()

    def keep_logs(self, folder: Path) -> None:
        """Keep each service's log, and those of the tasks."""
        folder.mkdir(parents=True, exist_ok=True)
        for service in self.compose("config", "--services", check=False).stdout.split():
            log = self.compose("logs", "--no-color", "--timestamps", service, check=False)
            (folder / f"{service}.txt").write_text(log.stdout)
        for server in self.compose("ps", "-q", "api-server", check=False).stdout.split():
            copy = ["docker", "cp", f"{server}:/opt/airflow/logs", str(folder / "tasks")]
            subprocess.run(copy, check=False, capture_output=True)  # noqa: S603

    def down(self) -> None:
        """Stop it, and remove its volumes and networks."""
        self.compose("down", "-v", check=False)

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """Ask the API server; with the token "" anonymously."""
        headers = {"Content-Type": "application/json"}
        if token != "":
            headers["Authorization"] = f"Bearer {token or self.token}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, content, headers, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            text = answer.read().decode()
            return json.loads(text or "null") if "json" in answer.headers.get("Content-Type", "") else text

    def log_in(self) -> None:
        """As admin, for a day."""
        account = {"username": "admin", "password": self.password}
        self.token = self.call("POST", "/auth/token", account, token="")["access_token"]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask Airflow's API."""
        return self.call(method, f"/api/v2{path}", body)

    def dag(self, method: str, path: str = "", body: Any = None, *, dag: str = "energy_pipeline") -> Any:
        """The same, below a DAG."""
        return self.api(method, f"/dags/{dag}{path}", body)

    def wait(self, run: str, *states: str, dag: str = "energy_pipeline") -> str:
        """Wait until a run has ended, or is in one of some states."""
        while True:
            state: str = self.dag("GET", f"/dagRuns/{run}", dag=dag)["state"]
            if state in (states or ENDED):
                return state
            time.sleep(POLL_SECONDS)

    def tasks(self, run: str, *, dag: str = "energy_pipeline") -> list[dict[str, Any]]:
        """The task instances of a run."""
        page = self.dag("GET", f"/dagRuns/{run}/taskInstances?limit=100", dag=dag)
        return page["task_instances"]

    def run_folder(self, run: str, *, dag: str = "energy_pipeline") -> Path:
        """Where a run's files and records lie."""
        return RunFolder.of(self.data, dag, run).path

    def report(self, run: str, *, dag: str = "energy_pipeline") -> dict[str, Any]:
        """The latest report of a run."""
        path = max(self.run_folder(run, dag=dag).glob("pipeline_report_*.json"))
        return json.loads(path.read_bytes())


def override(dead_after: int | None) -> dict[str, Any]:
    """What differs from the project's own composition."""
    prefix = "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"
    quick = {} if dead_after is None else {prefix: str(dead_after), f"{prefix}_DETECTION_INTERVAL": "2"}
    return {"services": {"scheduler": {"environment": quick}}}


def ask_for_invented_data(definitions: Path) -> None:
    """Write schedules that ask for generated meter data and simulated imagery, for scheduled runs take none unasked."""
    asked: dict[str, Any] = {name: [{"params": {"source": "demo"}}] for name in ("satellite", "fields")}
    if (definitions / "energy-pipeline.json").exists():
        asked["energy"] = [{"params": {"households": 20}}]
    (definitions / "schedules.json").write_text(json.dumps(asked))


@contextmanager
def own_stack(folder: Path, *arguments: str, dead_after: int | None = None) -> Iterator[Stack]:
    """A stack that is up; removed at the end, whatever happened. Its logs stay in `folder/logs`.

    Args:
        folder: For all that it keeps; its path must be one that the Docker engine sees.
        arguments: Of `docker compose up`, as `--scale worker=2`.
        dead_after: As in `Stack`.
    """
    stack = Stack(folder, tool.free_port(0), dead_after)
    try:
        stack.up(*arguments)
        yield stack
    finally:
        stack.keep_logs(folder / "logs")
        stack.down()
