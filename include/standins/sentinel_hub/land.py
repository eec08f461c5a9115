"""The simulator's land: what covers each pixel, in which field it lies, its soil. The same on all dates.

The world frame is sinusoidal around the middle of each UTM zone (a sphere), in metres, so that shapes hardly shear;
zones lie 1000 km apart in it, so at a zone's edge the land changes abruptly. Fields are bricks between rows 180 m and
columns 220 m apart, all four sides shifted at random, turned, and bent: 1 to 8 ha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.crops import Fields
from include.standins.sentinel_hub.noise import Floats, Hashes, Ints, at_points, key, lattice, smooth, smoothstep
from include.standins.sentinel_hub.scenes import Grid

RADIUS = 6_371_008.8
ROW, COLUMN = 180.0, 220.0
CROP, BUILT, TREES, WATER, TRACK = range(5)
PIXEL = 10.0


@dataclass(frozen=True)
class Land:
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
