"""Vector files with one or two fields, and what was read of them."""

import json

import numpy as np
import pyogrio.raw
import shapely
from pyproj import Transformer
from shapely.geometry import box, mapping

FIELD = box(4.40, 50.70, 4.41, 50.71)
OTHER = box(4.42, 50.70, 4.43, 50.71)
TO_UTM = Transformer.from_crs("EPSG:4326", "EPSG:32631", always_xy=True)
IN_UTM = shapely.transform(FIELD, lambda points: np.column_stack(TO_UTM.transform(*points.T)))


def feature(geometry, **members):
    return {"type": "Feature", "properties": {}, "geometry": geometry and mapping(geometry), **members}


def collection(*features, **members):
    return {"type": "FeatureCollection", "features": list(features), **members}


def crs(name):
    return {"type": "name", "properties": {"name": name}}


def swapped(geometry):
    return shapely.transform(geometry, lambda points: points[:, ::-1])


def written(path, document, encoding="utf-8"):
    path.write_text(json.dumps(document), encoding=encoding)
    return path


def write(path, geometries, *, crs="EPSG:4326", layer=None, **columns):
    """A vector file of another format, as GDAL writes it."""
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(geometries, dtype=object)), [np.array(values) for values in columns.values()],
        list(columns), layer=layer, crs=crs, geometry_type=geometries[0].geom_type, append=layer is not None,
        driver="KML" if path.suffix == ".kml" else None,
    )  # fmt: skip
    return path


def messages(outlines):
    return [finding.message for finding in outlines.findings]
