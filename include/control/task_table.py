"""The tasks of a service, in SQLite: what a restart finds is what was promised."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.control.models import Execute, Fault, HttpData, State

_COLUMNS = """
    task TEXT PRIMARY KEY, request TEXT NOT NULL, version TEXT NOT NULL, operation TEXT NOT NULL,
    deployment TEXT NOT NULL, dag TEXT NOT NULL, run TEXT NOT NULL, step TEXT NOT NULL, map_index INTEGER NOT NULL,
    generation INTEGER NOT NULL, attempt INTEGER NOT NULL, priority INTEGER NOT NULL, state TEXT NOT NULL,
    queued_at REAL NOT NULL, started_at REAL, ended_at REAL, pid INTEGER, cancelled INTEGER NOT NULL DEFAULT 0,
    fault TEXT, outputs TEXT
"""
_GOING_ON = "state IN ('queued', 'running')"


@dataclass(frozen=True)
class Row:
    """One task.

    Args:
        request: What was asked for, by the attempt that counts.
        version: Of the service that took it.
        state: How it is doing.
        queued_at: When it was asked for (Unix time); likewise its start and its end.
        pid: Of its process, where one was started.
        cancelled: Whether it was told to stop.
        fault: Why it failed.
        outputs: What it left.
    """

    request: Execute
    version: str
    state: State
    queued_at: float
    started_at: float | None
    ended_at: float | None
    pid: int | None
    cancelled: bool
    fault: Fault | None
    outputs: tuple[HttpData, ...]


class TaskTable:
    """The table; its methods may be called from any thread.

    Args:
        file: The database, made if need be.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"CREATE TABLE IF NOT EXISTS tasks ({_COLUMNS})")
        self._db.execute("CREATE INDEX IF NOT EXISTS by_state ON tasks (state, priority, queued_at)")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def find(self, task: str) -> Row | None:
        """Return a task."""
        rows = self._rows("task = ?", task)
        return rows[0] if rows else None

    def queue(self, request: Execute, version: str) -> None:
        """Add a task to the queue, in the place of an earlier attempt."""
        keys = request.keys
        values = {
            "task": request.task, "request": request.model_dump_json(), "version": version,
            "operation": request.operation, **keys.model_dump(), "attempt": request.attempt,
            "priority": request.priority, "state": "queued", "queued_at": time.time(),
        }  # fmt: skip
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        with self._lock:
            self._db.execute(f"INSERT OR REPLACE INTO tasks ({names}) VALUES ({marks})", list(values.values()))

    def others(self, request: Execute) -> list[Row]:
        """Return tasks that go on for the same keys as another one, whatever their generation."""
        keys = request.keys
        return self._rows(
            f"{_GOING_ON} AND task != ? AND deployment = ? AND dag = ? AND run = ? AND step = ? AND map_index = ?",
            *(request.task, keys.deployment, keys.dag, keys.run, keys.step, keys.map_index),
        )

    def next(self) -> Row | None:
        """Return the task that is to run next: of the highest priority the one that waits longest."""
        rows = self._rows("state = 'queued' ORDER BY priority DESC, queued_at, rowid LIMIT 1")
        return rows[0] if rows else None

    def running(self) -> list[Row]:
        """Return the tasks that are said to run."""
        return self._rows("state = 'running'")

    def going_on(self, deployment: str) -> list[Row]:
        """Return the tasks of a deployment that have not ended."""
        return self._rows(f"{_GOING_ON} AND deployment = ?", deployment)

    def start(self, task: str) -> bool:
        """Note that a task starts; False where it is no longer queued."""
        return self._set("state = 'running', started_at = ?", "task = ? AND state = 'queued'", time.time(), task)

    def queue_again(self, task: str) -> None:
        """Put a task back into the queue, at its place; it was about to start and has no process."""
        self._set("state = 'queued', started_at = NULL", "task = ? AND state = 'running'", task)

    def note_process(self, task: str, pid: int) -> None:
        """Note the process of a task."""
        self._set("pid = ?", "task = ?", pid, task)

    def note_cancel(self, task: str) -> None:
        """Note that a running task was told to stop."""
        self._set("cancelled = 1", "task = ?", task)

    def end(self, task: str, state: State, fault: Fault | None = None, outputs: Iterable[HttpData] = ()) -> bool:
        """Note how a task ended; False where it had ended already."""
        stated = "[" + ",".join(output.model_dump_json() for output in outputs) + "]"
        return self._set(
            "state = ?, ended_at = ?, fault = ?, outputs = ?",
            f"task = ? AND {_GOING_ON}",
            *(state, time.time(), fault.model_dump_json() if fault else None, stated, task),
        )

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many tasks there are, by operation and state."""
        with self._lock:
            rows = self._db.execute("SELECT operation, state, count(*) FROM tasks GROUP BY 1, 2").fetchall()
        return {(row[0], row[1]): row[2] for row in rows}

    def prune(self, before: float) -> int:
        """Forget tasks that ended before a time, and return how many."""
        with self._lock:
            return self._db.execute("DELETE FROM tasks WHERE ended_at < ?", (before,)).rowcount

    def _rows(self, condition: str, *values: object) -> list[Row]:
        with self._lock:
            rows = self._db.execute(f"SELECT * FROM tasks WHERE {condition}", values).fetchall()
        return [_row(row) for row in rows]

    def _set(self, changes: str, condition: str, *values: object) -> bool:
        with self._lock:
            return self._db.execute(f"UPDATE tasks SET {changes} WHERE {condition}", values).rowcount > 0


def _row(row: Any) -> Row:
    return Row(
        request=Execute.model_validate_json(row["request"]),
        version=row["version"],
        state=row["state"],
        queued_at=row["queued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        pid=row["pid"],
        cancelled=bool(row["cancelled"]),
        fault=Fault.model_validate_json(row["fault"]) if row["fault"] else None,
        outputs=tuple(HttpData.model_validate(output) for output in json.loads(row["outputs"] or "[]")),
    )
