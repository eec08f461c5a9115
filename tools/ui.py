"""Airflow's own UI for this checkout, on 127.0.0.1 only: `make ui`.

`PORT` chooses the port (default 8080, or the next free one).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO

from include.cli.deployments import own_home, state_address, take_ui
from include.cli.surroundings import foreign_settings, own_environment
from include.core.databases import check_database
from include.core.errors import SetupError
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from tools.stack import free_port, say

ROOT = Path(__file__).resolve().parents[1]
HOME = own_home()
START_SECONDS, STOP_SECONDS, CLEAN_SECONDS, DAY_SECONDS = 120, 20, 120, 86_400
# `airflow standalone` would also serve logs on every address; here the API server reads them from the disk.
COMPONENTS = (
    ("api-server",),
    ("scheduler", "--skip-serve-logs"),
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)


def main() -> int:
    """Start Airflow, say where it is and how to log in, and stop it with Ctrl+C."""
    try:
        lock = take_ui(HOME)
    except BlockingIOError as error:
        say(f"error: {error}; stop it there with Ctrl+C first")
        return 1
    if (other := os.environ.get("AIRFLOW_HOME")) and Path(other).resolve() != HOME.resolve():
        say(f"AIRFLOW_HOME={other} is of another Airflow; this checkout's is used: {HOME}")
    if foreign := foreign_settings(os.environ, HOME):
        say(f"of another Airflow, and not used: {', '.join(foreign)}")
    port = free_port(int(os.environ.get("PORT", "8080")))
    address = f"http://127.0.0.1:{port}"
    state_address(lock, address)
    log = HOME / "ui.log"
    try:
        check_database(HOME / "airflow.db", "remove .airflow, connections included, and run make setup")
    except SetupError as error:
        say(str(error))
        return 1
    for secret in (log, HOME / "passwords.json"):  # Airflow would create them for everyone to read
        secret.touch(mode=0o600)
        secret.chmod(0o600)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    clean_database()
    with log.open("wb") as output, contextlib.ExitStack() as stack:
        if not os.environ.get(URL_VARIABLE):
            os.environ[URL_VARIABLE] = stack.enter_context(stand_in())  # imagery for runs whose source is demo
        return serve(port, address, log, output, lock)


def clean_database() -> None:
    """Remove old runs from the database once a day, before Airflow uses it; what goes wrong there stops nothing."""
    mark = HOME / ".database-cleaned"
    due = mark.exists() and time.time() - mark.stat().st_mtime > DAY_SECONDS
    if due or not mark.exists():
        mark.touch()
    if not due:
        return
    environment = own_environment(os.environ, HOME) | {"AIRFLOW_HOME": str(HOME)}
    command = [sys.executable, "-m", "tools.clean_database"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=CLEAN_SECONDS)  # noqa: S603 - our own


def serve(port: int, address: str, log: Path, output: IO[bytes], lock: int) -> int:
    """Run Airflow's components until somebody stops them, or one ends."""
    airflow = [start(component, port, address, output, lock) for component in COMPONENTS]
    try:
        if not wait_until_healthy(address, airflow):
            say(f"Airflow did not start within {START_SECONDS} s; its log: {log}")
            return 1
        for user, password in json.loads((HOME / "passwords.json").read_text()).items():
            say(f"Airflow is at {address}  (user {user}, password {password})")
        say(f"log: {log}; stop with Ctrl+C")
        while all(component.poll() is None for component in airflow):
            time.sleep(1)
    except KeyboardInterrupt:
        say("stopping Airflow …")
        return 0
    finally:
        stop(airflow)
    say(f"a part of Airflow ended by itself; its log: {log}")
    return 1


def start(component: tuple[str, ...], port: int, address: str, output: IO[bytes], lock: int) -> subprocess.Popen[bytes]:
    """Start one of Airflow's components in a session of its own; the lock lasts as long as any of them."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter's airflow
        [str(Path(sys.executable).with_name("airflow")), *component],
        cwd=ROOT,
        env=own_environment(os.environ, HOME)
        | {
            "AIRFLOW_HOME": str(HOME),
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": address,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
    )


def wait_until_healthy(address: str, airflow: list[subprocess.Popen[bytes]]) -> bool:
    """Wait until the scheduler is at work; False if a component ends before that, or it takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and all(component.poll() is None for component in airflow):
        try:
            with urllib.request.urlopen(f"{address}/api/v2/monitor/health", timeout=2) as answer:  # noqa: S310 - loopback
                if json.load(answer)["scheduler"]["status"] == "healthy":
                    return True
        except (OSError, ValueError):
            pass
        time.sleep(0.5)
    return False


def stop(airflow: list[subprocess.Popen[bytes]]) -> None:
    """Stop every component and what it started; one that does not end in time is killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for component in airflow:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(component.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(component.poll() is None for component in airflow):
            time.sleep(0.1)


if __name__ == "__main__":
    raise SystemExit(main())
