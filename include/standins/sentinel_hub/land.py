"""The simulator's land: what covers each pixel, in which field it lies, its soil; and the crops of the fields on a day.

The world frame is sinusoidal around the middle of each UTM zone (a sphere), in metres, so that shapes hardly shear;
zones lie 1000 km apart in it, so at a zone's edge the land changes abruptly. Fields are bricks between rows 180 m and
columns 220 m apart, all four sides shifted at random, turned, and bent: 1 to 8 ha.

Crops follow rotations. Days of the year are of the northern hemisphere; the southern is shifted by half a year.

Stress has four classes of fixed intensity, in zones that move slowly over the land. Zones are irregular cells 2 km
apart. In each block of 2×2 cells every class occurs once, so that an area of some kilometres has all four. The cells
drift at 12 m a day: a field keeps its class for months, and then gets its neighbours'. A field has one class, that of
its centre. What stress does to a field is patchy canopy loss (the share and depth of the patches follow the class) and
a little chlorosis. Neighbouring plants fill part of the gaps, so the mean canopy falls by less than what is lost.
"""

from __future__ import annotations

from datetime import date
from itertools import permutations, product
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.noise import Floats, Hashes, Ints, at_points, draws, key, lattice, smooth, smoothstep
from include.standins.sentinel_hub.scenes import Grid

RADIUS = 6_371_008.8
ROW, COLUMN = 180.0, 220.0
CROP, BUILT, TREES, WATER, TRACK = range(5)
PIXEL = 10.0
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

ZONE = 2000.0
DRIFT = 12.0
WARP = 250.0
LOST_SHARE = np.array((0.02, 0.14, 0.30, 0.48), np.float32)
"""Share of a field in which the canopy is lost, by class."""
LOSS_DEPTH = np.array((0.5, 0.55, 0.65, 0.75), np.float32)
"""Share of the canopy that is lost there, by class."""
LOSS_THRESHOLD = np.array([NormalDist().inv_cdf(1 - float(share)) for share in LOST_SHARE], np.float32)
"""Where noise of mean 0 and variance 1 is above it, the canopy is lost; by class."""
COMPENSATION = (1 - LOSS_DEPTH * LOST_SHARE) ** -0.7
"""The factor by which the canopy that is left grows, by class."""
CHLOROSIS_BY_CLASS = np.array((0.0, 0.25, 0.5, 0.75), np.float32)
"""Chlorosis by class, in units of full chlorosis."""
_ORDERS = np.array(list(permutations(range(4))), np.int64)


class Fields(NamedTuple):
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
        """Return a number in [0, 1) for each field; other parts give other numbers."""
        return draws(self.hashes, key(*parts))


class Growth(NamedTuple):
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
    """Return how the fields stand on a day, before any stress."""
    count = len(fields.x)
    green, dry = np.zeros(count, np.float32), np.zeros(count, np.float32)
    choice, low = fields.chance("rotation"), 0.0
    for share, rotation in ROTATIONS[world]:
        grown = np.flatnonzero((choice >= low) & (choice < low + share))
        low += share
        if not grown.size:
            continue
        some = Fields(fields.x[grown], fields.y[grown], fields.hashes[grown], fields.southern[grown])
        for crop, year in product(rotation, (day.year - 1, day.year, day.year + 1)):
            cover, ripe = _season(some, crop, date(year, 1, 1), day, seed)
            green[grown] = np.maximum(green[grown], cover * (1 - ripe))
            dry[grown] = np.maximum(dry[grown], 0.8 * cover * ripe)
    district = smooth(fields.x, fields.y, 1500, key(seed, "colour", day.year))
    colour = 0.45 * district + 1.2 * (fields.chance("colour", day.year) - np.float32(0.5))
    return Growth(green, dry, colour.astype(np.float32))


