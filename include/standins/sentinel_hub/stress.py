"""True stress of the simulator's crops: four classes of fixed intensity, in zones that move slowly over the land.

Zones are irregular cells 2 km apart. In each block of 2×2 cells every class occurs once, so that an area of some
kilometres has all four. The cells drift at 12 m a day: a field keeps its class for months, and then gets its
neighbours'. A field has one class, that of its centre.

What stress does to a field is patchy canopy loss (the share and depth of the patches follow the class) and a little
chlorosis. Neighbouring plants fill part of the gaps, so the mean canopy falls by less than what is lost.
"""

from __future__ import annotations

from itertools import permutations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.noise import Floats, at_points, key, lattice, smooth

ZONE = 2000.0
DRIFT = 12.0
WARP = 250.0
CLASSES = ("Healthy", "Moderate", "Stressed", "Critical")
LOST = np.array((0.02, 0.14, 0.30, 0.48), np.float32)
"""Share of a field in which the canopy is lost, by class."""
DEPTH = np.array((0.5, 0.55, 0.65, 0.75), np.float32)
"""Share of the canopy that is lost there, by class."""
FILLED = 0.7
"""Exponent of the compensation: the rest of the field grows by (1 − DEPTH·LOST) ** −FILLED."""
CHLOROSIS = np.array((0.0, 0.25, 0.5, 0.75), np.float32)
"""Chlorosis by class, in units of full chlorosis."""
_ORDERS = np.array(list(permutations(range(4))), np.int64)


def classes(x: Floats, y: Floats, day: int, seed: int) -> NDArray[np.int64]:
    """Class index (0 Healthy to 3 Critical) at each point.

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
    """The cell whose (jittered) centre is nearest."""
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    best = np.full(u.shape, np.inf)
    best_i, best_j = i.copy(), j.copy()
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            centre_u = i + di + 0.5 + 0.5 * (at_points(i + di, j + dj, key(seed, "cell x")) - 0.5)
            centre_v = j + dj + 0.5 + 0.5 * (at_points(i + di, j + dj, key(seed, "cell y")) - 0.5)
            distance = (u - centre_u) ** 2 + (v - centre_v) ** 2
            nearer = distance < best
            best = np.where(nearer, distance, best)
            best_i, best_j = np.where(nearer, i + di, best_i), np.where(nearer, j + dj, best_j)
    return best_i, best_j


def loss_thresholds() -> NDArray[np.float32]:
    """By class: where noise of mean 0 and variance 1 is above it, the canopy is lost."""
    return np.array([NormalDist().inv_cdf(1 - float(share)) for share in LOST], np.float32)


def compensation() -> NDArray[np.float32]:
    """By class: factor by which the canopy that is left grows."""
    return np.asarray((1 - DEPTH * LOST) ** -FILLED, np.float32)
