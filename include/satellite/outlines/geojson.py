"""GeoJSON: a document, a text sequence (RFC 8142) or newline-delimited; with a byte order mark or a member `crs`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from include.core.errors import BadInputError
from include.satellite.outlines.outline import TO_WGS84, Feature, Layer

COLLECTION, FEATURE = "FeatureCollection", "Feature"
_GEOMETRIES = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
)  # fmt: skip


def read_json(content: bytes, name: str) -> Layer:
    """Return the features of a GeoJSON file.

    Args:
        content: UTF-8, with or without a byte order mark.
        name: Of the file, for messages.

    Raises:
        BadInputError: It is not UTF-8, not JSON or not GeoJSON: names the line or record.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{name}: is not UTF-8 text, as GeoJSON must be: {error}") from error
    try:
        return layer_of([(name, json.loads(text))], name)
    except ValueError as error:
        separated = "\x1e" in text
        parts = text.split("\x1e") if separated else text.splitlines()
        records = [(number, part) for number, part in enumerate(parts, 0 if separated else 1) if part.strip()]
        if len(records) < 2 or not (separated or _is_json(records[0][1])):
            raise BadInputError(f"{name}: cannot be read as JSON: {error}") from error
    documents = []
    for number, record in records:
        place = f"{name}, {'record' if separated else 'line'} {number}"
        try:
            documents.append((place, json.loads(record)))
        except ValueError as error:
            raise BadInputError(f"{place}: cannot be read as JSON: {error}") from error
    return layer_of(documents, name)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def layer_of(documents: Sequence[tuple[str, Any]], name: str) -> Layer:
    """Return the features of GeoJSON documents, each with the place that messages name."""
    features: list[Feature] = []
    systems: set[str] = set()
    for place, document in documents:
        kind = document.get("type") if isinstance(document, dict) else None
        if kind not in (COLLECTION, FEATURE, *_GEOMETRIES):
            raise BadInputError(
                f"{place}: is not GeoJSON: its type is {kind!r}, not {COLLECTION}, {FEATURE} or a geometry"
            )
        parts = document.get("features") if kind == COLLECTION else [document]
        if not isinstance(parts, list):
            raise BadInputError(f"{place}: the {COLLECTION} has no list `features`")
        for part in (document, *parts):
            if isinstance(part, dict) and part.get("crs") is not None:
                systems.add(_crs_name(part["crs"], place))
        features += [_feature(part, f"{place}: feature {len(features) + n}") for n, part in enumerate(parts, 1)]
    if len(systems) > 1:
        raise BadInputError(f"{name}: states several CRS ({', '.join(sorted(systems))}); reproject with {TO_WGS84}")
    return Layer(name, systems.pop() if systems else "OGC:CRS84", features)


def _crs_name(member: Any, place: str) -> str:
    name = member.get("properties", {}).get("name") if isinstance(member, dict) else None
    if not isinstance(name, str):
        raise BadInputError(f"{place}: its member `crs` names no CRS; reproject with {TO_WGS84}")
    return name


def _feature(part: Any, place: str) -> Feature:
    is_feature = isinstance(part, dict) and part.get("type") == FEATURE
    geometry = part.get("geometry") if is_feature else part
    properties = (part.get("properties") or {}) if is_feature else {}
    own_id = part.get("id") if is_feature else None
    named = place if own_id is None else f"{place} (id {own_id!r})"
    if geometry is None:
        return Feature(own_id, properties, None)
    try:
        with np.errstate(invalid="ignore"):  # NaN is found, and named, with the other coordinates
            return Feature(own_id, properties, shape(geometry))
    except (shapely.errors.ShapelyError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BadInputError(f"{named}: its geometry cannot be read as GeoJSON: {error}") from error
