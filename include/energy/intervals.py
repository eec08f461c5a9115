"""Intervals of meters: inferred from their readings, and numbered from a household's first."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import duckdb

from include.core.errors import BadInputError

SHARE_NEEDED = 0.9
WHOLE_SECONDS = "CASE WHEN seconds > 0.75 THEN round(seconds)::BIGINT END"


def infer_intervals(connection: duckdb.DuckDBPyConnection, stamps: str, where: str) -> dict[str, int]:
    """Return the interval of each household: the modal difference of its sorted, distinct stamps.

    A household with fewer than two differences takes the modal difference of all households.

    Args:
        connection: Where `stamps` can be read.
        stamps: SQL of a relation (`FROM {stamps}`) with `household_id` (text) and `timestamp` (TIMESTAMP, UTC); rows
            with a NULL are ignored, duplicates and order do not matter.
        where: What the error calls the data: a file's name.

    Returns:
        Seconds by household, in the order of the households' names.

    Raises:
        BadInputError: No two readings of one household differ in time, or a household's modal difference is shared
            by less than 90 % of its differences.
    """
    differences = connection.execute(f"""
        WITH steps AS (
            SELECT household_id, epoch(timestamp - lag(timestamp) OVER (
                PARTITION BY household_id ORDER BY timestamp)) AS seconds
            FROM {stamps} WHERE household_id IS NOT NULL AND timestamp IS NOT NULL
        )
        SELECT household_id, {WHOLE_SECONDS} AS difference, count(*)
        FROM steps GROUP BY ALL ORDER BY household_id, difference
    """).fetchall()
    return choose_intervals(differences, where)


def choose_intervals(differences: list[tuple[str, int | None, int]], where: str) -> dict[str, int]:
    """Apply the rule of `infer_intervals()` to differences that are counted already.

    Args:
        differences: Household, seconds between neighbouring stamps (None for the first, and for less than one), how
            often; every household occurs.
        where: What the error calls the data.

    Raises:
        BadInputError: As there.
    """
    by_household: dict[str, Counter[int]] = {}
    overall: Counter[int] = Counter()
    for household, seconds, count in differences:
        counts = {} if seconds is None else {seconds: count}
        by_household.setdefault(household, Counter()).update(counts)
        overall.update(counts)
    if not overall:
        why = "no household has two readings a second or more apart" if by_household else "no record names a household"
        raise BadInputError(f"{where}: the interval between readings cannot be told: {why}")
    fallback = _by_frequency(overall)[0]
    return {
        household: _shared_interval(household, counts, where) if counts.total() >= 2 else fallback
        for household, counts in by_household.items()
    }


def _by_frequency(counts: Counter[int]) -> list[int]:
    return sorted(counts, key=lambda seconds: (-counts[seconds], seconds))


def _shared_interval(household: str, counts: Counter[int], where: str) -> int:
    common, total = _by_frequency(counts), counts.total()
    if counts[common[0]] >= SHARE_NEEDED * total:
        return common[0]
    candidates = ", ".join(f"{seconds} s ({counts[seconds] / total:.0%})" for seconds in common[:3])
    raise BadInputError(
        f"{where}: household {household}: the readings have no common interval: the most frequent difference, "
        f"{common[0]} s, is shared by {counts[common[0]] / total:.1%} of the differences, at least 90 % are needed; "
        f"candidates: {candidates}"
    )


def define_slots(
    db: duckdb.DuckDBPyConnection, intervals: dict[str, int], window: tuple[datetime, datetime] | None
) -> dict[str, int]:
    """Create the SQL macros `interval_of(household)`, in seconds, and `slot(household, ts)`.

    A slot is the number of the household's interval that a time lies in, 0 for the household's first.

    Args:
        db: Holds `accepted`.
        intervals: Seconds by household, in the order of the type `household`.
        window: Where given, the first interval of each household begins at its start, else at the first record.

    Returns:
        Where each household's first interval begins, in seconds since 1970.
    """
    origins = dict.fromkeys(intervals, int(window[0].timestamp()) if window else 0)
    if not window:
        query = "SELECT household::VARCHAR, epoch(min(ts))::BIGINT FROM accepted GROUP BY ALL"
        origins.update(db.execute(query).fetchall())
    for name, numbers in (("interval_of", intervals), ("origin_of", origins)):
        values = list(numbers.values())
        db.execute(f"CREATE MACRO {name}(household household) AS ({values}::BIGINT[])[enum_code(household) + 1]")
    db.execute("""
        CREATE MACRO slot(household, ts) AS
        (epoch(ts)::BIGINT - origin_of(household)) // interval_of(household)
    """)
    return origins
