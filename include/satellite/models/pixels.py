"""Classes of single pixels: by the NDVI rule, or by a model of patches that is slid over the scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets.cube import CubeScene, cube_bands
from include.satellite.datasets.labels import assess, classes_of
from include.satellite.datasets.patches import PatchDataset
from include.satellite.datasets.schemas import PatchInfo
from include.satellite.datasets.tiles import Tiles
from include.satellite.imagery.schemas import Imagery
from include.satellite.models.documents import ModelCard
from include.satellite.models.predict import ModelBundle, predict_patches
from include.satellite.sensors.indices import NDVI

OVERLAP = 4
"""A patch is slid by a quarter of its side, so that a pixel is seen in up to 16 patches."""
Classes = NDArray[np.int8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Layers:
    """A map.

    Args:
        classes: (H, W) position of the class, −1 where it is not assessed.
        confidence: (H, W) probability of the class, NaN where it is not assessed; None for the rule.
        inside: (H, W) pixels of the area.
    """

    classes: Classes
    confidence: Floats | None
    inside: Bools


def classify_by_rule(scene: CubeScene) -> Classes:
    """(H, W) class of each pixel's NDVI, −1 where it is not vegetation or soil."""
    return np.where(scene.land, classes_of(NDVI.of(scene.band)), -1).astype(np.int8)


def classify_by_model(bundle: ModelBundle, scene: CubeScene, imagery: Imagery) -> tuple[Classes, Floats]:
    """(H, W) class and its probability, by the mean over the patches that hold a pixel; −1 and NaN without any.

    Patches count that the model could have been trained on: at least 80 % clear, at least half of that land.

    Raises:
        BadInputError: The model takes other bands or pixels, or larger patches, than there are.
    """
    card, (height, width) = bundle.card, scene.scl.shape
    dn = scene.dn[..., _band_positions(card, imagery)]
    squares = Tiles.on(height, width, card.size, max(1, card.size // OVERLAP))
    squares = Tiles(
        card.size, _to_the_edge(squares.tops, height, card.size), _to_the_edge(squares.lefts, width, card.size)
    )
    usable = np.flatnonzero(assess(scene, squares, None).reason == 0)
    tops, lefts = squares.rows[usable], squares.columns[usable]
    total, seen = np.zeros((height, width, len(card.classes)), np.float32), np.zeros((height, width), np.float32)
    if len(usable):
        patches = _patches(card, dn, scene.scl, tops, lefts)
        for top, left, each in zip(tops, lefts, predict_patches(bundle, patches, np.arange(len(usable))), strict=True):
            window = slice(top, top + card.size), slice(left, left + card.size)
            total[window] += each
            seen[window] += 1
    assessed = scene.land & (seen > 0)
    mean = total / np.maximum(seen, 1)[..., None]
    classes = np.where(assessed, mean.argmax(axis=-1), -1).astype(np.int8)
    return classes, np.where(assessed, mean.max(axis=-1), np.nan).astype(np.float32)


def _band_positions(card: ModelCard, imagery: Imagery) -> list[int]:
    bands = cube_bands(imagery)
    missing = [band for band in card.inputs if band not in bands]
    if missing:
        raise BadInputError(f"it needs the bands {', '.join(missing)}, which the imagery lacks (extra_bands)")
    if card.data.grid.resolution != imagery.grid.resolution:
        raise BadInputError(f"it knows pixels of {card.data.grid.resolution} m, not of {imagery.grid.resolution} m")
    return [bands.index(band) for band in card.inputs]


def _to_the_edge(starts: Ints, length: int, size: int) -> Ints:
    """The starts, and one more where the last patch ends before the edge."""
    return np.unique(np.append(starts, length - size))


def _patches(card: ModelCard, dn: NDArray[np.uint16], scl: NDArray[np.uint8], tops: Ints, lefts: Ints) -> PatchDataset:
    """Patches of one scene as the dataset that a model predicts on; they have no label."""
    none = np.zeros(len(tops), np.int64)
    known: dict[str, Any] = {"bands": card.inputs, "patch_size": card.size}
    return PatchDataset(
        cube=dn[None],
        scl=scl[None],
        date=none,
        row=tops,
        col=lefts,
        label=none,
        split=none,
        block=none,
        repeat=none + 1,
        ndvi=none.astype(np.float32),
        info=PatchInfo.model_construct(**known),
    )
