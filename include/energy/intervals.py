"""Intervals of meters: inferred from their readings, and numbered from a household's first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from include.core.errors import BadInputError
from include.core.tables import number_sql

if TYPE_CHECKING:
    from include.energy.schemas import EnergySource

SHARE_NEEDED = 0.9
LEAST_SHARE = 0.3
CONFLICTS_AT_MOST = 0.1
RISES_OF_A_REGISTER = 24
WHOLE_SECONDS = "CASE WHEN seconds > 0.75 THEN round(seconds)::BIGINT END"


@dataclass
class _Steps:
    """The differences between the neighbouring stamps of a household, and how its values move."""

    counts: Counter[int] = field(default_factory=Counter)
    runs: Counter[int] = field(default_factory=Counter)
    falls: int = 0
    rises: int = 0
    conflicts: int = 0


def infer_intervals(
    connection: duckdb.DuckDBPyConnection,
    where: str,
    *,
    registers: frozenset[int] = frozenset(),
    insist: bool = False,
    energy: bool = False,
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
        insist: Neither refuse such a series nor values that contradict each other.

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
    if energy and not registers and not insist:
        _require_falls(households, where)
    if not insist:
        _require_agreement(households, where)
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
            SELECT household_id, epoch(clock - lag(clock) OVER earlier) AS seconds,
                try_cast({number} AS DOUBLE) AS value, lag(try_cast({number} AS DOUBLE)) OVER earlier AS before,
                file = lag(file) OVER earlier AS same_file
            FROM records WHERE household_id IS NOT NULL AND clock IS NOT NULL
            WINDOW earlier AS (PARTITION BY household_id ORDER BY clock)
        )
        SELECT household_id, {WHOLE_SECONDS} AS difference, count(*), count(*) FILTER (value < before),
            count(*) FILTER (value > before), count(*) FILTER (seconds = 0 AND same_file AND value <> before)
        FROM steps GROUP BY ALL ORDER BY household_id, difference
    """).fetchall()
    households: dict[str, _Steps] = {}
    for household, seconds, times, falls, rises, conflicts in rows:
        steps = households.setdefault(household, _Steps())
        steps.falls, steps.rises = steps.falls + falls, steps.rises + rises
        steps.conflicts += conflicts
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


