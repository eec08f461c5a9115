"""A running Airflow as `make ui` starts it, and what a person does with it over the API that the UI uses."""

from __future__ import annotations

import configparser
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from tools.own_stack import ask_for_invented_data

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, PARSE_SECONDS, POLL_SECONDS = 150, 90, 0.3
ENDED = ("success", "failed")


@dataclass(frozen=True)
class Airflow:
    """One DAG of a running Airflow."""

    dag_id: str
    process: subprocess.Popen[bytes]
    address: str
    password: str
    environment: dict[str, str]
    data: Path
    _token: list[str] = field(default_factory=list)

    def of(self, dag_id: str) -> Airflow:
        """The same for another DAG."""
        return replace(self, dag_id=dag_id)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token[0]}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, content, headers, method=method)  # noqa: S310 - loopback
        for last in (False, False, True):
            try:
                with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                    return json.loads(answer.read() or "{}")
            except urllib.error.HTTPError as error:  # SQLite is locked while the scheduler writes: nothing was done
                if last or error.code != 500 or not (method in ("GET", "PATCH") or path.endswith("/dagRuns")):
                    raise
                time.sleep(POLL_SECONDS)
        raise AssertionError

    def log_in(self) -> None:
        given = {"username": "admin", "password": self.password}
        self._token[:] = [self.call("POST", "/auth/token", given)["access_token"]]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return self.call(method, f"/api/v2{path}", body)

    def page(self, path: str) -> str:
        """A page of ours, as a browser that is logged in gets it."""
        headers = {"Cookie": f"_token={self._token[0]}"}
        request = urllib.request.Request(self.address + path, headers=headers)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            text: str = response.read().decode()
        return text

    def dag(self, method: str = "GET", path: str = "", body: Any = None) -> Any:
        return self.api(method, f"/dags/{self.dag_id}{path}", body)

    def is_there(self) -> bool:
        """Whether the DAG was parsed."""
        try:
            self.dag()
        except urllib.error.HTTPError:
            return False
        return True

    def unpause(self) -> None:
        self.dag("PATCH", body={"is_paused": False})

    def trigger(self, run: str, *, logical_date: str | None = None, **conf: Any) -> None:
        self.dag("POST", "/dagRuns", {"dag_run_id": run, "logical_date": logical_date, "conf": conf})

    def wait(self, run: str, *states: str) -> str:
        """Wait until a run has ended, or is in one of some states."""
        while True:
            state: str = self.dag("GET", f"/dagRuns/{run}")["state"]
            if state in (states or ENDED):
                return state
            time.sleep(POLL_SECONDS)

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.dag("GET", "/dagRuns?limit=100")["dag_runs"]
        return found

    def settle(self) -> None:
        """Wait until nothing runs: SQLite refuses a writer that began as a reader while another writes."""
        while any(run["state"] in ("queued", "running") for run in self.runs()):
            time.sleep(POLL_SECONDS)

    def clear(self, run: str, *tasks: str) -> None:
        body = {"dry_run": False, "dag_run_id": run, "task_ids": tasks, "include_downstream": True}
        self.dag("POST", "/clearTaskInstances", body | {"only_failed": False, "reset_dag_runs": True})

    def tasks(self, run: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.dag("GET", f"/dagRuns/{run}/taskInstances?limit=100")["task_instances"]
        return found

    def tries(self, run: str) -> dict[str, int]:
        return {each["task_id"]: each["try_number"] for each in self.tasks(run)}

    def events(self, asset: str) -> list[dict[str, Any]]:
        """The events of an asset, oldest first."""
        found = self.api("GET", "/assets/events?limit=100&order_by=timestamp")["asset_events"]
        return [event for event in found if event["name"] == asset]

    def folder(self, run: str) -> Path:
        return self.data / "runs" / self.dag_id / run

    def result(self, run: str, step: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder(run) / "steps" / step / "result.json").read_bytes())
        return found

    def report(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(max(self.folder(run).glob("pipeline_report_*.json")).read_bytes())
        return found

    def listening(self) -> dict[tuple[str, int], list[str]]:
        """The addresses on which its processes listen, each with the command of its process."""
        found = {}
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # tasks come and go
                command = process.cmdline()
                for connection in process.net_connections(kind="inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        found[connection.laddr.ip, connection.laddr.port] = command
        return found


@contextmanager
def running_airflow(folder: Path, dag_id: str, port: int, **settings: str) -> Iterator[Airflow]:
    """`make ui` with a home, a database and a data folder of its own; stopped at the end, whatever happened.

    Args:
        folder: For all that.
        dag_id: The DAG that the test is about.
        port: Where it listens, or the next free one.
        settings: More of the environment.
    """
    home, data = folder / "home", folder / "data"
    home.mkdir()
    (data / "inbox").mkdir(parents=True)
    own = ROOT / ".airflow"
    config = configparser.RawConfigParser()
    config.read_string((own / "airflow.cfg").read_text().replace(str(own), str(home)))
    for name in [name for name in settings if name.startswith("AIRFLOW__")]:
        section, key = name.removeprefix("AIRFLOW__").lower().split("__")
        config.read_dict({section: {key: settings.pop(name)}})
    with (home / "airflow.cfg").open("w") as file:
        config.write(file)
    shutil.copyfile(own / "template.db", home / "airflow.db")
    definitions = Path(settings.get("GROUNDTRUTH_DEFINITIONS_DIR") or folder / "definitions")
    if not definitions.exists():
        shutil.copytree(ROOT / "include" / "config", definitions)
    ask_for_invented_data(definitions)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")} | {
        "AIRFLOW_HOME": str(home),
        "GROUNDTRUTH_DATA_DIR": str(data),
        "GROUNDTRUTH_DEFINITIONS_DIR": str(definitions),
        "PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **settings,
    }
    with (folder / "ui.txt").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "tools.ui"], cwd=ROOT, env=environment, stdout=output)
    try:
        said = _wait_for_address(process, folder / "ui.txt")
        found = re.search(r"(http://\S+)  \(user admin, password (\S+)\)", said)
        assert found is not None, said
        environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] = f"{found[1]}/execution/"
        running = Airflow(dag_id, process, found[1], found[2], environment, data)
        running.log_in()
        _wait_for_dag(running)
        yield running
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        psutil.wait_procs(children, timeout=10)
        assert [child for child in children if child.is_running()] == [], "nothing may outlive `make ui`"


def _wait_for_address(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if "stop with Ctrl+C" in output.read_text():
            return output.read_text()
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"the UI did not start: {output.read_text()}")


def _wait_for_dag(running: Airflow) -> None:
    deadline = time.monotonic() + PARSE_SECONDS
    while time.monotonic() < deadline:
        if running.is_there():
            return
        time.sleep(POLL_SECONDS)
    raise AssertionError("the DAG did not appear")


def until(condition: Callable[[], Any], seconds: float = 120.0, every: float = 0.05) -> Any:
    """Wait for something to be so; returns what the condition found."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(every)
    raise AssertionError("this did not happen in time")
