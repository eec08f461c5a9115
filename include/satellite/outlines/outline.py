"""What a vector file holds, and the outlines that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import shapely
from shapely import MultiPolygon, Polygon

from include.core.outcome import Finding

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""
READABLE = "GeoJSON (also newline-delimited), GeoPackage, a shapefile (also zipped), KML or KMZ"
TO_WGS84 = "ogr2ogr -t_srs EPSG:4326 wgs84.geojson FILE"
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Outline:
    """The outline of a field or an area.

    Args:
        id: Unique among the outlines of a file.
        geometry: Valid, not empty; WGS 84, longitude first; holes are kept.
        properties: Of the feature, as the file has them (dates as ISO 8601).
    """

    id: str
    geometry: Polygon | MultiPolygon
    properties: Mapping[str, Any]


@dataclass(frozen=True)
class Outlines:
    """The outlines of a file, in its order.

    Args:
        outlines: At least one.
        findings: What was skipped, repaired or transformed, for the report.
    """

    outlines: tuple[Outline, ...]
    findings: tuple[Finding, ...]

    @property
    def bounds(self) -> Box:
        """Bounds of all outlines."""
        west, south, east, north = shapely.total_bounds([outline.geometry for outline in self.outlines])
        return float(west), float(south), float(east), float(north)


class Feature(NamedTuple):
    """A feature as the file has it; its geometry is None where it has none."""

    id: Any
    properties: Mapping[str, Any]
    geometry: Any


class Layer(NamedTuple):
    """The features of a layer as the file has them, and the text of its CRS."""

    name: str
    crs: str
    features: list[Feature]


def is_missing(geometry: Any) -> bool:
    """Return whether a feature has no geometry, or an empty one."""
    return geometry is None or geometry.is_empty


def named(ids: Sequence[str]) -> str:
    """Return the first ids of features in words: `features 7, 8 and 12 more`."""
    listed = ", ".join(ids[:_NAMED_AT_MOST])
    more = f" and {len(ids) - _NAMED_AT_MOST} more" if len(ids) > _NAMED_AT_MOST else ""
    return f"feature{'s' if len(ids) > 1 else ''} {listed}{more}"


def warning(message: str) -> Finding:
    """Return a finding that the user should check."""
    return Finding(severity="warning", message=message)
