"""Scenes from a folder of GeoTIFFs.

`scenes/*.tif` holds one multi-band file a date with CRS and band names (`radiometry`: what its numbers are). Beside it
may stand `index.json` (items with `date` or `datetime`, `file`, and optionally `scl` and `cloud_pct`) or `index.csv`
(the same as columns), cloud masks (see `masks`) and `labels/reference.tif` (classes 1 to 4, served as band REFERENCE).
Without an index, the date is that of the file name.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.errors import ApiError
from include.standins.sentinel_hub.masks import CLEAR, Mask, MaskError, is_mask, masks_of, read_masks, scl_of
from include.standins.sentinel_hub.radiometry import UNTAGGED, Radiometry, Stated, radiometry_of, served
from include.standins.sentinel_hub.rendering import BANDS
from include.standins.sentinel_hub.scenes import REFERENCE, SCL, WGS84, Box, Grid, Layers, Product

VEGETATION_NDVI = 0.3
WATER_NIR = 1000
"""Digital number: darker than reflectance 0.1 in the near infrared."""
UNREADABLE = "SCENE_UNREADABLE"
"""Code of the answer where the files of one date cannot be read."""
SUFFIXES = (".tif", ".tiff", ".jp2")
_SCL_INPUTS = ("B03", "B04", "B08")
_VEGETATION, _BARE, _WATER = 4, 5, 6
_CHUNK = 1 << 20


class _Files(NamedTuple):
    scene: Path
    bands: tuple[str, ...]
    masks: tuple[Mask, ...]
    radiometry: Radiometry


class _Raster(NamedTuple):
    """What the header of a scene states."""

    epsg: int
    bounds: Box
    degrees: Box
    bands: tuple[str | None, ...]
    radiometry: Radiometry


class SceneFolder:
    """A folder's scenes, served as `sentinel-2-l2a` (and as `sentinel-2-l1c`, which the catalog tells by `level`).

    The folder is listed again when a file of it has changed.

    Args:
        folder: See the module.
        mask_type: Type of the masks, a key of `MASK_TYPES`; None: a scene classification that its name shows to be one.
        scale: Of its scenes, where the user states it: reflectance = number × scale + offset.
        offset: See `scale`.

    Raises:
        ValueError: It holds no scene that can be read, one whose numbers may mean anything, or a mask that cannot be
            used.
    """

    collections = ("sentinel-2-l2a", "sentinel-2-l1c")

    def __init__(
        self, folder: Path, mask_type: str | None = None, scale: float | None = None, offset: float | None = None
    ) -> None:
        self.folder, self.mask_type, self._stated = folder, mask_type, Stated(scale, offset)
        self._reference = folder / "labels" / "reference.tif"
        self._checksums: dict[tuple[Any, ...], str] = {}
        self._state = self._signatures()
        self._products = self._listed()

    def products(self, start: datetime, end: datetime, box: Box) -> list[Product]:
        """See `Scenes`."""
        state = self._signatures()
        if state != self._state:
            try:
                self._products = self._listed()
            except ValueError as error:
                raise ApiError(400, str(error), "COMMON_BAD_PAYLOAD") from error
            self._state = state
        return [self._versioned(product) for product in self._products if start <= product.datetime <= end]

    def bands(self, product: Product) -> list[str]:
        """See `Scenes`."""
        files: _Files = product.source
        spectral = [band for band in files.bands if band.upper() != SCL]
        has_scl = any(mask.type == "scl" for mask in files.masks) or {*_SCL_INPUTS} <= {*spectral}
        return [*spectral, *[SCL] * has_scl, *[REFERENCE] * self._reference.is_file()]

    def read(self, product: Product, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        """See `Scenes`. There is data where each band that was asked for has it."""
        from rasterio.errors import RasterioError

        if "unreadable" in product.properties:
            raise ApiError(400, product.properties["unreadable"], UNREADABLE)
        try:
            return self._layers(product.source, grid, bands, resampling)
        except MaskError as error:
            raise ApiError(400, str(error), "COMMON_BAD_PAYLOAD") from error
        except RasterioError as error:
            name = product.source.scene.relative_to(self.folder).as_posix()
            message = f"{name}, or a mask of it, cannot be read: {error.__cause__ or error}"
            raise ApiError(400, message, UNREADABLE) from error

    def _layers(self, files: _Files, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        spectral = [band for band in bands if band not in (SCL, REFERENCE)]
        scene, data = _reflectances(files, grid, spectral or [*files.radiometry.bands][:1], resampling)
        values: dict[str, NDArray[Any]] = dict(zip(spectral, scene, strict=False))
        if SCL in bands:
            values[SCL] = self._scl(files, grid, data)
        if REFERENCE in bands:
            values[REFERENCE] = _classes(self._reference, grid)
        return Layers(values, data)

    def _scl(self, files: _Files, grid: Grid, data: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Classes of the masks; where they say no more than clear, and without any, derived from the reflectances."""
        classes = scl_of(files.masks, grid, data) if files.masks else np.full(grid.shape, CLEAR, np.uint8)
        clear = classes == CLEAR
        if clear.any():
            classes[clear] = _derived_scl(files, grid)[clear]
        return classes

    def _signatures(self) -> list[tuple[Any, ...]]:
        """Return what changes with any file of the folder."""
        return [_signature(path) for path in (*_rasters(self.folder), *_indices(self.folder))]

    def _versioned(self, product: Product) -> Product:
        """Return a product with its version: the folder, how it is read, and the content of the product's files."""
        files: _Files = product.source
        parts = [files.scene, *(mask.path for mask in files.masks), *[self._reference] * self._reference.is_file()]
        try:
            checksums = [self._checksum(path) for path in parts]
        except OSError as error:
            return replace(product, properties=product.properties | {"unreadable": f"{error}"})
        state = json.dumps([str(self.folder.resolve()), self.mask_type, self._stated, checksums])
        version = hashlib.sha256(state.encode()).hexdigest()[:16]
        return replace(product, properties=product.properties | {"version": version})

    def _checksum(self, path: Path) -> str:
        signature = _signature(path)
        if signature not in self._checksums:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            self._checksums[signature] = digest.hexdigest()
        return self._checksums[signature]

    def _listed(self) -> list[Product]:
        """Return all products, each with its masks; one whose files cannot be read says why.

        Raises:
            ValueError: None can be read, or a mask fits none.
        """
        document, clouds = _document(self.folder)
        items = [(item, _moment(item, self.folder)) for item in document["items"] if item.get("file")]
        rasters = [_raster(self.folder / str(item["file"]), self._stated) for item, _ in items]
        if any(isinstance(raster, _Raster) and any(raster.bands) for raster in rasters):
            rasters = [
                _named(raster, self.folder / str(item["file"]))
                for raster, (item, _) in zip(rasters, items, strict=True)
            ]
        faults = [str(raster) for raster in rasters if isinstance(raster, ValueError)]
        if len(faults) == len(items):
            nothing = f"{self.folder}: there are no scenes (scenes/*.tif, named in an index where there is one)"
            raise ValueError("; ".join(faults[:3]) or nothing)
        boxes = np.array([raster.degrees for raster in rasters if isinstance(raster, _Raster)])
        hull = (*boxes.min(axis=0).tolist()[:2], *boxes.max(axis=0).tolist()[2:])
        unknown = _Raster(WGS84, hull, hull, (), Radiometry({}, "unknown"))
        indexed = {self.folder / str(item["scl"]): moment.date() for item, moment in items if item.get("scl")}
        paths = {path for path in _rasters(self.folder) if is_mask(path, self.folder)} | indexed.keys()
        masks, damaged = read_masks(sorted(paths), self.folder, self.mask_type, indexed)
        products = []
        for (item, moment), raster in zip(items, rasters, strict=True):
            cloud = item.get("cloud_pct", clouds.get(moment.date()))
            known = raster if isinstance(raster, _Raster) else unknown
            fault = str(raster) if isinstance(raster, ValueError) else damaged.get(moment.date())
            products.append(self._product(str(item["file"]), moment, known, masks, cloud, fault, document))
        _check_fit(masks, products)
        return products

    def _product(
        self,
        name: str,
        moment: datetime,
        raster: _Raster,
        masks: Sequence[Mask],
        cloud: Any,
        fault: str | None,
        document: dict[str, Any],
    ) -> Product:
        west, south, east, north = raster.degrees
        path, own = self.folder / name, (self.mask_type or "scl").upper()
        names = [(band or "").upper() for band in raster.bands]
        if own in names:
            band = names.index(own) + 1
            chosen: tuple[Mask, ...] = (Mask(path, name, band, own.lower(), moment.date(), None, raster.degrees),)
            source = f"band {own} of {name}"
        else:
            chosen = masks_of(masks, moment, raster.degrees)
            source = " and ".join(mask.name for mask in chosen)
        classes = "derived" if not chosen else "scl" if chosen[0].type == "scl" else "mask"
        properties: dict[str, Any] = {"level": str(document.get("level", "unknown")), "scene_classes": classes}
        radiometry = str(raster.radiometry) if raster.radiometry.bands else None
        stated = {"mask": source, "mask_type": self.mask_type, "radiometry": radiometry, "unreadable": fault}
        return Product(
            id=f"{self.folder.name}_{path.stem}",
            datetime=moment,
            ring=[(west, north), (west, south), (east, south), (east, north), (west, north)],
            epsg=raster.epsg,
            bounds=raster.bounds,
            cloud=None if cloud is None or cloud == "" else float(cloud),
            source=_Files(path, tuple(filter(None, raster.bands)), chosen, raster.radiometry),
            properties=properties | {key: value for key, value in stated.items() if value},
        )


