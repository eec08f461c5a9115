"""Small imagery stores made from arrays: the files and the manifest that the datasets are prepared from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.warp import transform_geom

from include.core.run_folder import write_json
from include.satellite.imagery.schemas import Acquisition, Grid, Imagery
from include.satellite.sensors.sensor import NODATA, REFERENCE
from include.satellite.sensors.sentinel2 import SENTINEL2

BANDS = [*SENTINEL2.base_bands, SENTINEL2.classes.band]
PREVIEW_BANDS = ["B02", "B04", "B08"]
CRS = "EPSG:32643"
WEST, SOUTH = 600_000, 3_420_000


def grid_of(
    height: int, width: int, resolution: int = 10, crs: str = CRS, origin: tuple[int, int] = (WEST, SOUTH)
) -> Grid:
    """A grid whose lower left corner lies at the origin."""
    west, south = origin
    bounds = (west, south, west + width * resolution, south + height * resolution)
    return Grid(crs=crs, resolution=resolution, bounds=bounds, width=width, height=height)


def geometry_of(grid: Grid) -> dict[str, Any]:
    """A geometry in degrees that holds every pixel's centre of a grid."""
    xmin, ymin, xmax, ymax = grid.bounds
    ring = [(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax), (xmin, ymin)]
    return dict(transform_geom(grid.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]}, precision=9))


def days_from(first: date, count: int, apart: int = 12) -> list[date]:
    """Dates at a regular distance."""
    return [first + timedelta(days=apart * number) for number in range(count)]


@dataclass
class ImageryMaker:
    """Writes scenes into `data_dir/imagery` and their manifest into a run's `files/`.

    Args:
        data_dir: What the setting `GROUNDTRUTH_DATA_DIR` names.
        grid: Of all scenes.
        bands: Of all files, in order.
        synthetic: The mark.
        geometry: The area in degrees; default: the whole grid.
    """

    data_dir: Path
    grid: Grid
    bands: Sequence[str] = tuple(BANDS)
    synthetic: bool = False
    geometry: dict[str, Any] | None = None

    def scene(self, day: date, layers: NDArray[np.integer]) -> Acquisition:
        """Write one scene; layers (bands, H, W) in the order of `bands`."""
        name = f"test/arrays-{self.grid.height}x{self.grid.width}/{day}.tif"
        path = self.data_dir / "imagery" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        xmin, _, _, ymax = self.grid.bounds
        profile = {
            "driver": "GTiff",
            "dtype": "uint16",
            "count": len(self.bands),
            "height": self.grid.height,
            "width": self.grid.width,
            "crs": self.grid.crs,
            "transform": rasterio.Affine(self.grid.resolution, 0, xmin, 0, -self.grid.resolution, ymax),
            "nodata": NODATA,
            "compress": "deflate",
        }
        with rasterio.open(path, "w", **profile) as file:
            file.write(layers.astype(np.uint16))
            file.descriptions = tuple(self.bands)
            file.scales = tuple(1.0 if SENTINEL2.is_class_band(band) else SENTINEL2.scale for band in self.bands)
        content = path.read_bytes()
        return Acquisition(
            date=day,
            datetime=datetime(day.year, day.month, day.day, 5, 30, tzinfo=UTC),
            product_ids=[f"S2_{day:%Y%m%d}"],
            source="demo",
            synthetic=self.synthetic,
            usable=True,
            file=name,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            bands=list(self.bands),
            clear=100,
        )

    def manifest(self, files: Path, acquisitions: Sequence[Acquisition], name: str = "validated.json") -> Imagery:
        """Write the manifest of scenes."""
        first, last = acquisitions[0].datetime, acquisitions[-1].datetime
        imagery = Imagery(
            collection="sentinel-2-l2a",
            source="demo",
            synthetic=self.synthetic,
            grid=self.grid,
            geometry=self.geometry or geometry_of(self.grid),
            bands=list(self.bands),
            start=first,
            end=last + timedelta(days=1),
            acquisitions=list(acquisitions),
            unusable=[],
            units_spent=0,
            units_estimated=0,
        )
        write_json(files / name, imagery)
        return imagery


