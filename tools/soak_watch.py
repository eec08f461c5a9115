"""What `tools.soak` watches meanwhile: which containers the steps get, and the memory of each service."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Self

from tools.own_stack import Stack

LABEL = "io.groundtruth"
SAMPLE_SECONDS = 10
UNITS = {"B": 1 / 2**20, "KiB": 1 / 2**10, "MiB": 1, "GiB": 2**10}


class Containers:
    """Notes each container that the engine creates for a step of a deployment; the engine itself remembers few.

    Args:
        data: The deployment's data folder, as the engine sees it.
    """

    def __init__(self, data: Path) -> None:
        self.label = f"label={LABEL}.data={data}"
        self._created: Counter[tuple[str, str]] = Counter()

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
                self._created[labels[f"{LABEL}.run"], labels[f"{LABEL}.step"]] += 1

    def created(self) -> dict[tuple[str, str], int]:
        """How many containers each run and step got."""
        return dict(self._created)

    def left(self) -> list[str]:
        """Containers of steps that are still there."""
        command = ["docker", "ps", "-aq", "--filter", self.label]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603


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
            command = ["docker", "stats", "--no-stream", "--format", "{{.ID}} {{.MemUsage}}", *self.names]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
            for line in said.splitlines():
                container, used, *_ = line.split()
                self.samples[self.names[container]].append((time.monotonic() / 3600, mebibytes(used)))

    def table(self) -> str:
        """Of each service: MiB in the first and last quarter (medians), the most, and the rise in the second half."""
        rows = []
        for name, samples in sorted(self.samples.items()):
            if len(samples) < 4:
                continue
            used = [value for _, value in samples]
            quarter, late = len(used) // 4, samples[len(samples) // 2 :]
            begin, end = statistics.median(used[:quarter]), statistics.median(used[-quarter:])
            slope = statistics.linear_regression([at for at, _ in late], [value for _, value in late]).slope
            rows.append([name, *(f"{value:.0f}" for value in (begin, end, max(used))), f"{slope:+.0f}"])
        return table(["MiB", "first quarter", "last quarter", "most", "rise an hour (second half)"], rows)


def names_of(stack: Stack) -> dict[str, str]:
    """The containers that run, by short id: their service, numbered where it has several."""
    form = '{{.ID}} {{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.container-number"}}'
    command = ["docker", "ps", "--filter", f"label=com.docker.compose.project={stack.project}", "--format", form]
    rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()  # noqa: S603
    found = [line.split() for line in rows]
    several = {service for service, count in Counter(service for _, service, _ in found).items() if count > 1}
    return {each: f"{service} {number}" if service in several else service for each, service, number in found}


def mebibytes(text: str) -> float:
    """`1.5GiB` as MiB."""
    found = re.fullmatch(r"([\d.]+)([KMG]i)?B", text)
    assert found is not None, text  # noqa: S101 - the engine's own form
    return float(found[1]) * UNITS[f"{found[2] or ''}B"]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; the first column is text, the others are numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
