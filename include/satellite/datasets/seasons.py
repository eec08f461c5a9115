"""The season of a place: what its own earlier years say of the change of NDVI between two dates.

The season at a day of the year is the kernel mean (Nadaraya 1964, Watson 1964) of the place's NDVI around that day in
earlier years. Anomaly persistence is the forecast that the departure from the season stays: the last value plus the
season's change, shrunk by n / (n + 1), where n is how many dates the season rests on.
"""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.storage import Floats, Ints

Doubles = NDArray[np.float64]

BANDWIDTH_DAYS = 15.0
"""Standard deviation of the Gaussian kernel."""
APART_DAYS = 200
"""An earlier date belongs to an earlier season if it lies at least this long before the target."""
YEAR_DAYS = 365.25
LEAST_HISTORY_DAYS = 730
"""Series of fewer days between their first and last date hold no season, and forecasts use no day of the year."""


def has_seasons(dates: list[date]) -> bool:
    """Return whether the dates span enough years to tell a season from a trend.

    >>> has_seasons([date(2020, 1, 1), date(2021, 12, 31)])
    True
    >>> has_seasons([date(2024, 1, 1), date(2025, 1, 1)])
    False
    """
    return bool(dates) and (dates[-1] - dates[0]).days + 1 >= LEAST_HISTORY_DAYS


def day_of_year(days: Ints) -> Ints:
    """Return the days since the first of January of dates given as days since 1970."""
    years = days.astype("datetime64[D]").astype("datetime64[Y]")
    return np.asarray(days - years.astype("datetime64[D]").astype(np.int64))


def previous_dates(series: Floats) -> Ints:
    """Return the position of each location's last date with NDVI before each date, (locations, T); −1: none."""
    position = np.where(np.isnan(series), -1, np.arange(series.shape[1]))
    latest = np.maximum.accumulate(position, axis=1)
    return np.concatenate([np.full((len(series), 1), -1), latest[:, :-1]], axis=1)


def seasonal_changes(series: Floats, days: Ints) -> tuple[Doubles, Doubles]:
    """Return the season's change from each location's previous date to each date, and how much it is trusted.

    Args:
        series: (locations, T) NDVI, NaN where it does not count.
        days: (T,) dates as days since 1970, ascending.

    Returns:
        (locations, T) change of NDVI, and its weight n / (n + 1); both 0 where no earlier year says anything. n is the
        smaller of the kernel's masses at the two dates.
    """
    known = ~np.isnan(series)
    values, previous, year_day = (
        np.where(known, series, 0).astype(np.float64),
        previous_dates(series),
        day_of_year(days),
    )
    change, weight = np.zeros(series.shape), np.zeros(series.shape)
    apart = np.abs(year_day[:, None] - year_day[None, :])
    kernel = np.exp(-0.5 * (np.minimum(apart, YEAR_DAYS - apart) / BANDWIDTH_DAYS) ** 2)
    for target in range(len(days)):
        earlier = days <= days[target] - APART_DAYS
        if not earlier.any():
            continue
        positions, own = np.unique(previous[:, target], return_inverse=True)
        around = kernel[np.ix_([*positions, target], earlier)].T
        mass, total = known[:, earlier] @ around, values[:, earlier] @ around
        season = np.divide(total, mass, out=np.zeros_like(total), where=mass > 0)
        rows = np.arange(len(series))
        dates = np.minimum(mass[:, -1], mass[rows, own])
        told = (dates > 0) & (previous[:, target] >= 0)
        change[:, target] = np.where(told, season[:, -1] - season[rows, own], 0)
        weight[:, target] = np.where(told, dates / (dates + 1), 0)
    return change, weight


def seasons_at(series: Floats, days: Ints) -> tuple[Doubles, Ints]:
    """Return the season of each location at each date, and how many earlier years it rests on.

    Args:
        series: (locations, T) NDVI, NaN where it does not count.
        days: (T,) dates as days since 1970, ascending.

    Returns:
        (locations, T) kernel mean of the place's own earlier years, NaN where there is none; and (locations, T) how
        many earlier years have a date within two bandwidths of the day of the year.
    """
    known = (~np.isnan(series)).astype(np.float64)
    year_day = day_of_year(days)
    apart = np.abs(year_day[:, None] - year_day[None, :])
    apart = np.minimum(apart, YEAR_DAYS - apart)
    before = days[None, :] - days[:, None]  # of each date (row) before each target (column)
    kernel = np.where(before >= APART_DAYS, np.exp(-0.5 * (apart / BANDWIDTH_DAYS) ** 2), 0)
    mass, total = known @ kernel, np.nan_to_num(series).astype(np.float64) @ kernel
    near = (before >= APART_DAYS) & (apart <= 2 * BANDWIDTH_DAYS)
    ago = np.round(before / YEAR_DAYS).astype(np.int64)
    years = np.zeros(series.shape, np.int64)
    for number in range(1, int(ago.max(initial=0)) + 1):
        years += known @ (near & (ago == number)).astype(np.float64) > 0
    return np.divide(total, mass, out=np.full(series.shape, np.nan), where=mass > 0), years
