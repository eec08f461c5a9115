"""Scenes: bands by name, masks and shares; how the API's answers are read and how the store's files are written."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader, MemoryFile

from include.satellite.imagery.area import affine_of
from include.satellite.imagery.schemas import Grid, Shares
from include.satellite.sensors.indices import Index
from include.satellite.sensors.sensor import NODATA, Sensor

Layers = NDArray[np.uint16]
"""Digital numbers, (bands, height, width)."""
Mask = NDArray[np.bool_]
Values = NDArray[np.float64]
TILE = 512


class NotDataError(Exception):
    """The answer or the file is not a scene; the message says why."""


@dataclass(frozen=True)
class Scene:
    """One date over an area.

    Args:
        sensor: The sensor that took it.
        bands: Names of its bands, in order.
        layers: (bands, height, width) uint16.
    """

    sensor: Sensor
    bands: Sequence[str]
    layers: Layers

    def band(self, name: str) -> Layers:
        """Return a band (height, width) by its name (`B04`, `SCL`) or its common name (`red`)."""
        position = self.bands.index(name if name in self.bands else self.sensor.name_of(name))
        return np.asarray(self.layers[position])

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Scene classification, (height, width)."""
        return self.band(self.sensor.classes.band).astype(np.uint8)

    @property
    def data(self) -> Mask:
        """Pixels with data: each reflectance has it there; at the edge of a swath, the bands end apart."""
        names = self.sensor.reflectances(self.bands)
        return np.asarray(np.logical_and.reduce([self.band(name) != NODATA for name in names]))

    @property
    def clear(self) -> Mask:
        """Pixels with data that the scene classification calls clear."""
        return np.asarray(self.sensor.classes.mask(self.classes, self.sensor.classes.clear) & self.data)

    @property
    def valid(self) -> Mask:
        """Pixels that may be learnt from: clear, and every index defined and within its range."""
        valid = self.clear
        right = [index.in_range(values) for index, values in self.indices(valid)]
        valid[valid] = np.logical_and.reduce(right)
        return valid

    def indices(self, pixels: Mask) -> list[tuple[Index, Values]]:
        """Return every index that the bands allow, over some pixels.

        Args:
            pixels: (height, width), N of them true.

        Returns:
            Each index with its values, (N,).
        """
        indices = self.sensor.indices_of(self.bands)
        names = {name for index in indices for name in index.bands}
        reflectance = {name: self.band(name)[pixels].astype(np.float64) * self.sensor.scale for name in names}
        return [(index, index.of(reflectance.__getitem__)) for index in indices]

    def shares(self, inside: Mask) -> Shares:
        """Return the shares of the scene over the area, whose pixels are `inside`."""
        return shares(self.sensor, self.classes, self.data, inside)


def shares(sensor: Sensor, classes: NDArray[np.uint8], data: Mask, inside: Mask) -> Shares:
    """Return how much of the area is clear, cloud, shadow, and without data; the latter counts as nothing else.

    Args:
        sensor: Groups its classes.
        classes: Scene classification, (height, width).
        data: Where there is data, same shape.
        inside: Which pixels belong to the area, same shape.
    """
    classes, has_data, groups = classes[inside], data[inside], sensor.classes
    return Shares(
        clear=percent(groups.mask(classes, groups.clear) & has_data, 3),
        cloud=percent(groups.mask(classes, groups.cloud) & has_data, 3),
        shadow=percent(groups.mask(classes, groups.shadow) & has_data, 3),
        nodata=percent(~has_data, 3),
    )


def percent(mask: Mask, digits: int = 4) -> float:
    """Return the share of a mask that is true, percent; 0 for an empty one."""
    return round(100 * float(mask.mean()), digits) if mask.size else 0.0


