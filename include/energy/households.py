"""Synthetic households: a day of readings at a time, plausible and the same wherever it is computed.

A household has a yearly consumption of 2,500 to 5,500 kWh. Appliances (kettle, oven, washing machine, for one in eight
an electric car) run at their own times; what they leave of the yearly consumption follows the BDEW profile H0, shifted
to the household's habits and with noise, over a stand-by floor. The grid gives 230 V less the feeder's sag under load;
the power factor rises with the load from 0.85 to 0.99. Power (0.001 kW) and voltage (0.1 V) are rounded first, then
the current (0.001 A) follows from them, so that the three agree.

The quarter-hour values of H0 (dynamic form, minute by minute in UTC) come from demandlib (MIT), table
`selp_series.csv` of its BDEW module, read as it is shipped. Only the table is used, not `demandlib.bdew.ElecSlp`: that
class turns all warnings into errors, which pandas 3 makes fatal, and takes longer than all else here. A test proves
that the figures are the same.
"""

from __future__ import annotations

import csv
import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

MINUTES = 1440
Array = NDArray[np.float64]


class Appliance(NamedTuple):
    """An appliance: power, minutes a use, mean uses a day, usual minute of the (UTC) day and its spread."""

    kw: float
    minutes: int
    uses: float
    usual: int
    spread: int

    @property
    def yearly_kwh(self) -> float:
        """Mean consumption in a year."""
        return self.kw * self.minutes / 60 * self.uses * 365


APPLIANCES = (
    Appliance(kw=2.2, minutes=4, uses=1.5, usual=6 * 60, spread=45),  # kettle, breakfast
    Appliance(kw=2.2, minutes=4, uses=1.2, usual=15 * 60, spread=120),  # kettle, afternoon
    Appliance(kw=2.0, minutes=45, uses=0.4, usual=17 * 60, spread=60),  # oven
    Appliance(kw=0.9, minutes=70, uses=0.5, usual=10 * 60, spread=150),  # washing machine
)
CAR = Appliance(kw=3.7, minutes=120, uses=0.45, usual=18 * 60, spread=90)
CAR_SHARE = 1 / 8
STANDBY_KW = 0.03
ZONE = ZoneInfo("Europe/Berlin")
SEASONS = ("winter", "transition", "summer", "transition", "winter")
SEASON_STARTS = ((3, 21), (5, 15), (9, 15), (11, 1))  # month and day of each but the first


@dataclass(frozen=True)
class Households:
    """The constant properties of n households; all arrays have shape (n,).

    Args:
        names: `H0001` and so on.
        yearly_kwh: Mean consumption in a year.
        shift: Minutes by which the household lives later than the profile.
        has_car: Charges an electric car at home.
        volts: At its socket without load.
        ohms: Of the feeder and the house's own wires.
    """

    names: tuple[str, ...]
    yearly_kwh: Array
    shift: NDArray[np.int64]
    has_car: NDArray[np.bool_]
    volts: Array
    ohms: Array


