"""What a square of pixels is called: the class of its mean NDVI, or the class that a raster gives it.

Thresholds of the classes: Healthy > 0.7, Moderate > 0.5, Stressed > 0.3, Critical otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets.cube import CLEAR_CLASSES, Scene
from include.satellite.datasets.rasters import class_raster, crop_mask
from include.satellite.datasets.squares import Squares
from include.satellite.imagery.model import REFERENCE, Imagery
from include.satellite.params import CnnDataParams, LabelSource

THRESHOLDS = (0.7, 0.5, 0.3)
LEAST_CLEAR, LEAST_SHARE = 0.8, 0.5
RED, NIR = 2, 3
VEGETATION, SOIL, WATER = 4, 5, 6
NOT_CLEAR = "less than 80 % clear"
NOT_LAND = "not assessed: mainly water"
UNCLASSIFIED = "not assessed: mainly unclassified"
NOT_CROP = "less than half in the crop mask"
NO_REFERENCE = "less than half has a reference class"
NO_NEXT = "no next date"
REASONS = ("", NOT_CLEAR, NOT_LAND, UNCLASSIFIED, NOT_CROP)
"""Why a square has no NDVI, by code; 0: it has."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]


@dataclass(frozen=True)
class Assessment:
    """Squares on one date.

    Args:
        ndvi: (P,) mean NDVI of the pixels that decide, NaN where the square is not assessed.
        reason: (P,) position in `REASONS`.
    """

    ndvi: Floats
    reason: Codes


@dataclass(frozen=True)
class Labels:
    """Squares on all dates.

    Args:
        label: (T, P) class, −1 where there is none.
        ndvi: (T, P) mean NDVI of the pixels that decide at the date itself, NaN where the square is not assessed.
        left_out: How many have no label, by reason.
        masked: Clear pixels whose index is out of range or undefined.
    """

    label: Codes
    ndvi: Floats
    left_out: dict[str, int]
    masked: int


def classes_of(ndvi: NDArray[np.floating]) -> Codes:
    """Class of each NDVI, −1 where it is NaN.

    >>> classes_of(np.array([0.71, 0.7, 0.5, 0.3, np.nan])).tolist()
    [0, 1, 2, 3, -1]
    """
    position = sum((ndvi <= threshold).astype(np.int8) for threshold in THRESHOLDS)
    return np.where(np.isnan(ndvi), -1, position).astype(np.int8)


def assess(scene: Scene, squares: Squares, crop: NDArray[np.bool_] | None) -> Assessment:
    """Mean NDVI of each square over its vegetation and soil (SCL 4 and 5; in the crop mask, where there is one).

    At least 80 % of a square must be clear, at least half of what is clear must be vegetation or soil, and at least
    half of that must lie in the crop mask. NDVI is rounded to 6 decimals, finer than the digital numbers tell.
    """
    land = (scene.scl == VEGETATION) | (scene.scl == SOIL)
    decides = land if crop is None else land & crop
    red, nir = scene.dn[..., RED].astype(np.float32), scene.dn[..., NIR].astype(np.float32)
    ndvi = np.divide(nir - red, nir + red, out=np.zeros_like(red), where=decides)
    clear, land_pixels = squares.sums(CLEAR_CLASSES[scene.scl]), squares.sums(land)
    deciding = land_pixels if crop is None else squares.sums(decides)
    water = squares.sums(scene.scl == WATER)
    reason = np.select(
        [
            clear < LEAST_CLEAR * squares.size**2,
            (land_pixels < LEAST_SHARE * clear) & (2 * water >= clear - land_pixels),
            land_pixels < LEAST_SHARE * clear,
            deciding < LEAST_SHARE * land_pixels,
        ],
        [REASONS.index(name) for name in (NOT_CLEAR, NOT_LAND, UNCLASSIFIED, NOT_CROP)],
        0,
    ).astype(np.int8)
    mean = np.round(squares.sums(ndvi) / np.maximum(deciding, 1), 6)
    return Assessment(ndvi=np.where(reason == 0, mean, np.nan), reason=reason)


def reference_classes(raster: NDArray[np.uint8], squares: Squares, crop: NDArray[np.bool_] | None) -> Codes:
    """The most frequent class of each square, shape (P,); −1 where fewer than half of its pixels have one.

    Args:
        raster: (H, W), class + 1, 0 for none.
        squares: Where.
        crop: Pixels that count, where there is a crop mask.
    """
    labelled = raster if crop is None else np.where(crop, raster, 0)
    votes = np.stack([squares.sums(labelled == value) for value in range(1, 5)])
    enough = votes.sum(axis=0) >= LEAST_SHARE * squares.size**2
    return np.where(enough, votes.argmax(axis=0), -1).astype(np.int8)


def label_patches(
    files: Path, params: CnnDataParams, imagery: Imagery, passing: Iterable[Scene], squares: Squares
) -> Labels:
    """Find the label of each square on each date, while the scenes pass.

    Raises:
        BadInputError: A raster that was handed in is not usable, or reference labels have no class raster.
    """
    crop = crop_mask(files, params.crop_mask, imagery.grid) if params.crop_mask else None
    wanted = params.label_source == "reference"
    given = class_raster(files, params.reference, imagery.grid) if wanted and params.reference else None
    fixed = None if given is None else reference_classes(given, squares, crop)
    assessed: list[Assessment] = []
    classes: list[Codes] = []
    masked = 0
    for acquisition, scene in zip(imagery.acquisitions, passing, strict=True):
        assessed.append(assess(scene, squares, crop))
        masked += scene.masked
        if fixed is not None:
            classes.append(fixed)
        elif wanted and scene.reference is not None:
            classes.append(reference_classes(scene.reference, squares, crop))
        elif wanted:
            raise BadInputError(
                "label_source reference needs a class raster: none is given as `reference`, and the imagery of "
                f"{acquisition.date} has no band {REFERENCE} (only the simulator's has)"
            )
    ndvi, reason = np.stack([one.ndvi for one in assessed]), np.stack([one.reason for one in assessed])
    label, left_out = _combine(ndvi, reason, params.label_source, np.stack(classes) if classes else None)
    return Labels(label, ndvi, {name: count for name, count in left_out.items() if count}, masked)


def _combine(ndvi: Floats, reason: Codes, source: LabelSource, given: Codes | None) -> tuple[Codes, dict[str, int]]:
    """Labels (T, P) by their source, and how many squares have none, by reason."""
    usable, own = reason == 0, classes_of(ndvi)
    left_out = {name: int((reason == code).sum()) for code, name in enumerate(REASONS) if code}
    if given is not None:
        left_out[NO_REFERENCE] = int((usable & (given < 0)).sum())
        return np.where(usable, given, np.int8(-1)), left_out
    if source != "next_ndvi":
        return own, left_out
    following = np.full_like(own, -1)
    following[:-1] = own[1:]
    for code, name in enumerate(REASONS[1:], start=1):
        left_out[f"next date: {name}"] = int((usable[:-1] & (reason[1:] == code)).sum())
    left_out[NO_NEXT] = int(usable[-1].sum())
    return np.where(usable, following, np.int8(-1)), left_out