def decode(content: bytes, grid: Grid, count: int, dtype: str) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Read a TIFF that must have a certain form.

    Args:
        content: The file.
        grid: Its size.
        count: Its number of bands.
        dtype: Its type, `uint8` or `uint16`.

    Returns:
        (bands, height, width).

    Raises:
        NotDataError: It cannot be read, or has another form.
    """
    if not content:
        raise NotDataError("it is empty (0 bytes), no readable GeoTIFF")
    # a scene without georeference is judged by its size alone; rasterio's warning would tell users nothing
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    try:
        with MemoryFile(content) as file, file.open(driver="GTiff") as dataset:
            form = (dataset.width, dataset.height, dataset.count, *set(dataset.dtypes))
            if form != (grid.width, grid.height, count, dtype):
                raise NotDataError(
                    f"it is {_form(*form)}, where {_form(grid.width, grid.height, count, dtype)} was requested"
                )
            bounds = tuple(round(value, 3) for value in dataset.bounds)
            if dataset.crs is not None and (dataset.crs.to_string(), bounds) != (grid.crs, grid.bounds):
                raise NotDataError(
                    f"it lies at {bounds} of {dataset.crs}, where {grid.bounds} of {grid.crs} was requested"
                )
            array: NDArray[np.uint16] | NDArray[np.uint8] = dataset.read()
            return array
    except (RasterioError, ValueError) as error:
        reason = re.sub(r"'?/vsimem/[^\s:,']+'?", "it", str(error))[:200]
        raise NotDataError(f"its {len(content)} bytes are no readable GeoTIFF: {reason}") from error


def encode(scene: Scene, grid: Grid, tags: Mapping[str, str]) -> bytes:
    """Return a scene as a cloud-optimised GeoTIFF with scale, nodata, band names and CRS; equal scenes, equal bytes."""
    scales = {band: 1.0 if scene.sensor.is_class_band(band) else scene.sensor.scale for band in scene.bands}
    # noise hardly shrinks further than at level 1, and level 6 takes twice as long
    options = {"level": 1, "predictor": "YES", "bigtiff": "IF_SAFER"}
    return cloud_optimised(scene.layers, grid, scales, tags, nodata=NODATA, **options)


def cloud_optimised(
    layers: NDArray[Any], grid: Grid, scales: Mapping[str, float], tags: Mapping[str, str], **options: Any
) -> bytes:
    """Return layers as a cloud-optimised GeoTIFF.

    Args:
        layers: (bands, height, width).
        grid: Their pixels.
        scales: Scale of each band by its name, in the order of the layers.
        tags: Of the file.
        options: `nodata`, and options of GDAL's COG driver.
    """
    profile = {
        "driver": "COG",
        "width": grid.width,
        "height": grid.height,
        "count": len(layers),
        "dtype": layers.dtype,
        "crs": grid.crs,
        "transform": affine_of(grid),
        "compress": "DEFLATE",
        "blocksize": TILE,
        "overview_resampling": "NEAREST",  # the mean of two classes is not a class
    }
    with MemoryFile(ext=".tif") as file:
        with file.open(**profile, **options) as dataset:
            dataset.write(layers)
            dataset.descriptions, dataset.scales = tuple(scales), tuple(scales.values())
            dataset.update_tags(**tags)
        return bytes(file.getbuffer())


def differences(stated: Path, expected: bytes) -> list[str]:
    """Return in what a raster differs from another one: whatever a reader of it could show or state.

    Args:
        stated: A GeoTIFF.
        expected: What it should be, a GeoTIFF too, however its bytes are packed.
    """
    with rasterio.open(stated) as one, MemoryFile(expected) as file, file.open() as other:
        stated_facts, facts = _facts(one), _facts(other)
        differing = [name for name, fact in facts.items() if stated_facts[name] != fact]
        levels = range(len(other.overviews(1)))
    if differing:
        return differing
    for level in (None, *levels):
        options = {} if level is None else {"overview_level": level}
        with rasterio.open(stated, **options) as one, MemoryFile(expected) as file, file.open(**options) as other:
            for name, read in {"pixels": "read", "masks": "read_masks"}.items():
                if not np.array_equal(getattr(one, read)(), getattr(other, read)()):
                    return [name if level is None else f"{name} of overview {level + 1}"]
    return []


def _facts(dataset: DatasetReader) -> dict[str, Any]:
    bands = dataset.indexes
    return {
        "size": (dataset.width, dataset.height, dataset.dtypes),
        "place": (dataset.crs, dataset.transform, dataset.gcps[0], dataset.rpcs),
        "bands": (dataset.descriptions, dataset.scales, dataset.offsets, dataset.units, dataset.colorinterp),
        "tags": [dataset.tags(), *(dataset.tags(band) for band in bands)],
        "nodata": dataset.nodatavals,
        "masks": dataset.mask_flag_enums,
        "overviews": [dataset.overviews(band) for band in bands],
        "images": dataset.subdatasets,
    }


def form_faults(
    dataset: DatasetReader, bands: Sequence[str], grid: Grid, dtype: str = "uint16", nodata: int = NODATA
) -> list[str]:
    """Return what of a raster is not as requested: bands, size, type, georeference, nodata."""
    xmin, ymin, xmax, ymax = (round(value, 3) for value in dataset.bounds)
    properties = {
        "bands": (list(dataset.descriptions), list(bands)),
        "size": ((dataset.width, dataset.height), (grid.width, grid.height)),
        "type": (set(dataset.dtypes), {dtype}),
        "CRS": (None if dataset.crs is None else dataset.crs.to_string(), grid.crs),
        "bounds": ((xmin, ymin, xmax, ymax), grid.bounds),
        "nodata": (dataset.nodata, nodata),
    }
    return [f"{name} {actual}, not {expected}" for name, (actual, expected) in properties.items() if actual != expected]


@contextmanager
def open_scene(path: Path) -> Iterator[DatasetReader]:
    """Open a stored file.

    Raises:
        NotDataError: It cannot be opened, or not be read in the block.
    """
    try:
        with rasterio.open(path, driver="GTiff") as dataset:
            yield dataset
    except RasterioError as error:
        raise NotDataError(f"{path.name} cannot be read: {str(error)[:200]}") from error


def read_layers(path: Path) -> Layers:
    """Return all bands of a stored file, (bands, height, width).

    Raises:
        NotDataError: It cannot be read.
    """
    with open_scene(path) as dataset:
        return np.asarray(dataset.read())


def _form(width: int, height: int, count: int, *dtype: str) -> str:
    return f"{width}×{height} pixels, {count} bands, {' and '.join(sorted(dtype))}"
