"""The intervals of households over time, numbered: which one a reading lies in, and how many there should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import duckdb

from include.energy.schemas import EnergySource
from include.energy.validation import FLAG_SUSPECT

EPOCH = datetime(1800, 1, 1, tzinfo=UTC)
"""From which figures count whole seconds and days: before any data, so that divisions never see a negative number."""


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
            valid records.
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

    @property
    def uniform(self) -> bool:
        """Whether all readings of all households have the same interval."""
        return len({stretch.seconds for stretches in self.stretches.values() for stretch in stretches}) == 1

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

    `interval_of(household, ts)` is the length of the interval in seconds, `slot(household, ts)` its number, 0 for the
    household's first, and `start_of(household, number)` where the interval of a number begins.

    Args:
        db: Holds `accepted`, suspect records among them.
        intervals: Seconds by household, in the order of the type `household`.
        source: What the generator states: stretches of households whose interval changes, and how far stamps reach.
        window: Where given, the first interval of each household begins at its start, else at the first record.
    """
    begin = int(window[0].timestamp()) if window else 0
    origins = dict.fromkeys(intervals, begin)
    lasts: dict[str, int] = {}
    if not window:
        query = f"""
            SELECT household::VARCHAR, epoch(min(ts))::BIGINT, epoch(max(ts))::BIGINT,
                bool_or(flags & {FLAG_SUSPECT} <> 0)
            FROM accepted GROUP BY ALL
        """
        for name, first, last, has_suspects in db.execute(query).fetchall():
            origins[name] = first
            if has_suspects:
                lasts[name] = last
        spans = source.spans if source else {}
        for name in intervals.keys() & spans.keys():
            origins[name] = min(origins[name] or 2**62, int(spans[name].first.timestamp()))
            lasts[name] = max(lasts.get(name, 0), int(spans[name].last.timestamp()))
    timeline = Timeline(_stretches(intervals, source, origins), lasts, int(window[1].timestamp()) if window else None)
    _create_macros(db, timeline)
    return timeline


def restore_timeline(
    db: duckdb.DuckDBPyConnection, intervals: Mapping[str, int | None], source: EnergySource | None, start: int
) -> Timeline:
    """Return the intervals of an analysis, and create the SQL macro `interval_of()`, as the analyzer had it.

    Args:
        db: Holds the type `household`.
        intervals: What the analysis states: seconds by household, in the order of that type; None where they change.
        source: What the generator states: the stretches of households whose interval changes.
        start: Where the data begin, seconds since 1970; slots count from there.
    """
    timeline = Timeline(_stretches(intervals, source, dict.fromkeys(intervals, start)), {})
    _create_macros(db, timeline)
    return timeline


def _stretches(
    intervals: Mapping[str, int | None], source: EnergySource | None, origins: Mapping[str, int]
) -> dict[str, tuple[Stretch, ...]]:
    stated = source.stretches if source else {}
    return {
        name: (Stretch(origins[name], seconds),)
        if seconds and name not in stated
        else _number(origins[name], [(int(s.start.timestamp()), s.interval_seconds) for s in stated[name]])
        for name, seconds in intervals.items()
    }


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
        db.execute(
            "CREATE MACRO start_of(household household, number) AS "
            f"make_timestamp(({of['start']} + number * {of['seconds']}) * 1000000)"
        )
        return

    def cases(value: str, place: str = "epoch(ts)", begin: str = "{start}") -> str:
        homes = []
        for number, stretches in enumerate(timeline.stretches.values()):
            later = [
                f"WHEN {place} >= {begin.format(**s._asdict())} THEN {value.format(**s._asdict())}"
                for s in stretches[:0:-1]
            ]
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
    start = cases("{start} + (number - {slots}) * {seconds}", "number", "{slots}")
    db.execute(f"CREATE MACRO start_of(household household, number) AS make_timestamp(({start})::BIGINT * 1000000)")
