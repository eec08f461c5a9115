"""What the name of a file of a scene or a mask says: its day, and the processing baseline of its product."""

from __future__ import annotations

import re
from datetime import date

_DAY = re.compile(r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})(?!\d)")
_SENSED = (re.compile(r"S2[A-D]_MSIL[12][AC]_(\d{8})T"), re.compile(r"_V(\d{8})T\d{6}_"))
"""Where names of ESA's products, which state the time of processing too, state that of sensing: since 2016, before."""
_BASELINE = re.compile(r"_N(\d{2})[._]?(\d{2})(?!\d)")


def days_in(text: str) -> list[date]:
    """Return the days in a text, each once, written as `20240510`, `2024-05-10`, `2024_05_10` or `2024.05.10`.

    >>> days_in("T31UFS_20240510T105619_SCL.tif"), days_in("v12345678.tif")
    ([datetime.date(2024, 5, 10)], [])
    """
    days = []
    for match in _DAY.finditer(text):
        try:
            days.append(date(int(match[1]), int(match[3]), int(match[4])))
        except ValueError:
            continue
    return [*dict.fromkeys(days)]


def day_in(name: str) -> date | None:
    """Return the day on which the scene of a file was sensed, as the file's name says; None where it says none.

    >>> day_in("S2A_MSIL2A_20240510T105619_N0510_R094_T31UES_20240801T153000.tif")
    datetime.date(2024, 5, 10)

    Raises:
        ValueError: It holds several days, and is not a name of ESA.
    """
    sensed = next((match[1] for pattern in _SENSED if (match := pattern.search(name))), None)
    days = days_in(sensed or name)
    if len(days) > 1:
        raise ValueError(
            f"the name holds several dates ({', '.join(map(str, days))}); name the file after the date of acquisition "
            "alone, or state it in an index.csv (columns date and file)"
        )
    return days[0] if days else None


def baseline_in(name: str) -> tuple[int, ...]:
    """Return the processing baseline in a file's name; empty where it states none.

    >>> baseline_in("S2A_MSIL2A_20240510T105619_N0510_R094_T31UES_20240801T153000.tif"), baseline_in("S2_20240510.tif")
    ((5, 10), ())
    """
    match = _BASELINE.search(name)
    return tuple(int(part) for part in match.groups()) if match else ()
