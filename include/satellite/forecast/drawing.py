"""The picture of a forecast: a map of the fields by forecast and expectation, warnings outlined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from include.core.plots import figure_file
from include.satellite.forecast.schemas import NdviForecast

if TYPE_CHECKING:
    import pandas as pd

WARNED, NO_FORECAST, EDGE = "#B2182B", "#FFFFFF", "#777777"
NAMED_FIELDS = 60
"""More are not named in the map."""


def plot_forecast(target: Path, table: pd.DataFrame, document: NdviForecast, crs: str) -> None:
    """Plot the forecast NDVI of the fields, and its departure from what their own earlier years say.

    The axes are kilometres of the grid of the previews.

    Args:
        target: The file.
        table: A row a field, with its outline as WKB.
        document: The forecast.
        crs: Of the axes.
    """
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import PathPatch

    outlines = _outlines(table, crs)
    ends = np.concatenate([path.vertices for path in outlines])
    low, high = ends.min(axis=0), ends.max(axis=0)
    spans = np.maximum(high - low, 0.1)
    warned = (table["state"] == "warning").to_numpy()
    panels = (
        ("Forecast", table["forecast"].to_numpy(float), "YlGn", (0.0, 1.0)),
        ("Forecast minus expected", (table["forecast"] - table["expected"]).to_numpy(float), "BrBG", (-0.3, 0.3)),
    )
    with figure_file(target, height=float(np.clip(4.6 * spans[1] / spans[0], 3.2, 8)) + 1.2) as figure:
        maps = figure.subplots(1, 2)
        for axes, (title, values, colors, limits) in zip(maps, panels, strict=True):
            for some, shade in ((np.isnan(values), "////"), (~np.isnan(values), None)):
                patches = [PathPatch(path) for path, taken in zip(outlines, some, strict=True) if taken]
                drawn = PatchCollection(patches, cmap=colors, edgecolor=EDGE, linewidth=0.6, hatch=shade)
                if shade:
                    drawn.set_facecolor(NO_FORECAST)
                else:
                    drawn.set_array(values[some])
                    drawn.set_clim(*limits)
                    figure.colorbar(drawn, ax=axes, shrink=0.75, pad=0.02, label="NDVI")
                axes.add_collection(drawn)
            edges = [PathPatch(path) for path, taken in zip(outlines, warned, strict=True) if taken]
            axes.add_collection(PatchCollection(edges, facecolor="none", edgecolor=WARNED, linewidth=2.2))
            if len(table) <= NAMED_FIELDS:
                for name, path in zip(table["field_id"], outlines, strict=True):
                    middle = (path.vertices.min(axis=0) + path.vertices.max(axis=0)) / 2
                    axes.annotate(name, middle, ha="center", va="center", fontsize=7, color="#222222")
            axes.set(xlim=_padded(low[0], high[0]), ylim=_padded(low[1], high[1]), aspect="equal", title=title)
            axes.set_xlabel(f"Easting (km), {crs}")
            axes.locator_params(axis="x", nbins=4)
            axes.grid(visible=False)
            axes.ticklabel_format(style="plain", useOffset=False)
        maps[0].set_ylabel("Northing (km)")
        figure.legend(handles=_legend(table), loc="outside lower center", ncols=3, fontsize=9)
        mark = ", SIMULATED" if document.synthetic else ""
        title = f"NDVI on {document.date}{mark}, by forecaster {document.model_version}"
        figure.suptitle(title, x=0.01, ha="left")


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.04 * max(high - low, 0.1)
    return low - margin, high + margin


def _outlines(table: pd.DataFrame, crs: str) -> list[Any]:
    """Return the outlines as paths in kilometres, holes left out as holes."""
    from matplotlib.path import Path as Outline
    from shapely import from_wkb
    from shapely.geometry import mapping

    from include.satellite.fields.pixels import projected

    shapes = [mapping(from_wkb(bytes(value))) for value in table["geometry"]]
    return [
        Outline.make_compound_path(
            *(
                Outline(np.asarray(ring.coords)[:, :2] / 1000, closed=True)
                for part in shape.geoms
                for ring in (part.exterior, *part.interiors)
            )
        )
        for shape in projected(shapes, crs)
    ]


def _legend(table: pd.DataFrame) -> list[Any]:
    from matplotlib.patches import Patch

    counts = table["state"].value_counts()
    return [
        Patch(facecolor="none", edgecolor=WARNED, linewidth=2.2, label=f"early warning: {counts.get('warning', 0)}"),
        Patch(facecolor=NO_FORECAST, edgecolor=EDGE, label=f"as expected: {counts.get('as expected', 0)}"),
        Patch(
            facecolor=NO_FORECAST, edgecolor=EDGE, hatch="////", label=f"no forecast: {counts.get('no forecast', 0)}"
        ),
    ]
