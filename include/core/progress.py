"""Progress of steps that last: how much is done, how fast, how long it may still take.

A step counts what it has done; every five seconds that becomes a line of its log. The line carries the figures too, so
that the orchestrator appends them to the step's records (`progress.jsonl`), in every runtime alike, and the command
line shows the latest. What a program overwrites on its terminal, such as a progress bar, counts as progress as well.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

T = TypeVar("T")
INTERVAL_S = 5.0
FILE = "progress.jsonl"
LAST_BYTES = 4096
LONGEST_TEXT = 300
LOG = logging.getLogger("step.progress")
LOG.setLevel(logging.INFO)


class ProgressEvent(BaseModel):
    """What a step had done at a moment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    text: str = Field(max_length=LONGEST_TEXT, description="In words, for users.")
    done: float | None = None
    total: float | None = None
    unit: str | None = None
    per_second: float | None = None
    seconds_left: float | None = None


class Progress:
    """Count of what a step has done.

    Args:
        what: What it does ("reading meters.csv").
        unit: What it counts, in the plural ("records").
        total: How many there are, where that is known.
        every_s: Seconds between two lines.
        clock: Of seconds, for tests.
    """

    def __init__(
        self,
        what: str,
        unit: str,
        total: float | None = None,
        every_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.unit, self.total = what, unit, total
        self.done = 0.0
        self._every_s, self._clock = every_s, clock
        self._started = self._reported = clock()

    def add(self, count: float = 1) -> None:
        """Count what was done since the last call; safe to call often."""
        self.done += count
        now = self._clock()
        if now - self._reported >= self._every_s:
            self._reported = now
            report(self.event(now - self._started))

    def event(self, seconds: float) -> ProgressEvent:
        """Return the state after so many seconds."""
        rate = self.done / seconds if seconds > 0 else None
        left = (self.total - self.done) / rate if self.total is not None and rate else None
        of = f" of {self.total:,.0f}" if self.total is not None else ""
        text = f"{self.what}: {self.done:,.0f}{of} {self.unit}"
        if rate:
            text += f", {rate:,.0f}/s" if rate >= 1 else f", {1 / rate:,.1f} s each"
        if left is not None and left > 0:
            text += f", about {duration(left)} left"
        return ProgressEvent(
            at=datetime.now(UTC),
            text=text[:LONGEST_TEXT],
            done=self.done,
            total=self.total,
            unit=self.unit,
            per_second=rate,
            seconds_left=left,
        )


def counted(items: Iterable[T], what: str, unit: str, total: float | None = None) -> Iterator[T]:
    """Yield items, and report how many of them are done.

    Args:
        items: What a step works through.
        what: As for `Progress`.
        unit: As for `Progress`.
        total: How many there are; default: their length, where they have one.
    """
    progress = Progress(what, unit, len(items) if total is None and isinstance(items, Sized) else total)
    for item in items:
        yield item
        progress.add()


def report(event: ProgressEvent) -> None:
    """Log an event; whoever records the step's progress gets its figures."""
    LOG.info("%s", event.text, extra={"progress": event.model_dump(mode="json")})


def duration(seconds: float) -> str:
    """Return seconds in words.

    >>> duration(4.4), duration(95), duration(7300)
    ('4 s', '1 min 35 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def record(folder: Path, stated: Any) -> None:
    """Append an event to the records of a step; what is no event, and what cannot be written, is left out.

    Args:
        folder: The step's records.
        stated: The event as a step's log states it, or an overwritten line of its output.
    """
    with suppress(ValidationError, OSError, ValueError):
        if isinstance(stated, str):
            event = ProgressEvent(at=datetime.now(UTC), text=stated[:LONGEST_TEXT])
        else:
            event = ProgressEvent.model_validate(stated)
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(event.model_dump_json(exclude_none=True) + "\n")


def latest(folder: Path) -> ProgressEvent | None:
    """Return the latest event of a step; None where there is none yet."""
    with suppress(OSError, ValidationError), (folder / FILE).open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - LAST_BYTES))
        lines = file.read().splitlines()
        return ProgressEvent.model_validate_json(lines[-1]) if lines else None
    return None


class _Recorder(logging.Handler):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def emit(self, logged: logging.LogRecord) -> None:
        record(self.folder, getattr(logged, "progress", None))


@contextmanager
def recording(folder: Path) -> Iterator[None]:
    """Record the progress that functions of this process report meanwhile.

    Args:
        folder: The records of the step that they belong to.
    """
    recorder = _Recorder(folder)
    LOG.addHandler(recorder)
    try:
        yield
    finally:
        LOG.removeHandler(recorder)
