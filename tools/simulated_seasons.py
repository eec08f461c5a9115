"""Simulated seasons of fields, with what the satellite sees of them, for tests and benchmarks of alerts.

Curves are double logistic (Beck et al. 2006) for four crops, on fields that differ in level, amplitude, dates and
speed. Passes come every five days and are cloudy in spells. What is seen has noise of the scene and of the field, and
haze that the masks left in: on single fields, and in patches over a part of a scene. Fields are harvested at their own
dates, meadows mown, annual crops rotate, and a drought takes a part of what all fields of a year have, of some more
than of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

EPOCH = date(1970, 1, 1)
CROPS = {
    # base, amplitude, middle of green-up and of senescence (day of year), their time constants (d), harvest, as days
    # after the middle of senescence
    "wheat": (0.22, 0.62, 90, 175, 11, 8, 14),
    "rape": (0.25, 0.58, 80, 168, 12, 9, 12),
    "maize": (0.20, 0.65, 165, 262, 9, 9, 6),
    "beet": (0.20, 0.65, 155, 330, 10, 30, -45),
}
VALIDITY = {"wheat": (-60, 220), "rape": (-90, 210), "maize": (100, 300), "beet": (85, 320)}
"""Days of the year of harvest between which the fields state the crop."""
MEADOW = "meadow"
SCENE_NOISE = 0.03
"""Standard deviation of what all fields of a scene share, NDVI."""


@dataclass(frozen=True)
class Simulation:
    """Observations and fields as `analyse` takes them, and what was done to the fields.

    Args:
        observations: See `include.satellite.fields.analysis.analyse`.
        fields: The same.
        falls: field_id, day (days since 1970-01-01) and depth of each imposed fall.
        field_seasons: How many seasons of fields there are.
        clear: Days of the clear passes of each field.
    """

    observations: pd.DataFrame
    fields: pd.DataFrame
    falls: list[tuple[str, int, float]]
    field_seasons: int
    clear: dict[str, np.ndarray]


def simulate(  # noqa: PLR0913 - what a world is made of
    seed: int,
    *,
    fields: int = 200,
    years: int = 2,
    falls: float = 0.0,
    depth: float = 0.10,
    drought: float = 0.3,
    noise: float = 0.017,
    haze: float = 0.04,
    spread_d: float = 4.0,
) -> Simulation:
    """Return simulated seasons.

    Args:
        seed: Of the random numbers.
        fields: How many fields, within 15 × 15 km; a fifth are meadows.
        years: How many calendar years from 2020 on.
        falls: Share of the field-seasons on which a fall is imposed, at a random day between the start of the season
            and 20 days before its harvest (meadows: April to September). It is sudden, stays for 30 days and grows
            back within 60 more.
        depth: Of the falls, NDVI.
        drought: Share of years in which drought takes up to 0.25 of all fields' NDVI above the base from June on.
        noise: Standard deviation of a field on a pass, NDVI; a scene has as much that all fields share.
        spread_d: Standard deviation of the dates of fields of one crop, days.
        haze: Share of the clear observations with haze, which takes 0.05 to 0.30.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    first = (date(2020, 1, 1) - EPOCH).days
    every = np.arange(first, first + 365 * years)
    passes = every[::5]
    lon, lat = 5 + rng.uniform(0, 0.2, fields), 50 + rng.uniform(0, 0.135, fields)
    truth = np.zeros((fields, len(every)))
    rows, imposed, seasons = [], [], 0
    dry = np.where(rng.random(years) < drought, rng.uniform(0.1, 0.25, years), 0.0)
    shift = rng.normal(0, 6, years)
    for i in range(fields):
        name, meadow = f"field-{i:04d}", i % 5 == 4
        level, thirst = rng.normal(0, 0.03), rng.uniform(0.6, 1.4)
        truth[i] = _bare(every, level)
        turn = int(rng.integers(4))
        if meadow:
            truth[i] = _meadow(rng, every, level)
            rows.append((name, MEADOW, None, None, lon[i], lat[i]))
        for year in range(-1, years):
            begin = first + 365 * year
            crop = MEADOW if meadow else list(CROPS)[(turn + year) % 4]
            window = (begin + 90, begin + 270)
            if not meadow:
                if year < 0:
                    continue
                days, curve, window = _crop(rng, crop, begin, shift[year], level, spread_d)
                inside = (days >= first) & (days < first + len(every))
                truth[i, days[inside] - first] = curve[inside]
                valid = [begin + day for day in VALIDITY[crop]]
                rows.append((name, crop, *(_date(day) for day in valid), lon[i], lat[i]))
            if year >= 0:
                seasons += 1
                after = np.clip((every - begin - 150) / 40, 0, 1) * np.clip((begin + 330 - every) / 30, 0, 1)
                truth[i] -= dry[year] * thirst * after * np.clip((truth[i] - 0.2) / 0.5, 0, 1)
                if rng.random() < falls:
                    day = int(rng.integers(*(int(bound) for bound in window)))
                    last = day + 365 if meadow else int(rows[-1][3].toordinal() - EPOCH.toordinal())
                    truth[i] -= (
                        depth
                        * ((every >= day) & (every <= last))
                        * (np.exp(-np.abs(every - day) / 60) if meadow else 1)
                    )
                    imposed.append((name, day, depth))
    seen = (
        truth[:, passes - first] + rng.normal(0, SCENE_NOISE, len(passes)) + rng.normal(0, noise, (fields, len(passes)))
    )
    cloudy = _spells(rng, (passes - first) % 365)
    clear = ~cloudy & (rng.random((fields, len(passes))) > 0.10)
    patch = rng.random(len(passes)) < haze
    hazy = (rng.random(seen.shape) < haze / 2) | (patch & (rng.random(seen.shape) < 0.5))
    seen -= hazy * rng.uniform(0.05, 0.30, seen.shape) * np.clip(seen, 0, 1) / 0.8
    share = np.where(clear, rng.uniform(0.7, 1.0, clear.shape), rng.uniform(0, 0.7, clear.shape))
    ids = [f"field-{i:04d}" for i in range(fields)]
    observations = pd.DataFrame(
        {
            "field_id": np.repeat(ids, len(passes)),
            "date": np.tile(passes.astype("datetime64[D]"), fields),
            "clear_share": share.ravel(),
            "status": np.where(clear, "ok", "cloudy").ravel(),
            "ndvi_mean": np.where(clear, seen, np.nan).ravel(),
        }
    )
    table = pd.DataFrame(rows, columns=["field_id", "crop", "valid_from", "valid_to", "lon", "lat"])
    return Simulation(observations, table, imposed, seasons, {name: passes[clear[i]] for i, name in enumerate(ids)})


