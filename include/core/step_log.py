"""A step's log: one JSON object a line where a task reads it, plain text where a user started the step.

A task passes its keys as JSON in the variable `STEP_LOG`; with it, whatever the step logs, warns of or prints is
`{"timestamp", "level", "event", "logger", "dag_id", "run_id", "task_id", "map_index", "try_number", …}` on stderr.
The names are those of Airflow's own task logs, so that one query finds both. Any program may write such lines; others
pass as they are.
"""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

VARIABLE = "STEP_LOG"
TASK_KEYS = ("dag_id", "run_id", "task_id", "map_index", "try_number")
LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items() if number}
NOT_KEPT = {*TASK_KEYS, "level", "event", "exc_info", "stack_info"}
LOG = logging.getLogger("step")


@dataclass(frozen=True)
class Line:
    """A line of a step's log.

    Args:
        level: As `logging` numbers it.
        event: Its message.
        more: Its other keys, without the task's.
    """

    level: int
    event: str
    more: dict[str, Any]


def read_line(text: str) -> Line | None:
    """Return a line of a step's log in parts, or None for other text."""
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
        level, event = LEVELS[record["level"]], record["event"]
        datetime.fromisoformat(record["timestamp"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not isinstance(event, str) or not all(map(str.isidentifier, record)):
        return None
    more = {name: value for name, value in record.items() if name not in NOT_KEPT and not name.startswith("_")}
    return Line(level, event, more)


def event_of(text: str) -> str:
    """Return the event of a line of a step's log; other text as it is."""
    line = read_line(text)
    return text if line is None else line.event


@contextmanager
def step_log() -> Iterator[bool]:
    """Log as JSON where a task requests it; yield whether it does."""
    keys = os.environ.get(VARIABLE)
    if not keys:
        yield False
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(json.loads(keys)))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    with (
        _Printed(logging.INFO) as out,
        _Printed(logging.WARNING) as err,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        yield True


class _Json(logging.Formatter):
    def __init__(self, task: Mapping[str, Any]) -> None:
        super().__init__()
        self.task = {name: task[name] for name in TASK_KEYS if name in task}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | self.task)


class _Printed(io.TextIOBase):
    """Log what a program prints, line by line."""

    def __init__(self, level: int) -> None:
        self.level, self.rest = level, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(str.strip, lines):
            LOG.log(self.level, "%s", line.rstrip())
        return len(text)

    def close(self) -> None:
        if self.rest:
            self.write("\n")
        super().close()
