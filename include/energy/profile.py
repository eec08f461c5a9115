"""BDEW standard load profile H0 (households), dynamic form, minute by minute in UTC.

Source of the quarter-hour values: demandlib (MIT), table `selp_series.csv` of its BDEW module, read as it is shipped.
Only the table is used, not `demandlib.bdew.ElecSlp`: that class turns all warnings into errors, which pandas 3 makes
fatal, and takes longer than all else here. A test proves that the figures are the same.
"""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib.metadata import distribution
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

ZONE = ZoneInfo("Europe/Berlin")
_SEASONS = (
    ((3, 21), "winter"),
    ((5, 15), "transition"),
    ((9, 15), "summer"),
    ((11, 1), "transition"),
    ((13, 1), "winter"),
)
Day = NDArray[np.float64]


def h0_day(day: date) -> Day:
    """H0 power over a UTC day, for a household of 1 kWh a year.

    Returns:
        Shape (1440,), kW; the profile follows the clocks of Europe/Berlin.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    hours = []
    for hour in range(24):
        local = (midnight + timedelta(hours=hour)).astimezone(ZONE)
        hours.append(_local_day(local.date())[local.hour * 4 : local.hour * 4 + 4])
    return np.repeat(np.concatenate(hours), 15)


def season(day: date) -> str:
    """BDEW season: winter from 1 November to 20 March, summer from 15 May to 14 September, else transition."""
    return next(name for until, name in _SEASONS if (day.month, day.day) < until)


@lru_cache(maxsize=16)
def _local_day(day: date) -> Day:
    """Shape (96,), kW at 1 kWh a year; dynamised as BDEW says, in the coefficients of demandlib."""
    first = date(day.year, 1, 1)
    t = (day - first).days + (np.arange(96) + 1) / 96
    dynamisation = -3.916649251e-10 * t**4 + 3.2e-7 * t**3 - 7.02e-5 * t**2 + 0.0021 * t + 1.24
    return _static_day(day) * dynamisation * 4 / _year_sum(day.year)


def _static_day(day: date) -> Day:
    return _table()[season(day), day.isoweekday()]


@cache
def _year_sum(year: int) -> float:
    first = date(year, 1, 1)
    days = (date(year + 1, 1, 1) - first).days
    return float(sum(_static_day(first + timedelta(days=day)).sum() for day in range(days)))


@cache
def _table() -> dict[tuple[str, int], Day]:
    """Quarter-hour values by season and ISO weekday."""
    path = Path(str(distribution("demandlib").locate_file("demandlib/bdew/bdew_data/selp_series.csv")))
    days: dict[tuple[str, int], list[float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row["period"].rstrip("12"), int(row["weekday"])
            days.setdefault(key, []).append(float(row["h0"]))
    return {key: np.array(values) for key, values in days.items()}
