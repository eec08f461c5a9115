"""Window rules: how a run's data interval follows from its parameters, its schedule and the command line.

A pipeline has one rule. `IntervalWindow` is the default; a domain may derive another one from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from include.core.contracts import FIRST_YEAR, LAST_YEAR, Window
from include.core.errors import BadInputError

Interval = tuple[datetime, datetime]


class IntervalWindow:
    """A window from `start` to `end`; without them the run's data interval, or all that input files hold."""

    def from_options(
        self, date: datetime | None, start: str | None, end: str | None, zone: str | None, *, has_files: bool
    ) -> dict[str, Any]:
        """Return the parameters that the options `--date`, `--start` and `--end` stand for.

        Args:
            date: A day, from its 00:00 to the next day's 00:00.
            start: Start of the window, ISO 8601; without an offset it is in `zone`.
            end: End of the window, likewise.
            zone: IANA zone or fixed offset; default UTC.
            has_files: Whether the run reads input files.

        Returns:
            `start` and `end` in UTC; without options yesterday, or nothing where input files set the window.

        Raises:
            BadInputError: The options contradict each other or cannot be read.
        """
        if date is not None and (start or end):
            raise BadInputError("--date is a whole day; give either --date or --start and --end")
        if bool(start) != bool(end):
            raise BadInputError("--start and --end go together: give both or neither")
        where = read_zone(zone)
        if start and end:
            return {"start": read_instant("--start", start, where), "end": read_instant("--end", end, where)}
        if date is None and has_files:
            return {}
        day = date.date() if date else datetime.now(where).date() - timedelta(days=1)
        _check_year("--date", day.year)
        following = day + timedelta(days=1)
        first, last = (datetime.combine(date, time(), where) for date in (day, following))
        return {"start": _utc(first), "end": _utc(last)}

    def of_run(self, params: Mapping[str, Any], interval: Interval | None, *, has_files: bool) -> Window:
        """Return the window that the parameters state, else the data interval, else an open one for input files.

        Args:
            params: The run's checked parameters.
            interval: Airflow's data interval, None where there is none.
            has_files: Whether the run reads input files.
        """
        if not has_files and params.get("start") is None and interval is not None:
            return Window(start=interval[0].astimezone(UTC), end=interval[1].astimezone(UTC))
        return Window.model_validate({"start": params.get("start"), "end": params.get("end")})

    def describe(self, params: Mapping[str, Any]) -> str:
        """Return a run's window in words, such as "2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z"."""
        return f"{params['start']} to {params['end']}" if params.get("start") else "all that the input files hold"


def parse_zone(text: str) -> tzinfo:
    """Return a zone by its IANA name, or a fixed offset (`+10:00`, `UTC+10`, `Z`).

    Raises:
        ValueError: It is neither.

    >>> parse_zone("UTC+10").utcoffset(None)
    datetime.timedelta(seconds=36000)
    """
    if text in ("Z", "UTC"):
        return UTC
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?", text)
    if offset and int(offset[2]) <= 14 and int(offset[3] or 0) < 60:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    if text not in ("localtime", "posixrules"):  # whatever a machine is set to
        with suppress(ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo(text)
    raise ValueError(
        f"timezone {text!r} is neither an IANA zone such as Europe/Berlin nor a fixed offset such as +10:00"
    )


@cache
def same_zone(one: str, other: str) -> bool:
    """Return whether two names stand for one clock: that showed the same time throughout 1970 to 2037.

    Raises:
        ValueError: One is no zone.

    >>> same_zone("Europe/Berlin", "Arctic/Longyearbyen"), same_zone("Europe/Berlin", "Europe/London")
    (True, False)
    """
    zones, hour = (parse_zone(one), parse_zone(other)), timedelta(hours=1)

    def offsets(moment: datetime) -> list[timedelta | None]:
        return [moment.astimezone(zone).utcoffset() for zone in zones]

    before = None
    for day in range((datetime(2038, 1, 1, tzinfo=UTC) - _EPOCH).days):
        first, second = now = offsets(_EPOCH + timedelta(days=day))
        if first != second:
            return False
        if now != before and day:  # within the day before, both changed: at one hour?
            hours = (offsets(_EPOCH + timedelta(days=day - 1) + number * hour) for number in range(24))
            if any(first != second for first, second in hours):
                return False
        before = now
    return True


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_zone(zone: object) -> tzinfo:
    """Return the zone of an option; UTC by default.

    Raises:
        BadInputError: It is not a zone.
    """
    try:
        return parse_zone(str(zone)) if zone else UTC
    except ValueError as error:
        raise BadInputError(str(error)) from error


def read_instant(option: str, text: str, zone: tzinfo) -> str:
    """Return the instant that an option names, in UTC.

    >>> read_instant("--end", "2026-01-01T02:00+02:00", UTC)
    '2026-01-01T00:00:00Z'

    Raises:
        BadInputError: It is not an ISO 8601 time, or its year is not plausible.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"{option}: {text!r} is not an ISO 8601 time (2026-01-31 or 2026-01-31T06:00)") from error
    _check_year(option, instant.year)
    return _utc(instant if instant.tzinfo else instant.replace(tzinfo=zone))


def _check_year(option: str, year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise BadInputError(f"{option}: there is no data of the year {year}; years are {FIRST_YEAR} to {LAST_YEAR}")


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