def _date(day: int) -> object:
    return np.datetime64(int(day), "D").astype(object)


def _bare(every: np.ndarray, level: float) -> np.ndarray:
    return np.full(len(every), 0.2) + level / 2


def _crop(
    rng: np.random.Generator, crop: str, begin: int, shift: float, level: float, spread_d: float
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Return days and values of a season, and the days between which a fall may be imposed."""
    base, amplitude, rise, fall, up, down, harvest = CROPS[crop]
    rise, fall = rise + shift + rng.normal(0, spread_d), fall + shift + rng.normal(0, spread_d)
    up, down = up * rng.uniform(0.9, 1.1), down * rng.uniform(0.9, 1.1)
    amplitude = amplitude * rng.normal(1, 0.07)
    begin_day, end_day = VALIDITY[crop]
    day = np.arange(begin_day, end_day + 1)
    curve = (
        base + level + amplitude * (1 / (1 + np.exp(-(day - rise) / up)) + 1 / (1 + np.exp((day - fall) / down)) - 1)
    )
    cut = fall + harvest + rng.normal(0, 6)
    stubble = rng.uniform(0.16, 0.26)
    weeds = rng.uniform(0, 0.25) * np.clip((day - cut) / 50, 0, 1)
    curve = np.where(day >= cut, np.minimum(stubble + weeds, 0.6), curve)
    return begin + day, curve, (begin + rise + up, begin + min(cut, fall - 2 * down))


def _meadow(rng: np.random.Generator, every: np.ndarray, level: float) -> np.ndarray:
    """Return a meadow: seasonal, and mown up to four times a year, after which it grows back within some weeks."""
    year = (every - every[0]) % 365
    full = 0.62 + level + 0.2 * np.exp(-(((year - 170) / 85) ** 2))
    values = full.copy()
    for begin in range(0, len(every), 365):
        day = begin + 125 + rng.normal(0, 8)
        for _ in range(int(rng.integers(1, 5))):
            loss = rng.uniform(0.25, 0.4) * np.exp(-np.maximum(np.arange(len(every)) - day, 0) / rng.uniform(12, 20))
            values -= np.where(np.arange(len(every)) >= day, loss, 0)
            day += rng.normal(45, 8)
    return values


def _spells(rng: np.random.Generator, day_of_year: np.ndarray) -> np.ndarray:
    """Return which passes are cloudy, in spells: two fifths from April to September, two thirds in winter."""
    cloudy = np.zeros(len(day_of_year), dtype=bool)
    for i, day in enumerate(day_of_year):
        stays, begins = (0.5, 0.35) if 90 <= day < 273 else (0.75, 0.5)
        cloudy[i] = rng.random() < (stays if i and cloudy[i - 1] else begins)
    return cloudy
