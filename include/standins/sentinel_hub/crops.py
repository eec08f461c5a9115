"""Crops of the simulator: rotations, sowing dates, and how much of a field is green or dry on a day.

Days of the year are of the northern hemisphere; the southern is shifted by half a year.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.noise import Floats, Hashes, key, scramble, smooth, uniform

SOWING_SPREAD = 12
"""Days by which a field is sown earlier or later than its district."""
DISTRICT = 3000.0
DISTRICT_SPREAD = 7
"""Standard deviation, days, of a district's sowing against the calendar; districts are 3 km wide."""


class Crop(NamedTuple):
    """One crop of a rotation.

    Args:
        sowing: Day of the year, northern hemisphere.
        days: From sowing to harvest.
        half_green: Days after sowing at which half the canopy has grown.
        peak: Largest share of the ground that the canopy covers on an average field.
    """

    sowing: int
    days: int
    half_green: int
    peak: float


WHEAT_RICE = (Crop(310, 160, 40, 0.80), Crop(172, 118, 32, 0.84))
MUSTARD_MAIZE_SORGHUM = (Crop(275, 138, 30, 0.74), Crop(48, 114, 34, 0.78), Crop(174, 88, 26, 0.72))
COTTON_BERSEEM = (Crop(116, 192, 40, 0.78), Crop(315, 150, 32, 0.76))
SPRING_CANE = (Crop(46, 355, 44, 0.84),)
AUTUMN_CANE = (Crop(280, 358, 40, 0.82),)
FODDER = tuple(Crop(10 + 45 * cut, 45, 7, 0.72) for cut in range(8))
ROTATIONS = {
    "standard": (
        (0.20, WHEAT_RICE),
        (0.14, MUSTARD_MAIZE_SORGHUM),
        (0.18, COTTON_BERSEEM),
        (0.14, SPRING_CANE),
        (0.14, AUTUMN_CANE),
        (0.20, FODDER),
    ),
    "simple": ((0.4, WHEAT_RICE), (0.3, SPRING_CANE), (0.3, AUTUMN_CANE)),
}


@dataclass(frozen=True)
class Fields:
    """What stays the same about each of n fields; all arrays have shape (n,).

    Args:
        x: Of the centre, world metres.
        y: Of the centre, world metres.
        hashes: Random bits of its own.
        southern: Lies in the southern hemisphere.
    """

    x: Floats
    y: Floats
    hashes: Hashes
    southern: NDArray[np.bool_]

    def chance(self, *parts: object) -> NDArray[np.float32]:
        """A number in [0, 1) of each field, another for other parts."""
        return uniform(scramble(self.hashes.copy(), key(*parts)))


@dataclass(frozen=True)
class Growth:
    """Fields on a day, before any stress; all arrays have shape (n,).

    Args:
        green: Share of the ground under green canopy.
        dry: Share under ripe, dry canopy.
        colour: Chlorophyll against the average, in units of full chlorosis; variety, nitrogen.
    """

    green: NDArray[np.float32]
    dry: NDArray[np.float32]
    colour: NDArray[np.float32]


def growth(fields: Fields, day: date, world: str, seed: int) -> Growth:
    """How the fields stand on a day."""
    count = len(fields.x)
    green, dry = np.zeros(count, np.float32), np.zeros(count, np.float32)
    choice, low = fields.chance("rotation"), 0.0
    for share, rotation in ROTATIONS[world]:
        grown = np.flatnonzero((choice >= low) & (choice < low + share))
        low += share
        if not grown.size:
            continue
        some = Fields(fields.x[grown], fields.y[grown], fields.hashes[grown], fields.southern[grown])
        for crop in rotation:
            for year in (day.year - 1, day.year, day.year + 1):
                _grow(some, crop, date(year, 1, 1), day, seed, green, dry, grown)
    district = smooth(fields.x, fields.y, 1500, key(seed, "colour", day.year))
    colour = 0.45 * district + 1.2 * (fields.chance("colour", day.year) - np.float32(0.5))
    return Growth(green, dry, colour.astype(np.float32))


def _grow(
    fields: Fields,
    crop: Crop,
    new_year: date,
    day: date,
    seed: int,
    green: NDArray[np.float32],
    dry: NDArray[np.float32],
    where: NDArray[np.int64],
) -> None:
    """Add one season of one crop to green and dry, at the places that `where` names."""
    season = "season", crop.sowing, new_year.year
    late = DISTRICT_SPREAD * smooth(fields.x, fields.y, DISTRICT, key(seed, "sowing", *season))
    late += SOWING_SPREAD * (2 * fields.chance("sowing", *season) - 1)
    age = (day - new_year).days - crop.sowing - 182 * fields.southern - late
    standing = (age > 0) & (age < crop.days)
    if not standing.any():
        return
    fertility = smooth(fields.x, fields.y, 1400, key(seed, "fertility", *season))
    peak = crop.peak * np.clip(1 + 0.13 * fertility + 0.3 * (fields.chance("peak", *season) - 0.5), 0.55, 1.2)
    risen = 1 / (1 + np.exp(-(age - crop.half_green) / (0.17 * crop.half_green + 2)))
    ripe = 1 / (1 + np.exp(-(age - 0.86 * crop.days) / (0.035 * crop.days + 1)))
    cover = np.where(standing, np.minimum(peak, 0.95) * risen, 0).astype(np.float32)
    green[where] = np.maximum(green[where], cover * (1 - ripe))
    dry[where] = np.maximum(dry[where], 0.8 * cover * ripe)
