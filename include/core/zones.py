"""Time zones as people name them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def parse_zone(text: str) -> tzinfo:
    """A zone by its IANA name, or a fixed offset (`+10:00`, `UTC+10`, `Z`).

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
