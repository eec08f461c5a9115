"""Keeps a full stack of its own busy, then restarts its services under load: `make soak` prints tables in Markdown.

1. Many energy runs queued at once and a backfill of many days, on two workers: each must succeed, no step may run
   twice, no container may stay, and the memory of each service must stay flat.
2. Runs queued, and amid them every service that holds a state or carries a request is restarted, one after the other.
3. A program in a worker exchanges the paths of mounts for links to a folder of the host, while the engine starts
   containers (`tools.mount_race`): no container may see that folder.

It ends with 1 if anything was lost, doubled, left behind or seen. Needs Docker, Compose and the images
(`make stack-images`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict
from datetime import date, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Self

import yaml
from pydantic import ByteSize, TypeAdapter

from tools import mount_race
from tools.mount_race import Race, Result, make_bait
from tools.own_stack import ENDED, Stack, own_stack
from tools.stack import docker, say

FIRST_DAY, QUEUED_FIRST, RESTARTED_FIRST = date(2026, 1, 1), date(2024, 1, 1), date(2025, 1, 1)
"""Of the backfill, of the runs that are queued at once, and of those amid which services restart."""
RESTARTED = ("postgres", "redis", "scheduler", "worker", "docker-proxy", "docker-policy")
STEPS = ("energy-generator", "energy-analyzer", "report-generator")
PARAMS = {"households": 3}
BACKFILLED_AT_ONCE = 4
PAUSE_SECONDS = 15
JANITOR_SECONDS = 70
"""It leaves younger containers alone for 60 s."""
POLL_SECONDS = 5
LABEL = "io.groundtruth"
SAMPLE_SECONDS = 10
AWAY = (OSError, HTTPException)
"""What asking the API server gives while it, or its database, is away."""


def main() -> int:
    """Run all parts; 1 if anything was lost, doubled, left behind or seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=50, help="runs queued at once (50)")
    parser.add_argument("--days", type=int, default=200, help="days backfilled meanwhile (200)")
    parser.add_argument("--restart-runs", type=int, default=40, help="runs queued while services restart (40)")
    parser.add_argument("--race-minutes", type=float, default=10, help="race for the paths of mounts (10)")
    parser.add_argument("--workers", type=int, default=2, help="Celery workers (2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groundtruth-soak-", ignore_cleanup_errors=True) as folder:
        with own_stack(Path(folder), "--scale", f"worker={options.workers}") as stack, Containers(stack.data) as seen:
            stack.dag("PATCH", "", {"is_paused": False})
            say(f"{os.cpu_count()} cores, {options.workers} workers\n")
            faults = [
                *load(stack, seen, options.runs, options.days),
                *restarts(stack, seen, options.restart_runs),
                *race(stack, options.race_minutes),
            ]
        if faults:
            kept = Path(tempfile.mkdtemp(prefix="groundtruth-soak-logs-"))
            (Path(folder) / "logs").rename(kept / "logs")
            say(f"\nThe services' logs are kept in {kept}.")
    say(
        "\n"
        + (
            "\n".join(f"- {fault}" for fault in faults)
            or "Nothing lost, nothing doubled, nothing left behind, nothing seen."
        )
    )
    return 1 if faults else 0


def load(stack: Stack, seen: Containers, runs: int, days: int) -> list[str]:
    """The first part."""
    dates = [str(FIRST_DAY + timedelta(days=number)) for number in range(days)]
    began = time.monotonic()
    with Memory(stack) as memory:
        queue(stack, "load", runs, QUEUED_FIRST)
        period = {"from_date": f"{dates[0]}T00:00:00Z", "to_date": f"{dates[-1]}T00:00:00Z"}
        limits = {"dag_run_conf": PARAMS, "max_active_runs": BACKFILLED_AT_ONCE}
        stack.api("POST", "/backfills", {"dag_id": "energy_pipeline", **limits, **period})
        ended = wait_for_all(stack, runs + days)
    minutes, count = (time.monotonic() - began) / 60, runs + days
    say(f"**Load**: {runs} runs queued at once and {days} days backfilled, in {minutes:.1f} minutes: ")
    say(f"{count / minutes:.1f} runs, {len(STEPS) * count / minutes:.1f} containers a minute.\n")
    say(memory.table())
    published = {path.name for path in (stack.data / "published" / "energy" / "manual").iterdir()}
    missing = [f"{day} was not published" for day in dates if day not in published]
    return check_runs(stack, seen, ended, count) + missing


