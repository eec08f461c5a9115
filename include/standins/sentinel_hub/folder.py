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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.scenes import REFERENCE, SCL, WGS84, Box, Grid, Layers, Product

VEGETATION_NDVI = 0.3
WATER_NIR = 1000
"""Digital number: darker than reflectance 0.1 in the near infrared."""
_SCL_INPUTS = ("B03", "B04", "B08")
_VEGETATION, _BARE, _WATER, _CLOUD = 4, 5, 6, 9


class _Files(NamedTuple):
    scene: Path
    bands: tuple[str, ...]
    scl: Path | None
    cloud_mask: tuple[Path, str] | None


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
        self._reference = folder / "labels" / "reference.tif"
        index = folder / "index.json"
        document = _document(index) if index.is_file() else {"items": _dated_scenes(folder)}
        self._products = [self._product(item, document) for item in document["items"] if item.get("file")]
        if not self._products:
            raise ValueError(f"{folder}: there are no scenes (scenes/*.tif, named in index.json where there is one)")

    def products(self, start: datetime, end: datetime, box: Box) -> list[Product]:
        """See `Scenes`."""
        return [product for product in self._products if start <= product.datetime <= end]

    def bands(self, product: Product) -> list[str]:
        """See `Scenes`."""
        files: _Files = product.source
        has_scl = files.scl is not None or {*_SCL_INPUTS} <= {*files.bands}
        return [*files.bands, *[SCL] * has_scl, *[REFERENCE] * self._reference.is_file()]

    def read(self, product: Product, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        """See `Scenes`. Nodata is the file's own: pixels where all bands that were asked for hold it."""
        files: _Files = product.source
        spectral = [band for band in bands if band not in (SCL, REFERENCE)]
        scene, nodata = _warped(files.scene, grid, spectral, resampling)
        values: dict[str, NDArray[Any]] = dict(zip(spectral, scene, strict=False))
        if SCL in bands:
            values[SCL] = _classes(files.scl, grid) if files.scl else _derived_scl(files, grid)
        if REFERENCE in bands:
            values[REFERENCE] = _classes(self._reference, grid)
        return Layers(values, ~(scene == nodata).all(axis=0))

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
                west, south, east, north = transform_bounds(file.crs, WGS84, *file.bounds)
                epsg, bounds = file.crs.to_epsg() or 0, tuple(file.bounds)
                bands = tuple(filter(None, file.descriptions))
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
            source=_Files(path, bands, scl if scl.is_file() else None, self._masks.get(moment)),
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


def _dated_scenes(folder: Path) -> list[dict[str, Any]]:
    """Items of a folder without an index: each scene with the date in its name."""
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


def _cloud_masks(folder: Path) -> dict[datetime, tuple[Path, str]]:
    """By time: the file and the name of the band."""
    import rasterio

    masks = {}
    for path in sorted((folder / "stack").glob("CLOUD_MASK*.tif")):
        with rasterio.open(path) as file:
            for name in filter(None, file.descriptions):
                masks[datetime.fromisoformat(name).replace(tzinfo=UTC)] = path, name
    return masks


def _derived_scl(files: _Files, grid: Grid) -> NDArray[np.uint8]:
    """Cloud from the mask; water by NDWI and a dark near infrared; vegetation from NDVI 0.3; else bare."""
    scene, nodata = _warped(files.scene, grid, _SCL_INPUTS)
    green, red, near_infrared = scene.astype(np.float32)
    with np.errstate(all="ignore"):
        ndvi = (near_infrared - red) / (near_infrared + red)
    classes = np.where(ndvi >= VEGETATION_NDVI, _VEGETATION, _BARE).astype(np.uint8)
    classes[(green > near_infrared) & (near_infrared < WATER_NIR)] = _WATER
    if files.cloud_mask:
        path, band = files.cloud_mask
        classes[_classes(path, grid, band) == 1] = _CLOUD
    classes[(scene == nodata).all(axis=0)] = 0
    return classes


def _classes(path: Path, grid: Grid, *bands: str) -> NDArray[np.uint8]:
    """Classes of a file's band, the first if none is named; 0 where it has none."""
    values, nodata = _warped(path, grid, bands)
    return np.where(values[0] == nodata, 0, values[0]).astype(np.uint8)


def _warped(path: Path, grid: Grid, bands: Sequence[str], resampling: str = "NEAREST") -> tuple[NDArray[Any], float]:
    """Bands of a file over a grid (the first if none is named), shape (bands, height, width), and their nodata."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    methods = {"NEAREST": Resampling.nearest, "BILINEAR": Resampling.bilinear, "BICUBIC": Resampling.cubic}
    with rasterio.open(path) as file:
        numbers = [file.descriptions.index(band) + 1 for band in bands] or [1]
        nodata = 0 if file.nodata is None else file.nodata
        options = {**grid.profile, "resampling": methods[resampling], "src_nodata": nodata, "nodata": nodata}
        with WarpedVRT(file, **options) as warped:
            return warped.read(numbers), nodata
