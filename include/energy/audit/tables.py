"""Two tables compared value for value, in their order, however they spell the values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.tables import file_argument, identifier, literal
from include.energy.db import count

AsRead = Callable[[str], str]
"""From SQL of a text to SQL of what it is read as, NULL where it cannot be read."""


def require_equal_rows(
    db: duckdb.DuckDBPyConnection, artifact: str, stated: str, expected: str, columns: Mapping[str, AsRead | None]
) -> None:
    """Compare the rows of two tables of texts.

    Args:
        db: Where two tables can be created.
        artifact: What messages call the table.
        stated: SQL of the table, as those read it who use it.
        expected: SQL of the table as it should be.
        columns: The columns that are compared, each with what its texts are read as. A text that cannot be read so, or
            of a column with None, is compared as it stands.

    Raises:
        ContractError: They differ; names the first row that does.
    """
    for name, table in (("expected_rows", expected), ("stated_rows", stated)):
        db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT {', '.join(map(identifier, columns))} FROM {table}")
    right, wrong = (count(db, f"SELECT count(*) FROM {name}") for name in ("expected_rows", "stated_rows"))
    differing = " OR ".join(_differ(identifier(column), as_read) for column, as_read in columns.items())
    difference = db.execute(f"""
        SELECT number, e, s
        FROM (SELECT *, rowid + 1 AS number FROM expected_rows) AS e POSITIONAL JOIN stated_rows AS s
        WHERE number IS NOT NULL AND ({differing}) ORDER BY number LIMIT 1
    """).fetchone()
    if difference and not (difference[0] > wrong):
        rule = f"record {difference[0]} must be {words({name: difference[1][name] for name in columns})}"
        raise ContractError(artifact, rule, words(difference[2]))
    if right != wrong:
        raise ContractError(artifact, f"must hold {right:,} records", f"{wrong:,}")


def _differ(column: str, as_read: AsRead | None) -> str:
    """Return SQL of whether a column of `e` and `s` holds different values."""
    texts = [f"{table}.{column}" for table in "es"]
    if as_read is None:
        return " IS DISTINCT FROM ".join(texts)
    values = [as_read(text) for text in texts]
    unread = [f"CASE WHEN ({value}) IS NULL THEN {text} END" for value, text in zip(values, texts, strict=True)]
    return f"(({values[0]}) IS DISTINCT FROM ({values[1]}) OR {' IS DISTINCT FROM '.join(unread)})"


def require_no_more_columns(artifact: Artifact[Any], columns: Sequence[str]) -> None:
    """Check that a table has the columns of its schema alone: of others nothing could be recomputed.

    Args:
        artifact: A table with a schema, which its leading columns keep to.
        columns: Of the file.

    Raises:
        ContractError: It has more; names them.
    """
    fields = list(artifact.schema.model_fields) if artifact.schema else []
    if more := columns[len(fields) :]:
        raise ContractError(artifact.path, f"must have no other columns than {', '.join(fields)}", ", ".join(more))


def csv_sql(path: Path) -> str:
    """Return SQL of a CSV file that was checked already; all values are texts, NULL where empty."""
    texts = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in header(path))
    return (
        f"read_csv({file_argument(path)}, header = true, auto_detect = false, delim = ',', quote = '\"', "
        f"escape = '\"', columns = {{{texts}}})"
    )


def header(path: Path) -> list[str]:
    """Return the column names of a CSV file that was checked already."""
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def first_row(db: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any] | None:
    """Return the first row of a query by column, None where there is none."""
    cursor = db.execute(query)
    names = [column[0] for column in cursor.description or ()]
    row = cursor.fetchone()
    return None if row is None else dict(zip(names, row, strict=True))


def words(record: Mapping[str, Any]) -> str:
    """Return a row as messages show it.

    >>> words({"line": 7, "household_id": "A", "reason": None})
    'line 7, household_id A'
    """
    return ", ".join(f"{name} {value}" for name, value in record.items() if value is not None)
