"""Airflow's own UI for this checkout, on 127.0.0.1 only: `make ui`.

`PORT` chooses the port (default 8080, or the next free one).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".airflow"
START_SECONDS = 120


def main() -> int:
    """Start Airflow, say where it is and how to log in, and stop it with Ctrl+C."""
    port = free_port(int(os.environ.get("PORT", "8080")))
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = HOME / "ui.log"
    with log.open("wb") as output:
        airflow = subprocess.Popen(  # noqa: S603 - our own interpreter's airflow
            [str(Path(sys.executable).with_name("airflow")), "standalone"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        if not wait_until_healthy(address, airflow):
            say(f"Airflow did not start within {START_SECONDS} s; its log: {log}")
            return 1
        users = json.loads((HOME / "passwords.json").read_text())
        for user, password in users.items():
            say(f"Airflow is at {address}  (user {user}, password {password})")
        say(f"log: {log}; stop with Ctrl+C")
        return airflow.wait()
    except KeyboardInterrupt:
        say("stopping Airflow …")
        return 0
    finally:
        stop(airflow)


def free_port(wanted: int) -> int:
    """The wanted port, or the next one that nobody listens on."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SystemExit(f"no free port from {wanted} to {wanted + 99}; name one: make ui PORT=9000")


def wait_until_healthy(address: str, airflow: subprocess.Popen[bytes]) -> bool:
    """Wait until the API answers; False if Airflow ends before that, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and airflow.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/api/v2/monitor/health", timeout=2) as answer:  # noqa: S310 - loopback
                if json.load(answer)["scheduler"]["status"] == "healthy":
                    return True
        except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError):
            pass
        time.sleep(0.5)
    return False


def stop(airflow: subprocess.Popen[bytes]) -> None:
    """Stop Airflow and everything that it started."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(airflow.pid, number)
            airflow.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
        else:
            return


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