def _check_fit(masks: Iterable[Mask], products: Sequence[Product]) -> None:
    """Check that each mask file belongs to a scene."""
    used = {mask.path for product in products for mask in product.source.masks}
    own = {product.datetime.date() for product in products if product.source.scene in used}
    unused = sorted({mask.name: mask for mask in masks if mask.path not in used}.items())
    unused = [(name, mask) for name, mask in unused if mask.day not in own]
    if unused:
        listed = ", ".join(f"{name} ({mask.day})" for name, mask in unused[:3])
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        raise MaskError(
            f"{listed}{more}: no scene of that date lies there; a mask is matched by the date in its name and by its "
            "place: name it after the date of its scene, or remove it"
        )


def _rasters(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)


def _indices(folder: Path) -> list[Path]:
    return [path for path in (folder / "index.json", folder / "index.csv") if path.is_file()]


def _signature(path: Path) -> tuple[Any, ...]:
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _raster(path: Path, stated: Stated) -> _Raster | ValueError:
    """Return what the header of a scene states, or why it cannot be read.

    Raises:
        ValueError: The scene has no CRS, or its numbers may mean anything.
    """
    import rasterio
    from rasterio.errors import RasterioIOError
    from rasterio.warp import transform_bounds

    try:
        with rasterio.open(path) as file:
            if file.crs is None:
                raise ValueError(f"{path}: has no CRS")
            left, bottom, right, top = file.bounds
            west, south, east, north = transform_bounds(file.crs, WGS84, left, bottom, right, top)
            bounds, degrees = (left, bottom, right, top), (west, south, east, north)
            radiometry = radiometry_of(file, [band for band in file.descriptions if band in BANDS], stated)
            return _Raster(file.crs.to_epsg() or 0, bounds, degrees, file.descriptions, radiometry)
    except RasterioIOError as error:
        return ValueError(f"{path}: cannot be read as a raster: {error}")


