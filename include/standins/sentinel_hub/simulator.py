"""Simulated scenes: fields with crops, stress, soil, clouds, shadows, noise, and the truth about the stress.

Everything follows from (world, seed), place and date; nothing is stored. `docs/guides/simulator.md` states the model.

Products come in Sentinel-2's tiles, as the military grid names them. A tile is 109.8 km wide on a 100 km raster of its
UTM zone, so neighbours overlap by 10 km. Two satellites pass over a zone every ten days each, five days apart, at about
10:30 local solar time; one tile in eight passes is published a second time, reprocessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache

import numpy as np

from include.standins.sentinel_hub.land import survey, world_metres
from include.standins.sentinel_hub.noise import Floats, key
from include.standins.sentinel_hub.rendering import BANDS, CLOUD_SEEN, Scene, cirrus_opacity, cloud_opacity
from include.standins.sentinel_hub.scenes import CLASS_BANDS, WGS84, Box, Grid, Layers, Product, projection

WORLDS = ("standard", "simple")
_LANDS_KEPT = 4
_TILE_SAMPLES = 40
SIZE, PITCH = 109_800.0, 100_000.0
_LATITUDE_BANDS = "CDEFGHJKLMNPQRSTUVWXX"
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")


@dataclass(frozen=True)
class Tile:
    """A tile.

    Args:
        zone: UTM zone, 1 to 60.
        south: In the southern hemisphere.
        column: Easting of its west edge, 100 km.
        row: Northing of its south edge, 100 km.
    """

    zone: int
    south: bool
    column: int
    row: int

    @property
    def epsg(self) -> int:
        """Its UTM zone's code."""
        return (32700 if self.south else 32600) + self.zone

    @property
    def bounds(self) -> Box:
        """xmin, ymin, xmax, ymax, UTM metres."""
        xmin, ymax = self.column * PITCH - 20, (self.row + 1) * PITCH + 40
        return xmin, ymax - SIZE, xmin + SIZE, ymax

    @cached_property
    def corners(self) -> list[tuple[float, float]]:
        """Longitude and latitude, closed, counter-clockwise from the north-west."""
        xmin, ymin, xmax, ymax = self.bounds
        to_degrees = projection(self.epsg, WGS84)
        ring = [(xmin, ymax), (xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)]
        return [(float(x), float(y)) for x, y in (to_degrees.transform(*corner) for corner in ring)]

    @property
    def name(self) -> str:
        """`43RED`."""
        _, latitude = self.corners[0]
        letter = _LATITUDE_BANDS[int(np.clip((latitude + 80) // 8, 0, 20))]
        row = self.row + (5 if self.zone % 2 == 0 else 0)
        return f"{self.zone:02}{letter}{_COLUMNS[(self.zone - 1) % 3][(self.column - 1) % 8]}{_ROWS[row % 20]}"

    def points(self, side: int) -> tuple[Floats, Floats]:
        """Longitude and latitude of side × side points spread over the tile."""
        place = (np.arange(side) + 0.5) / side
        north_west, south_west, south_east, north_east = (np.array(corner) for corner in self.corners[:4])
        s, t = np.meshgrid(place, place)
        top = north_west[:, None, None] * (1 - s) + north_east[:, None, None] * s
        bottom = south_west[:, None, None] * (1 - s) + south_east[:, None, None] * s
        longitude, latitude = top * (1 - t) + bottom * t
        return longitude, latitude


def tiles_over(bounds: Box) -> Iterator[Tile]:
    """Tiles that may touch a box (west, south, east, north in degrees), each from the zone that it names."""
    west, south, east, north = bounds
    for zone in range(int((west + 180) // 6) + 1, int(min(east + 180, 359.999) // 6) + 2):
        for is_south in (True, False):
            low, high = (south, min(north, 0.0)) if is_south else (max(south, 0.0), north)
            if low > high or (is_south and low == high):
                continue
            left, right = max(west, zone * 6 - 186), min(east, zone * 6 - 180)
            to_metres = projection(WGS84, (32700 if is_south else 32600) + zone)
            x, y = to_metres.transform(*np.meshgrid(np.linspace(left, right, 5), np.linspace(low, high, 5)))
            for column in range(int((np.min(x) - SIZE) // PITCH) + 1, int(np.max(x) // PITCH) + 1):
                for row in range(int((np.min(y) - PITCH) // PITCH), int(np.max(y) // PITCH) + 1):
                    tile = Tile(zone, is_south, column, row)
                    xmin, ymin, xmax, ymax = tile.bounds
                    if xmin <= np.max(x) and xmax >= np.min(x) and ymin <= np.max(y) and ymax >= np.min(y):
                        yield tile


def passes(zone: int, start: datetime, end: datetime, seed: int) -> Iterator[tuple[date, str]]:
    """Days on which a zone is taken, with the satellite (A or B), within an instant before start to after end."""
    phase = key(seed, "orbit", zone) % 10
    for number in range((start - timedelta(days=1)).toordinal(), (end + timedelta(days=1)).toordinal() + 1):
        turn = (number + phase) % 10
        if turn in (0, 5):
            yield date.fromordinal(number), "AB"[turn // 5]


def taken(tile: Tile, day: date) -> datetime:
    """When the satellite passes: 10:30 local solar time, earlier in the north."""
    noon = 10.5 - (tile.zone * 6 - 183) / 15
    seconds = int(noon * 3600 - 14.0 * (tile.row - (100 if tile.south else 0)))
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=seconds)


def is_reprocessed(tile: Tile, day: date, seed: int) -> bool:
    """Whether a second product of the same tile and day is in the catalog."""
    return key(seed, "reprocessed", tile, day) % 8 == 0


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
        self._land = lru_cache(maxsize=_LANDS_KEPT)(lambda grid: survey(grid, world, self.seed))
        self._tile_cloud = lru_cache(maxsize=20_000)(self._sampled_cloud)

    def products(self, start: datetime, end: datetime, box: Box) -> list[Product]:
        """See `Scenes`."""
        products = []
        for tile in tiles_over(box):
            for day, satellite in passes(tile.zone, start, end, self.seed):
                moment = taken(tile, day)
                if start <= moment <= end:
                    versions = 2 if is_reprocessed(tile, day, self.seed) else 1
                    products += [self._product(tile, day, moment, satellite, version) for version in range(versions)]
        return products

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
        clear = (1 - cloud_opacity(x, y, day, self.seed)) * (1 - cirrus_opacity(x, y, day, self.seed))
        return round(float(np.mean(clear < 1 - CLOUD_SEEN)) * 100, 2)

    def bands(self, product: Product) -> tuple[str, ...]:
        """See `Scenes`."""
        return *BANDS, *CLASS_BANDS

    def read(self, product: Product, grid: Grid, bands: Sequence[str], resampling: str) -> Layers:
        """See `Scenes`; pixels are point samples whatever the resampling."""
        scene = Scene(self._land(grid), grid, self.world, self.seed, product.source)
        return Layers({band: scene.band(band) for band in bands}, grid.within(product.epsg, product.bounds))
