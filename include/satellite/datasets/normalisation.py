"""Mean and standard deviation of the training part, by band, in one pass over the cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.cube import CLEAR_CLASSES, CUBE, CUBE_SCL
from include.satellite.datasets.documents import Normalisation
from include.satellite.imagery.model import SCALE

Ints = NDArray[np.int64]


def training_normalisation(
    files: Path, bands: list[str], date: Ints, top: Ints, left: Ints, size: int
) -> Normalisation:
    """Mean and standard deviation of the clear pixels that training patches cover, each pixel counted once a date.

    Args:
        files: Where the cube lies.
        bands: Names of its bands.
        date: (N,) of each training patch.
        top: (N,) first pixel row.
        left: (N,) first pixel column.
        size: Side of the patches, pixels.

    Returns:
        A band that does not vary has a standard deviation of 1.
    """
    count, total, squares = 0, np.zeros(len(bands)), np.zeros(len(bands))
    for day in np.unique(date):
        own = date == day
        dn, scl = _one_date(files, int(day))
        taken = dn[CLEAR_CLASSES[scl] & _covered(scl.shape, top[own], left[own], size)].astype(np.float64)
        count += len(taken)
        total += taken.sum(axis=0)
        squares += np.einsum("nc,nc->c", taken, taken)
    mean = total / max(count, 1)
    std = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return Normalisation(
        bands=bands, mean=(mean * SCALE).tolist(), std=[float(value * SCALE) if value > 0.01 else 1.0 for value in std]
    )


def _one_date(files: Path, date: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """One date of the cube, read, not mapped: pages of a map would stay this process's memory."""
    dates, height, width, bands = np.load(files / CUBE, mmap_mode="r").shape
    pixels = height * width
    cube, scl = files / CUBE, files / CUBE_SCL
    dn = np.fromfile(cube, np.uint16, pixels * bands, offset=cube.stat().st_size - 2 * pixels * bands * (dates - date))
    classes = np.fromfile(scl, np.uint8, pixels, offset=scl.stat().st_size - pixels * (dates - date))
    return dn.reshape(height, width, bands), classes.reshape(height, width)


def _covered(shape: tuple[int, ...], top: Ints, left: Ints, size: int) -> NDArray[np.bool_]:
    """Pixels that at least one square covers: the running sum of its corners."""
    corners = np.zeros((shape[0] + 1, shape[1] + 1), np.int32)
    for row, column, sign in ((0, 0, 1), (0, size, -1), (size, 0, -1), (size, size, 1)):
        np.add.at(corners, (top + row, left + column), sign)
    return np.asarray(corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0)
