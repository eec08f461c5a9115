"""Keeps a full stack of its own busy, then restarts its services under load: `make soak` prints tables in Markdown.

1. Many energy runs queued at once and a backfill of many days, on two workers: each must succeed, no step may run
   twice, no container may stay, and the memory of each service must stay flat.
2. Runs queued, and amid them every service that holds a state or carries a request is restarted, one after the other.

It ends with 1 if anything was lost, doubled or left behind. Needs Docker, Compose and the images (`make stack-images`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable
from datetime import date, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tools.own_stack import ENDED, Stack, own_stack
from tools.soak_watch import Containers, Memory, table

FIRST_DAY = date(2026, 1, 1)
RESTARTED = ("postgres", "redis", "scheduler", "worker", "docker-proxy", "docker-policy")
STEPS = ("energy-generator", "energy-analyzer", "report-generator")
PARAMS = {"households": 3}
BACKFILLED_AT_ONCE = 4
PAUSE_SECONDS = 15
JANITOR_SECONDS = 70
"""It leaves younger containers alone for 60 s."""
POLL_SECONDS = 5
AWAY = (urllib.error.URLError, ConnectionError, HTTPException, TimeoutError)
"""What asking the API server gives while it, or its database, is away."""


def main() -> int:
    """Run both parts; 1 if anything was lost, doubled or left behind."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=50, help="runs queued at once (50)")
    parser.add_argument("--days", type=int, default=200, help="days backfilled meanwhile (200)")
    parser.add_argument("--restart-runs", type=int, default=40, help="runs queued while services restart (40)")
    parser.add_argument("--workers", type=int, default=2, help="Celery workers (2)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groundtruth-soak-", ignore_cleanup_errors=True) as folder:
        with own_stack(Path(folder), "--scale", f"worker={given.workers}") as stack, Containers(stack.data) as seen:
            stack.dag("PATCH", "", {"is_paused": False})
            say(f"{os.cpu_count()} cores, {given.workers} workers\n")
            faults = [*load(stack, seen, given.runs, given.days), *restarts(stack, seen, given.restart_runs)]
        if faults:
            kept = Path(tempfile.mkdtemp(prefix="groundtruth-soak-logs-"))
            (Path(folder) / "logs").rename(kept / "logs")
            say(f"\nThe services' logs are kept in {kept}.")
    say("\n" + ("\n".join(f"- {fault}" for fault in faults) or "Nothing lost, nothing doubled, nothing left behind."))
    return 1 if faults else 0


def load(stack: Stack, seen: Containers, runs: int, days: int) -> list[str]:
    """The first part."""
    began = time.monotonic()
    with Memory(stack) as memory:
        queue(stack, "load", runs)
        last = FIRST_DAY + timedelta(days=days - 1)
        stack.api("POST", "/backfills", backfill(FIRST_DAY, last))
        ended = wait_for_all(stack, runs + days)
    minutes = (time.monotonic() - began) / 60
    count = runs + days
    say(f"**Load**: {runs} runs queued at once and {days} days backfilled, in {minutes:.1f} minutes: ")
    say(f"{count / minutes:.1f} runs, {len(STEPS) * count / minutes:.1f} containers a minute.\n")
    say(memory.table())
    published = {path.name for path in (stack.data / "published" / "energy").iterdir()}
    missing = [str(day) for n in range(days) if str(day := FIRST_DAY + timedelta(days=n)) not in published]
    return verdict(stack, seen, ended, count) + [f"{day} was not published" for day in missing]


def restarts(stack: Stack, seen: Containers, runs: int) -> list[str]:
    """The second part."""
    before = set(states(stack))
    began = time.monotonic()
    queue(stack, "restart", runs)
    rows = []
    for service in RESTARTED:
        time.sleep(PAUSE_SECONDS)
        busy = sum(state not in ENDED for run, state in patiently(lambda: states(stack)).items() if run not in before)
        away = restart(stack, service)
        rows.append([service, str(busy), f"{away:.0f}"])
    ended = wait_for_all(stack, len(before) + runs)
    left = len(seen.left())
    tidy(stack)
    say(f"\n**Restarts**: {runs} runs in {(time.monotonic() - began) / 60:.1f} minutes, during which\n")
    say(table(["restarted", "runs not ended then", "seconds until healthy"], rows))
    say(f"\n{left} containers waited for the janitor, which comes every hour: without the proxy none is removed.")
    idle = [f"{service} was restarted when nothing ran: take more runs" for service, busy, _ in rows if busy == "0"]
    mine = {run: state for run, state in ended.items() if run not in before}
    return verdict(stack, seen, mine, runs) + idle


