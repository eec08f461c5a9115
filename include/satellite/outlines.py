"""Outlines of areas and fields, read from vector files: GeoJSON, GeoPackage, shapefiles and KML, in any CRS.

An outline is a valid polygon in WGS 84, longitude first, with the id and the properties of its feature. What was done
to a file to get there (a feature skipped, a ring repaired, coordinates transformed) is a finding for the report. What
cannot be read without guessing is refused, by the feature's id.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely import MultiPolygon, Polygon
from shapely.geometry import mapping, shape

from include.core.errors import BadInputError
from include.core.outcome import Finding

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""
WGS84 = CRS.from_epsg(4326)
READABLE = "GeoJSON (also newline-delimited), GeoPackage, a shapefile (also zipped), KML or KMZ"
_COLLECTION, _FEATURE = "FeatureCollection", "Feature"
_GEOMETRIES = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
)  # fmt: skip
_IN_ARCHIVES = (".shp", ".gpkg", ".geojson", ".json", ".kml", ".fgb")
_TO_WGS84 = "ogr2ogr -t_srs EPSG:4326 wgs84.geojson FILE"
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


class _Feature(NamedTuple):
    id: Any
    properties: Mapping[str, Any]
    geometry: Any


class _Layer(NamedTuple):
    """The features of a layer as the file has them, and the text of its CRS."""

    name: str
    crs: str
    features: list[_Feature]


def read_outlines(
    path: Path, *, layer: str | None = None, id_field: str | None = None, extent: Box | None = None
) -> Outlines:
    """Return the outlines of a vector file.

    Args:
        path: GeoJSON (a document, a text sequence or newline-delimited), GeoPackage, shapefile, KML, or a ZIP of one.
        layer: Which layer, where the file has several.
        id_field: The property that holds the ids, unique and filled. Default: `id` where it is unique and filled,
            else the feature's own id, else its number from 1.
        extent: Bounds of the imagery, where they are known: they tell whether latitude and longitude are swapped.

    Raises:
        BadInputError: The file cannot be read, or its outlines cannot be taken without guessing: names the feature.
    """
    return _outlines(_read(path, layer), id_field, extent)


def outlines_of(document: Mapping[str, Any], *, name: str = "geojson", extent: Box | None = None) -> Outlines:
    """Return the outlines of a GeoJSON document; a member `crs` is heeded.

    Args:
        document: A FeatureCollection, a Feature or a geometry. Its own member `name` is used in messages.
        name: What messages call it otherwise.
        extent: As for `read_outlines`.

    Raises:
        BadInputError: It is not GeoJSON, or its outlines cannot be taken without guessing.
    """
    return _outlines(_layer_of([(name, document)], str(document.get("name") or name)), None, extent)


def read_document(path: Path, *, layer: str | None = None) -> dict[str, Any]:
    """Return the outlines of a vector file as a GeoJSON document, with what `outlines_of` needs for the same findings.

    Geometries and CRS (in a member `crs`) are as the file has them; properties other than ids are left out.

    Raises:
        BadInputError: As `read_outlines`.
    """
    source = _read(path, layer)
    _outlines(source, None, None)
    features = [
        {
            "type": _FEATURE,
            "id": _id_text(feature.id) or None,
            "properties": {key: _id_text(value) for key, value in feature.properties.items() if key.lower() == "id"},
            "geometry": None if _missing(feature.geometry) else mapping(feature.geometry),
        }
        for feature in source.features
    ]
    crs = {"type": "name", "properties": {"name": source.crs}}
    # as JSON has it: lists, not tuples
    document: dict[str, Any] = json.loads(
        json.dumps({"type": _COLLECTION, "name": source.name, "crs": crs, "features": features})
    )
    return document


def _read(path: Path, layer: str | None) -> _Layer:
    if not path.exists():
        raise BadInputError(f"{path}: no such file")
    try:
        if path.is_file() and zipfile.is_zipfile(path):
            return _read_archive(path, layer)
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(64)
            if not start:
                raise BadInputError(f"{path}: is empty (0 bytes)")
            if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[", b"\x1e"):
                return _read_json(path.read_bytes(), path.name)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path}: cannot be read: {error}") from error
    return _read_with_gdal(str(path), path.name, layer)


def _read_archive(path: Path, layer: str | None) -> _Layer:
    with zipfile.ZipFile(path) as archive:
        members = [
            name
            for name in archive.namelist()
            if name.lower().endswith(_IN_ARCHIVES) and not name.startswith("__MACOSX/")
        ]
        chosen = [name for name in members if len(members) == 1 or layer == Path(name).stem]
        if not members:
            raise BadInputError(f"{path}: holds no vector file ({', '.join(_IN_ARCHIVES)})")
        if len(chosen) != 1:
            raise _layers_error(path.name, [Path(name).stem for name in members], layer)
        if chosen[0].lower().endswith((".geojson", ".json")):
            return _read_json(archive.read(chosen[0]), path.name)
    return _read_with_gdal(f"/vsizip/{path.resolve()}/{chosen[0]}", path.name, layer if len(members) == 1 else None)


def _read_json(content: bytes, name: str) -> _Layer:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{name}: is not UTF-8 text, as GeoJSON must be: {error}") from error
    try:
        return _layer_of([(name, json.loads(text))], name)
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
    return _layer_of(documents, name)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _layer_of(documents: Sequence[tuple[str, Any]], name: str) -> _Layer:
    """Return the features of GeoJSON documents, each with the place that messages name."""
    features: list[_Feature] = []
    systems: set[str] = set()
    for place, document in documents:
        kind = document.get("type") if isinstance(document, dict) else None
        if kind not in (_COLLECTION, _FEATURE, *_GEOMETRIES):
            raise BadInputError(
                f"{place}: is not GeoJSON: its type is {kind!r}, not {_COLLECTION}, {_FEATURE} or a geometry"
            )
        parts = document.get("features") if kind == _COLLECTION else [document]
        if not isinstance(parts, list):
            raise BadInputError(f"{place}: the {_COLLECTION} has no list `features`")
        for part in (document, *parts):
            if isinstance(part, dict) and part.get("crs") is not None:
                systems.add(_crs_name(part["crs"], place))
        features += [_feature(part, f"{place}: feature {len(features) + n}") for n, part in enumerate(parts, 1)]
    if len(systems) > 1:
        raise BadInputError(f"{name}: states several CRS ({', '.join(sorted(systems))}); reproject with {_TO_WGS84}")
    return _Layer(name, systems.pop() if systems else "OGC:CRS84", features)


def _crs_name(member: Any, place: str) -> str:
    name = member.get("properties", {}).get("name") if isinstance(member, dict) else None
    if not isinstance(name, str):
        raise BadInputError(f"{place}: its member `crs` names no CRS; reproject with {_TO_WGS84}")
    return name


def _feature(part: Any, place: str) -> _Feature:
    is_feature = isinstance(part, dict) and part.get("type") == _FEATURE
    geometry = part.get("geometry") if is_feature else part
    properties = (part.get("properties") or {}) if is_feature else {}
    own_id = part.get("id") if is_feature else None
    named = place if own_id is None else f"{place} (id {own_id!r})"
    if geometry is None:
        return _Feature(own_id, properties, None)
    try:
        with np.errstate(invalid="ignore"):  # NaN is found, and named, with the other coordinates
            return _Feature(own_id, properties, shape(geometry))
    except (shapely.errors.ShapelyError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BadInputError(f"{named}: its geometry cannot be read as GeoJSON: {error}") from error


def _read_with_gdal(path: str, name: str, layer: str | None) -> _Layer:
    import pyogrio
    import pyogrio.errors
    import pyogrio.raw

    try:
        layers = [str(title) for title, kind in pyogrio.list_layers(path) if kind is not None]
        chosen = [title for title in layers if len(layers) == 1 or title == layer]
        if len(chosen) != 1 or layer not in (None, *chosen):
            raise _layers_error(name, layers, layer)
        meta, fids, shapes, columns = pyogrio.raw.read(
            path, layer=chosen[0], force_2d=True, return_fids=True, datetime_as_string=True
        )
        geometries = shapely.from_wkb(shapes)
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{name}: its attributes are not in the encoding that it states; a shapefile states it in a .cpg file"
        ) from error
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise BadInputError(f"{name}: cannot be read as a vector file: {error}; readable are {READABLE}") from error
    except (shapely.errors.ShapelyError, pyogrio.errors.GeometryError) as error:
        raise BadInputError(
            f"{name}: a geometry cannot be read: {error}; curves become lines with "
            "ogr2ogr -nlt CONVERT_TO_LINEAR lines.gpkg FILE"
        ) from error
    if not meta["crs"]:
        raise BadInputError(
            f"{name}: states no CRS (a shapefile states it in a .prj file); add it with "
            "ogr2ogr -a_srs EPSG:CODE with_crs.gpkg FILE"
        )
    names = [str(field) for field in meta["fields"]]
    own_ids = fids if str(name).lower().endswith(".gpkg") else [None] * len(fids)
    features = [
        _Feature(own_id, {field: _plain(column[row]) for field, column in zip(names, columns, strict=True)}, geometry)
        for row, (own_id, geometry) in enumerate(zip(own_ids, geometries, strict=True))
    ]
    return _Layer(name, str(meta["crs"]), features)


def _layers_error(name: str, layers: Iterable[str], layer: str | None) -> BadInputError:
    listed = ", ".join(layers) or "none"
    wanted = "has several layers" if layer is None else f"has no layer {layer!r}"
    return BadInputError(f"{name}: {wanted}; name one, as in {name}:LAYER. Its layers: {listed}")


def _plain(value: Any) -> Any:
    """Return a value of a column as plain Python; None where it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _missing(geometry: Any) -> bool:
    return geometry is None or geometry.is_empty


