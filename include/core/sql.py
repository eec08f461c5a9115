"""Texts, names and files as SQL writes them."""

from __future__ import annotations

import re
from pathlib import Path


def literal(value: str | Path) -> str:
    """A text as an SQL literal.

    >>> literal("O'Neill")
    "'O''Neill'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier.

    >>> identifier("Main meter")
    '"Main meter"'
    """
    return '"' + name.replace('"', '""') + '"'


def file_literal(path: Path) -> str:
    """A path that DuckDB reads as it is: `*`, `?` and `[` are no wildcards.

    >>> file_literal(Path("meters[1].csv"))
    "'meters[[]1].csv'"
    """
    return literal(re.sub(r"([*?[])", r"[\1]", str(path)))