def layers_of(ndvi: NDArray[np.floating], scl: NDArray[np.integer], *more: NDArray[np.integer]) -> NDArray[np.uint16]:
    """Bands B02, B03, B04, B08 of a given NDVI (H, W), with SCL, and what follows it."""
    nir = np.full(ndvi.shape, 3000.0)
    red = nir * (1 - ndvi) / (1 + ndvi)
    return np.stack([red * 0.6, red * 0.9, red, nir, scl, *more]).round().astype(np.uint16)


def fields(height: int, width: int, dates: int, seed: int = 0, field: int = 24) -> NDArray[np.float64]:
    """NDVI (T, H, W) of square fields, each with its own level and season, with noise."""
    random = np.random.default_rng(seed)
    rows, columns = -(-height // field), -(-width // field)
    level = random.uniform(0.2, 0.75, (rows, columns))
    phase = random.uniform(0, 2 * np.pi, (rows, columns))
    season = 0.18 * np.sin(np.linspace(0, 2 * np.pi, dates)[:, None, None] + phase)
    whole = np.repeat(np.repeat(level + season, field, axis=1), field, axis=2)[:, :height, :width]
    return np.clip(whole + random.normal(0, 0.02, whole.shape), -0.1, 0.92)


def clouds(height: int, width: int, dates: int, seed: int = 0, share: float = 0.1) -> NDArray[np.uint8]:
    """SCL (T, H, W): vegetation (4) with one round cloud (9) a date that covers about the given share."""
    random = np.random.default_rng([seed, 1])
    y, x = np.mgrid[:height, :width]
    scl = np.full((dates, height, width), 4, np.uint8)
    for date_scl in scl:
        top, left = random.uniform(0, height), random.uniform(0, width)
        date_scl[(y - top) ** 2 + (x - left) ** 2 < share * height * width / np.pi] = 9
    return scl


def make_fields(
    data_dir: Path,
    files: Path,
    height: int,
    width: int,
    dates: int,
    *,
    seed: int = 0,
    share: float = 0.1,
    reference: bool = False,
) -> Imagery:
    """A whole store of fields under passing clouds, with its manifest; with a class raster on request."""
    bands = [*BANDS, REFERENCE] if reference else BANDS
    maker = ImageryMaker(data_dir, grid_of(height, width), bands, synthetic=reference)
    ndvi, scl = fields(height, width, dates, seed), clouds(height, width, dates, seed, share)
    found = []
    for day, one, classes in zip(days_from(date(2024, 3, 1), dates), ndvi, scl, strict=True):
        truth = [np.digitize(-one, [-0.7, -0.5, -0.3]) + 1] if reference else []
        found.append(maker.scene(day, layers_of(one, classes, *truth)))
    return maker.manifest(files, found)


def make_history(data_dir: Path, files: Path, imagery: Imagery, dates: int = 28, hazy: int | None = None) -> Imagery:
    """The previews of a run: 28 dates of NDVI 0.5 and more on a grid of 40 m, and their manifest."""
    grid = grid_of(imagery.grid.height // 4, imagery.grid.width // 4, 40)
    maker = ImageryMaker(data_dir, grid, [*PREVIEW_BANDS, "SCL"])
    found = []
    for number, day in enumerate(days_from(date(2023, 1, 1), dates)):
        layers = layers_of(
            np.full((grid.height, grid.width), 0.5 + 0.01 * number), np.full((grid.height, grid.width), 4)
        )
        layers = layers[[0, 2, 3, 4]]
        if number == hazy:
            layers[0] = 1500
        found.append(maker.scene(day, layers))
    return maker.manifest(files, found, "history.json")