def _require_agreement(households: Mapping[str, _Steps], where: str) -> None:
    """Refuse a file that has several values for most times of a household: its rows are of different types."""
    for household, steps in households.items():
        if steps.conflicts > CONFLICTS_AT_MOST * steps.counts.total():
            raise BadInputError(
                f"{where}: household {household}: {steps.conflicts:,} records give another value for a time that the "
                'household has already; choose the rows that count with --where "COLUMN=TEXT", map the column that '
                "tells the households apart, or insist with --as-mapped: then the first value counts"
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


class Stretch(NamedTuple):
    """A stretch of time in which a household's interval stays the same.

    Args:
        start: Where it begins, seconds since 1970.
        seconds: Its interval.
        slots: How many intervals of the household lie before it.
    """

    start: int
    seconds: int
    slots: int = 0


@dataclass(frozen=True)
class Timeline:
    """The intervals of the households, numbered from 0.

    Args:
        stretches: By household, in the order of the type `household`; the first begins where slot 0 does.
        lasts: Where a household's last interval begins, seconds since 1970, where its stamps reach further than its
            accepted records.
        end: Where the window ends, None without one.
    """

    stretches: dict[str, tuple[Stretch, ...]]
    lasts: dict[str, int]
    end: int | None = None

    @property
    def shortest(self) -> list[int]:
        """The shortest interval of each household, in seconds."""
        return [min(stretch.seconds for stretch in stretches) for stretches in self.stretches.values()]

    @property
    def longest(self) -> int:
        """The longest interval of all, in seconds."""
        return max(stretch.seconds for stretches in self.stretches.values() for stretch in stretches)

    @property
    def constant(self) -> bool:
        """Whether no household's interval changes."""
        return all(len(stretches) == 1 for stretches in self.stretches.values())

    def seconds(self, household: str) -> int | None:
        """Return the interval of a household, None where it changes."""
        seconds = {stretch.seconds for stretch in self.stretches[household]}
        return seconds.pop() if len(seconds) == 1 else None

    def moment(self, household: str, slot: int) -> int:
        """Return where an interval begins, in seconds since 1970."""
        stretch = [s for s in self.stretches[household] if s.slots <= slot][-1]
        return stretch.start + (slot - stretch.slots) * stretch.seconds

    def slot(self, household: str, moment: int) -> int:
        """Return the number of the interval that a time lies in, seconds since 1970."""
        stretch = [s for s in self.stretches[household] if s.start <= moment or s.slots == 0][-1]
        return stretch.slots + (moment - stretch.start) // stretch.seconds

    def expected(self, household: str, received: int) -> int:
        """Return how many intervals there should be, if the last accepted record is in interval `received` - 1."""
        if self.end is not None:
            stretch = [s for s in self.stretches[household] if s.start < self.end or s.slots == 0][-1]
            return stretch.slots - (stretch.start - self.end) // stretch.seconds
        last = self.lasts.get(household)
        return received if last is None else max(received, self.slot(household, last) + 1)


def draw_timeline(
    db: duckdb.DuckDBPyConnection,
    intervals: dict[str, int],
    source: EnergySource | None,
    window: tuple[datetime, datetime] | None,
) -> Timeline:
    """Number the intervals of the households, and create the SQL macros that find them.

    `interval_of(household, ts)` is the length of the interval in seconds, and `slot(household, ts)` its number, 0 for
    the household's first.

    Args:
        db: Holds `accepted`.
        intervals: Seconds by household, in the order of the type `household`.
        source: What the generator states: stretches of households whose interval changes, and how far stamps reach.
        window: Where given, the first interval of each household begins at its start, else at the first record.
    """
    begin = int(window[0].timestamp()) if window else 0
    origins = dict.fromkeys(intervals, begin)
    lasts: dict[str, int] = {}
    if not window:
        query = "SELECT household::VARCHAR, epoch(min(ts))::BIGINT FROM accepted GROUP BY ALL"
        origins.update(db.execute(query).fetchall())
        spans = source.spans if source else {}
        for name in intervals.keys() & spans.keys():
            origins[name] = min(origins[name] or 2**62, int(spans[name].first.timestamp()))
            lasts[name] = int(spans[name].last.timestamp())
    stated = source.stretches if source else {}
    stretches = {
        name: _number(origins[name], [(int(s.start.timestamp()), s.interval_seconds) for s in stated[name]])
        if name in stated
        else (Stretch(origins[name], seconds),)
        for name, seconds in intervals.items()
    }
    timeline = Timeline(stretches, lasts, int(window[1].timestamp()) if window else None)
    _create_macros(db, timeline)
    return timeline


def _number(origin: int, stretches: Sequence[tuple[int, int]]) -> tuple[Stretch, ...]:
    """Return stretches that begin with the origin, each with the number of intervals before it."""
    numbered: list[Stretch] = []
    for (start, seconds), following in zip(stretches, [*stretches[1:], None], strict=True):
        if following and following[0] <= origin:
            continue
        begin = start if numbered else origin
        before = numbered[-1] if numbered else None
        slots = before.slots - (before.start - begin) // before.seconds if before else 0
        numbered.append(Stretch(begin, seconds, slots))
    return tuple(numbered)


def _create_macros(db: duckdb.DuckDBPyConnection, timeline: Timeline) -> None:
    if timeline.constant:
        first = [stretches[0] for stretches in timeline.stretches.values()]
        lists = {"seconds": [s.seconds for s in first], "start": [s.start for s in first]}
        of = {name: f"({values}::BIGINT[])[enum_code(household) + 1]" for name, values in lists.items()}
        db.execute(f"CREATE MACRO interval_of(household household, ts) AS {of['seconds']}")
        db.execute(
            f"CREATE MACRO slot(household household, ts) AS (epoch(ts)::BIGINT - {of['start']}) // {of['seconds']}"
        )
        return

    def cases(value: str) -> str:
        homes = []
        for number, stretches in enumerate(timeline.stretches.values()):
            later = [f"WHEN epoch(ts) >= {s.start} THEN {value.format(**s._asdict())}" for s in stretches[:0:-1]]
            first = value.format(**stretches[0]._asdict())
            homes.append(
                f"WHEN {number} THEN CASE {' '.join(later)} ELSE {first} END"
                if later
                else f"WHEN {number} THEN {first}"
            )
        return f"CASE enum_code(household) {' '.join(homes)} END"

    db.execute(f"CREATE MACRO interval_of(household household, ts) AS ({cases('{seconds}')})::BIGINT")
    slot = cases("{slots} + (epoch(ts)::BIGINT - {start}) // {seconds}")
    db.execute(f"CREATE MACRO slot(household household, ts) AS ({slot})::BIGINT")
