"""Made-up households: a day of readings at a time, plausible and the same wherever it is computed.

A household has a yearly consumption of 2,500 to 5,500 kWh. Appliances (kettle, oven, washing machine, for one in eight
an electric car) run at their own times; what they leave of the yearly consumption follows the BDEW profile H0, shifted
to the household's habits and with noise, over a stand-by floor. The grid gives 230 V less the feeder's sag under load;
the power factor rises with the load from 0.85 to 0.99. Power (0.001 kW) and voltage (0.1 V) are rounded first, then
the current (0.001 A) follows from them, so that the three agree.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.energy.profile import h0_day

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


@dataclass(frozen=True)
class Households:
    """What stays the same about each of n households; all arrays have shape (n,).

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


def generator(*key: object) -> np.random.Generator:
    """Random numbers that depend on the key alone, the same on every machine."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def make_households(count: int, seed: int) -> Households:
    """The same households for the same count and seed, on every day."""
    random = generator("households", seed, count)
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
    """Mean power of each interval of a UTC day.

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
    """Volts under load: open-circuit voltage less the sag over the feeder, shape (steps, n), rounded to 0.1 V."""
    sag = power * 1000 / 230 * households.ohms
    return np.asarray(np.round(households.volts - sag + random.normal(0.0, 0.7, power.shape), 1))


def current(power: Array, volts: Array, random: np.random.Generator) -> Array:
    """Amperes from rounded power (kW) and volts, at a power factor that rises with the load; rounded to 0.001 A."""
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
