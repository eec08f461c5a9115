"""Intervals of meters, inferred from their readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import NamedTuple

import duckdb

from include.core.errors import BadInputError
from include.energy.stamp_steps import RUN, StampSteps, measure_steps

SHARE_NEEDED = 0.9
LEAST_SHARE = 0.3
PIECES_AT_MOST = 100
DAY = 86400
CONFLICTS_AT_MOST, CONFLICTS_OF_A_DATE = 0.1, 0.9
REPEATS_AT_MOST, LEAST_REPEATS = 0.5, 8
RISES_OF_A_REGISTER = 24


class Piece(NamedTuple):
    """A stretch of a household's records with one interval.

    Args:
        begin: The first stamp that belongs to it, as its clock shows it; None for the first piece.
        seconds: The interval.
    """

    begin: datetime | None
    seconds: int


def infer_intervals(
    connection: duckdb.DuckDBPyConnection,
    where: str,
    *,
    energy: frozenset[int] = frozenset(),
    insist: bool = False,
    ends: bool = False,
) -> dict[str, list[Piece]]:
    """Return the intervals of each household: the differences of neighbouring stamps that come in runs.

    Nearly all households have one interval. Where it changes (hours until March, then quarters), there is a piece for
    each stretch; months are pieces of 28 to 31 days. Readings may be missing here and there: at least 90 % of the
    differences must be multiples of the interval. A household with fewer than two differences takes the most frequent
    one of all households.

    Args:
        connection: Holds `records`: `file`, `household_id`, `clock` (TIMESTAMP) and `power`; rows with a NULL among
            household and clock are ignored, duplicates and order do not matter.
        where: What errors call the data: a file's name.
        energy: Numbers of the files whose values are read as energy an interval, though their format does not say so:
            a series that never falls is refused.
        insist: Neither refuse such a series nor values that contradict or repeat each other.
        ends: Stamps mark the ends of their intervals.

    Returns:
        The pieces by household, in the order of the households' names.

    Raises:
        BadInputError: No two readings of one household differ in time, the readings of one have no common interval,
            energy never falls, or a household has different values for many times, or equal ones for most.
    """
    households = measure_steps(connection, energy=energy)
    overall = Counter[int]()
    for steps in households.values():
        overall.update(steps.counts)
    if not overall:
        why = "no household has two readings a second or more apart" if households else "no record names a household"
        raise BadInputError(f"{where}: the interval between readings cannot be told: {why}")
    if not insist:
        _require_falls(households, where)
        _require_agreement(households, where)
    fallback = _by_frequency(overall)[0]
    return {
        household: _find_pieces(connection, household, steps, where, ends=ends)
        if steps.counts.total() >= 2
        else [Piece(None, fallback)]
        for household, steps in households.items()
    }


def _require_falls(households: Mapping[str, StampSteps], where: str) -> None:
    """Refuse energy that never falls: it is the reading of a register."""
    for household, steps in households.items():
        if steps.falls == 0 and steps.rises >= RISES_OF_A_REGISTER:
            raise BadInputError(
                f"{where}: household {household}: the values rise {steps.rises} times and never fall: they look like "
                'readings of a register, not energy an interval; map them as --columns "register_kwh=…" (or '
                "register_wh, register_mwh), or insist with --as-mapped"
            )


def _require_agreement(households: Mapping[str, StampSteps], where: str) -> None:
    """Refuse a file that has several values for many times of a household: its rows are of different types.

    Values that are equal count as several where most times have them.
    """
    for household, steps in households.items():
        # On one date they may be the hour that clocks show twice.
        most = CONFLICTS_AT_MOST if steps.conflict_dates > 1 else CONFLICTS_OF_A_DATE
        if steps.conflicts > most * steps.counts.total():
            raise BadInputError(
                f"{where}: household {household}: {steps.conflicts:,} records give another value for a time that the "
                'household has already; choose the rows that count with --where "COLUMN=TEXT", map the column that '
                "tells households (household_id) or registers of one (register) apart, or insist with --as-mapped: "
                "then the first value counts"
            )
        if steps.repeats >= max(REPEATS_AT_MOST * steps.counts.total(), LEAST_REPEATS):
            raise BadInputError(
                f"{where}: household {household}: {steps.repeats:,} records give the same value for a time that the "
                "household has already: the tables of two meters stand below each other, or one stands there twice; "
                "split them into files, or map the column that tells them apart (household_id), or, where it is one "
                "table twice, insist with --as-mapped: then each value counts once"
            )


def _find_pieces(
    connection: duckdb.DuckDBPyConnection, household: str, steps: StampSteps, where: str, *, ends: bool
) -> list[Piece]:
    counts, total = steps.counts, steps.counts.total()
    if len(steps.runs) > 1 and (pieces := _cut(_clocks(connection, household), set(steps.runs), ends=ends)):
        return pieces
    common = next(iter(steps.runs), _by_frequency(counts)[0])
    multiples = sum(times for seconds, times in counts.items() if seconds % common == 0)
    if len(steps.runs) < 2 and multiples >= SHARE_NEEDED * total and counts[common] >= LEAST_SHARE * total:
        return [Piece(None, common)]
    if min(counts) >= 28 * DAY and (pieces := _months(_clocks(connection, household), ends=ends)):
        return pieces
    candidates = ", ".join(f"{seconds} s ({counts[seconds] / total:.0%})" for seconds in _by_frequency(counts)[:3])
    raise BadInputError(
        f"{where}: household {household}: the readings have no common interval: the most frequent difference, "
        f"{common} s, and its multiples are {multiples / total:.1%} of the differences, at least 90 % are needed; "
        f"candidates: {candidates}. Readings of a register that is written on change need --resample 1h (or another "
        "interval) and --columns register_kwh=…"
    )


def _clocks(connection: duckdb.DuckDBPyConnection, household: str) -> list[datetime]:
    query = "SELECT DISTINCT clock FROM records WHERE household_id = ? AND clock IS NOT NULL ORDER BY clock"
    return [clock for (clock,) in connection.execute(query, [household]).fetchall()]


def _cut(clocks: Sequence[datetime], candidates: set[int], *, ends: bool) -> list[Piece] | None:
    """Cut a series where its interval changes for at least a run of readings; None where too many do not fit.

    A difference belongs to the reading at its beginning, or at its end where stamps mark ends.
    """
    steps = [round((b - a).total_seconds()) for a, b in pairwise(clocks)]
    runs = [(seconds, len(list(group))) for seconds, group in groupby(steps)]
    labels = [
        label
        for seconds, length in runs
        for label in [seconds if seconds in candidates and length >= RUN else 0] * length
    ]
    current = next(label for label in labels if label)
    pieces, fitting = [Piece(None, current)], 0
    for number, (label, step) in enumerate(zip(labels, steps, strict=True)):
        if label and label != current:
            current = label
            pieces.append(Piece(clocks[number + ends], current))
        fitting += step % current == 0
    return pieces if fitting >= SHARE_NEEDED * len(steps) and len(pieces) <= PIECES_AT_MOST else None


def _months(clocks: Sequence[datetime], *, ends: bool) -> list[Piece] | None:
    """Return a piece for each month, or number of months, where all stamps are of the same day and time of theirs.

    None where they are not, or where the months between two stamps are no multiple of the shortest such step.
    """
    if len({(clock.day, clock.time()) for clock in clocks}) > 1 or clocks[0].day > 28:
        return None
    steps = [(b.year - a.year) * 12 + b.month - a.month for a, b in pairwise(clocks)]
    months = min(steps)
    if any(step % months for step in steps):
        return None
    others = [add_months(clock, -months if ends else months) for clock in clocks]
    lengths = [round(abs((other - clock).total_seconds())) for other, clock in zip(others, clocks, strict=True)]
    return [Piece(clock if number else None, lengths[number]) for number, clock in enumerate(clocks)]


def add_months(moment: datetime, months: int) -> datetime:
    """Return the same day and time of another month.

    >>> add_months(datetime(2026, 12, 1), 1)
    datetime.datetime(2027, 1, 1, 0, 0)
    """
    years, month = divmod(moment.month - 1 + months, 12)
    return moment.replace(year=moment.year + years, month=month + 1)


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