def random_source(*key: object) -> np.random.Generator:
    """Return a source of random numbers that depend on the key alone, the same on every machine."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def make_households(count: int, seed: int) -> Households:
    """Return the households of a count and seed, the same on every day."""
    random = random_source("households", seed, count)
    has_car = random.random(count) < CAR_SHARE
    low = np.where(has_car, 4000.0, 2500.0)
    return Households(
        names=tuple(f"H{number:04}" for number in range(1, count + 1)),
        yearly_kwh=low + (5500.0 - low) * random.random(count),
        shift=random.integers(-45, 46, count),
        has_car=has_car,
        volts=random.uniform(229.0, 235.0, count),
        ohms=random.uniform(0.15, 0.4, count),
    )


def day_of_power(households: Households, day: date, steps: int, random: np.random.Generator) -> Array:
    """Return the mean power of each interval of a UTC day.

    Returns:
        Shape (steps, n), kW, not rounded.
    """
    count = len(households.names)
    profile = h0_day(day)
    minutes = (np.arange(MINUTES)[:, None] - households.shift[None, :]) % MINUTES
    appliances = _appliance_power(households, random)
    own = sum(a.yearly_kwh for a in APPLIANCES) + CAR.yearly_kwh * households.has_car
    rest = households.yearly_kwh - own - STANDBY_KW * 8760
    noise = random.gamma(6.0, 1 / 6.0, (steps, count))
    smooth = profile[minutes].reshape(steps, MINUTES // steps, count).mean(axis=1) * rest
    return np.asarray(STANDBY_KW + smooth * noise + appliances.reshape(steps, MINUTES // steps, count).mean(axis=1))


def voltage(households: Households, power: Array, random: np.random.Generator) -> Array:
    """Return the volts under load: no-load voltage less the feeder's sag, shape (steps, n), rounded to 0.1 V."""
    sag = power * 1000 / 230 * households.ohms
    return np.asarray(np.round(households.volts - sag + random.normal(0.0, 0.7, power.shape), 1))


def current(power: Array, volts: Array, random: np.random.Generator) -> Array:
    """Return the amperes of rounded power (kW) and volts, at a power factor that rises with the load, to 0.001 A."""
    typical = 0.86 + 0.12 * (1 - np.exp(-np.abs(power) / 0.6))
    factor = np.clip(typical + random.normal(0.0, 0.008, power.shape), 0.85, 0.99)
    return np.asarray(np.round(np.abs(power) * 1000 / (volts * factor), 3))


def _appliance_power(households: Households, random: np.random.Generator) -> Array:
    """Shape (1440, n), kW; a use that runs past midnight goes on at the start of the same day."""
    count = len(households.names)
    power = np.zeros((MINUTES, count))
    for appliance in (*APPLIANCES, CAR):
        uses = random.poisson(appliance.uses, count)
        if appliance is CAR:
            uses = np.where(households.has_car, uses, 0)
        who = np.repeat(np.arange(count), uses)
        starts = np.rint(random.normal(appliance.usual, appliance.spread, len(who))).astype(np.int64)
        running = np.zeros((MINUTES, count))
        running[(starts[:, None] + np.arange(appliance.minutes)) % MINUTES, who[:, None]] = appliance.kw
        power += running
    return power


def h0_day(day: date) -> Array:
    """Return the H0 power over a UTC day, for a household of 1 kWh a year.

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
    """Return the BDEW season: winter from 1 November, summer from 15 May to 14 September, else transition."""
    return SEASONS[bisect_right(SEASON_STARTS, (day.month, day.day))]


@lru_cache(maxsize=16)
def _local_day(day: date) -> Array:
    """Shape (96,), kW at 1 kWh a year; dynamised as BDEW says, in the coefficients of demandlib."""
    first = date(day.year, 1, 1)
    t = (day - first).days + (np.arange(96) + 1) / 96
    dynamisation = -3.916649251e-10 * t**4 + 3.2e-7 * t**3 - 7.02e-5 * t**2 + 0.0021 * t + 1.24
    return _static_day(day) * dynamisation * 4 / _year_sum(day.year)


def _static_day(day: date) -> Array:
    return _table()[season(day), day.isoweekday()]


@cache
def _year_sum(year: int) -> float:
    first = date(year, 1, 1)
    days = (date(year + 1, 1, 1) - first).days
    return float(sum(_static_day(first + timedelta(days=day)).sum() for day in range(days)))


@cache
def _table() -> dict[tuple[str, int], Array]:
    """Return the quarter-hour values by season and ISO weekday."""
    path = Path(str(distribution("demandlib").locate_file("demandlib/bdew/bdew_data/selp_series.csv")))
    days: dict[tuple[str, int], list[float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row["period"].rstrip("12"), int(row["weekday"])
            days.setdefault(key, []).append(float(row["h0"]))
    return {key: np.array(values) for key, values in days.items()}
