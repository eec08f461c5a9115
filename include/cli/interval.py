"""The data interval that somebody asks for on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from include.core.contracts import FIRST_YEAR, LAST_YEAR
from include.core.errors import BadInputError
from include.core.zones import parse_zone


def interval_params(
    date: datetime | None, start: str | None, end: str | None, zone: str | None, files: Sequence[str] | None
) -> dict[str, str]:
    """The params `start` and `end` (UTC), or none of them where people's own files set the window.

    Args:
        date: A day, from its 00:00 to the next day's 00:00.
        start: Start of the interval, ISO 8601; without an offset it is in `zone`.
        end: End of the interval, likewise.
        zone: IANA zone or fixed offset; default UTC.
        files: People's files; without any, the default is yesterday.

    Raises:
        BadInputError: The options contradict each other or cannot be read.
    """
    if date is not None and (start or end):
        raise BadInputError("--date is a whole day; give either --date or --start and --end")
    if bool(start) != bool(end):
        raise BadInputError("--start and --end go together: give both or neither")
    try:
        where = parse_zone(str(zone)) if zone else UTC
    except ValueError as error:
        raise BadInputError(str(error)) from error
    if start and end:
        return {"start": _instant("--start", str(start), where), "end": _instant("--end", str(end), where)}
    if date is None and files:
        return {}
    day = date.date() if date else datetime.now(where).date() - timedelta(days=1)
    _check_year("--date", day.year)
    following = day + timedelta(days=1)
    first, last = (datetime(each.year, each.month, each.day, tzinfo=where) for each in (day, following))
    return {"start": _utc(first), "end": _utc(last)}


def lookback_params(date: datetime | None, start: str | None, end: str | None, zone: str | None) -> dict[str, Any]:
    """The params `end` (UTC) and, where a start is asked for, `days_back`, of a pipeline that looks back from its end.

    Raises:
        BadInputError: The options contradict each other or cannot be read.
    """
    if start and not end:
        raise BadInputError("--start needs --end: the window ends there")
    if end and not start and date is None:
        where = parse_zone(str(zone)) if zone else UTC
        return {"end": _instant("--end", str(end), where)}
    interval = interval_params(date, start, end, zone, None)
    if not start:
        return {"end": interval["end"]}
    first, last = (datetime.fromisoformat(interval[name]) for name in ("start", "end"))
    days, rest = divmod(last - first, timedelta(days=1))
    if days < 1 or rest:
        raise BadInputError(f"--start {start} and --end {end} must be whole days apart, at least one")
    return {"end": interval["end"], "days_back": days}


def _instant(option: str, text: str, zone: tzinfo) -> str:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInputError(f"{option}: {text!r} is no ISO 8601 time (2026-01-31 or 2026-01-31T06:00)") from error
    _check_year(option, instant.year)
    return _utc(instant if instant.tzinfo else instant.replace(tzinfo=zone))


def _check_year(option: str, year: int) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise BadInputError(f"{option}: there is no data of the year {year}; years are {FIRST_YEAR} to {LAST_YEAR}")


def _utc(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
