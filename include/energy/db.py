"""DuckDB as the steps use it: bounded memory, spilling only below the run's folder, complete files or none."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from include.core.errors import SetupError
from include.core.files import atomic_file, setup_errors
from include.core.tables import literal

PIPE_BYTES = 1 << 20
FORMATS = {".csv": "FORMAT csv, HEADER", ".parquet": "FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2"}


@contextmanager
def connect(files: Path, memory_limit: str = "900MB") -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a temporary database for one step, in a dot-folder below `files` that is removed at the end.

    Tables lie on disk, so memory stays flat however long the data. Its time zone is UTC, and it never loads extensions
    from the network.

    Args:
        files: The run's `files/` folder: in a container the only big place that can be written.
        memory_limit: DuckDB's own limit; the process takes about a third more.

    Raises:
        SetupError: The folder cannot be written, the disk is full, or memory and disk do not suffice.
    """
    with setup_errors(files, "written"):
        scratch = Path(tempfile.mkdtemp(prefix=".scratch-", dir=files))
    try:
        with duckdb.connect(scratch / "step.duckdb", config=_config(scratch, memory_limit)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            # DuckDB 2.0.0 fails on ORDER BY … LIMIT over a view that shows a table's rowid.
            connection.execute("SET disabled_optimizers = 'late_materialization'")
            connection.execute("PRAGMA disable_checkpoint_on_shutdown")
            yield connection
    except duckdb.IOException as error:
        raise SetupError(f"{files}: cannot be written or read: {_first_line(error)}") from error
    except duckdb.OutOfMemoryException as error:
        message = f"{memory_limit} of memory and the free disk do not suffice"
        raise SetupError(f"{files}: {message}: {_first_line(error)}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def temporary_folder(files: Path) -> Iterator[Path]:
    """Yield a dot-folder below `files` that is removed at the end."""
    with setup_errors(files, "written"), tempfile.TemporaryDirectory(prefix=".scratch-", dir=files) as folder:
        yield Path(folder)


def write_table(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    """Write a query's rows as CSV or Parquet, as the suffix says, renamed into place when complete.

    In CSV, which has a header, empty fields are NULL; a field is quoted only where it has to be.
    """
    with atomic_file(target) as partial:
        connection.execute(f"COPY ({query}) TO {literal(partial)} ({FORMATS[target.suffix]})")


def would_write(connection: duckdb.DuckDBPyConnection, query: str, file: Path, scratch: Path) -> bool:
    """Return whether `write_table()` would write the very bytes of a file; they go through a pipe, not to the disk.

    Args:
        connection: The database.
        query: The rows.
        file: What they are compared with.
        scratch: A folder, for the pipe.
    """
    pipe = scratch / f".pipe{file.suffix}"
    os.mkfifo(pipe, 0o600)
    try:
        writer = os.open(pipe, os.O_RDWR)  # keeps the pipe open until all is written
        with ThreadPoolExecutor(1) as pool:
            try:
                same = pool.submit(_same_content, pipe, file)
                connection.execute(f"COPY ({query}) TO {literal(pipe)} ({FORMATS[file.suffix]}, USE_TMP_FILE false)")
            finally:
                os.close(writer)
            return same.result()
    finally:
        pipe.unlink()


def _same_content(pipe: Path, file: Path) -> bool:
    """Compare, and read the pipe to its end in any case: else who writes into it waits for ever."""
    same = True
    with pipe.open("rb", buffering=0) as ours, file.open("rb", buffering=0) as theirs:
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        while chunk := ours.read(PIPE_BYTES):
            same = same and theirs.read(len(chunk)) == chunk
        return same and not theirs.read(1)


def is_scan(connection: duckdb.DuckDBPyConnection, query: str, table: str) -> bool:
    """Return whether a query only reads, filters and computes: its rows are then in the order of that table."""

    def operators(node: dict[str, Any]) -> Iterator[str]:
        scanned = node["extra_info"].get("Table", "").rpartition(".")[2]
        yield f"{node['name'].strip()} {scanned}".strip()
        for child in node["children"]:
            yield from operators(child)

    plan = json.loads(connection.execute(f"EXPLAIN (FORMAT json) {query}").fetchall()[0][1])
    return {name for root in plan for name in operators(root)} <= {"PROJECTION", "FILTER", f"SEQ_SCAN {table}"}


def count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the number that a query of one row and column yields."""
    found = connection.execute(query).fetchall()  # to its end: a result that is left open blocks the connection
    return int(found[0][0]) if found else 0


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    """Return a query's rows, each as a dict by column."""
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _config(scratch: Path, memory_limit: str) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": memory_limit,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "temp_directory": str(scratch),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": True,
        "checkpoint_threshold": "1TB",  # never: nothing reads the file once the step has ended
    }


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
