"""Outlines of areas and fields, read from vector files: GeoJSON, GeoPackage, shapefiles and KML, in any CRS.

An outline is a valid polygon in WGS 84, longitude first, with the id and the properties of its feature. What was done
to a file to get there (a feature skipped, a ring repaired, coordinates transformed) is a finding for the report. What
cannot be read without guessing is refused, by the feature's id.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shapely.geometry import mapping

from include.core.errors import BadInputError
from include.satellite.outlines.geojson import COLLECTION, FEATURE, layer_of, read_json
from include.satellite.outlines.geometries import check_places, in_wgs84, polygons_of, repaired
from include.satellite.outlines.identifiers import id_text, ids_of
from include.satellite.outlines.outline import Box, Layer, Outline, Outlines, is_missing, named, warning
from include.satellite.outlines.vector_files import layers_error, read_with_gdal

_IN_ARCHIVES = (".shp", ".gpkg", ".geojson", ".json", ".kml", ".fgb")


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
    return _outlines(layer_of([(name, document)], str(document.get("name") or name)), None, extent)


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
            "type": FEATURE,
            "id": id_text(feature.id) or None,
            "properties": {key: id_text(value) for key, value in feature.properties.items() if key.lower() == "id"},
            "geometry": None if is_missing(feature.geometry) else mapping(feature.geometry),
        }
        for feature in source.features
    ]
    crs = {"type": "name", "properties": {"name": source.crs}}
    # as JSON has it: lists, not tuples
    document: dict[str, Any] = json.loads(
        json.dumps({"type": COLLECTION, "name": source.name, "crs": crs, "features": features})
    )
    return document


def _outlines(layer: Layer, id_field: str | None, extent: Box | None) -> Outlines:
    ids, findings = ids_of(layer, id_field)
    missing = [id_ for id_, feature in zip(ids, layer.features, strict=True) if is_missing(feature.geometry)]
    if missing:
        findings.append(warning(f"{layer.name}: {named(missing)} skipped: without a geometry"))
    kept = [
        (id_, feature) for id_, feature in zip(ids, layer.features, strict=True) if not is_missing(feature.geometry)
    ]
    if not kept:
        raise BadInputError(f"{layer.name}: holds no polygon: {len(layer.features)} features, none with a geometry")
    names = [id_ for id_, _ in kept]
    geometries = polygons_of(layer.name, names, [feature.geometry for _, feature in kept])
    geometries, repairs = repaired(layer.name, names, geometries)
    geometries, transformed = in_wgs84(layer, geometries)
    check_places(layer.name, names, geometries, extent)
    outlines = (
        Outline(id_, geometry, feature.properties) for (id_, feature), geometry in zip(kept, geometries, strict=True)
    )
    return Outlines(tuple(outlines), (*findings, *repairs, *transformed))


def _read(path: Path, layer: str | None) -> Layer:
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
                return read_json(path.read_bytes(), path.name)
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path}: cannot be read: {error}") from error
    return read_with_gdal(str(path), path.name, layer)


def _read_archive(path: Path, layer: str | None) -> Layer:
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
            raise layers_error(path.name, [Path(name).stem for name in members], layer)
        if chosen[0].lower().endswith((".geojson", ".json")):
            return read_json(archive.read(chosen[0]), path.name)
    return read_with_gdal(f"/vsizip/{path.resolve()}/{chosen[0]}", path.name, layer if len(members) == 1 else None)