def _named(raster: _Raster | ValueError, path: Path) -> _Raster | ValueError:
    """Return the raster unless its bands have no names: those of the others have, so the end of the file is missing."""
    if isinstance(raster, _Raster) and not any(raster.bands):
        return ValueError(f"{path}: its bands have no names, where those of other scenes have: is the file complete?")
    return raster


def _document(folder: Path) -> tuple[dict[str, Any], dict[date, str]]:
    """Return the index of a folder (`items`, `level`), and the cloud shares of `index.csv` by date."""
    index, table = folder / "index.json", folder / "index.csv"
    rows = _rows(table) if table.is_file() else []
    clouds = {_moment(row, folder).date(): row["cloud_pct"] for row in rows if row.get("cloud_pct")}
    if not index.is_file():
        named = [row for row in rows if row.get("file")]
        return {"items": named or _dated_scenes(folder)}, clouds
    try:
        document = json.loads(index.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{index}: is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise ValueError(f"{index}: must be an object with a list `items`")  # noqa: TRY004 - of the file's content
    return document, clouds


def _rows(table: Path) -> list[dict[str, Any]]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, 2):
        if row.get("cloud_pct") and not _is_percentage(row["cloud_pct"]):
            raise ValueError(f"{table}: line {number}: cloud_pct {row['cloud_pct']!r} must be from 0 to 100 (percent)")
    return rows


def _is_percentage(text: str) -> bool:
    try:
        return 0 <= float(text) <= 100
    except ValueError:
        return False


def _dated_scenes(folder: Path) -> list[dict[str, Any]]:
    """Items of a folder without an index: each scene with the date in its name."""
    items = []
    for path in sorted((folder / "scenes").glob("*.tif")):
        if is_mask(path, folder):
            continue
        match = re.search(r"(\d{4})(\d{2})(\d{2})", path.name)
        if match is None:
            raise ValueError(f"{path}: the name holds no date (YYYYMMDD), and there is no index")
        items.append({"date": "-".join(match.groups()), "file": f"scenes/{path.name}"})
    return items


def _moment(item: dict[str, Any], folder: Path) -> datetime:
    text = item.get("datetime") or item.get("date")
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise ValueError(f"{folder}: {item.get('file')}: {text!r} is not a date") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _derived_scl(files: _Files, grid: Grid) -> NDArray[np.uint8]:
    """Water by NDWI and a dark near infrared; vegetation from NDVI 0.3; else bare soil; 0 without data. No cloud."""
    scene, data = _reflectances(files, grid, _SCL_INPUTS)
    green, red, near_infrared = scene.astype(np.float32)
    with np.errstate(all="ignore"):
        ndvi = (near_infrared - red) / (near_infrared + red)
    classes = np.where(ndvi >= VEGETATION_NDVI, _VEGETATION, _BARE).astype(np.uint8)
    classes[(green > near_infrared) & (near_infrared < WATER_NIR)] = _WATER
    classes[~data] = 0
    return classes


def _reflectances(
    files: _Files, grid: Grid, bands: Sequence[str], resampling: str = "NEAREST"
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Reflectance × 10000 of a scene's bands, shape (bands, height, width), and where all of them have data."""
    raw, nodata = _warped(files.scene, grid, bands, resampling)
    pairs = [files.radiometry.bands[band] for band in bands] or [UNTAGGED]  # a file without a band still has data
    values, data = served(raw, nodata, pairs)
    return values, np.logical_and.reduce(data)


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
