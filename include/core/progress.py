"""Progress of steps that last: how much is done, how fast, how long it may still take.

A step counts what it has done; every five seconds that becomes a line of its log. The line carries the figures too, so
that the orchestrator adds them to the events of the run, in every runtime alike, and the command line shows the latest.
What a program overwrites on its terminal, such as a progress bar, counts as progress as well.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.core import events
from include.core.sink import FileSink
from include.core.text import duration

T = TypeVar("T")
INTERVAL_S = 5.0
RECORDED_EVERY_S = 1.0
LONGEST_TEXT = 300
LOG = logging.getLogger("step.progress")
LOG.setLevel(logging.INFO)
_RECORDED: dict[Path, float] = {}
"""When this process recorded the progress of a step last, for a program may report it without end."""


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


def record(folder: Path, stated: Any) -> None:
    """Add the progress of a step to the events of its run, at most once a second; what is no progress is left out.

    Args:
        folder: The step's records, `steps/<step>` in the folder of the run.
        stated: The progress as a step's log states it, or an overwritten line of its output.
    """
    now = time.monotonic()
    if now - _RECORDED.get(folder, -math.inf) < RECORDED_EVERY_S:
        return
    with suppress(ValidationError):
        if isinstance(stated, str):
            figures: dict[str, Any] = {"text": stated}
        else:
            figures = ProgressEvent.model_validate(stated).model_dump(exclude={"at"})
        FileSink(folder.parents[1]).emit(events.Progress(step=folder.name, **figures))
        _RECORDED[folder] = now


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
