"""The Process API: products over the asked pixels, mosaicked, through the script, as TIFF or TAR."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.errors import ApiError
from include.standins.sentinel_hub.grid import Grid
from include.standins.sentinel_hub.request import ProcessRequest, script_failed
from include.standins.sentinel_hub.scenes import DATA_MASK, REFERENCE, SCL, Box, Product, Scenes, UnknownBandError
from include.standins.sentinel_hub.script_parser import ScriptError

OFFSET, OFFSET_SINCE = 1000, (2022, 1, 25)
"""Digital numbers of products since then (processing baseline 04.00) are 1000 higher, unless harmonised."""
SCALE = np.float32(1e-4)
Files = dict[str, bytes]


def process(request: ProcessRequest, scenes: Scenes) -> Files:
    """The answer's files, by output identifier.

    Raises:
        ApiError: 400: a band does not exist, or the script fails.
    """
    samples = _samples(request, scenes)
    try:
        written = request.script.evaluate(samples)
    except ScriptError as error:
        raise script_failed(error) from error
    return {name: tiff(written[name], request.grid) for name in request.identifiers}


def packed(files: Files) -> tuple[bytes, str]:
    """Body and content type: one file as it is, several as TAR."""
    if len(files) == 1:
        return next(iter(files.values())), "image/tiff"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{name}.tif")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue(), "application/tar"


def tiff(bands: NDArray[Any], grid: Grid) -> bytes:
    """A georeferenced GeoTIFF of an array (bands, height, width)."""
    from rasterio.io import MemoryFile

    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=bands.shape[0],
            height=grid.height,
            width=grid.width,
            dtype=bands.dtype,
            crs=f"EPSG:{grid.crs}",
            transform=grid.transform,
        ) as file:
            file.write(bands)
        return bytes(memory.read())


def _samples(request: ProcessRequest, scenes: Scenes) -> dict[str, NDArray[Any]]:
    """By input band, float32 of shape (height, width): the first product, in the asked order, that has data there."""
    grid, shape = request.grid, (request.grid.height, request.grid.width)
    bands = [band for band in request.script.bands if band != DATA_MASK]
    filled = {band: np.zeros(shape, np.float32) for band in bands}
    mask, wanted = np.zeros(shape, bool), _wanted(request)
    for product in _ordered(request, scenes):
        try:
            layers = scenes.read(product, grid, bands, request.resampling)
        except UnknownBandError as error:
            raise _no_band(str(error), product) from error
        new = layers.mask & wanted & ~mask
        for band, values in filled.items():
            np.copyto(values, _as_asked(request, product, band, layers.values[band]), where=new)
        mask |= new
        if mask[wanted].all():
            break
    return {**filled, DATA_MASK: mask.astype(np.float32)}


def _as_asked(request: ProcessRequest, product: Product, band: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Reflectance or digital numbers; classes are numbers in either."""
    numbers = values.astype(np.float32)
    if band in (SCL, REFERENCE):
        return numbers
    if request.script.units == "REFLECTANCE":
        return np.asarray(numbers * SCALE, np.float32)
    late = product.datetime.timetuple()[:3] >= OFFSET_SINCE
    return numbers + np.float32(OFFSET) if late and not request.harmonize else numbers


def _ordered(request: ProcessRequest, scenes: Scenes) -> list[Product]:
    found = [
        product
        for product in scenes.products(request.start, request.end, degrees(request.grid))
        if product.cloud is None or product.cloud <= request.most_cloud
    ]
    found.sort(key=lambda product: (product.datetime, product.id), reverse=request.order != "leastRecent")
    if request.order == "leastCC":
        found.sort(key=lambda product: 100.0 if product.cloud is None else product.cloud)
    return found


def degrees(grid: Grid) -> Box:
    """West, south, east, north of a grid."""
    from pyproj import Transformer

    west, south, east, north = Transformer.from_crs(grid.crs, 4326, always_xy=True).transform_bounds(*grid.bounds)
    return west, south, east, north


def _wanted(request: ProcessRequest) -> NDArray[np.bool_]:
    """Pixels within the asked geometry."""
    grid = request.grid
    if request.geometry is None:
        return np.ones((grid.height, grid.width), bool)
    from rasterio.features import geometry_mask

    inside = geometry_mask([request.geometry], (grid.height, grid.width), grid.transform, invert=True)
    return np.asarray(inside, bool)


def _no_band(band: str, product: Product) -> ApiError:
    return ApiError(
        400,
        f"Requested band '{band}' is not present in Sentinel 2 tile '{product.id}' returned by criteria specified in "
        "`dataFilter` parameter.",
        "RENDERER_S2_MISSING_BAND",
    )
