"""Vector files that GDAL reads: GeoPackage, shapefiles, KML."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely

from include.core.errors import BadInputError
from include.satellite.outlines.outline import READABLE, Feature, Layer


def read_with_gdal(path: str, name: str, layer: str | None) -> Layer:
    """Return the features of a layer.

    Args:
        path: As GDAL takes it: of a file, or below `/vsizip/`.
        name: Of the file, for messages.
        layer: Which layer, where the file has several.

    Raises:
        BadInputError: It cannot be read, has several layers and none was named, or states no CRS.
    """
    import pyogrio
    import pyogrio.errors
    import pyogrio.raw

    try:
        layers = [str(title) for title, kind in pyogrio.list_layers(path) if kind is not None]
        chosen = [title for title in layers if len(layers) == 1 or title == layer]
        if len(chosen) != 1 or layer not in (None, *chosen):
            raise layers_error(name, layers, layer)
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
        Feature(own_id, {field: _plain(column[row]) for field, column in zip(names, columns, strict=True)}, geometry)
        for row, (own_id, geometry) in enumerate(zip(own_ids, geometries, strict=True))
    ]
    return Layer(name, str(meta["crs"]), features)


def layers_error(name: str, layers: Iterable[str], layer: str | None) -> BadInputError:
    """Return the error of a file whose layer was not named, or is not there."""
    listed = ", ".join(layers) or "none"
    wanted = "has several layers" if layer is None else f"has no layer {layer!r}"
    return BadInputError(f"{name}: {wanted}; name one, as in {name}:LAYER. Its layers: {listed}")


def _plain(value: Any) -> Any:
    """Return a value of a column as plain Python; None where it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value
