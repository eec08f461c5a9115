"""Intervals of the calendar: days of 23 to 25 hours on the local clock, and months.

A meter that gives one value a local day has an interval that changes with its clock. Such intervals are stretches of
time like all that change: the day on which clocks are put forward is a stretch of 23 hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby, pairwise

import duckdb
import pandas as pd

from include.core.errors import BadInputError
from include.core.windows import parse_zone
from include.energy.intervals import DAY, Piece, add_months
from include.energy.schemas import Interval


def find_stretches(
    connection: duckdb.DuckDBPyConnection, intervals: Mapping[str, Sequence[Piece]], timezone: str | None, where: str
) -> dict[str, list[Interval]]:
    """Return the stretches of the households whose interval changes, in UTC, by household.

    Creates the view `timed`: `located` with the right `seconds` of each record.

    Args:
        connection: Holds `located`.
        intervals: What the stamps show.
        timezone: The clock of days and months.
        where: What errors call the files.

    Raises:
        BadInputError: Days are of different lengths, and no zone says why.
    """
    zone = parse_zone(timezone or "UTC")
    stretches: dict[str, list[Interval]] = {}
    for household, pieces in intervals.items():
        whole_days = all(piece.seconds % DAY == 0 for piece in pieces)
        if not whole_days and len(pieces) == 1:
            continue
        found = _calendar(_starts(connection, household), pieces, zone) if whole_days else None
        if whole_days and found is None and timezone is None:
            _require_equal_days(_starts(connection, household), household, where)
        if found is None and len(pieces) > 1:
            found = _as_located(connection, household)
        if found and len(found) > 1:
            stretches[household] = found
    if not stretches:
        connection.execute("CREATE VIEW timed AS SELECT * FROM located")
        return {}
    rows = [
        (household, stretch.start.replace(tzinfo=None), stretch.interval_seconds)
        for household, found in stretches.items()
        for stretch in found
    ]
    frame = pd.DataFrame(rows, columns=["household_id", "begin", "length"])
    connection.from_df(frame).create("stretches")
    connection.execute("""
        CREATE VIEW timed AS
        SELECT located.* REPLACE (coalesce(length, seconds)::BIGINT AS seconds)
        FROM located ASOF LEFT JOIN stretches
            ON located.household_id = stretches.household_id AND located.utc >= stretches.begin
    """)
    return stretches


def _starts(connection: duckdb.DuckDBPyConnection, household: str) -> list[datetime]:
    query = "SELECT DISTINCT utc FROM located WHERE household_id = ? AND utc IS NOT NULL ORDER BY utc"
    return [utc.replace(tzinfo=UTC) for (utc,) in connection.execute(query, [household]).fetchall()]


def _calendar(starts: Sequence[datetime], pieces: Sequence[Piece], zone: tzinfo) -> list[Interval] | None:
    """Return the days or months from the first start to the last, joined where they are alike.

    None where the starts are not of one time of the local day, or all days are alike.
    """
    local = [start.astimezone(zone).replace(tzinfo=None) for start in starts]
    if len({moment.time() for moment in local}) > 1:
        return None
    months = round(pieces[0].seconds / (365.25 / 12 * DAY)) if len(pieces) > 1 else 0
    changing = len(pieces) > 1 and not months
    if changing or (months and len({moment.day for moment in local}) > 1):
        return None
    days = pieces[0].seconds // DAY
    current, lengths = local[0], []
    while current <= local[-1]:
        following = add_months(current, months) if months else current + timedelta(days=days)
        begin, end = (moment.replace(tzinfo=zone).astimezone(UTC) for moment in (current, following))
        lengths.append((begin, round((end - begin).total_seconds())))
        current = following
    if len({seconds for _, seconds in lengths}) == 1:
        return None
    joined = (list(group) for _, group in groupby(lengths, key=lambda item: item[1]))
    return [Interval(start=group[0][0], interval_seconds=group[0][1]) for group in joined]


def _as_located(connection: duckdb.DuckDBPyConnection, household: str) -> list[Interval]:
    """Return where the pieces of a household begin in UTC."""
    query = """
        SELECT min(utc), any_value(seconds) FROM located WHERE household_id = ? AND utc IS NOT NULL
        GROUP BY piece ORDER BY 1
    """
    rows = connection.execute(query, [household]).fetchall()
    return [Interval(start=begin.replace(tzinfo=UTC), interval_seconds=seconds) for begin, seconds in rows]


def _require_equal_days(starts: Sequence[datetime], household: str, where: str) -> None:
    steps = {round((b - a).total_seconds()) for a, b in pairwise(starts)}
    if steps & {DAY - 3600, DAY + 3600}:
        raise BadInputError(
            f"{where}: household {household}: its days have 23, 24 and 25 hours; name the zone of its clock, for "
            "example --timezone Europe/Berlin"
        )
