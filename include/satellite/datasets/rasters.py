"""People's own rasters, brought to the grid: the class raster and the crop mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.core.run_folder import SOURCE_FOLDER
from include.satellite.imagery.model import Grid


def class_raster(files: Path, name: str, grid: Grid) -> NDArray[np.uint8]:
    """The class raster on the grid, (H, W): class + 1, 0 for none; nearest neighbour.

    Raises:
        BadInputError: It cannot be read, holds other values than 0 to 4, or no class in the area.
    """
    values = _on_grid(files, name, grid)
    odd = np.setdiff1d(values, np.arange(5))
    if odd.size:
        raise BadInputError(f"{name}: a class raster holds 1 to 4, and 0 for none; found {odd[0]:g} in the area")
    if not values.any():
        raise BadInputError(f"{name}: no pixel of the area has a class; does the raster cover it?")
    return values.astype(np.uint8)


def crop_mask(files: Path, name: str, grid: Grid) -> NDArray[np.bool_]:
    """The crop mask on the grid, (H, W): true where the raster is not 0; nearest neighbour.

    Raises:
        BadInputError: It cannot be read, or holds no cropland in the area.
    """
    mask: NDArray[np.bool_] = _on_grid(files, name, grid) != 0
    if not mask.any():
        raise BadInputError(f"{name}: no pixel of the area is cropland; does the raster cover it?")
    return mask


def _on_grid(files: Path, name: str, grid: Grid) -> NDArray[np.float64]:
    """First band of `source/<name>` on the grid, 0 where it has no data."""
    import rasterio
    from rasterio import Affine
    from rasterio.errors import RasterioError
    from rasterio.warp import Resampling, reproject

    path = files / SOURCE_FOLDER / name
    target = np.zeros((grid.height, grid.width))
    try:
        with rasterio.open(path) as raster:
            if raster.crs is None:
                raise BadInputError(f"{name}: has no coordinate reference system, so nobody knows where it lies")
            values = raster.read(1, masked=True).filled(0).astype(np.float64)
            reproject(
                values,
                target,
                src_transform=raster.transform,
                src_crs=raster.crs,
                dst_transform=Affine(grid.resolution, 0, grid.bounds[0], 0, -grid.resolution, grid.bounds[3]),
                dst_crs=grid.crs,
                resampling=Resampling.nearest,
            )
    except RasterioError as error:
        raise BadInputError(f"{name}: cannot be read as a GeoTIFF: {error}") from error
    return target