def queue(stack: Stack, name: str, runs: int) -> None:
    """Trigger runs, each of which is a manual one."""
    for number in range(runs):
        body = {"dag_run_id": f"{name}-{number:03}", "logical_date": None, "conf": PARAMS}
        stack.dag("POST", "/dagRuns", body)


def backfill(first: date, last: date) -> dict[str, Any]:
    """What a backfill is asked for with."""
    days = {"from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z"}
    return {"dag_id": "energy_pipeline", "dag_run_conf": PARAMS, "max_active_runs": BACKFILLED_AT_ONCE, **days}


def restart(stack: Stack, service: str) -> float:
    """Restart all containers of a service; returns the seconds until they are healthy again."""
    began = time.monotonic()
    containers = stack.containers(service)
    subprocess.run(["docker", "restart", *containers], check=True, capture_output=True)  # noqa: S603, S607
    form = "{{.State.Health.Status}}"
    while True:
        inspect = ["docker", "inspect", "-f", form, *containers]
        said = subprocess.run(inspect, check=True, capture_output=True, text=True)  # noqa: S603
        if set(said.stdout.split()) == {"healthy"}:
            return time.monotonic() - began
        time.sleep(1)


def tidy(stack: Stack) -> None:
    """Let the janitor come now."""
    time.sleep(JANITOR_SECONDS)
    stack.dag("PATCH", "", {"is_paused": False}, dag="maintenance")
    stack.dag("POST", "/dagRuns", {"dag_run_id": "tidy", "logical_date": None, "conf": {}}, dag="maintenance")
    stack.wait("tidy", dag="maintenance")


def states(stack: Stack) -> dict[str, str]:
    """The state of every run that is not a scheduled one."""
    found: dict[str, str] = {}
    offset, total = 0, 1
    while offset < total:
        page = stack.dag("GET", f"/dagRuns?limit=100&offset={offset}&order_by=id")
        total, offset = page["total_entries"], offset + 100
        found |= {run["dag_run_id"]: run["state"] for run in page["dag_runs"] if run["run_type"] != "scheduled"}
    return found


def wait_for_all(stack: Stack, count: int) -> dict[str, str]:
    """Wait until so many runs have ended; returns their states."""
    while True:
        found = patiently(lambda: states(stack))
        if len(found) >= count and all(state in ENDED for state in found.values()):
            return found
        time.sleep(POLL_SECONDS)


def patiently(ask: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Ask again while the API server or its database is away."""
    while True:
        try:
            return ask()
        except AWAY:
            time.sleep(POLL_SECONDS)


def verdict(stack: Stack, seen: Containers, ended: dict[str, str], count: int) -> list[str]:
    """What is wrong with runs that have ended, and the table that says what is right."""
    faults = [f"{run} ended as {state}" for run, state in ended.items() if state != "success"]
    tries = {run: max(task["try_number"] for task in stack.tasks(run)) for run in ended}
    created = seen.created()
    for run in ended:
        report = stack.report(run) if any(stack.run_folder(run).glob("pipeline_report_*.json")) else {}
        if report.get("overall_status") != "success":
            faults.append(f"{run} has no report of a success")
        faults += [f"{run}: {step} ran {times} times" for step in STEPS if (times := created.get((run, step), 0)) != 1]
    left = seen.left()
    again = sum(number > 1 for number in tries.values())
    rows = [
        ["runs that succeeded", f"{sum(state == 'success' for state in ended.values())} of {count}"],
        ["steps", str(len(STEPS) * len(ended))],
        ["containers created", str(sum(created.get((run, step), 0) for run in ended for step in STEPS))],
        ["containers left", str(len(left))],
        ["runs with a task in its second attempt or later", str(again)],
    ]
    say("\n" + table(["", ""], rows))
    return faults + [f"the container {container} was left" for container in left]


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)  # noqa: T201 - what people see of this program


if __name__ == "__main__":
    sys.exit(main())
