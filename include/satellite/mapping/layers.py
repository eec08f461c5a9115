"""The layers of a crop-health map: classes of pixels, by the NDVI rule or by a model, and their raster and plot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.core.files import write_atomically
from include.core.plots import GREEN, ORANGE, VERMILLION, YELLOW, figure_file
from include.satellite.datasets.cube import CubeScene, cube_bands
from include.satellite.datasets.labels import assess, classes_of
from include.satellite.datasets.patches import PatchDataset
from include.satellite.datasets.schemas import CLASSES, PatchInfo
from include.satellite.datasets.splits import Tiles
from include.satellite.imagery.area import affine_of
from include.satellite.imagery.schemas import Grid, Imagery
from include.satellite.schemas import HealthMap
from include.satellite.sensors.indices import NDVI
from include.satellite.training.networks import ModelBundle, predict_patches
from include.satellite.training.schemas import ModelCard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

Classes = NDArray[np.int8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
OVERLAP = 4
"""A patch is slid by a quarter of its side, so that up to 16 patches hold a pixel."""
NOT_ASSESSED, WHITE = "#C9C9C9", "#FFFFFF"
COLORS = (GREEN, YELLOW, ORANGE, VERMILLION)
"""Of the classes, healthy to critical (Okabe and Ito 2008)."""
OUTSIDE = 255
TILE = 512


@dataclass(frozen=True)
class Layers:
    """The layers of a map.

    Args:
        classes: (H, W) position of the class, −1 where it is not assessed.
        confidence: (H, W) probability of the class, NaN where it is not assessed; None for the rule.
        inside: (H, W) pixels of the area.
    """

    classes: Classes
    confidence: Floats | None
    inside: Bools


def classify_by_rule(scene: CubeScene) -> Classes:
    """Return the (H, W) class of each pixel's NDVI, −1 where it is not vegetation or soil."""
    return np.where(scene.land, classes_of(NDVI.of(scene.band)), -1).astype(np.int8)


