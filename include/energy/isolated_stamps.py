"""Stamps far beyond the rest: a clock that was reset to 1970 or 2000, or a wrong digit of a year.

A few such readings stretch the time that a file covers by years, in which all else is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.energy.db import count
from include.energy.params import GeneratorParams

if TYPE_CHECKING:
    import duckdb

YEAR = 366
"""Days."""
FEW, MANY = 8, 24
"""Readings that are isolated, at most, and readings of the rest, at least."""


def check_isolated_stamps(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], params: GeneratorParams
) -> Iterator[Finding]:
    """Refuse a few readings that lie years before or after all others of their household, or of the run.

    These are at most eight readings that more than a year parts from at least 24 others, and more time than the others
    cover.

    Args:
        connection: Holds `records`.
        names: Of the files.
        params: Readings outside `start` and `end` do not matter; `as_mapped` accepts the others.

    Yields:
        What was accepted.

    Raises:
        BadInputError: There are such readings.
    """
    stamped = "household_id IS NOT NULL AND clock IS NOT NULL"
    if params.start and params.end:
        first, last = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (params.start, params.end))
        stamped += f" AND clock BETWEEN TIMESTAMP '{first}' - INTERVAL 1 DAY AND TIMESTAMP '{last}' + INTERVAL 1 DAY"
    if (
        count(connection, f"SELECT coalesce(date_diff('day', min(clock), max(clock)), 0) FROM records WHERE {stamped}")
        <= YEAR
    ):
        return
    found = connection.execute(_ISOLATED.format(stamped=stamped)).fetchone()
    if not found:
        return
    household, is_last, before, day = found
    beyond = f"CAST(clock AS DATE) {'>=' if is_last else '<='} DATE '{day if is_last else before}'"
    file, line, stamp = connection.execute(
        f"SELECT file, line, stamp FROM records WHERE {stamped} AND {beyond} "
        "AND household_id = coalesce(?::VARCHAR, household_id) ORDER BY file, line LIMIT 1",
        [household],
    ).fetchall()[0]
    whose = "the run" if household is None else f"household {household}"
    message = (
        f"{names[file]}: line {line}: the stamp {stamp!r} is {(day - before).days / 365.25:.1f} years "
        f"{'after' if is_last else 'before'} all others of {whose}, which {'end' if is_last else 'begin'} on "
        f"{before if is_last else day}"
    )
    if not params.as_mapped:
        raise BadInputError(
            f"{message}; correct or remove it, read the time of the others alone with --start and --end, or insist "
            "with --as-mapped"
        )
    yield Finding(severity="warning", message=f"{message}; the user insists.")


_ISOLATED = f"""
WITH days AS (
    SELECT household_id, CAST(clock AS DATE) AS day, count(*) AS readings FROM records WHERE {{stamped}} GROUP BY ALL
), series AS (
    SELECT * FROM days UNION ALL SELECT NULL, day, sum(readings)::BIGINT FROM days GROUP BY day
), parted AS (
    SELECT household_id, day, lag(day) OVER earlier AS before, min(day) OVER series AS first,
        max(day) OVER series AS last,
        sum(readings) OVER earlier - readings AS ahead, sum(readings) OVER series AS readings
    FROM series WINDOW series AS (PARTITION BY household_id), earlier AS (PARTITION BY household_id ORDER BY day)
), sides AS (
    SELECT *, readings - ahead <= {FEW} AND ahead >= {MANY} AND day - before > before - first AS is_last,
        ahead <= {FEW} AND readings - ahead >= {MANY} AND day - before > last - day AS is_first
    FROM parted WHERE day - before > {YEAR}
)
SELECT household_id, is_last, before, day FROM sides WHERE is_last OR is_first
ORDER BY household_id IS NULL, household_id, day LIMIT 1
"""
