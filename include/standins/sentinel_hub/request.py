"""A request to the Process API, understood: which pixels, of which products, through which script, in which files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from include.standins.sentinel_hub.errors import ApiError, bad_payload
from include.standins.sentinel_hub.evalscript import Evalscript
from include.standins.sentinel_hub.grid import NODES_EVERY, Grid
from include.standins.sentinel_hub.script_parser import ScriptError

LARGEST = 2500
ORDERS = ("mostRecent", "leastRecent", "leastCC")
RESAMPLING = ("NEAREST", "BILINEAR", "BICUBIC")
TIFF = "image/tiff"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ProcessRequest:
    """What is asked for.

    Args:
        grid: The pixels.
        geometry: In the grid's CRS; pixels outside of it hold no data.
        collection: `sentinel-2-l2a`.
        start: Products sensed from here …
        end: … to here.
        most_cloud: Most cloud of a product, percent.
        order: Which product comes first; one of ORDERS.
        resampling: One of RESAMPLING; classes are always nearest neighbour.
        harmonize: Without it, digital numbers since 2022-01-25 carry the offset of 1000.
        script: What to compute.
        identifiers: The outputs to answer with.
    """

    grid: Grid
    geometry: dict[str, Any] | None
    collection: str
    start: datetime
    end: datetime
    most_cloud: float
    order: str
    resampling: str
    harmonize: bool
    script: Evalscript
    identifiers: tuple[str, ...]

    @property
    def units(self) -> float:
        """Processing units: 1 for 512×512 pixels of 3 bands at 16 bit; dataMask is free; at least 0.005."""
        area = max(self.grid.width * self.grid.height / 512**2, 0.01)
        bands = len([band for band in self.script.bands if band != "dataMask"])
        wide = any(o.sample_type in ("FLOAT32", "UINT32", "INT32") for o in self.script.outputs)
        return max(area * bands / 3 * (2 if wide else 1), 0.005)


def read_request(body: Any, collections: tuple[str, ...]) -> ProcessRequest:
    """Understand the JSON of a request.

    Raises:
        ApiError: 400, as the API words it.
    """
    if not isinstance(body, dict) or not body:
        raise bad_payload("Request body should be non-empty.")
    bounds, data = _part(body, "input", "bounds"), _part(body, "input").get("data")
    if not isinstance(data, list) or len(data) != 1:
        raise bad_payload("input.data must hold one data source.", "input->data")
    collection, filters = data[0].get("type"), data[0].get("dataFilter") or {}
    if collection not in collections:
        raise bad_payload(f"Collection '{collection}' is not served here.", "input->data->type")
    crs = read_crs(_part(body, "input", "bounds").get("properties", {}).get("crs"))
    geometry = bounds.get("geometry")
    box = bounds.get("bbox") or (geometry and box_of(geometry))
    if not box or len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
        raise bad_payload("bounds need a bbox (or a geometry) with min < max.", "input->bounds")
    time, processing = filters.get("timeRange") or {}, data[0].get("processing") or {}
    script = _script(body)
    return ProcessRequest(
        grid=_grid(_part(body, "output"), tuple(float(edge) for edge in box), crs),
        geometry=geometry,
        collection=collection,
        start=read_time(time.get("from"), _FIRST),
        end=read_time(time.get("to"), _LAST),
        most_cloud=float(filters.get("maxCloudCoverage", 100)),
        order=_one_of(filters.get("mosaickingOrder", "mostRecent"), ORDERS, "mosaickingOrder"),
        resampling=_resampling(processing),
        harmonize=bool(processing.get("harmonizeValues", True)),
        script=script,
        identifiers=_identifiers(_part(body, "output"), script),
    )


def read_crs(uri: str | None) -> int:
    """EPSG code of a CRS's URI; WGS 84 (longitude first) if there is none.

    Raises:
        ApiError: 400: it is unknown.
    """
    if not uri or uri.endswith("CRS84"):
        return 4326
    match = re.search(r"EPSG[/:](?:[\d.]+[/:])?(\d+)$", uri)
    if match:
        from pyproj import CRS
        from pyproj.exceptions import CRSError

        try:
            return int(CRS.from_epsg(int(match[1])).to_epsg() or match[1])
        except CRSError:
            pass
    raise bad_payload(f"Unknown CRS: {uri}", "input->bounds->properties->crs")


def read_time(text: str | None, default: datetime) -> datetime:
    """An instant; without a zone it is UTC.

    Raises:
        ApiError: 400: it is none.
    """
    if text is None or text == "..":
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_payload(f"'{text}' is not a valid instant (ISO 8601).") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def box_of(geometry: dict[str, Any]) -> tuple[float, float, float, float]:
    """Bounds of a GeoJSON geometry.

    Raises:
        ApiError: 400: it is none.
    """
    from shapely.geometry import shape

    try:
        west, south, east, north = shape(geometry).bounds
    except Exception as error:  # shapely raises many kinds on malformed input
        raise bad_payload(f"The geometry is not valid: {error}", "input->bounds->geometry") from error
    return west, south, east, north


def _grid(output: dict[str, Any], box: tuple[float, ...], crs: int) -> Grid:
    """Width and height as given, or from resx and resy; at most 2500 each."""
    sizes = []
    for side, resolution, extent in (
        ("width", "resx", box[2] - box[0]),
        ("height", "resy", box[3] - box[1]),
    ):
        if side in output:
            size, origin, violation = output[side], side, f"`{side} = {output[side]}`"
        elif resolution in output and float(output[resolution]) > 0:
            size = max(1, round(extent / float(output[resolution])))
            origin, violation = resolution, f"`{side} = {size}`, calculated from {resolution},"
        else:
            size, origin, violation = 256, side, ""
        if not isinstance(size, int) or size < 1:
            raise bad_payload(f"`{side}` must be a whole number from 1.", f"output->{side}")
        if size > LARGEST:
            raise bad_payload(f"{violation} is larger than allowed {LARGEST}.", f"output->{origin}")
        sizes.append(size)
    grid = Grid(crs, (box[0], box[1], box[2], box[3]), *sizes)
    if not all(np.isfinite(degrees).all() for degrees in grid.centres(NODES_EVERY)):
        raise bad_payload(f"The bounds lie outside of EPSG:{crs}.", "input->bounds")
    return grid


def _script(body: dict[str, Any]) -> Evalscript:
    try:
        return Evalscript.read(str(body.get("evalscript") or ""))
    except ScriptError as error:
        raise script_failed(error) from error


def script_failed(error: ScriptError) -> ApiError:
    """400: the script cannot be run."""
    return ApiError(400, f"Failed to evaluate script!\n{error}\n", "RENDERER_EXCEPTION")


def _identifiers(output: dict[str, Any], script: Evalscript) -> tuple[str, ...]:
    responses = output.get("responses") or [{"identifier": "default", "format": {"type": TIFF}}]
    known = {one.id for one in script.outputs}
    for response in responses:
        kind = (response.get("format") or {}).get("type", TIFF)
        if kind.partition(";")[0].strip() != TIFF:
            raise bad_payload(f"Format {kind} is not served by the stand-in, only {TIFF}.", "output->responses->format")
        if response.get("identifier", "default") not in known:
            raise bad_payload(
                f"Output '{response.get('identifier', 'default')}' is not among the script's outputs.",
                "output->responses->identifier",
            )
    return tuple(response.get("identifier", "default") for response in responses)


def _resampling(processing: dict[str, Any]) -> str:
    asked = {processing.get("upsampling", "NEAREST"), processing.get("downsampling", "NEAREST")} - {"NEAREST"}
    return _one_of(min(asked) if asked else "NEAREST", RESAMPLING, "processing")


def _one_of(value: Any, known: tuple[str, ...], parameter: str) -> str:
    if value not in known:
        raise bad_payload(f"`{parameter} = {value}` must be one of {', '.join(known)}.", f"input->data->{parameter}")
    return str(value)


def _part(body: dict[str, Any], *path: str) -> dict[str, Any]:
    part = body
    for name in path:
        inner = part.get(name)
        if not isinstance(inner, dict):
            raise bad_payload(f"`{'.'.join(path)}` is missing.", "->".join(path))
        part = inner
    return part
