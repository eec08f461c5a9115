"""The Process API: the products of a request over its pixels, mosaicked, through the script, as TIFF or TAR."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pyproj import CRS
from pyproj.exceptions import CRSError
from shapely.geometry import shape

from include.standins.sentinel_hub.errors import ApiError, bad_payload, first_problem
from include.standins.sentinel_hub.evalscript import Evalscript
from include.standins.sentinel_hub.scenes import CLASS_BANDS, DATA_MASK, WGS84, Box, Grid, Product, Scenes

LARGEST = 2500
OFFSET, OFFSET_SINCE = 1000, datetime(2022, 1, 25, tzinfo=UTC)
"""Digital numbers of products since then (processing baseline 04.00) are 1000 higher, unless harmonised."""
SCALE = np.float32(1e-4)
TIFF = "image/tiff"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)
Resampling = Literal["NEAREST", "BILINEAR", "BICUBIC"]


def read_crs(uri: str | None) -> int:
    """Return the EPSG code of a CRS's URI; WGS 84 (longitude first) if there is none.

    Raises:
        ApiError: 400: it is unknown.
    """
    if not uri or str(uri).endswith("CRS84"):
        return WGS84
    match = re.search(r"EPSG[/:](?:[\d.]+[/:])?(\d+)$", str(uri))
    code = int(match[1]) if match else 0
    try:
        CRS.from_epsg(code)
    except CRSError as error:
        raise bad_payload(f"Unknown CRS: {uri}", "input->bounds->properties->crs") from error
    return code


def read_time(text: str | None, default: datetime) -> datetime:
    """Return an instant; without a zone it is UTC. An open end (None or `..`) is the default.

    Raises:
        ApiError: 400: it is none.
    """
    if text is None or text == "..":
        return default
    try:
        moment = datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise bad_payload(f"'{text}' is not a valid instant (ISO 8601).") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True)


class _Reference(_Part):
    crs: Annotated[int, BeforeValidator(read_crs)] = WGS84


class _Bounds(_Part):
    bbox: Box | None = None
    geometry: dict[str, Any] | None = None
    properties: _Reference = _Reference()

    @property
    def box(self) -> Box:
        """The bounding box, or that of the geometry."""
        box = self.bbox
        if box is None and self.geometry:
            try:
                box = shape(self.geometry).bounds
            except Exception as error:  # shapely raises errors of many classes on malformed input
                raise bad_payload(f"The geometry is not valid: {error}", "input->bounds->geometry") from error
        if box is None or not (box[0] < box[2] and box[1] < box[3]):
            raise bad_payload("bounds need a bbox (or a geometry) with min < max.", "input->bounds")
        return box


class _TimeRange(_Part):
    start: Annotated[datetime, BeforeValidator(partial(read_time, default=_FIRST))] = Field(_FIRST, alias="from")
    end: Annotated[datetime, BeforeValidator(partial(read_time, default=_LAST))] = Field(_LAST, alias="to")


class _DataFilter(_Part):
    time_range: _TimeRange = _TimeRange()
    max_cloud_coverage: float = 100
    mosaicking_order: Literal["mostRecent", "leastRecent", "leastCC"] = "mostRecent"


class _Processing(_Part):
    upsampling: Resampling = "NEAREST"
    downsampling: Resampling = "NEAREST"
    harmonize_values: bool = True

    @property
    def resampling(self) -> str:
        """The one that is not nearest, bicubic before bilinear; classes are always nearest neighbour."""
        return min({self.upsampling, self.downsampling} - {"NEAREST"}, default="NEAREST")


class _Source(_Part):
    type: str
    data_filter: _DataFilter = _DataFilter()
    processing: _Processing = _Processing()


class _Input(_Part):
    bounds: _Bounds
    data: list[_Source] = Field(min_length=1, max_length=1)


class _Format(_Part):
    type: str = TIFF


class _Response(_Part):
    identifier: str = "default"
    format: _Format = _Format()


class _Output(_Part):
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    resx: float | None = Field(None, gt=0)
    resy: float | None = Field(None, gt=0)
    responses: list[_Response] = []

    def grid(self, bounds: _Bounds) -> Grid:
        """Return the pixels: width and height as stated, or from resx and resy; at most 2500 each."""
        box = bounds.box
        width = _side("width", self.width, "resx", self.resx, box[2] - box[0])
        height = _side("height", self.height, "resy", self.resy, box[3] - box[1])
        grid = Grid(bounds.properties.crs, box, width, height)
        if not grid.is_on_earth:
            raise bad_payload(f"The bounds lie outside of EPSG:{grid.crs}.", "input->bounds")
        return grid


def _side(name: str, pixels: int | None, resolution_name: str, resolution: float | None, extent: float) -> int:
    origin, derivation = name, ""
    if pixels is None and resolution is not None:
        pixels = max(1, round(extent / resolution))
        origin, derivation = resolution_name, f", calculated from {resolution_name},"
    pixels = pixels or 256
    if pixels > LARGEST:
        raise bad_payload(f"`{name} = {pixels}`{derivation} is larger than allowed {LARGEST}.", f"output->{origin}")
    return pixels


class _Body(_Part):
    input: _Input
    output: _Output
    evalscript: str = ""


@dataclass(frozen=True)
class ProcessRequest:
    """A request: which pixels, of which products, through which script, in which files.

    Args:
        grid: The pixels.
        geometry: In the grid's CRS; pixels outside of it hold no data.
        source: Which products, which of them comes first, and how pixels are resampled and harmonised.
        script: What to compute.
        identifiers: The outputs to answer with.
    """

    grid: Grid
    geometry: dict[str, Any] | None
    source: _Source
    script: Evalscript
    identifiers: tuple[str, ...]

    @property
    def units(self) -> float:
        """Processing units: 1 for 512×512 pixels of 3 bands at 16 bit; dataMask is free; at least 0.005."""
        area = max(self.grid.width * self.grid.height / 512**2, 0.01)
        bands = len([band for band in self.script.bands if band != DATA_MASK])
        wide = any(output.sample_type in ("FLOAT32", "UINT32", "INT32") for output in self.script.outputs)
        return max(area * bands / 3 * (2 if wide else 1), 0.005)


def read_request(body: Any, collections: tuple[str, ...]) -> ProcessRequest:
    """Read the JSON of a request.

    Raises:
        ApiError: 400, as the API words it.
    """
    if not isinstance(body, dict) or not body:
        raise bad_payload("Request body should be non-empty.")
    try:
        request = _Body.model_validate(body)
    except ValidationError as error:
        path, problem = first_problem(error)
        raise bad_payload(f"`{'.'.join(path)}` {problem}.", "->".join(path)) from error
    bounds, [source] = request.input.bounds, request.input.data
    if source.type not in collections:
        raise bad_payload(f"Collection '{source.type}' is not served here.", "input->data->type")
    script = Evalscript.read(request.evalscript)
    grid, identifiers = request.output.grid(bounds), _identifiers(request.output, script)
    return ProcessRequest(grid, bounds.geometry, source, script, identifiers)


def _identifiers(output: _Output, script: Evalscript) -> tuple[str, ...]:
    names = {written.id for written in script.outputs}
    responses = output.responses or [_Response()]
    for response in responses:
        media_type = response.format.type
        if media_type.partition(";")[0].strip() != TIFF:
            message = f"Format {media_type} is not served by the stand-in, only {TIFF}."
            raise bad_payload(message, "output->responses->format")
        if response.identifier not in names:
            message = f"Output '{response.identifier}' is not among the script's outputs."
            raise bad_payload(message, "output->responses->identifier")
    return tuple(response.identifier for response in responses)


def process(request: ProcessRequest, scenes: Scenes) -> dict[str, bytes]:
    """Return the answer's files, by output identifier.

    Raises:
        ApiError: 400: a band does not exist.
    """
    written = request.script.evaluate(_samples(request, scenes))
    return {name: tiff(written[name], request.grid) for name in request.identifiers}


def packed(files: dict[str, bytes]) -> tuple[bytes, str]:
    """Return body and content type: one file as it is, several as TAR."""
    if len(files) == 1:
        return next(iter(files.values())), TIFF
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{name}.tif")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue(), "application/tar"


def tiff(bands: NDArray[Any], grid: Grid) -> bytes:
    """Return a georeferenced GeoTIFF of an array (bands, height, width)."""
    from rasterio.io import MemoryFile

    with MemoryFile() as memory:
        with memory.open(driver="GTiff", count=len(bands), dtype=bands.dtype, **grid.profile) as file:
            file.write(bands)
        return bytes(memory.read())


def _samples(request: ProcessRequest, scenes: Scenes) -> dict[str, NDArray[Any]]:
    """Return float32 arrays by input band: of the first product, in the requested order, that has data there."""
    grid, processing = request.grid, request.source.processing
    bands = [band for band in request.script.bands if band != DATA_MASK]
    samples = {band: np.zeros(grid.shape, np.float32) for band in bands}
    mask, wanted = np.zeros(grid.shape, bool), _wanted(request)
    for product in _ordered(request, scenes):
        available = scenes.bands(product)
        for band in bands:
            if band not in available:
                message = (
                    f"Requested band '{band}' is not present in Sentinel 2 tile '{product.id}' returned by criteria "
                )
                raise ApiError(
                    400,
                    f"{message}specified in `dataFilter` parameter. {_present(available)}",
                    "RENDERER_S2_MISSING_BAND",
                )
        layers = scenes.read(product, grid, bands, processing.resampling)
        new = layers.mask & wanted & ~mask
        offset = 0 if processing.harmonize_values or product.datetime < OFFSET_SINCE else OFFSET
        for band, values in layers.values.items():
            np.copyto(samples[band], _in_units(values, band, request.script.units, offset), where=new)
        mask |= new
        if mask[wanted].all():
            break
    return {**samples, DATA_MASK: mask.astype(np.float32)}


def _in_units(values: NDArray[Any], band: str, units: str, offset: int) -> NDArray[np.float32]:
    """Return reflectances or digital numbers, as the script declares; classes are numbers in either."""
    numbers = values.astype(np.float32)
    if band in CLASS_BANDS:
        return numbers
    return numbers * SCALE if units == "REFLECTANCE" else numbers + np.float32(offset)


def _ordered(request: ProcessRequest, scenes: Scenes) -> list[Product]:
    limits = request.source.data_filter
    products = scenes.products(limits.time_range.start, limits.time_range.end, request.grid.degrees)
    products = [product for product in products if product.cloud is None or product.cloud <= limits.max_cloud_coverage]
    products.sort(key=lambda product: (product.datetime, product.id), reverse=limits.mosaicking_order != "leastRecent")
    if limits.mosaicking_order == "leastCC":
        products.sort(key=lambda product: 100.0 if product.cloud is None else product.cloud)
    return products


def _present(bands: Collection[str]) -> str:
    """Return which bands a product has; beyond what the service says."""
    return f"It has {', '.join(band for band in bands if band not in CLASS_BANDS) or 'none'}."


def _wanted(request: ProcessRequest) -> NDArray[np.bool_]:
    """Return which pixels lie within the requested geometry."""
    if request.geometry is None:
        return np.ones(request.grid.shape, bool)
    from rasterio.features import geometry_mask

    inside = geometry_mask([request.geometry], request.grid.shape, request.grid.transform, invert=True)
    return np.asarray(inside, bool)
