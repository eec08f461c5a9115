"""STAC items of Sentinel-2: their passes, baselines and files, and how their numbers become reflectances.

Reflectance is `scale × DN + offset`. Since baseline 04.00 the offset of the product is −0.1, and catalogs differ in who
applies it:

- Earth Search, `sentinel-2-c1-l2a`: the asset declares scale and offset (extension `raster`), and they are right.
- Earth Search, `sentinel-2-l2a`: it declares −0.1 on items that are already corrected. It is refused.
- Planetary Computer, `sentinel-2-l2a`: nothing is declared; the offset is left in from baseline 04.00 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.imagery.scenes import NotDataError
from include.satellite.sensors.sensor import NODATA, Sensor

OFFSET_BASELINE = 4.0
"""From this processing baseline on, products hold reflectance + 0.1 (https://sentiwiki.copernicus.eu/web/s2-products)."""
PRODUCT_SCALE, PRODUCT_OFFSET = 1e-4, -0.1
MOST_NEGATIVE = 0.1
"""Largest share of clear land whose reflectance may be negative: more shows an offset that was subtracted twice."""
SAME_PASS = timedelta(minutes=15)
"""Products of a tile within it are of one pass: the same one processed again, or its two halves."""


def newest_of_each_pass(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items without those whose tile and pass have others of a newer processing baseline.

    Items of one baseline all stay: the two halves of a tile that a data strip ends in are items of their own.
    """
    kept = []

    def tile(item: dict[str, Any]) -> str:
        return f"{_tile(item)} {item['properties'].get('platform', '')}"

    for _, of_tile in groupby(sorted(items, key=lambda item: (tile(item), _moment(item))), tile):
        passes: list[list[dict[str, Any]]] = []
        for item in of_tile:
            if passes and _moment(item) - _moment(passes[-1][-1]) <= SAME_PASS:
                passes[-1].append(item)
            else:
                passes.append([item])
        for one_pass in passes:
            newest = max(_baseline_number(item) for item in one_pass)
            kept += [item for item in one_pass if _baseline_number(item) == newest]
    return kept


def radiometry_of(item: Mapping[str, Any], asset: Mapping[str, Any]) -> tuple[float, float]:
    """Return scale and offset of an item's reflectances: as the asset declares them, else by its processing baseline.

    Args:
        item: A STAC item.
        asset: One of its reflectance bands.

    Raises:
        BadInputError: Neither is stated, or what is stated contradicts itself.
    """
    declared = _raster_band(asset)
    scale, offset = declared.get("scale"), declared.get("offset")
    if offset and item["properties"].get("earthsearch:boa_offset_applied"):
        raise BadInputError(
            f"item {item['id']}: declares an offset of {offset:g} and that it is already applied; take a collection "
            "that does not contradict itself (of Earth Search, sentinel-2-c1-l2a)"
        )
    if offset is not None:
        return float(PRODUCT_SCALE if scale is None else scale), float(offset)
    if baseline_of(item) is None:
        raise BadInputError(
            f"item {item['id']}: states neither the offset of its reflectances (raster:bands) nor its processing "
            "baseline (s2:processing_baseline), so they cannot be told; take another collection"
        )
    return (
        float(PRODUCT_SCALE if scale is None else scale),
        PRODUCT_OFFSET if _baseline_number(item) >= OFFSET_BASELINE else 0.0,
    )


def reflectance_numbers(numbers: NDArray[Any], scale: float, offset: float, store_scale: float) -> NDArray[np.uint16]:
    """Return digital numbers of an item as those of the imagery store.

    Args:
        numbers: Of any shape; 0 is nodata.
        scale: Reflectance of a number of the item.
        offset: Reflectance of the item's 0.
        store_scale: Reflectance of a number of the store.

    Returns:
        max(1, round((scale × DN + offset) / store_scale)), 0 where there is no data.

    >>> reflectance_numbers(np.array([0, 900, 1000, 1500]), 1e-4, -0.1, 1e-4).tolist()
    [0, 1, 1, 500]
    """
    values = np.rint((numbers.astype(np.float64) * scale + offset) / store_scale)
    return np.where(numbers == NODATA, NODATA, np.clip(values, 1, np.iinfo(np.uint16).max)).astype(np.uint16)


def check_offset(item: Mapping[str, Any], land: Mapping[str, NDArray[Any]], scale: float, offset: float) -> None:
    """Check that the offset of an item leaves its clear land positive.

    Args:
        item: A STAC item.
        land: Digital numbers of the clear land by band.
        scale: Reflectance of a number of the item.
        offset: Reflectance of the item's 0.

    Raises:
        NotDataError: It does not: the item seems to be corrected already.
    """
    for band, numbers in land.items():
        data = numbers[numbers != NODATA]
        negative = float((data * scale + offset < 0).mean()) if data.size else 0.0
        if negative > MOST_NEGATIVE:
            raise NotDataError(
                f"item {item['id']}: with its offset of {offset:g}, {100 * negative:.0f} % of the clear land is "
                f"negative in {band}: it seems to be corrected already"
            )


def understood(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with a time, and a version that changes when it is processed again."""
    properties = item["properties"]
    moment = properties.get("datetime") or properties["start_datetime"]
    version = " ".join(
        str(properties[name])
        for name in ("s2:processing_baseline", "processing:version", "updated")
        if properties.get(name)
    )
    return item | {"properties": properties | {"datetime": moment, "version": version or None}}


def asset_of(item: Mapping[str, Any], band: str, sensor: Sensor) -> Mapping[str, Any]:
    """Return the finest asset that holds a band alone: by its key, else by the band that it describes."""
    assets: Mapping[str, Any] = item.get("assets", {})
    rasters = {key: asset for key, asset in assets.items() if "tif" in str(asset.get("type", "tif"))}
    matches = [asset for key, asset in rasters.items() if sensor.band_spelt(key) == band]
    if not matches:
        matches = [asset for asset in rasters.values() if _described_bands(asset, sensor) == [band]]
    if not matches:
        raise BadInputError(f"item {item['id']}: has no asset for band {band}; its assets: {', '.join(sorted(assets))}")
    return min(matches, key=lambda asset: _raster_band(asset).get("spatial_resolution") or asset.get("gsd") or 0)


def _described_bands(asset: Mapping[str, Any], sensor: Sensor) -> list[str | None]:
    described = asset.get("bands") or asset.get("eo:bands") or []
    return [sensor.band_spelt(str(entry.get("name") or entry.get("common_name"))) for entry in described]


def _raster_band(asset: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the extension `raster` says of an asset's band: of version 1 in a list, of 2 with a prefix."""
    first: dict[str, Any] = next(iter(asset.get("raster:bands") or asset.get("bands") or []), {})
    merged = {**asset, **first}
    names = ("scale", "offset", "nodata", "spatial_resolution")
    return {name: merged.get(f"raster:{name}", first.get(name)) for name in names} | {
        "nodata": first.get("nodata", asset.get("nodata"))
    }


def nodata_of(asset: Mapping[str, Any]) -> float | None:
    """Return the number that an asset declares as nodata, or None."""
    value = _raster_band(asset)["nodata"]
    return float(value) if isinstance(value, (int, float)) else None


def _tile(item: Mapping[str, Any]) -> str:
    """Return the MGRS tile of an item; where it names none, its own id, for nothing can be said of others."""
    properties = item["properties"]
    stated = properties.get("s2:mgrs_tile") or properties.get("grid:code")
    match = re.search(r"(?:^|[_-]T?)(\d{1,2}[C-X][A-Z]{2})(?:[_-]|$)", str(stated or item["id"]))
    return match[1].zfill(5) if match else str(stated or item["id"])


def _moment(item: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(str(item["properties"]["datetime"])).astimezone(UTC)


def cloud_of(item: Mapping[str, Any]) -> float | None:
    """Return the cloud cover of an item, percent; None where it states none."""
    value = item["properties"].get("eo:cloud_cover")
    return None if value is None else float(value)


def baseline_of(item: Mapping[str, Any]) -> str | None:
    """Return the processing baseline of an item (`05.11`), or None."""
    properties = item["properties"]
    value = properties.get("s2:processing_baseline") or properties.get("processing:version")
    return None if value is None else str(value)


def _baseline_number(item: Mapping[str, Any]) -> float:
    match = re.match(r"\d+(\.\d+)?", baseline_of(item) or "")
    return float(match[0]) if match else 0.0


def newest_first(item: Mapping[str, Any]) -> tuple[float, datetime, str]:
    """Return the key that sorts the items of a day by baseline, the newest first, then by time and id."""
    return -_baseline_number(item), _moment(item), str(item["id"])
