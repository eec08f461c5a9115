"""Small fields over small imagery: squares of whole pixels on a grid, and a world of scenes to observe them on."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.warp import transform_geom

from include.satellite.fields.pixels import outline_key
from include.satellite.fields.schemas import CropField
from include.satellite.imagery.schemas import Grid, Imagery
from tests.satellite.imagery_store import ImageryMaker, clouds, days_from, grid_of

BANDS = ("B02", "B03", "B04", "B08", "B05", "B8A", "B11", "SCL")
HEIGHT, WIDTH = 60, 50


def outline(grid: Grid, row: int, column: int, height: int, width: int) -> dict[str, Any]:
    """The outline of some rows and columns of pixels, in degrees."""
    west, north = grid.bounds[0] + column * grid.resolution, grid.bounds[3] - row * grid.resolution
    east, south = west + width * grid.resolution, north - height * grid.resolution
    ring = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    return dict(transform_geom(grid.crs, "EPSG:4326", {"type": "Polygon", "coordinates": [ring]}, precision=12))


def field(name: str, geometry: dict[str, Any], **other: Any) -> CropField:
    """A field; valid always unless stated."""
    values = {"crop": "wheat", "valid_from": None, "valid_to": None} | other
    return CropField(field_id=name, geometry=geometry, outline=outline_key(geometry), area_ha=1.0, **values)


def three_fields(grid: Grid) -> list[CropField]:
    """Two fields beside each other, and one too small to measure."""
    places = {"A": (5, 5, 12, 14), "B": (25, 8, 20, 30), "tiny": (50, 40, 4, 4)}
    return [field(name, outline(grid, *place)) for name, place in places.items()]


def layers(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint16]:
    """Noisy reflectances of `BANDS` under a passing cloud, with shadow, snow and nodata here and there."""
    random = np.random.default_rng(number)
    levels = (400, 600, 500, 3000, 1100, 3200, 1800)
    bands = [level * random.uniform(0.7, 1.3, (height, width)) for level in levels]
    scl = clouds(height, width, 1, seed=number, share=0.15)[0]
    scl[random.random(scl.shape) < 0.01] = random.choice((3, 8, 10, 11, 0, 1))
    scene = np.stack([*bands, scl]).astype(np.uint16)
    scene[random.integers(7), random.random(scl.shape) < 0.01] = 0
    return scene


def make_imagery(data_dir: Path, files: Path, dates: int = 3, bands: tuple[str, ...] = BANDS) -> Imagery:
    """Scenes of a small area ten days apart, and their manifest."""
    maker = ImageryMaker(data_dir, grid_of(HEIGHT, WIDTH), bands, synthetic=True)
    kept = [BANDS.index(band) for band in bands]
    days = days_from(date(2026, 4, 1), dates, 10)
    return maker.manifest(files, [maker.scene(day, layers(number)[kept]) for number, day in enumerate(days)])
