"""Scenes from a folder of GeoTIFFs.

`scenes/` holds GeoTIFF or JPEG 2000 with CRS and band names (`band_names`; `radiometry`: what the numbers are): one
file with all bands a date, or one a band. Beside it may stand `index.json` (items with `date` or `datetime`, `file`,
and optionally `scl` and `cloud_pct`) or `index.csv` (the same as columns), cloud masks (see `masks`) and
`labels/reference.tif` (classes 1 to 4, served as band REFERENCE). Without an index, the date is that of the file name.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.band_names import NOT_SERVED, evidence, names_of, scene_and_band
from include.standins.sentinel_hub.duplicates import one_of_each_place
from include.standins.sentinel_hub.errors import ApiError
from include.standins.sentinel_hub.georeference import degrees_of
from include.standins.sentinel_hub.masks import CLEAR, Mask, MaskError, is_mask, masks_of, read_masks, scl_of
from include.standins.sentinel_hub.radiometry import Radiometry, Stated, radiometry_of, served
from include.standins.sentinel_hub.rendering import BANDS
from include.standins.sentinel_hub.scene_names import day_in
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


_Places = dict[str, tuple[Path, int]]
"""File and number of each band that has a name."""


class _Files(NamedTuple):
    name: str
    paths: tuple[Path, ...]
    places: _Places
    masks: tuple[Mask, ...]
    radiometry: Radiometry


class _Raster(NamedTuple):
    """What the headers of a scene's files state."""

    epsg: int
    bounds: Box
    degrees: Box
    places: _Places
    radiometry: Radiometry
    evidence: str = ""


class _Scene(NamedTuple):
    """A scene as the index lists it: one file, or one a band."""

    name: str
    item: dict[str, Any]
    moment: datetime
    files: tuple[str, ...]


