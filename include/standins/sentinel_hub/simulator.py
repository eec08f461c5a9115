"""Simulated scenes: fields with crops, stress, soil, clouds, shadows, noise, and the truth about the stress.

Everything follows from (world, seed), place and date; nothing is stored. `docs/guides/simulator.md` states the model.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub import clouds, spectra
from include.standins.sentinel_hub.grid import NODES_EVERY, Grid
from include.standins.sentinel_hub.land import Land, survey, world_metres
from include.standins.sentinel_hub.noise import key, upsample
from include.standins.sentinel_hub.rendering import CLOUD_SEEN, Scene
from include.standins.sentinel_hub.scenes import REFERENCE, SCL, Box, Layers, Product, UnknownBandError
from include.standins.sentinel_hub.tiles import Tile, is_reprocessed, passes, taken, tiles_over

WORLDS = ("standard", "simple")
_LANDS_KEPT = 4
_TILE_SAMPLES = 40


class Simulator:
    """Scenes of a simulated world, anywhere on Earth and at any time.

    Args:
        world: `standard`, or `simple`: two crops, no soil variation, margins, haze, shadows, other land cover.
        seed: Other seeds give other worlds.
    """

    collections = ("sentinel-2-l2a",)

    def __init__(self, world: str = "standard", seed: int = 0) -> None:
        self.world, self.seed = world, key(world, seed)
        self.name = f"SIM-{world}-{seed}"
        self._lands: OrderedDict[Grid, Land] = OrderedDict()
        self._lock = Lock()
        self._tile_cloud = lru_cache(maxsize=20_000)(self._sampled_cloud)

    def products(self, start: datetime, end: datetime, box: Box) -> list[Product]:
        """See `Scenes`."""
        found = []
        for tile in tiles_over(box):
            for day, satellite in passes(tile.zone, start, end, self.seed):
                moment = taken(tile, day)
                if start <= moment <= end:
                    versions = 2 if is_reprocessed(tile, day, self.seed) else 1
                    found += [self._product(tile, day, moment, satellite, version) for version in range(versions)]
        return found

    def _product(self, tile: Tile, day: date, moment: datetime, satellite: str, version: int) -> Product:
        made = moment + timedelta(hours=4 + 300 * version)
        sensed = moment.strftime("%Y%m%dT%H%M%S")
        return Product(
            id=f"S2{satellite}_MSIL2A_{sensed}_N05{version}0_R{key('orbit', tile.zone) % 143 + 1:03}_T{tile.name}_"
            f"{made:%Y%m%dT%H%M%S}_{self.name}",
            datetime=moment,
            ring=tile.corners,
            epsg=tile.epsg,
            bounds=tile.bounds,
            cloud=self._tile_cloud(tile, day),
            source=day,
            properties={"platform": f"sentinel-2{satellite.lower()}", "synthetic": True},
        )

    def _sampled_cloud(self, tile: Tile, day: date) -> float:
        """Cloud share of a tile, percent, from 40 × 40 points."""
        x, y = world_metres(*tile.points(_TILE_SAMPLES))
        clear = (1 - clouds.opacity(x, y, day, self.seed)) * (1 - clouds.cirrus(x, y, day, self.seed))
        return round(float(np.mean(clear < 1 - CLOUD_SEEN)) * 100, 2)

    def read(self, product: Product, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        """See `Scenes`; pixels are point samples whatever the resampling."""
        known = {*spectra.BANDS, SCL, REFERENCE}
        for band in bands:
            if band not in known:
                raise UnknownBandError(band)
        mask = _inside(grid, product)
        scene = Scene(self._land(grid), grid, self.world, self.seed, product.source)
        return Layers({band: scene.band(band) for band in bands}, mask)

    def _land(self, grid: Grid) -> Land:
        with self._lock:
            if grid in self._lands:
                self._lands.move_to_end(grid)
                return self._lands[grid]
        surveyed = survey(grid, self.world, self.seed)
        with self._lock:
            self._lands[grid] = surveyed
            while len(self._lands) > _LANDS_KEPT:
                self._lands.popitem(last=False)
        return surveyed


def _inside(grid: Grid, product: Product) -> NDArray[np.bool_]:
    """Which pixel centres a product's tile covers."""
    from pyproj import Transformer

    xmin, ymin, xmax, ymax = product.bounds
    longitude, latitude = grid.centres(NODES_EVERY)
    x, y = Transformer.from_crs(4326, product.epsg, always_xy=True).transform(longitude, latitude)
    if xmin <= x.min() and x.max() <= xmax and ymin <= y.min() and y.max() <= ymax:
        return np.ones((grid.height, grid.width), bool)
    x = upsample(x, (grid.height, grid.width), NODES_EVERY)
    y = upsample(y, (grid.height, grid.width), NODES_EVERY)
    return np.asarray((x >= xmin) & (x <= xmax) & (y >= ymin) & (y <= ymax))
