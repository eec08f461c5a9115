"""The area of a run: its geometry in degrees, and the grid of pixels that covers it, the same for all dates."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask
from shapely import segmentize, transform, union_all
from shapely.geometry import box, mapping, shape

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.satellite.imagery.schemas import Grid
from include.satellite.outlines.reading import outlines_of
from include.satellite.params import LARGEST_AREA_DEGREES, AreaParams

WGS84 = "EPSG:4326"
LARGEST_SIDE = 2500
"""Pixels a side that the Process API renders at most."""
_EDGE_POINTS = 64
_SNAP = 1e-3
"""Part of a pixel by which a bound may miss a multiple: coordinates of seven decimals are no finer."""


def area_geometry(params: AreaParams) -> dict[str, Any]:
    """Return the area as a GeoJSON geometry in WGS 84.

    Raises:
        BadInputError: `geojson` holds no polygons that can be read without guessing, or they span too much.
    """
    if params.geojson is None:
        return dict(mapping(box(*params.bbox)))
    outlines = outlines_of(params.geojson)
    joined = union_all([outline.geometry for outline in outlines.outlines])
    _check_extent(joined.bounds)
    return dict(mapping(joined))


def area_findings(params: AreaParams) -> tuple[Finding, ...]:
    """Return what was skipped, repaired or transformed of `geojson`.

    Raises:
        BadInputError: As `area_geometry`.
    """
    return () if params.geojson is None else outlines_of(params.geojson).findings


def make_grid(geometry: dict[str, Any], resolution: int) -> Grid:
    """Return the pixels that cover an area: its bounds in its UTM zone, snapped outward to multiples of the resolution.

    Args:
        geometry: GeoJSON, WGS 84.
        resolution: Metres.
    """
    crs = utm_zone(geometry)
    xmin, ymin, xmax, ymax = _projected(geometry, crs).bounds
    left, bottom = (math.floor(value / resolution + _SNAP) for value in (xmin, ymin))
    right, top = (math.ceil(value / resolution - _SNAP) for value in (xmax, ymax))
    right, top = max(right, left + 1), max(top, bottom + 1)
    return Grid(
        crs=crs,
        resolution=resolution,
        bounds=(left * resolution, bottom * resolution, right * resolution, top * resolution),
        width=right - left,
        height=top - bottom,
    )


def utm_zone(geometry: dict[str, Any]) -> str:
    """Return the UTM zone of the middle of an area, as `EPSG:32643`."""
    west, south, east, north = shape(geometry).bounds
    zone = min(int(((west + east) / 2 + 180) // 6) + 1, 60)
    return f"EPSG:{(32600 if south + north >= 0 else 32700) + zone}"


def affine_of(grid: Grid) -> Affine:
    """Return the transform from (column, row) to (x, y) in the grid's CRS."""
    return Affine(grid.resolution, 0, grid.bounds[0], 0, -grid.resolution, grid.bounds[3])


def inside_mask(geometry: dict[str, Any], grid: Grid) -> NDArray[np.bool_]:
    """Return which pixels belong to the area: those whose centre lies inside it.

    Returns:
        (height, width), True inside.

    Raises:
        BadInputError: None does.
    """
    inside: NDArray[np.bool_] = geometry_mask(
        [mapping(_projected(geometry, grid.crs))],
        out_shape=(grid.height, grid.width),
        transform=affine_of(grid),
        invert=True,
    )
    if not inside.any():
        raise BadInputError(f"the area is too small: no pixel of {grid.resolution} m has its centre inside it")
    return inside


def request_grids(grid: Grid, largest: int = LARGEST_SIDE) -> Iterator[tuple[Grid, tuple[slice, slice]]]:
    """Split a grid into the fewest near-equal parts that the API renders.

    Yields:
        The part, and the rows and columns that it takes up.
    """
    xmin, _, _, ymax = grid.bounds
    for top, bottom in _cuts(grid.height, largest):
        for left, right in _cuts(grid.width, largest):
            bounds = (
                xmin + left * grid.resolution,
                ymax - bottom * grid.resolution,
                xmin + right * grid.resolution,
                ymax - top * grid.resolution,
            )
            part = grid.model_copy(update={"bounds": bounds, "width": right - left, "height": bottom - top})
            yield part, (slice(top, bottom), slice(left, right))


def _cuts(length: int, largest: int) -> list[tuple[int, int]]:
    parts = math.ceil(length / largest)
    edges = [length * number // parts for number in range(parts + 1)]
    return list(itertools.pairwise(edges))


def _projected(geometry: dict[str, Any], crs: str) -> Any:
    polygon = shape(geometry)
    west, south, east, north = polygon.bounds
    dense = segmentize(polygon, max(east - west, north - south) / _EDGE_POINTS)
    project = Transformer.from_crs(WGS84, crs, always_xy=True)
    return transform(dense, lambda points: np.column_stack(project.transform(points[:, 0], points[:, 1])))


def _check_extent(bounds: tuple[float, float, float, float]) -> None:
    try:
        AreaParams(bbox=bounds)
    except ValueError as error:
        raise BadInputError(
            f"geojson: its bounds {tuple(round(value, 4) for value in bounds)} must lie within -180 to 180 and -80 to "
            f"84 degrees and span at most {LARGEST_AREA_DEGREES:g} degrees (longitude before latitude)"
        ) from error
