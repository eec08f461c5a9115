"""Scenes as bytes: what the API answers is read here or is no data; what is kept is a cloud-optimised GeoTIFF."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.shutil import copy

from include.satellite.imagery.area import affine_of
from include.satellite.imagery.evalscript import CLASS_BANDS
from include.satellite.imagery.model import NODATA, SCALE, Grid

Scene = NDArray[np.uint16]
"""Digital numbers, (bands, height, width)."""
TILE = 512


class NotDataError(Exception):
    """What came is no scene; the message says why, for a person."""


def decode(content: bytes, grid: Grid, count: int, dtype: str) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Read a TIFF that should have a certain form.

    Args:
        content: The file.
        grid: Its size.
        count: Its bands.
        dtype: Its type, `uint8` or `uint16`.

    Returns:
        (bands, height, width).

    Raises:
        NotDataError: It cannot be read, or has another form.
    """
    if not content:
        raise NotDataError("it is empty (0 bytes), no readable GeoTIFF")
    # a scene without georeference is judged by its size alone; rasterio's warning of it would say nothing to anybody
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    try:
        with MemoryFile(content) as file, file.open(driver="GTiff") as dataset:
            found = (dataset.width, dataset.height, dataset.count, *set(dataset.dtypes))
            if found != (grid.width, grid.height, count, dtype):
                raise NotDataError(
                    f"it is {_form(*found)}, where {_form(grid.width, grid.height, count, dtype)} was asked for"
                )
            bounds = tuple(round(value, 3) for value in dataset.bounds)
            if dataset.crs is not None and (dataset.crs.to_string(), bounds) != (grid.crs, grid.bounds):
                raise NotDataError(
                    f"it lies at {bounds} of {dataset.crs}, where {grid.bounds} of {grid.crs} was asked for"
                )
            array: NDArray[np.uint16] | NDArray[np.uint8] = dataset.read()
            return array
    except (RasterioError, ValueError) as error:
        said = re.sub(r"'?/vsimem/[^\s:,']+'?", "it", str(error))[:200]
        raise NotDataError(f"its {len(content)} bytes are no readable GeoTIFF: {said}") from error


def encode(array: Scene, bands: Sequence[str], grid: Grid, tags: Mapping[str, str]) -> bytes:
    """A scene as a cloud-optimised GeoTIFF: scale, nodata, band names and CRS are in it; equal scenes, equal bytes."""
    profile = {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": len(bands),
        "dtype": "uint16",
        "crs": grid.crs,
        "transform": affine_of(grid),
        "nodata": NODATA,
    }
    with MemoryFile() as plain, MemoryFile(ext=".tif") as optimised:
        with plain.open(**profile) as dataset:
            dataset.write(array)
            dataset.descriptions = tuple(bands)
            dataset.scales = tuple(1.0 if band in CLASS_BANDS else SCALE for band in bands)
            dataset.update_tags(**tags)
        with plain.open() as dataset:
            copy(
                dataset,
                optimised.name,
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL=1,  # noise hardly shrinks further, and level 6 takes twice as long
                PREDICTOR="YES",
                BLOCKSIZE=TILE,
                OVERVIEW_RESAMPLING="NEAREST",  # a mean of classes is no class
                BIGTIFF="IF_SAFER",
            )
        return bytes(optimised.getbuffer())


def form_faults(dataset: DatasetReader, bands: Sequence[str], grid: Grid) -> list[str]:
    """What of a stored file is not as it was asked for: bands, size, georeference, nodata."""
    xmin, ymin, xmax, ymax = (round(value, 3) for value in dataset.bounds)
    said = {
        "bands": (list(dataset.descriptions), list(bands)),
        "size": ((dataset.width, dataset.height), (grid.width, grid.height)),
        "type": (set(dataset.dtypes), {"uint16"}),
        "CRS": (None if dataset.crs is None else dataset.crs.to_string(), grid.crs),
        "bounds": ((xmin, ymin, xmax, ymax), grid.bounds),
        "nodata": (dataset.nodata, NODATA),
    }
    return [f"{name} {found}, not {wanted}" for name, (found, wanted) in said.items() if found != wanted]


def read_scene(path: Path) -> Scene:
    """All bands of a stored file, (bands, height, width).

    Raises:
        NotDataError: It cannot be read.
    """
    import rasterio

    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            array: Scene = dataset.read()
            return array
    except RasterioError as error:
        raise NotDataError(f"{path.name} cannot be read: {str(error)[:200]}") from error


def data_mask(array: Scene) -> NDArray[np.bool_]:
    """Where a scene holds data: its first band is a reflectance, which is 0 only where there is none."""
    return np.asarray(array[0] != NODATA)


def _form(width: int, height: int, count: int, *dtype: str) -> str:
    return f"{width}×{height} pixels, {count} bands, {' and '.join(sorted(dtype))}"