def _outlines(layer: _Layer, id_field: str | None, extent: Box | None) -> Outlines:
    ids, findings = _ids(layer, id_field)
    missing = [id_ for id_, feature in zip(ids, layer.features, strict=True) if _missing(feature.geometry)]
    if missing:
        findings.append(_warning(f"{layer.name}: {named(missing)} skipped: without a geometry"))
    kept = [(id_, feature) for id_, feature in zip(ids, layer.features, strict=True) if not _missing(feature.geometry)]
    if not kept:
        raise BadInputError(f"{layer.name}: holds no polygon: {len(layer.features)} features, none with a geometry")
    names = [id_ for id_, _ in kept]
    geometries = _polygons(layer.name, names, [feature.geometry for _, feature in kept])
    geometries, repairs = _repaired(layer.name, names, geometries)
    geometries, transformed = _in_wgs84(layer, geometries)
    _check_places(layer.name, names, geometries, extent)
    outlines = (
        Outline(id_, geometry, feature.properties) for (id_, feature), geometry in zip(kept, geometries, strict=True)
    )
    return Outlines(tuple(outlines), (*findings, *repairs, *transformed))


def _ids(layer: _Layer, id_field: str | None) -> tuple[list[str], list[Finding]]:
    """Return an id for each feature, unique, and the file's own where it has any; and what is wrong with its own."""
    if id_field is not None:
        fields = sorted({field for feature in layer.features for field in feature.properties})
        if id_field not in fields:
            raise BadInputError(
                f"{layer.name}: no feature has a property {id_field!r}; they have: {', '.join(fields) or 'none'}"
            )
        ids = [_id_text(feature.properties.get(id_field)) for feature in layer.features]
        empty = [str(number) for number, id_ in enumerate(ids, 1) if not id_]
        if empty:
            raise BadInputError(f"{layer.name}: {id_field!r} is empty for: {named(empty)} (numbered from 1)")
        repeated = [id_ for id_, count in Counter(ids).items() if count > 1]
        if repeated:
            raise BadInputError(f"{layer.name}: {id_field!r} must be unique; it is repeated for: {named(repeated)}")
        return ids, []
    stated = [{key.lower(): value for key, value in feature.properties.items()}.get("id") for feature in layer.features]
    for values in (stated, [feature.id for feature in layer.features]):
        ids = [
            _id_text(value) or str(number) * _missing(feature.geometry)
            for number, (value, feature) in enumerate(zip(values, layer.features, strict=True), 1)
        ]
        if all(ids) and len(set(ids)) == len(ids):
            return ids, []
    has_some = any(value is not None for value in stated) or any(feature.id is not None for feature in layer.features)
    message = f"{layer.name}: ids are missing or occur twice, so features are numbered from 1 in the order of the file"
    numbers = [str(number) for number in range(1, len(layer.features) + 1)]
    return numbers, [_warning(message)] if has_some else []


