"""One instance of DuckDB for the databases of all steps and checks in this process: to create one takes 25 ms.

A database with a folder of its own to spill to, or without any setting, becomes an attached one in memory, which has
the same tables and queries, and one thread, for tests run beside each other. What only a database on disk has (its
files, its limits) is tested by tests with the marker `own_database`, by those on measured data, and by steps that run
as commands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb


class Attached:
    """A connection to a database that is attached to another one, as if it were the only one."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str, *, owner: bool) -> None:
        self._connection, self._name, self._owner = connection, name, owner
        if owner:
            connection.execute(f"ATTACH ':memory:' AS {name}")
        connection.execute(f"USE {name}")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self) -> Attached:
        return Attached(self._connection.cursor(), self._name, owner=False)

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, *error: object) -> None:
        if self._owner:
            self._connection.execute(f"USE memory; DETACH {self._name}")
        self._connection.close()


class Instance:
    """Takes the place of `duckdb.connect` while steps run."""

    def __init__(self, scratch: Path) -> None:
        config = {"memory_limit": "900MB", "temp_directory": str(scratch), "threads": 1}
        self._connect, self._numbers, self._process = duckdb.connect, count(), os.getpid()
        self._shared = duckdb.connect(config=config)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let steps use it."""
        with patch.object(duckdb, "connect", self._open):
            yield

    def _open(self, *arguments: Any, **options: Any) -> Any:
        plain, spills = not (arguments or options), "temp_directory" in options.get("config", ())
        if os.getpid() != self._process or not (plain or spills):
            return self._connect(*arguments, **options)
        return Attached(self._shared.cursor(), f"step_{next(self._numbers)}", owner=True)
