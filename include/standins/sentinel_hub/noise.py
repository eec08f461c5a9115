"""Random numbers that belong to places: the same wherever, in whatever order and at whatever size they are asked for.

Lattice points are hashed, and smooth noise interpolates between them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint32]

_STD = 0.2145
"""Standard deviation of smoothstep-interpolated uniform lattice noise: sqrt((26/35)² / 12)."""


def key(*parts: object) -> int:
    """Return 32 bits that stand for the parts, the same on every machine."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:4], "big")


def scramble(values: Hashes, seed: int) -> Hashes:
    """Hash each 32-bit value; different seeds give unrelated results."""
    mixed = values ^ np.uint32(seed)
    mixed ^= mixed >> np.uint32(16)
    mixed *= np.uint32(0x7FEB352D)
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x846CA68B)
    mixed ^= mixed >> np.uint32(16)
    return mixed


def lattice(i: Ints, j: Ints, seed: int) -> Hashes:
    """Return the hash of each lattice point; i and j broadcast."""
    first = scramble((np.asarray(i) & 0xFFFFFFFF).astype(np.uint32), seed)
    return scramble(first + (np.asarray(j) & 0xFFFFFFFF).astype(np.uint32), seed ^ 0x9E3779B1)


def uniform(hashes: Hashes) -> NDArray[np.float32]:
    """Return hashes as uniform numbers in [0, 1)."""
    return (hashes >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def draws(hashes: Hashes, seed: int) -> NDArray[np.float32]:
    """Return a uniform number in [0, 1) for each hash; other seeds give other numbers."""
    return uniform(scramble(hashes, seed))


def at_points(i: Ints, j: Ints, seed: int) -> NDArray[np.float32]:
    """Return a uniform number in [0, 1) for each lattice point."""
    return uniform(lattice(i, j, seed))


def smooth(x: Floats, y: Floats, wavelength: float, seed: int) -> NDArray[np.float32]:
    """Return smooth noise with mean 0 and variance 1.

    Args:
        x: Metres, any shape.
        y: Metres, the same shape.
        wavelength: Distance of independent values, metres.
        seed: From `key`.
    """
    u, v = x / wavelength, y / wavelength
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    s, t = (u - i).astype(np.float32), (v - j).astype(np.float32)
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    corner = _corners(i, j, seed)
    low = corner(0, 0) + s * (corner(1, 0) - corner(0, 0))
    high = corner(0, 1) + s * (corner(1, 1) - corner(0, 1))
    return np.asarray((low + t * (high - low) - np.float32(0.5)) / np.float32(_STD), np.float32)


def _corners(i: Ints, j: Ints, seed: int) -> Callable[[int, int], NDArray[np.float32]]:
    """Return the values at a corner of each point's lattice cell; from a table where that is smaller."""
    low_i, low_j = int(i.min()), int(j.min())
    rows, columns = int(i.max()) - low_i + 2, int(j.max()) - low_j + 2
    if rows * columns > 2 * i.size + 4:
        return lambda di, dj: at_points(i + di, j + dj, seed)
    table = at_points(np.arange(low_i, low_i + rows)[:, None], np.arange(low_j, low_j + columns)[None], seed).ravel()
    index = (i - low_i) * columns + (j - low_j)
    return lambda di, dj: np.asarray(table[index + (di * columns + dj)])


def upsample(values: Floats, shape: tuple[int, int], every: int) -> Floats:
    """Interpolate linearly from nodes on every n-th pixel to all pixels.

    Args:
        values: Shape of the nodes (see `scenes.nodes`).
        shape: Height and width of the pixels.
        every: Distance of the nodes, pixels.
    """
    rows = _along_rows(values, shape[0], every)
    return _along_rows(rows.T, shape[1], every).T


def _along_rows(values: Floats, length: int, every: int) -> Floats:
    place = np.arange(length)
    before = place // every
    share = ((place % every) / every).astype(values.dtype)[:, None]
    return values[before] + share * (values[before + 1] - values[before])


def smoothstep(values: Floats, low: float | Floats, high: float | Floats) -> Floats:
    """Return 0 below low, 1 above high, and a smooth transition between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