def _id_text(value: Any) -> str:
    """Return an id as text: 12 for 12.0, which is how a column with empty cells holds whole numbers."""
    if value is None or value == "":
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def named(ids: Sequence[str]) -> str:
    """Return the first ids of features in words: `features 7, 8 and 12 more`."""
    listed = ", ".join(ids[:_NAMED_AT_MOST])
    more = f" and {len(ids) - _NAMED_AT_MOST} more" if len(ids) > _NAMED_AT_MOST else ""
    return f"feature{'s' if len(ids) > 1 else ''} {listed}{more}"


def _polygons(name: str, ids: Sequence[str], geometries: Sequence[Any]) -> NDArray[Any]:
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


def _repaired(name: str, ids: Sequence[str], geometries: NDArray[Any]) -> tuple[NDArray[Any], list[Finding]]:
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
        repairs.append(_warning(f"{name}: feature {ids[position]} was repaired ({reason}): check its shape"))
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


def _in_wgs84(layer: _Layer, geometries: NDArray[Any]) -> tuple[NDArray[Any], list[Finding]]:
    try:
        crs = CRS.from_user_input(layer.crs)
    except CRSError as error:
        raise BadInputError(f"{layer.name}: its CRS {layer.crs!r} is not known; reproject with {_TO_WGS84}") from error
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


def _warning(message: str) -> Finding:
    return Finding(severity="warning", message=message)


def _short(crs: str) -> str:
    return crs if len(crs) <= 40 else f"{crs[:37]}…"


def _check_places(name: str, ids: Sequence[str], geometries: NDArray[Any], extent: Box | None) -> None:
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


SWAP = (
    'swap them with ogr2ogr -dialect SQLite -sql "SELECT ST_SwapCoordinates(geometry) AS geometry, * FROM LAYER" '
    "swapped.geojson FILE"
)
_SOURCE = "ogr2ogr -s_srs EPSG:CODE -t_srs EPSG:4326 wgs84.geojson FILE"


def _point(x: float, y: float) -> str:
    return f"({x:.6g}, {y:.6g})"