def classify_by_model(bundle: ModelBundle, scene: CubeScene, imagery: Imagery) -> tuple[Classes, Floats]:
    """Return (H, W) class and probability by the mean over the patches that hold a pixel; −1 and NaN without any.

    Patches count that the model could have been trained on: at least 80 % clear, at least half of that land.

    Raises:
        BadInputError: The model takes other bands or pixels, or larger patches, than there are.
    """
    card, (height, width) = bundle.card, scene.scl.shape
    dn = scene.dn[..., _band_positions(card, imagery)]
    tiles = Tiles.on(height, width, card.size, max(1, card.size // OVERLAP))
    tiles = Tiles(card.size, _to_the_edge(tiles.tops, height, card.size), _to_the_edge(tiles.lefts, width, card.size))
    usable = np.flatnonzero(assess(scene, tiles, None).reason == 0)
    tops, lefts = tiles.rows[usable], tiles.columns[usable]
    total, count = np.zeros((height, width, len(card.classes)), np.float32), np.zeros((height, width), np.float32)
    if len(usable):
        patches = _patches(card, dn, scene.scl, tops, lefts)
        predicted = predict_patches(bundle, patches, np.arange(len(usable)))
        for top, left, probabilities in zip(tops, lefts, predicted, strict=True):
            window = slice(top, top + card.size), slice(left, left + card.size)
            total[window] += probabilities
            count[window] += 1
    assessed = scene.land & (count > 0)
    mean = total / np.maximum(count, 1)[..., None]
    classes = np.where(assessed, mean.argmax(axis=-1), -1).astype(np.int8)
    return classes, np.where(assessed, mean.max(axis=-1), np.nan).astype(np.float32)


def _band_positions(card: ModelCard, imagery: Imagery) -> list[int]:
    bands = cube_bands(imagery)
    missing = [band for band in card.inputs if band not in bands]
    if missing:
        raise BadInputError(f"it needs the bands {', '.join(missing)}, which the imagery lacks (extra_bands)")
    if card.data.grid.resolution != imagery.grid.resolution:
        raise BadInputError(
            f"it was trained on pixels of {card.data.grid.resolution} m, not of {imagery.grid.resolution} m"
        )
    return [bands.index(band) for band in card.inputs]


def _to_the_edge(starts: Ints, length: int, size: int) -> Ints:
    """Return the starts, and one more where the last patch ends before the edge."""
    return np.unique(np.append(starts, length - size))


def _patches(card: ModelCard, dn: NDArray[np.uint16], scl: NDArray[np.uint8], tops: Ints, lefts: Ints) -> PatchDataset:
    """Return patches of one scene as the dataset that a model predicts on; they have no label."""
    none = np.zeros(len(tops), np.int64)
    info: dict[str, Any] = {"bands": card.inputs, "patch_size": card.size}
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
        info=PatchInfo.model_construct(**info),
    )


def write_raster(target: Path, layers: Layers, grid: Grid, document: HealthMap) -> None:
    """Write two bands of bytes: `class` (1 Healthy to 4 Critical, 0 not assessed), `confidence` (percent); 255 nodata.

    The confidence of the rule, which has none, is nodata throughout.
    """
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    classes = np.where(layers.inside, layers.classes + 1, OUTSIDE).astype(np.uint8)
    profile = {
        "driver": "GTiff", "width": grid.width, "height": grid.height, "count": 2, "dtype": "uint8", "crs": grid.crs,
        "transform": affine_of(grid), "nodata": OUTSIDE,
    }  # fmt: skip
    tags = {
        "DATE": document.date.isoformat(),
        "DRAWN_BY": document.model_version or document.drawn_by,
        "SYNTHETIC": "YES" if document.synthetic else "NO",
        "CLASSES": ",".join(f"{number}={name}" for number, name in enumerate(("not assessed", *CLASSES))),
    }
    with MemoryFile() as plain, MemoryFile(ext=".tif") as optimised:
        with plain.open(**profile) as dataset:
            dataset.write(np.stack([classes, _percent(layers)]))
            dataset.descriptions = ("class", "confidence")
            dataset.scales = (1.0, 0.01)
            dataset.update_tags(**tags)
        with plain.open() as dataset:
            options = {"COMPRESS": "DEFLATE", "BLOCKSIZE": TILE, "OVERVIEW_RESAMPLING": "NEAREST"}
            copy(dataset, optimised.name, driver="COG", **options)
        write_atomically(target, bytes(optimised.getbuffer()))


def _percent(layers: Layers) -> NDArray[np.uint8]:
    if layers.confidence is None:
        return np.full(layers.classes.shape, OUTSIDE, np.uint8)
    assessed = ~np.isnan(layers.confidence)
    return np.where(assessed, np.round(np.nan_to_num(layers.confidence) * 100), OUTSIDE).astype(np.uint8)


def plot_map(target: Path, layers: Layers, document: HealthMap) -> None:
    """Plot the classes with a legend in hectares and, if a model drew them, its confidence beside it."""
    from matplotlib.colors import ListedColormap

    height, width = layers.classes.shape
    panels = 1 if layers.confidence is None else 2
    side = 11 / panels * min(height / width, 1.4)
    with figure_file(target, height=float(np.clip(side, 3.2, 9)) + 1.1) as figure:
        axes = figure.subplots(1, panels, squeeze=False)[0]
        legend = _draw_classes(axes[0], layers, document)
        if layers.confidence is not None:
            axes[0].set_title("Class")
            extent = _kilometres(document, height, width)
            shown = axes[1].imshow(layers.confidence, cmap="cividis", vmin=0.25, vmax=1, extent=extent)
            axes[1].set_title("Probability of the class")
            hidden = np.where(layers.inside & (layers.classes < 0), 1.0, np.nan)
            axes[1].imshow(hidden, cmap=ListedColormap([NOT_ASSESSED]), extent=extent)
            figure.colorbar(shown, ax=axes[1], shrink=0.75, pad=0.02)
        for panel in axes:
            panel.grid(visible=False)
            panel.set_xlabel("km")
        figure.legend(handles=legend, loc="outside lower center", ncols=3, fontsize=9)
        author = "the NDVI rule" if document.model_version is None else f"model {document.model_version}"
        mark = ", SIMULATED" if document.synthetic else ""
        figure.suptitle(
            f"Crop health on {document.date}{mark}, drawn by {author}", x=0.01, ha="left", fontweight="bold"
        )


def _draw_classes(axes: Axes, layers: Layers, document: HealthMap) -> list[Patch]:
    """Draw the classes and return their legend."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    height, width = layers.classes.shape
    shown = np.where(layers.inside, layers.classes + 1, len(CLASSES) + 1)
    colors = ListedColormap([NOT_ASSESSED, *COLORS, WHITE])
    extent = _kilometres(document, height, width)
    axes.imshow(shown, cmap=colors, vmin=0, vmax=len(CLASSES) + 1, interpolation="nearest", extent=extent)
    areas = [*document.hectares.items(), ("not assessed", document.not_assessed)]
    total = sum(area for _, area in areas) or 1
    return [
        Patch(facecolor=color, edgecolor="#777777", linewidth=0.5, label=f"{name}: {area:,.1f} ha ({area / total:.0%})")
        for (name, area), color in zip(areas, (*COLORS, NOT_ASSESSED), strict=True)
    ]


def _kilometres(document: HealthMap, height: int, width: int) -> tuple[float, float, float, float]:
    scale = document.resolution / 1000
    return 0, width * scale, 0, height * scale
