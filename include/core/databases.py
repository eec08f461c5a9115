"""Check SQLite databases before a program that would explain damage with a traceback opens them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from include.core.errors import SetupError


def check_database(path: Path, remedy: str) -> None:
    """Check that a SQLite database exists and is not damaged.

    Args:
        path: The database.
        remedy: What to do if it is.

    Raises:
        SetupError: It is missing, or is damaged.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            verdict = " ".join(database.execute("PRAGMA quick_check(1)").fetchone()[0].split())
            tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.Error as error:
        raise SetupError(f"{path}: cannot be read as a database ({error}); {remedy}") from error
    if verdict != "ok" or not tables:
        raise SetupError(f"{path}: is damaged ({verdict if tables else 'it holds no table'}); {remedy}")
