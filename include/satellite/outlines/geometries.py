"""Geometries of features as valid polygons in WGS 84, longitude first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely import MultiPolygon, Polygon

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.satellite.outlines.outline import TO_WGS84, Box, Layer, named, warning

WGS84 = CRS.from_epsg(4326)
SWAP = (
    'swap them with ogr2ogr -dialect SQLite -sql "SELECT ST_SwapCoordinates(geometry) AS geometry, * FROM LAYER" '
    "swapped.geojson FILE"
)
_SOURCE = "ogr2ogr -s_srs EPSG:CODE -t_srs EPSG:4326 wgs84.geojson FILE"


def polygons_of(name: str, ids: Sequence[str], geometries: Sequence[Any]) -> NDArray[Any]:
    """Return the polygons in two dimensions.

    Raises:
        BadInputError: A geometry is a point or a line, or a coordinate is not a number.
    """
    flat = np.array([_without_collection(shapely.force_2d(geometry)) for geometry in geometries], dtype=object)
    others = [
        (id_, geometry.geom_type)
        for id_, geometry in zip(ids, flat, strict=True)
        if not isinstance(geometry, (Polygon, MultiPolygon))
    ]
    if others:
        kinds = ", ".join(sorted({kind for _, kind in others}))
        raise BadInputError(f"{name}: must hold polygons; {named([id_ for id_, _ in others])}: {kinds}")
    coordinates, places = shapely.get_coordinates(flat, return_index=True)
    unreal = [ids[place] for place in np.unique(places[~np.isfinite(coordinates).all(axis=1)])]
    if unreal:
        raise BadInputError(f"{name}: a coordinate is not a finite number; {named(unreal)}")
    return flat


def _without_collection(geometry: Any) -> Any:
    """Return a collection of polygons alone as one MultiPolygon."""
    if geometry.geom_type != "GeometryCollection":
        return geometry
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return MultiPolygon(list(parts)) if {part.geom_type for part in parts} == {"Polygon"} else geometry


def repaired(name: str, ids: Sequence[str], geometries: NDArray[Any]) -> tuple[NDArray[Any], list[Finding]]:
    """Return valid geometries, and what was repaired.

    Raises:
        BadInputError: A ring encloses no area.
    """
    repairs = []
    for position in np.flatnonzero(~shapely.is_valid(geometries)).tolist():
        reason = shapely.is_valid_reason(geometries[position])
        parts = shapely.get_parts(shapely.get_parts(_valid(geometries[position])))
        polygons = [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
        if not polygons:
            raise BadInputError(f"{name}: feature {ids[position]} encloses no area ({reason})")
        geometries[position] = polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
        repairs.append(warning(f"{name}: feature {ids[position]} was repaired ({reason}): check its shape"))
    void = [id_ for id_, area in zip(ids, shapely.area(geometries), strict=True) if area == 0]
    if void:
        raise BadInputError(f"{name}: {named(void)} encloses no area")
    return geometries, repairs


def _valid(geometry: Polygon | MultiPolygon) -> Any:
    """Return a valid geometry: what its outer rings enclose without what its inner rings do."""
    parts = shapely.get_parts(geometry)
    outer, inner = (
        shapely.union_all([shapely.make_valid(Polygon(ring)) for ring in rings])
        for rings in ([part.exterior for part in parts], [ring for part in parts for ring in part.interiors])
    )
    return outer.difference(inner)


def in_wgs84(layer: Layer, geometries: NDArray[Any]) -> tuple[NDArray[Any], list[Finding]]:
    """Return geometries in WGS 84, and what was transformed.

    Raises:
        BadInputError: The layer's CRS is not known, or its coordinates are not of it.
    """
    try:
        crs = CRS.from_user_input(layer.crs)
    except CRSError as error:
        raise BadInputError(f"{layer.name}: its CRS {layer.crs!r} is not known; reproject with {TO_WGS84}") from error
    if crs.equals(WGS84, ignore_axis_order=True):
        return geometries, []
    bounds = shapely.total_bounds(geometries)
    if crs.is_projected and np.abs(bounds[::2]).max() <= 180 and np.abs(bounds[1::2]).max() <= 90:
        raise BadInputError(
            f"{layer.name}: states {crs.name} ({_short(layer.crs)}), whose unit is no degree, and its coordinates are "
            f"degrees ({_point(*bounds[:2])} to {_point(*bounds[2:])}); correct its CRS"
        )
    project = Transformer.from_crs(crs, WGS84, always_xy=True)
    degrees = shapely.transform(geometries, lambda points: np.column_stack(project.transform(*points.T)))
    if not np.isfinite(shapely.bounds(degrees)).all():
        raise BadInputError(
            f"{layer.name}: coordinates lie outside its CRS, {crs.name} ({layer.crs}): it states the wrong one, or "
            "its axes are swapped"
        )
    message = f"{layer.name}: transformed from {crs.name} ({_short(layer.crs)}) to WGS 84"
    return degrees, [Finding(severity="info", message=message)]


def _short(crs: str) -> str:
    return crs if len(crs) <= 40 else f"{crs[:37]}…"


def check_places(name: str, ids: Sequence[str], geometries: NDArray[Any], extent: Box | None) -> None:
    """Refuse what is not in degrees, has its axes swapped or crosses the antimeridian.

    Raises:
        BadInputError: Names the feature and the remedy.
    """
    for id_, (west, south, east, north) in zip(ids, shapely.bounds(geometries), strict=True):
        place = f"{name}: feature {id_} lies between {_point(west, south)} and {_point(east, north)}"
        x, y = max(abs(west), abs(east)), max(abs(south), abs(north))
        if y > 90 and x <= 90 and y <= 180:
            raise BadInputError(f"{place}: latitude stands before longitude; {SWAP}")
        if y > 90 or x > 360:
            raise BadInputError(f"{place}, which are not degrees, and the file states no CRS; reproject with {_SOURCE}")
        if x > 180 or east - west > 180:
            raise BadInputError(
                f"{place}: it crosses the antimeridian (180°), which an area must not; cut it there and run each side "
                "as an area of its own"
            )
    if extent is None:
        return
    imagery = shapely.box(*extent)
    if shapely.intersects(imagery, geometries).any():
        return
    swapped = shapely.transform(geometries, lambda points: points[:, ::-1])
    bounds = f"{_point(*extent[:2])} and {_point(*extent[2:])}"
    if shapely.intersects(imagery, swapped).any():
        raise BadInputError(
            f"{name}: latitude stands before longitude: only with its axes swapped does it lie in the imagery "
            f"(between {bounds}); {SWAP}"
        )
    west, south, east, north = shapely.total_bounds(geometries)
    raise BadInputError(
        f"{name}: {named(ids)} lies between {_point(west, south)} and {_point(east, north)}, outside the imagery, "
        f"which lies between {bounds} (longitude, latitude)"
    )


def _point(x: float, y: float) -> str:
    return f"({x:.6g}, {y:.6g})"