def _season(fields: Fields, crop: Crop, new_year: date, day: date, seed: int) -> tuple[Floats, Floats]:
    """Return the share of the ground that a crop of one season covers, and the share of it that is ripe."""
    season = "season", crop.sowing, new_year.year
    late = DISTRICT_SPREAD * smooth(fields.x, fields.y, DISTRICT, key(seed, "sowing", *season))
    late += SOWING_SPREAD * (2 * fields.chance("sowing", *season) - 1)
    age = (day - new_year).days - crop.sowing - 182 * fields.southern - late
    standing = (age > 0) & (age < crop.days)
    if not standing.any():
        return np.zeros_like(late), np.zeros_like(late)
    fertility = smooth(fields.x, fields.y, 1400, key(seed, "fertility", *season))
    peak = crop.peak * np.clip(1 + 0.13 * fertility + 0.3 * (fields.chance("peak", *season) - 0.5), 0.55, 1.2)
    risen = 1 / (1 + np.exp(-(age - crop.half_green) / (0.17 * crop.half_green + 2)))
    ripe = 1 / (1 + np.exp(-(age - 0.86 * crop.days) / (0.035 * crop.days + 1)))
    return np.where(standing, np.minimum(peak, 0.95) * risen, 0).astype(np.float32), ripe


def stress_classes(x: Floats, y: Floats, day: int, seed: int) -> NDArray[np.int64]:
    """Return the class of stress (0 healthy, 1 moderate, 2 stressed, 3 critical) at each point.

    Args:
        x: World metres, shape (n,).
        y: World metres, shape (n,).
        day: Ordinal of the day.
        seed: The world's.
    """
    angle = 2 * np.pi * key(seed, "drift") / 2**32
    u = x - DRIFT * day * np.cos(angle) + WARP * smooth(x, y, 1300, key(seed, "warp x"))
    v = y - DRIFT * day * np.sin(angle) + WARP * smooth(x, y, 1300, key(seed, "warp y"))
    i, j = _nearest_cell(u / ZONE, v / ZONE, seed)
    order = lattice(i // 2, j // 2, key(seed, "order")) % np.uint32(len(_ORDERS))
    return np.asarray(_ORDERS[order.astype(np.int64), (i % 2) * 2 + j % 2])


def _nearest_cell(u: Floats, v: Floats, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cell whose (jittered) centre is nearest."""
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    di, dj = np.indices((3, 3)).reshape(2, 9, 1) - 1
    centre_u = i + di + 0.5 + 0.5 * (at_points(i + di, j + dj, key(seed, "cell x")) - 0.5)
    centre_v = j + dj + 0.5 + 0.5 * (at_points(i + di, j + dj, key(seed, "cell y")) - 0.5)
    nearest = np.argmin((u - centre_u) ** 2 + (v - centre_v) ** 2, axis=0)
    return i + di[nearest, 0], j + dj[nearest, 0]


class Land(NamedTuple):
    """The pixels of a grid; all arrays but those of `fields` have shape (height, width).

    Args:
        fields: The fields that occur.
        field: Index into them.
        cover: CROP, BUILT, TREES, WATER or TRACK.
        stand: Share of a field's canopy that stands here: less at its margins.
        soil: Brightness of the soil, 1 on average.
        patches: Noise of which canopy loss is cut.
        vigour: Noise of healthy growth.
        hashes: Random bits of each 10 m pixel of the world.
    """

    fields: Fields
    field: NDArray[np.int32]
    cover: NDArray[np.uint8]
    stand: NDArray[np.float32]
    soil: NDArray[np.float32]
    patches: NDArray[np.float32]
    vigour: NDArray[np.float32]
    hashes: Hashes


class _Bricks(NamedTuple):
    row: Ints
    column: Ints
    margin: Floats


def world_metres(longitude: Floats, latitude: Floats) -> tuple[Floats, Floats]:
    """Return coordinates in the world frame, metres."""
    zone = np.clip(np.floor((longitude + 180) / 6), 0, 59)
    middle = zone * 6 - 177
    x = RADIUS * np.radians(longitude - middle) * np.cos(np.radians(latitude)) + 1e6 * zone
    return x, RADIUS * np.radians(latitude)


def survey(grid: Grid, world: str, seed: int) -> Land:
    """Return what lies under the pixels of a grid."""
    x, y = world_metres(*grid.centres())
    rich = world == "standard"
    u, v = _turned(x, y, seed)
    if rich:
        u = u + 22 * smooth(x, y, 700, key(seed, "bend x"))
        v = v + 22 * smooth(x, y, 700, key(seed, "bend y"))
    bricks = _bricks(u, v, seed)
    fields, field = _fields(bricks, seed)
    shape = x.shape
    flat = np.zeros(shape, np.float32)
    pixel = lattice(np.floor(x / PIXEL).astype(np.int64), np.floor(y / PIXEL).astype(np.int64), key(seed, "pixel"))
    return Land(
        fields=fields,
        field=field,
        cover=_cover(x, y, bricks, seed) if rich else np.full(shape, CROP, np.uint8),
        stand=np.asarray(0.35 + 0.65 * smoothstep(bricks.margin, 3.0, 14.0), np.float32) if rich else flat + 1,
        soil=_soil(x, y, seed) if rich else flat + 1,
        patches=_patches(x, y, seed),
        vigour=smooth(x, y, 32, key(seed, "vigour")) if rich else flat,
        hashes=pixel,
    )


def _turned(x: Floats, y: Floats, seed: int, back: bool = False) -> tuple[Floats, Floats]:
    """Into the frame that the fields are laid out in, which is turned by up to 30°; or back."""
    angle = np.radians(10 + 20 * key(seed, "turn") / 2**32) * (-1 if back else 1)
    c, s = np.cos(angle), np.sin(angle)
    return c * x + s * y, c * y - s * x


def _bricks(u: Floats, v: Floats, seed: int) -> _Bricks:
    """Row and column of each point's field, and its distance from the field's edge, metres."""
    row, below, above = _between(v, ROW, 0.2, np.zeros(v.shape, np.int64), key(seed, "rows"))
    column, left, right = _between(u + 0.5 * COLUMN * (row % 2), COLUMN, 0.28, row, key(seed, "columns"))
    return _Bricks(row, column, np.minimum(np.minimum(below, above), np.minimum(left, right)))


def _between(place: Floats, pitch: float, jitter: float, of: Ints, seed: int) -> tuple[Ints, Floats, Floats]:
    """Which two shifted lines a point lies between, and its distance from either."""
    index = np.floor(place / pitch).astype(np.int64)
    low, high = _line(index, pitch, jitter, of, seed), _line(index + 1, pitch, jitter, of, seed)
    index = index - (place < low) + (place >= high)
    low, high = _line(index, pitch, jitter, of, seed), _line(index + 1, pitch, jitter, of, seed)
    return index, place - low, high - place


def _line(index: Ints, pitch: float, jitter: float, of: Ints, seed: int) -> Floats:
    return (index + jitter * (2 * at_points(index, of, seed) - 1)) * pitch


def _fields(bricks: _Bricks, seed: int) -> tuple[Fields, NDArray[np.int32]]:
    """The fields that occur, with their centres, and each pixel's index into them."""
    code = (bricks.row << 32) + (bricks.column & 0xFFFFFFFF)
    codes, index = np.unique(code, return_inverse=True)
    row = codes >> 32
    column = (codes - (row << 32)).astype(np.uint32).astype(np.int32).astype(np.int64)
    u = (column + 0.5 - 0.5 * (row % 2)) * COLUMN
    x, y = _turned(u, (row + 0.5) * ROW, seed, back=True)
    hashes = lattice(row, column, key(seed, "field"))
    return Fields(x, y, hashes, y < 0), index.reshape(code.shape).astype(np.int32)


def _cover(x: Floats, y: Floats, bricks: _Bricks, seed: int) -> NDArray[np.uint8]:
    """Fields, with tracks along every fourth row, villages, groves and a river here and there."""
    cover = np.full(x.shape, CROP, np.uint8)
    cover[(bricks.margin < 4.5) & (bricks.row % 4 == 0)] = TRACK
    cover[smooth(x, y, 260, key(seed, "groves")) > 1.75] = TREES
    villages = smooth(x, y, 1500, key(seed, "villages")) + 0.35 * smooth(x, y, 150, key(seed, "outskirts"))
    cover[villages > 2.0] = BUILT
    winding = smooth(x, y, 9000, key(seed, "river")) + 0.04 * smooth(x, y, 900, key(seed, "banks"))
    cover[np.abs(winding) < 0.006] = WATER
    return cover


def _soil(x: Floats, y: Floats, seed: int) -> NDArray[np.float32]:
    broad, fine = smooth(x, y, 1800, key(seed, "soil")), smooth(x, y, 90, key(seed, "tilth"))
    return np.asarray(1 + 0.10 * broad + 0.05 * fine, np.float32)


def _patches(x: Floats, y: Floats, seed: int) -> NDArray[np.float32]:
    """Noise of 20 to 35 m, mean 0, variance 1."""
    noise = 0.8 * smooth(x, y, 34, key(seed, "patches")) + 0.6 * smooth(x, y, 20, key(seed, "holes"))
    return np.asarray(noise, np.float32)
