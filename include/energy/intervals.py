"""Intervals of meters: inferred from their readings, and numbered from a household's first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from include.core.errors import BadInputError
from include.core.tables import number_sql

SHARE_NEEDED = 0.9
LEAST_SHARE = 0.3
RISES_OF_A_REGISTER = 24
WHOLE_SECONDS = "CASE WHEN seconds > 0.75 THEN round(seconds)::BIGINT END"


@dataclass
class _Steps:
    """The differences between the neighbouring stamps of a household, and how its values move."""

    counts: Counter[int] = field(default_factory=Counter)
    runs: Counter[int] = field(default_factory=Counter)
    falls: int = 0
    rises: int = 0


def infer_intervals(
    connection: duckdb.DuckDBPyConnection, where: str, *, registers: frozenset[int] = frozenset(), energy: bool = False
) -> dict[str, int]:
    """Return the interval of each household: the difference of neighbouring stamps that comes in runs.

    Readings may be missing here and there: at least 90 % of the differences must be multiples of the interval. A
    household with fewer than two differences takes the most frequent one of all households.

    Args:
        connection: Holds `records`: `file`, `household_id`, `clock` (TIMESTAMP) and `power`; rows with a NULL among
            household and clock are ignored, duplicates and order do not matter.
        where: What errors call the data: a file's name.
        registers: Numbers of the files whose values are register readings.
        energy: The other values are energy an interval: a series that never falls is refused.

    Returns:
        Seconds by household, in the order of the households' names.

    Raises:
        BadInputError: No two readings of one household differ in time, the readings of one have no common interval, or
            their interval changes, or energy never falls.
    """
    households = _measure_steps(connection)
    overall = Counter[int]()
    for steps in households.values():
        overall.update(steps.counts)
    if not overall:
        why = "no household has two readings a second or more apart" if households else "no record names a household"
        raise BadInputError(f"{where}: the interval between readings cannot be told: {why}")
    if energy and not registers:
        _require_falls(households, where)
    fallback = _by_frequency(overall)[0]
    return {
        household: _interval_in_runs(household, steps, where) if steps.counts.total() >= 2 else fallback
        for household, steps in households.items()
    }


def _measure_steps(connection: duckdb.DuckDBPyConnection) -> dict[str, _Steps]:
    """Return what lies between the neighbouring, distinct stamps of each household."""
    number = number_sql("power")
    rows = connection.execute(f"""
        WITH steps AS (
            SELECT household_id, epoch(clock - lag(clock) OVER earlier) AS seconds, try_cast({number} AS DOUBLE) AS value,
                lag(try_cast({number} AS DOUBLE)) OVER earlier AS before
            FROM records WHERE household_id IS NOT NULL AND clock IS NOT NULL
            WINDOW earlier AS (PARTITION BY household_id ORDER BY clock)
        )
        SELECT household_id, {WHOLE_SECONDS} AS difference, count(*), count(*) FILTER (value < before),
            count(*) FILTER (value > before)
        FROM steps GROUP BY ALL ORDER BY household_id, difference
    """).fetchall()
    households: dict[str, _Steps] = {}
    for household, seconds, times, falls, rises in rows:
        steps = households.setdefault(household, _Steps())
        steps.falls, steps.rises = steps.falls + falls, steps.rises + rises
        if seconds is not None:
            steps.counts[seconds] = times
    mixed = [
        household for household, steps in households.items() if sum(times >= RUN for times in steps.counts.values()) > 1
    ]
    for household, seconds, length in connection.execute(_RUNS, [mixed]).fetchall() if mixed else ():
        households[household].runs[seconds] = length
    return households


RUN = 8
_RUNS = f"""
WITH stamps AS (
    SELECT DISTINCT household_id, clock FROM records WHERE clock IS NOT NULL AND household_id IN (SELECT unnest(?))
), steps AS (
    SELECT household_id, clock, epoch(clock - lag(clock) OVER earlier) AS seconds FROM stamps
    WINDOW earlier AS (PARTITION BY household_id ORDER BY clock)
), numbered AS (
    SELECT household_id, {WHOLE_SECONDS} AS difference, row_number() OVER (PARTITION BY household_id ORDER BY clock)
        - row_number() OVER (PARTITION BY household_id, {WHOLE_SECONDS} ORDER BY clock) AS run
    FROM steps WHERE seconds IS NOT NULL
)
SELECT household_id, difference, max(length) FROM (
    SELECT household_id, difference, count(*) AS length FROM numbered WHERE difference IS NOT NULL
    GROUP BY household_id, difference, run
) GROUP BY ALL HAVING max(length) >= {RUN} ORDER BY ALL
"""


def _require_falls(households: Mapping[str, _Steps], where: str) -> None:
    """Refuse energy that never falls: it is the reading of a register."""
    for household, steps in households.items():
        if steps.falls == 0 and steps.rises >= RISES_OF_A_REGISTER:
            raise BadInputError(
                f"{where}: household {household}: the values rise {steps.rises} times and never fall: they look like "
                'readings of a register, not energy an interval; map them as --columns "register_kwh=…" (or '
                "register_wh, register_mwh), or insist with --as-mapped"
            )


def _interval_in_runs(household: str, steps: _Steps, where: str) -> int:
    counts, total = steps.counts, steps.counts.total()
    if len(steps.runs) > 1:
        found = " and ".join(f"{seconds} s ({counts[seconds]} times)" for seconds in sorted(steps.runs, reverse=True))
        raise BadInputError(
            f"{where}: household {household}: the interval between readings changes: {found}; run the stretches apart, "
            "each in a file of its own"
        )
    common = next(iter(steps.runs), _by_frequency(counts)[0])
    multiples = sum(times for seconds, times in counts.items() if seconds % common == 0)
    if multiples >= SHARE_NEEDED * total and counts[common] >= LEAST_SHARE * total:
        return common
    candidates = ", ".join(f"{seconds} s ({counts[seconds] / total:.0%})" for seconds in _by_frequency(counts)[:3])
    raise BadInputError(
        f"{where}: household {household}: the readings have no common interval: the most frequent difference, "
        f"{common} s, and its multiples are {multiples / total:.1%} of the differences, at least 90 % are needed; "
        f"candidates: {candidates}. Readings that are written on change have to be resampled first"
    )


def choose_intervals(differences: list[tuple[str, int | None, int]], where: str) -> dict[str, int]:
    """Return the interval of each household: the modal difference of its sorted, distinct stamps.

    A household with fewer than two differences takes the modal difference of all households.

    Args:
        differences: Household, seconds between neighbouring stamps (None for the first, and for less than one), how
            often; every household occurs.
        where: What the error calls the data.

    Raises:
        BadInputError: No two readings of one household differ in time, or a household's modal difference is shared
            by less than 90 % of its differences.
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
