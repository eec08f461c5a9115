"""Wall-clock time of a zone: where its clocks skip an hour or show it twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import groupby
from typing import Literal, NamedTuple

Kind = Literal["normal", "ambiguous", "non_existent"]


class Piece(NamedTuple):
    """A stretch of one local day, [from, until), in which the zone's offset follows one rule.

    Offsets are seconds east of UTC. Ambiguous times have two: that of their first and that of their second occurrence.
    """

    day: date
    from_time: datetime
    until_time: datetime
    kind: Kind
    first_offset: int
    second_offset: int


def pieces(zone: tzinfo, days: Iterable[date]) -> Iterator[Piece]:
    """Cut local days where the zone's offset changes; nearly all days are one piece.

    Args:
        zone: The zone whose wall clocks are meant.
        days: Local days.

    Yields:
        The pieces of each day, in order, that together cover it.
    """
    for day in days:
        start = datetime.combine(day, time())
        end = start + timedelta(days=1)
        rule = _rule(zone, start)
        if rule == _rule(zone, end):
            yield Piece(day, start, end, *rule)
            continue
        minutes = (start + timedelta(minutes=minute) for minute in range(24 * 60))
        for changed, group in groupby(minutes, key=lambda moment: _rule(zone, moment)):
            stretch = list(group)
            yield Piece(day, stretch[0], stretch[-1] + timedelta(minutes=1), *changed)


def _rule(zone: tzinfo, moment: datetime) -> tuple[Kind, int, int]:
    """PEP 495: the two folds of a time differ where it is ambiguous (later offset smaller) or skipped."""
    first, second = (_seconds(zone, moment.replace(fold=fold)) for fold in (0, 1))
    if first == second:
        return "normal", first, second
    return ("ambiguous" if first > second else "non_existent"), first, second


def _seconds(zone: tzinfo, moment: datetime) -> int:
    offset = zone.utcoffset(moment.replace(tzinfo=zone))
    return 0 if offset is None else round(offset.total_seconds())