def restarts(stack: Stack, seen: Containers, runs: int) -> list[str]:
    """The second part."""
    before = set(states(stack))
    began = time.monotonic()
    queue(stack, "restart", runs, RESTARTED_FIRST)
    rows = []
    for service in RESTARTED:
        time.sleep(PAUSE_SECONDS)
        busy = sum(state not in ENDED for run, state in states(stack).items() if run not in before)
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
    return check_runs(stack, seen, mine, runs) + idle


def race(stack: Stack, minutes: float) -> list[str]:
    """The third part."""
    bait = stack.folder / "bait"
    worker = stack.containers("worker")[0]
    environment = yaml.safe_load(stack.compose("config").stdout)["services"]["docker-policy"]["environment"]
    asked = Race(
        engine="tcp://docker-proxy:2375",
        data="/opt/groundtruth/data",
        host_data=str(stack.data),
        bait=str(bait),
        marker=make_bait(bait),
        image=environment["DOCKER_PROXY_IMAGES"].split()[0],
        uid=int(environment["DOCKER_PROXY_STEP_UID"]),
        store=environment["DOCKER_PROXY_STORES"].split()[0],
        seconds=60 * minutes,
    )
    stack.folder.chmod(0o755)  # a step must be able to see the bait, if the engine mounts it
    command = ["docker", "exec", "-i", worker, "python", "-", json.dumps(asdict(asked))]
    program = Path(mount_race.__file__).read_text()
    done = subprocess.run(command, input=program, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        return [f"the race ended early: {done.stderr}"]
    result = Result(**json.loads(done.stdout.splitlines()[-1]))
    say(f"\n**Race**: {result.starts} containers started in {minutes:g} minutes while their mounts were exchanged, ")
    say(f"{result.refused} requests refused, {len(result.won)} won.")
    few = [f"the race started {result.starts} containers only"] if result.starts < minutes else []
    return [*result.won, *few]


def queue(stack: Stack, name: str, runs: int, first: date) -> None:
    """Trigger runs, each of which is a manual one of a day of its own: two that publish one day refuse each other."""
    for number in range(runs):
        start, end = (f"{first + timedelta(days=number + more)}T00:00:00Z" for more in (0, 1))
        conf = PARAMS | {"start": start, "end": end}
        body = {"dag_run_id": f"{name}-{number:03}", "logical_date": None, "conf": conf}
        stack.dag("POST", "/dagRuns", body)


def restart(stack: Stack, service: str) -> float:
    """Restart all containers of a service; returns the seconds until they are healthy again."""
    began = time.monotonic()
    containers = stack.containers(service)
    docker("restart", *containers)
    while set(docker("inspect", "-f", "{{.State.Health.Status}}", *containers)) != {"healthy"}:
        time.sleep(1)
    return time.monotonic() - began


def tidy(stack: Stack) -> None:
    """Let the janitor come now."""
    time.sleep(JANITOR_SECONDS)
    stack.dag("PATCH", "", {"is_paused": False}, dag="maintenance")
    stack.dag("POST", "/dagRuns", {"dag_run_id": "tidy", "logical_date": None, "conf": {}}, dag="maintenance")
    stack.wait("tidy", dag="maintenance")


def states(stack: Stack) -> dict[str, str]:
    """The state of every run that is not a scheduled one; asks again while the API server or its database is away."""
    by_run: dict[str, str] = {}
    offset, total = 0, 1
    while offset < total:
        try:
            page = stack.dag("GET", f"/dagRuns?limit=100&offset={offset}&order_by=id")
        except AWAY:
            time.sleep(POLL_SECONDS)
            continue
        total, offset = page["total_entries"], offset + 100
        by_run |= {run["dag_run_id"]: run["state"] for run in page["dag_runs"] if run["run_type"] != "scheduled"}
    return by_run


def wait_for_all(stack: Stack, count: int) -> dict[str, str]:
    """Wait until so many runs have ended; returns their states."""
    while True:
        by_run = states(stack)
        if len(by_run) >= count and all(state in ENDED for state in by_run.values()):
            return by_run
        time.sleep(POLL_SECONDS)


def check_runs(stack: Stack, seen: Containers, ended: dict[str, str], count: int) -> list[str]:
    """Print what runs that have ended did; returns what is wrong with them."""
    faults = [f"{run} ended as {state}" for run, state in ended.items() if state != "success"]
    tries = {run: max(task["try_number"] for task in stack.tasks(run)) for run in ended}
    for run in ended:
        report = stack.report(run) if any(stack.run_folder(run).glob("pipeline_report_*.json")) else {}
        if report.get("overall_status") != "success":
            faults.append(f"{run} has no report of a success")
        faults += [f"{run}: {step} ran {times} times" for step in STEPS if (times := seen.created[run, step]) != 1]
    left = seen.left()
    again = sum(number > 1 for number in tries.values())
    rows = [
        ["runs that succeeded", f"{sum(state == 'success' for state in ended.values())} of {count}"],
        ["steps", str(len(STEPS) * len(ended))],
        ["containers created", str(sum(seen.created[run, step] for run in ended for step in STEPS))],
        ["containers left", str(len(left))],
        ["runs with a task in its second attempt or later", str(again)],
    ]
    say("\n" + table(["", ""], rows))
    return faults + [f"the container {container} was left" for container in left]


class Containers:
    """Notes each container that the engine creates for a step of a deployment; the engine itself remembers few.

    Args:
        data: The deployment's data folder, as the engine sees it.

    Attributes:
        created: The number of containers by run and step.
    """

    def __init__(self, data: Path) -> None:
        self.label = f"label={LABEL}.data={data}"
        self.created: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> Self:
        wanted = ["--filter", "type=container", "--filter", "event=create", "--filter", self.label]
        command = ["docker", "events", "--format", "{{json .Actor.Attributes}}", *wanted]
        self._events = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._events.terminate()
        self._listener.join()
        self._events.wait()

    def _listen(self) -> None:
        assert self._events.stdout is not None  # noqa: S101 - it was asked for
        with self._events.stdout as lines:
            for line in lines:
                labels = json.loads(line)
                self.created[labels[f"{LABEL}.run"], labels[f"{LABEL}.step"]] += 1

    def left(self) -> list[str]:
        """Containers of steps that are still there."""
        return docker("ps", "-aq", "--filter", self.label)


class Memory:
    """Samples the memory of each container of a stack, without the file cache, as `docker stats` counts it."""

    def __init__(self, stack: Stack) -> None:
        self.names = names_of(stack)
        self.samples: dict[str, list[tuple[float, float]]] = {name: [] for name in self.names.values()}
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sampler.join()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            for line in docker("stats", "--no-stream", "--format", "{{.ID}} {{.MemUsage}}", *self.names):
                container, used, *_ = line.split()
                self.samples[self.names[container]].append((time.monotonic() / 3600, mebibytes(used)))

    def table(self) -> str:
        """Of each service: MiB in the first and last quarter (medians), the most, and the rise in the second half."""
        rows = []
        for name, samples in sorted(self.samples.items()):
            if len(samples) < 4:
                continue
            hours, used = zip(*samples, strict=True)
            quarter, half = len(used) // 4, len(used) // 2
            begin, end = statistics.median(used[:quarter]), statistics.median(used[-quarter:])
            slope = statistics.linear_regression(hours[half:], used[half:]).slope
            rows.append([name, *(f"{value:.0f}" for value in (begin, end, max(used))), f"{slope:+.0f}"])
        return table(["MiB", "first quarter", "last quarter", "most", "rise an hour (second half)"], rows)


def names_of(stack: Stack) -> dict[str, str]:
    """The containers that run, by short id: their service, numbered where it has several."""
    form = '{{.ID}} {{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.container-number"}}'
    lines = docker("ps", "--filter", f"label=com.docker.compose.project={stack.project}", "--format", form)
    rows = [line.split() for line in lines]
    counts = Counter(service for _, service, _ in rows)
    return {container: f"{name} {number}" if counts[name] > 1 else name for container, name, number in rows}


def mebibytes(text: str) -> float:
    """`1.5GiB` as MiB."""
    return TypeAdapter(ByteSize).validate_python(text) / 2**20


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; the first column is text, the others are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
