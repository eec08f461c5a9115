"""Scenes from a folder of GeoTIFFs.

`scenes/*.tif` holds one multi-band uint16 file a date (reflectance × 10000) with CRS, nodata and band names. Beside it
may stand `index.json` (items with `date` or `datetime`, `file`, and optionally `scl` and `cloud_pct`), `scl/*.tif`,
a cloud mask `stack/CLOUD_MASK*.tif` (a band a date, named by its time; 1 is cloud) and `labels/reference.tif` (classes
1 to 4, served as band REFERENCE). Without an index, the date is the file name's eight digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.sentinel_hub.grid import Grid
from include.sentinel_hub.scenes import REFERENCE, SCL, Box, Layers, Product, UnknownBandError

VEGETATION_NDVI = 0.3
WATER_NIR = 1000
"""Digital number: darker than reflectance 0.1 in the near infrared."""
_VEGETATION, _BARE, _WATER, _CLOUD = 4, 5, 6, 9


@dataclass(frozen=True)
class _Files:
    scene: Path
    scl: Path | None
    cloud_mask: tuple[Path, int] | None


class SceneFolder:
    """A folder's scenes, served as `sentinel-2-l2a` (and as `sentinel-2-l1c`, which the catalog tells by `level`).

    Args:
        folder: See the module.

    Raises:
        ValueError: It holds no scene, or one that cannot be read.
    """

    collections = ("sentinel-2-l2a", "sentinel-2-l1c")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._masks = _cloud_masks(folder)
        reference = folder / "labels" / "reference.tif"
        self._reference = reference if reference.is_file() else None
        index = folder / "index.json"
        document = _document(index) if index.is_file() else {"items": _found(folder)}
        self._products = [self._product(item, document) for item in document["items"] if item.get("file")]
        if not self._products:
            raise ValueError(f"{folder}: there are no scenes (scenes/*.tif, named in index.json where there is one)")

    def products(self, start: datetime, end: datetime, box: Box) -> list[Product]:
        """See `Scenes`."""
        return [product for product in self._products if start <= product.datetime <= end]

    def read(self, product: Product, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        """See `Scenes`. Nodata is the file's own: all bands that were asked for hold it."""
        files: _Files = product.source
        values: dict[str, NDArray[Any]] = {}
        scene, names, nodata = _warped(files.scene, grid, resampling)
        for band in bands:
            if band == SCL:
                values[SCL] = _class_raster(files.scl, grid) if files.scl else self._derived_scl(files, grid)
            elif band == REFERENCE and self._reference:
                values[REFERENCE] = _class_raster(self._reference, grid)
            elif band in names:
                values[band] = scene[names.index(band)]
            else:
                raise UnknownBandError(band)
        return Layers(values, ~(scene == nodata).all(axis=0))

    def _derived_scl(self, files: _Files, grid: Grid) -> NDArray[np.uint8]:
        """Cloud from the mask; water by NDWI and a dark near infrared; vegetation from NDVI 0.3; else bare."""
        scene, names, nodata = _warped(files.scene, grid, "NEAREST")
        bands = {name: scene[names.index(name)].astype(np.float32) for name in ("B03", "B04", "B08") if name in names}
        if len(bands) < 3:
            raise UnknownBandError(SCL)
        green, red, near_infrared = bands["B03"], bands["B04"], bands["B08"]
        with np.errstate(all="ignore"):
            ndvi = (near_infrared - red) / (near_infrared + red)
        classes = np.where(ndvi >= VEGETATION_NDVI, _VEGETATION, _BARE).astype(np.uint8)
        classes[(green > near_infrared) & (near_infrared < WATER_NIR)] = _WATER
        if files.cloud_mask:
            path, band = files.cloud_mask
            mask, _, _ = _warped(path, grid, "NEAREST", [band])
            classes[mask[0] == 1] = _CLOUD
        classes[(scene == nodata).all(axis=0)] = 0
        return classes

    def _product(self, item: dict[str, Any], document: dict[str, Any]) -> Product:
        import rasterio
        from rasterio.errors import RasterioIOError
        from rasterio.warp import transform_bounds

        path = self.folder / str(item["file"])
        moment = _moment(item, self.folder)
        scl = self.folder / str(item["scl"]) if item.get("scl") else self.folder / "scl" / f"SCL_{moment:%Y%m%d}.tif"
        try:
            with rasterio.open(path) as file:
                if file.crs is None:
                    raise ValueError(f"{path}: has no CRS")
                west, south, east, north = transform_bounds(file.crs, 4326, *file.bounds)
                epsg, bounds = file.crs.to_epsg() or 0, tuple(file.bounds)
        except RasterioIOError as error:
            raise ValueError(f"{path}: cannot be read as a raster: {error}") from error
        cloud = item.get("cloud_pct")
        return Product(
            id=f"{self.folder.name}_{path.stem}",
            datetime=moment,
            ring=[(west, north), (west, south), (east, south), (east, north), (west, north)],
            epsg=epsg,
            bounds=bounds,
            cloud=None if cloud is None else float(cloud),
            source=_Files(path, scl if scl.is_file() else None, self._masks.get(moment)),
            properties={"level": str(document.get("level", "unknown"))},
        )


