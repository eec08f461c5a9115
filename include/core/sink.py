"""Where a run's orchestrator states what happens: records, outcomes and events, in one interface.

The first backend is files in the run's folder. Records and outcomes are JSON documents that are replaced; events are
lines that are appended to `events.jsonl`. A host without a shared folder needs another backend of the same interface.

Each event is one `write` of a complete line to a file opened for appending, which Linux does not interleave with
others. A line that a full disk or a kill cut off is closed by the next writer, and readers pass over it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from pydantic import BaseModel, ValidationError

from include.core.events import EVENTS, Event, Progress
from include.core.files import write_atomically

LOG = logging.getLogger(__name__)
FILE = "events.jsonl"
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
LAST_BYTES = 16 * 1024
MOST_BYTES = 8 * 1024 * 1024
"""Beyond this size progress is no longer recorded; all other events are as few as the attempts of a run."""


class Sink(Protocol):
    """Takes what the orchestrator of a run states."""

    def keep(self, name: str, document: BaseModel) -> None:
        """Keep a record or an outcome in the place of an earlier one.

        Args:
            name: Below the run's folder (`steps/analyze/result.json`).
            document: What it holds.

        Raises:
            SetupError: It cannot be kept.
        """

    def emit(self, event: Event) -> None:
        """Add an event; one that cannot be added is logged, for no run fails for want of an event."""


class FileSink:
    """Keeps records, outcomes and events in the folder of a run.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, name: str, document: BaseModel) -> None:
        """Write a JSON file; a reader sees the old document or the new one, complete.

        Raises:
            SetupError: The folder cannot be written, or the disk is full.
        """
        write_atomically(self.folder / name, document.model_dump_json(indent=2).encode() + b"\n")

    def emit(self, event: Event) -> None:
        """Append an event to `events.jsonl`."""
        line = event.model_dump_json(exclude_none=True).encode() + b"\n"
        try:
            file = os.open(self.folder / FILE, FLAGS, 0o644)
            try:
                size = os.fstat(file).st_size
                if size < MOST_BYTES or not isinstance(event, Progress):
                    cut_off = size and os.pread(file, 1, size - 1) != b"\n"
                    os.write(file, b"\n" + line if cut_off else line)
            finally:
                os.close(file)
        except OSError as error:
            LOG.warning("event: %s of %s was not recorded: %s", event.kind, self.folder.name, error.strerror)


class Numbered(NamedTuple):
    """An event and its number: the size of the file up to the end of its line, so that numbers grow."""

    number: int
    event: Event


def read_events(folder: Path, after: int = 0) -> Iterator[Numbered]:
    """Yield the events of a run, oldest first; none where it has none.

    A line without its end is not read yet. A damaged line, or one of a later release, is passed over.

    Args:
        folder: The run's folder.
        after: Number of the last event that is known; all are read where there is no such event.
    """
    with suppress(FileNotFoundError), open(folder / FILE, "rb", opener=_without_links) as file:
        if after > 0:
            known = after <= os.fstat(file.fileno()).st_size and os.pread(file.fileno(), 1, after - 1) == b"\n"
            after = file.seek(after if known else 0)
        for line in file:
            if not line.endswith(b"\n"):
                return
            after += len(line)
            with suppress(ValidationError):
                yield Numbered(after, EVENTS.validate_json(line))


def last_event(folder: Path) -> Event | None:
    """Return the last event of a run, from the end of its file; None where there is none."""
    event = None
    with suppress(OSError), open(folder / FILE, "rb", opener=_without_links) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
        for line in file:
            with suppress(ValidationError):
                event = EVENTS.validate_json(line)
    return event


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
