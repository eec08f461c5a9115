"""Steps between the neighbouring stamps of each household, and how its values move from one to the next.

Sorting all readings of all households is what costs most of it. Meters of one file mostly share their stamps: the steps
are taken for one household of each set of stamps. Values are sorted only where they matter: at stamps that a household
has more than once, and in a part of each series, for one fall there shows that it is no register.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from include.core.tables import number_sql

if TYPE_CHECKING:
    import duckdb

RUN = 8
"""Equal steps, one after the other, that are no chance."""
PARTS = 20
"""Of a series, the first of which is searched for a fall before all of it is."""
WHOLE_SECONDS = "CASE WHEN seconds > 0.75 THEN round(seconds)::BIGINT END"
_KNOWN = "household_id IS NOT NULL AND clock IS NOT NULL"


@dataclass
class StampSteps:
    """The differences between the neighbouring stamps of a household, and how its values move.

    Args:
        counts: How often each difference occurs, by whole seconds.
        runs: The longest run of each difference, where several come in runs.
        falls: How often energy falls from one stamp to the next; of a series that falls, those of a part of it.
        rises: How often it rises, likewise.
        conflicts: Records of one file whose value differs from another one of their stamp.
        conflict_dates: Days with such records.
        repeats: Records of one file whose value is that of another one of their stamp.
    """

    counts: Counter[int] = field(default_factory=Counter)
    runs: Counter[int] = field(default_factory=Counter)
    falls: int = 0
    rises: int = 0
    conflicts: int = 0
    conflict_dates: int = 0
    repeats: int = 0


def measure_steps(connection: duckdb.DuckDBPyConnection, *, energy: frozenset[int]) -> dict[str, StampSteps]:
    """Return what lies between the neighbouring, distinct stamps of each household, by name.

    Args:
        connection: Holds `records`.
        energy: Numbers of the files whose values are energy. Only these are compared as numbers, for only they may be
            readings of a register.
    """
    connection.execute(_SERIES)
    households = {name: StampSteps() for (name,) in connection.execute(_HOUSEHOLDS).fetchall()}
    alike = dict(connection.execute("SELECT household_id, alike FROM series").fetchall())
    counts: dict[str, Counter[int]] = {name: Counter() for name in alike.values()}
    for household, seconds, times in connection.execute(_DIFFERENCES).fetchall():
        counts[household][seconds] = times
    mixed = [name for name, steps in counts.items() if sum(times >= RUN for times in steps.values()) > 1]
    runs: dict[str, Counter[int]] = {name: Counter() for name in alike.values()}
    for household, seconds, length in connection.execute(_RUNS, [mixed]).fetchall() if mixed else ():
        runs[household][seconds] = length
    for name, steps in households.items():
        steps.counts, steps.runs = counts[alike[name]].copy(), runs[alike[name]].copy()
    value = f"try_cast({number_sql('power')} AS DOUBLE)" if energy else "power"
    for name, conflicts, dates, repeats in connection.execute(_REPEATED.format(value=value)).fetchall():
        steps = households[name]
        steps.conflicts, steps.conflict_dates, steps.repeats = conflicts, dates, repeats
    if energy:
        _count_falls(connection, households, value, f"file IN ({', '.join(map(str, sorted(energy)))})")
    connection.execute("DROP TABLE series")
    return households


def _count_falls(
    connection: duckdb.DuckDBPyConnection, households: dict[str, StampSteps], value: str, is_energy: str
) -> None:
    """Count falls and rises, in the first part of each series, or in all of it where that does not fall."""
    for part in (f"earliest + (latest - earliest) / {PARTS}", "latest"):
        open_ones = [name for name, steps in households.items() if not steps.falls]
        query = _FALLS.format(value=value, is_energy=is_energy, until=part)
        for name, falls, rises in connection.execute(query, [open_ones]).fetchall() if open_ones else ():
            households[name].falls, households[name].rises = falls, rises


_SERIES = f"""
CREATE TABLE series AS
SELECT household_id, earliest, latest,
    min(household_id) OVER (PARTITION BY readings, earliest, latest, mix, total) AS alike
FROM (
    SELECT household_id, count(*) AS readings, min(clock) AS earliest, max(clock) AS latest,
        bit_xor(hash(clock)) AS mix, sum(hash(clock)) AS total
    FROM records WHERE {_KNOWN} GROUP BY household_id
)
"""
_HOUSEHOLDS = "SELECT household_id FROM series ORDER BY household_id"
_ONE_OF_EACH = f"FROM records WHERE {_KNOWN} AND household_id IN (SELECT alike FROM series)"
_DIFFERENCES = f"""
WITH steps AS (
    SELECT household_id, epoch(clock - lag(clock) OVER (PARTITION BY household_id ORDER BY clock)) AS seconds
    {_ONE_OF_EACH}
)
SELECT household_id, {WHOLE_SECONDS} AS difference, count(*) FROM steps WHERE difference IS NOT NULL GROUP BY ALL
ORDER BY ALL
"""
_REPEATED = f"""
WITH times AS (
    SELECT series.household_id, clock
    FROM (SELECT household_id AS alike, clock {_ONE_OF_EACH} GROUP BY ALL HAVING count(*) > 1) JOIN series USING (alike)
), compared AS (
    SELECT household_id, clock, {{value}} AS value, lag({{value}}) OVER of_time AS before,
        file = lag(file) OVER of_time AS same_file
    FROM records SEMI JOIN times USING (household_id, clock)
    WINDOW of_time AS (PARTITION BY household_id, clock ORDER BY records.rowid)
)
SELECT household_id, count(*) FILTER (value <> before), count(DISTINCT CAST(clock AS DATE)) FILTER (value <> before),
    count(*) FILTER (value = before)
FROM compared WHERE same_file GROUP BY household_id
"""
_FALLS = f"""
WITH steps AS (
    SELECT household_id, file, {{value}} AS value,
        lag({{value}}) OVER (PARTITION BY household_id ORDER BY clock) AS before
    FROM records JOIN series USING (household_id)
    WHERE {_KNOWN} AND clock <= {{until}} AND household_id IN (SELECT unnest(?))
)
SELECT household_id, count(*) FILTER (value < before), count(*) FILTER (value > before)
FROM steps WHERE {{is_energy}} GROUP BY household_id
"""
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
