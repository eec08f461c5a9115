"""The crop-health map as files: a cloud-optimised GeoTIFF for machines, a picture with a legend for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.core.plots import GREEN, ORANGE, VERMILLION, YELLOW, figure_file
from include.core.run_folder import write_atomically
from include.satellite.datasets.schemas import CLASSES
from include.satellite.imagery.area import affine_of
from include.satellite.imagery.schemas import Grid
from include.satellite.models.results import HealthMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

    from include.satellite.models.pixels import Layers

NOT_ASSESSED, WHITE = "#C9C9C9", "#FFFFFF"
COLORS = (GREEN, YELLOW, ORANGE, VERMILLION)
"""Of the classes, healthy to critical (Okabe and Ito 2008)."""
OUTSIDE = 255
TILE = 512


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
    known = ~np.isnan(layers.confidence)
    return np.where(known, np.round(np.nan_to_num(layers.confidence) * 100), OUTSIDE).astype(np.uint8)


def plot_map(target: Path, layers: Layers, document: HealthMap) -> None:
    """Draw the classes with a legend in hectares and, where a model drew them, its confidence beside it."""
    from matplotlib.colors import ListedColormap

    height, width = layers.classes.shape
    panels = 1 if layers.confidence is None else 2
    side = 11 / panels * min(height / width, 1.4)
    with figure_file(target, height=float(np.clip(side, 3.2, 9)) + 1.1) as figure:
        axes = figure.subplots(1, panels, squeeze=False)[0]
        legend = _classes(axes[0], layers, document)
        if layers.confidence is not None:
            axes[0].set_title("Class")
            extent = _kilometres(document, height, width)
            shown = axes[1].imshow(layers.confidence, cmap="cividis", vmin=0.25, vmax=1, extent=extent)
            axes[1].set_title("Probability of the class")
            hidden = np.where(layers.inside & (layers.classes < 0), 1.0, np.nan)
            axes[1].imshow(hidden, cmap=ListedColormap([NOT_ASSESSED]), extent=extent)
            figure.colorbar(shown, ax=axes[1], shrink=0.75, pad=0.02)
        for each in axes:
            each.grid(visible=False)
            each.set_xlabel("km")
        figure.legend(handles=legend, loc="outside lower center", ncols=3, fontsize=9)
        who = "the NDVI rule" if document.model_version is None else f"model {document.model_version}"
        mark = ", SIMULATED" if document.synthetic else ""
        figure.suptitle(f"Crop health on {document.date}{mark}, drawn by {who}", x=0.01, ha="left", fontweight="bold")


def _classes(axes: Axes, layers: Layers, document: HealthMap) -> list[Patch]:
    """Draw the classes; returns their legend."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    height, width = layers.classes.shape
    shown = np.where(layers.inside, layers.classes + 1, len(CLASSES) + 1)
    colors = ListedColormap([NOT_ASSESSED, *COLORS, WHITE])
    extent = _kilometres(document, height, width)
    axes.imshow(shown, cmap=colors, vmin=0, vmax=len(CLASSES) + 1, interpolation="nearest", extent=extent)
    areas = [*document.hectares.items(), ("not assessed", document.not_assessed)]
    whole = sum(area for _, area in areas) or 1
    return [
        Patch(facecolor=color, edgecolor="#777777", linewidth=0.5, label=f"{name}: {area:,.1f} ha ({area / whole:.0%})")
        for (name, area), color in zip(areas, (*COLORS, NOT_ASSESSED), strict=True)
    ]


def _kilometres(document: HealthMap, height: int, width: int) -> tuple[float, float, float, float]:
    scale = document.resolution / 1000
    return 0, width * scale, 0, height * scale