class SceneFolder:
    """A folder's scenes, served as `sentinel-2-l2a` (and as `sentinel-2-l1c`, which the catalog tells by `level`).

    The folder is listed again when a file of it has changed.

    Args:
        folder: See the module.
        mask_type: Type of the masks, a key of `MASK_TYPES`; None: a scene classification that its name shows to be one.
        scale: Of its scenes, where the user states it: reflectance = number × scale + offset.
        offset: See `scale`.
        band_names: Of its scenes, in their order, where the user states them; `-` for a band that is not used.

    Raises:
        ValueError: It holds no scene that can be read, one whose numbers may mean anything, or a mask that cannot be
            used.
    """

    collections = ("sentinel-2-l2a", "sentinel-2-l1c")

    def __init__(
        self,
        folder: Path,
        mask_type: str | None = None,
        scale: float | None = None,
        offset: float | None = None,
        band_names: Sequence[str] = (),
    ) -> None:
        self.folder, self.mask_type, self._stated = folder, mask_type, Stated(scale, offset)
        self._band_names = tuple(band_names)
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
        """See `Scenes`. They are those of the folder: a scene that lacks one cannot be read, and the others can."""
        sources: list[_Files] = [each.source for each in self._products]
        places = {band for files in sources for band in files.places}
        has_scl = any(mask.type == "scl" for files in sources for mask in files.masks) or {*_SCL_INPUTS} <= places
        return [*filter(places.__contains__, BANDS), *[SCL] * has_scl, *[REFERENCE] * self._reference.is_file()]

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
            message = f"{product.source.name}, or a mask of it, cannot be read: {error.__cause__ or error}"
            raise ApiError(400, message, UNREADABLE) from error

    def _layers(self, files: _Files, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        spectral = [band for band in bands if band not in (SCL, REFERENCE)]
        derived = SCL in bands and not any(mask.type == "scl" for mask in files.masks)
        missing = {*spectral, *_SCL_INPUTS * derived} - files.places.keys()
        if missing:
            message = f"{files.name}: has no band {', '.join(sorted(missing))}; its bands: {', '.join(files.places)}"
            raise ApiError(400, f"{message}; other scenes of the folder have more", UNREADABLE)
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
        parts = [*files.paths, *(mask.path for mask in files.masks), *[self._reference] * self._reference.is_file()]
        try:
            checksums = [self._checksum(path) for path in parts]
        except OSError as error:
            return replace(product, properties=product.properties | {"unreadable": f"{error}"})
        state = json.dumps([str(self.folder.resolve()), self.mask_type, self._stated, self._band_names, checksums])
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
            ValueError: None can be read, a name has no date or several, or a mask fits none.
        """
        document, clouds = _document(self.folder)
        items = [(item, _moment(item, self.folder)) for item in document["items"] if item.get("file")]
        scenes = _scenes(items)
        rasters = [_joined([self._raster(name) for name in scene.files]) for scene in scenes]
        faults = [str(raster) for raster in rasters if isinstance(raster, ValueError)]
        if len(faults) == len(scenes):
            nothing = f"{self.folder}: there are no scenes (scenes/*.tif, named in an index where there is one)"
            more = f" (the other scenes cannot be read either: {len(faults) - 1})" if len(faults) > 1 else ""
            raise ValueError(faults[0] + more if faults else nothing)
        boxes = np.array([raster.degrees for raster in rasters if isinstance(raster, _Raster)])
        hull = (*boxes.min(axis=0).tolist()[:2], *boxes.max(axis=0).tolist()[2:])
        unknown = _Raster(WGS84, hull, hull, {}, Radiometry({}, "unknown"))
        indexed = {self.folder / str(item["scl"]): moment.date() for item, moment in items if item.get("scl")}
        paths = {path for path in _rasters(self.folder) if is_mask(path, self.folder)} | indexed.keys()
        masks, damaged = read_masks(sorted(paths), self.folder, self.mask_type, indexed)
        products = []
        for scene, raster in zip(scenes, rasters, strict=True):
            cloud = scene.item.get("cloud_pct", clouds.get(scene.moment.date()))
            known = raster if isinstance(raster, _Raster) else unknown
            fault = str(raster) if isinstance(raster, ValueError) else damaged.get(scene.moment.date())
            products.append(self._product(scene, known, masks, cloud, fault, document))
        _check_fit(masks, products)
        return one_of_each_place(products)

    def _raster(self, name: str) -> _Raster | ValueError:
        """Return what the header of a file states, or why its scene cannot be used."""
        import rasterio
        from rasterio.errors import RasterioIOError

        path = self.folder / name
        try:
            with rasterio.open(path) as file:
                degrees = degrees_of(file, str(path))
                names = names_of(file.descriptions, path, self._band_names)
                places: _Places = {}
                for number, band in enumerate(names, 1):
                    places.setdefault((band or "").upper(), (path, number))
                places.pop("", None)
                radiometry = radiometry_of(
                    file, {band: number for band, (_, number) in places.items() if band in BANDS}, self._stated
                )
                told = evidence(file.descriptions, names, self._band_names)
                return _Raster(file.crs.to_epsg() or 0, tuple(file.bounds), degrees, places, radiometry, told)
        except RasterioIOError as error:
            return ValueError(f"{path}: cannot be read as a raster: {error}")
        except ValueError as error:
            return error

    def _product(
        self,
        scene: _Scene,
        raster: _Raster,
        masks: Sequence[Mask],
        cloud: Any,
        fault: str | None,
        document: dict[str, Any],
    ) -> Product:
        west, south, east, north = raster.degrees
        own, moment = (self.mask_type or "scl").upper(), scene.moment
        name = scene.files[0] if len(scene.files) == 1 else f"{scene.name} ({len(scene.files)} files)"
        if own in raster.places:
            path, band = raster.places[own]
            chosen: tuple[Mask, ...] = (Mask(path, name, band, own.lower(), moment.date(), None, raster.degrees),)
            source = f"band {own} of {name}"
        else:
            chosen = masks_of(masks, moment, raster.degrees)
            source = " and ".join(mask.name for mask in chosen)
        classes = "derived" if not chosen else "scl" if chosen[0].type == "scl" else "mask"
        properties: dict[str, Any] = {"level": str(document.get("level", "unknown")), "scene_classes": classes}
        radiometry = f"{raster.radiometry}{raster.evidence}" if raster.radiometry.bands else None
        stated: dict[str, Any] = {"mask": source, "radiometry": radiometry, "unreadable": fault}
        stated["scene_bands"] = [*raster.places]
        stated |= {"mask_type": self.mask_type, **self._stated._asdict(), "band_names": [*self._band_names]}
        return Product(
            id=f"{self.folder.name}_{scene.name.removeprefix('scenes/').replace('/', '_')}",
            datetime=moment,
            ring=[(west, north), (west, south), (east, south), (east, north), (west, north)],
            epsg=raster.epsg,
            bounds=raster.bounds,
            cloud=None if cloud is None or cloud == "" else float(cloud),
            source=_Files(
                name, tuple(self.folder / file for file in scene.files), raster.places, chosen, raster.radiometry
            ),
            properties=properties | {key: value for key, value in stated.items() if value not in (None, "", [])},
        )


def _check_fit(masks: Iterable[Mask], products: Sequence[Product]) -> None:
    """Check that each mask file belongs to a scene."""
    used = {mask.path for product in products for mask in product.source.masks}
    own = {product.datetime.date() for product in products if used.intersection(product.source.paths)}
    unused = sorted({mask.name: mask for mask in masks if mask.path not in used}.items())
    unused = [(name, mask) for name, mask in unused if mask.day not in own]
    if unused:
        days = {product.datetime.date() for product in products}
        listed = ", ".join(
            f"{name} ({mask.day}, {_between(mask.degrees)}"
            f"{'; the scene of that date lies elsewhere' * (mask.day in days)})"
            for name, mask in unused[:3]
        )
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        hull = np.array([np.reshape(product.ring, (-1, 2)) for product in products]).reshape(-1, 2)
        raise MaskError(
            f"{listed}{more}: no scene of that date lies there, so nothing tells what it masks; the scenes lie "
            f"{_between((*hull.min(axis=0), *hull.max(axis=0)))} (longitude, latitude). Correct the date in its name, "
            "or its georeference, or move it out of the folder"
        )


def _between(degrees: Sequence[float]) -> str:
    west, south, east, north = degrees
    return f"between ({west:.4f}, {south:.4f}) and ({east:.4f}, {north:.4f})"


def _rasters(folder: Path) -> list[Path]:
    """Return the rasters of a folder, also in folders that are links."""
    found: list[Path] = []
    entered: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if Path(place, name).resolve() not in entered]
        entered.update(Path(place, name).resolve() for name in folders)
        found += [Path(place, name) for name in (*names, *folders) if Path(name).suffix.lower() in SUFFIXES]
    return sorted(found)


def _indices(folder: Path) -> list[Path]:
    return [path for path in (folder / "index.json", folder / "index.csv") if path.is_file()]


def _signature(path: Path) -> tuple[Any, ...]:
    try:
        status = path.stat()
    except OSError as error:  # a link to nowhere
        return str(path), error.errno
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _scenes(items: Iterable[tuple[dict[str, Any], datetime]]) -> list[_Scene]:
    """Return the scenes of an index; files of one time whose names differ in the band alone are one."""
    scenes: dict[tuple[datetime, str], _Scene] = {}
    for item, moment in items:
        file = str(item["file"])
        name, band = scene_and_band(file)
        if band not in NOT_SERVED:
            before = scenes.get((moment, name), _Scene(name, item, moment, ()))
            scenes[moment, name] = before._replace(files=(*before.files, file))
    return [*scenes.values()]


def _joined(rasters: Sequence[_Raster | ValueError]) -> _Raster | ValueError:
    """Return what the files of a scene state together, or why it cannot be read."""
    known = []
    for raster in rasters:
        if isinstance(raster, ValueError):
            return raster
        known.append(raster)
    if len(known) == 1:
        return known[0]
    places: _Places = {}
    for band, place in (pair for raster in known for pair in raster.places.items()):
        if band in places:
            return ValueError(f"{place[0]}: holds {band}, as {places[band][0].name} does; keep one of them")
        places[band] = place
    pairs = {band: pair for raster in known for band, pair in raster.radiometry.bands.items()}
    basis = " and ".join(dict.fromkeys(raster.radiometry.basis for raster in known))
    return known[0]._replace(
        places=places, radiometry=Radiometry(pairs, basis), evidence=f"; a file each for {', '.join(places)}"
    )


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
    """Items of a folder without an index: each scene, also of folders in `scenes/`, with the date in its name."""
    items = []
    for path in _rasters(folder / "scenes"):
        if is_mask(path, folder):
            continue
        try:
            day = day_in(path.name)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if day is None:
            raise ValueError(f"{path}: the name holds no date (YYYYMMDD), and there is no index")
        items.append({"date": day.isoformat(), "file": path.relative_to(folder).as_posix()})
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
    values, known = np.empty((len(bands), *grid.shape), np.uint16), np.ones(grid.shape, bool)
    for path in dict.fromkeys(files.places[band][0] for band in bands):
        rows = [row for row, band in enumerate(bands) if files.places[band][0] == path]
        names = [bands[row] for row in rows]
        raw, nodata = _warped(path, grid, [files.places[band][1] for band in names], resampling)
        values[rows], data = served(raw, nodata, [files.radiometry.bands[band] for band in names])
        known &= data.all(axis=0)
    return values, known


def _classes(path: Path, grid: Grid) -> NDArray[np.uint8]:
    """Classes of a file's first band; 0 where it has none."""
    values, nodata = _warped(path, grid, [1])
    return np.where(values[0] == nodata, 0, values[0]).astype(np.uint8)


def _warped(path: Path, grid: Grid, numbers: Sequence[int], resampling: str = "NEAREST") -> tuple[NDArray[Any], float]:
    """Bands of a file over a grid, by their numbers, shape (bands, height, width), and their nodata."""
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    methods = {"NEAREST": Resampling.nearest, "BILINEAR": Resampling.bilinear, "BICUBIC": Resampling.cubic}
    with rasterio.open(path) as file:
        nodata = 0 if file.nodata is None else file.nodata
        options = {**grid.profile, "resampling": methods[resampling], "src_nodata": nodata, "nodata": nodata}
        with WarpedVRT(file, **options) as warped:
            return warped.read([*numbers]), nodata
