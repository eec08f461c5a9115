"""Where a raster of a folder lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from include.standins.sentinel_hub.scenes import WGS84, Box

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


def degrees_of(file: DatasetReader, name: str) -> Box:
    """Return west, south, east and north of a raster, degrees.

    Args:
        file: An open raster.
        name: For messages.

    Raises:
        ValueError: It has no CRS or no geotransform, or they do not go together.
    """
    from rasterio.warp import transform_bounds

    if file.crs is None or not (file.crs.is_geographic or file.crs.is_projected):
        raise ValueError(f"{name}: has no CRS; state it with gdal_edit.py -a_srs EPSG:CODE FILE")
    transform = file.transform
    if transform.is_identity or not np.isfinite(transform).all() or transform.determinant == 0:
        raise ValueError(
            f"{name}: has no geotransform, so that nothing says where it lies; make it again from a file that has one"
        )
    west, south, east, north = transform_bounds(file.crs, WGS84, *file.bounds)
    if not (np.isfinite([west, south, east, north]).all() and -90 <= south <= north <= 90):
        raise ValueError(f"{name}: its coordinates {tuple(file.bounds)} do not exist in its CRS, {file.crs}")
    return west, south, east, north