def _document(index: Path) -> dict[str, Any]:
    try:
        document = json.loads(index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{index}: is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise ValueError(f"{index}: must be an object with a list `items`")  # noqa: TRY004 - of the file's content
    return document


def _found(folder: Path) -> list[dict[str, Any]]:
    """Items of a folder without an index."""
    items = []
    for path in sorted((folder / "scenes").glob("*.tif")):
        match = re.search(r"(\d{4})(\d{2})(\d{2})", path.name)
        if match is None:
            raise ValueError(f"{path}: the name holds no date (YYYYMMDD), and there is no index.json")
        items.append({"date": "-".join(match.groups()), "file": f"scenes/{path.name}"})
    return items


def _moment(item: dict[str, Any], folder: Path) -> datetime:
    text = item.get("datetime") or item.get("date")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ValueError(f"{folder}: {item.get('file')}: {text!r} is not a date") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _cloud_masks(folder: Path) -> dict[datetime, tuple[Path, int]]:
    """By time: the file and the number of the band."""
    import rasterio

    masks = {}
    for path in sorted((folder / "stack").glob("CLOUD_MASK*.tif")):
        with rasterio.open(path) as file:
            for number, name in enumerate(file.descriptions, 1):
                if name:
                    masks[datetime.fromisoformat(name).replace(tzinfo=UTC)] = path, number
    return masks


def _warped(
    path: Path, grid: Grid, resampling: str, bands: list[int] | None = None
) -> tuple[NDArray[Any], list[str], float]:
    """Pixels over the grid (bands, height, width), the bands' names, and what stands for nodata there."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.transform import from_bounds
    from rasterio.vrt import WarpedVRT

    kinds = {"BILINEAR": Resampling.bilinear, "BICUBIC": Resampling.cubic}
    with rasterio.open(path) as file:
        nodata = 0 if file.nodata is None else file.nodata
        with WarpedVRT(
            file,
            crs=f"EPSG:{grid.crs}",
            transform=from_bounds(*grid.bounds, grid.width, grid.height),
            width=grid.width,
            height=grid.height,
            resampling=kinds.get(resampling, Resampling.nearest),
            src_nodata=nodata,
            nodata=nodata,
        ) as warped:
            names = [name or f"band {number}" for number, name in enumerate(file.descriptions, 1)]
            return warped.read(bands), names, nodata


def _class_raster(path: Path, grid: Grid) -> NDArray[np.uint8]:
    classes, _, nodata = _warped(path, grid, "NEAREST", [1])
    return np.where(classes[0] == nodata, 0, classes[0]).astype(np.uint8)
