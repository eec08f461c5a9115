"""The simulator's pixels of one day: canopy over soil, stress, sky, sensor; and the classes that belong to them."""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub import clouds, land, spectra, stress
from include.standins.sentinel_hub.crops import Growth, growth
from include.standins.sentinel_hub.grid import Grid
from include.standins.sentinel_hub.land import Land, world_metres
from include.standins.sentinel_hub.noise import key, scramble, smooth, smoothstep, upsample
from include.standins.sentinel_hub.scenes import REFERENCE, SCL

NOISE = {"standard": 0.004, "simple": 0.002}
"""Standard deviation of the sensor's noise, reflectance."""
VIGOUR = 0.05
"""Standard deviation of healthy growth within a field, as a share of its canopy."""
STANDING = 0.25
"""Least share of the ground under green canopy, before stress, for a field to have a true class."""
CLOUD_SEEN, CLOUD_SURE, CIRRUS_SEEN, SHADOW_SEEN = 0.12, 0.6, 0.05, 0.3
"""Opacities from which the scene classification names cloud (8, 9), cirrus (10) and shadow (3); less stays unseen."""
VEGETATION_NDVI = 0.3
SHADE = 0.6
"""Share of the light that a full shadow takes."""
CLOUD_NODES = 80.0
"""Clouds and haze are computed on nodes about this many metres apart, and interpolated."""
METRES_PER_DEGREE = 111_195.0
Array = NDArray[np.float32]


class _Sky(NamedTuple):
    cloud: Array
    cirrus: Array
    shadow: Array
    haze: Array
    moisture: Array


class _Canopy(NamedTuple):
    green: Array
    dry: Array
    colour: Array


class Scene:
    """One day over one grid.

    Args:
        ground: What lies there.
        grid: The pixels.
        world: `standard` or `simple`.
        seed: The world's.
        day: When.
    """

    def __init__(self, ground: Land, grid: Grid, world: str, seed: int, day: date) -> None:
        self.land, self.grid, self.world, self.seed, self.day = ground, grid, world, seed, day
        self.growth: Growth = growth(ground.fields, day, world, seed)
        self.stress = stress.classes(ground.fields.x, ground.fields.y, day.toordinal(), seed)

    def band(self, name: str) -> NDArray[Any]:
        """uint16 reflectance × 10000, or uint8 classes for SCL and REFERENCE; shape (height, width)."""
        if name == SCL:
            return self._scene_classification()
        if name == REFERENCE:
            return self._reference()
        bright = self._ground(name)
        sky = self._sky
        bright *= 1 - np.float32(SHADE) * sky.shadow
        bright += spectra.HAZE(name) * sky.haze
        veil = np.maximum(sky.cloud, sky.cirrus)
        bright += (spectra.CLOUD(name) - bright) * veil
        bright += self._sensor_noise(name)
        bright *= np.float32(10_000)
        return np.clip(np.rint(bright, out=bright), 0, 65_535, out=bright).astype(np.uint16)

    def _reference(self) -> NDArray[np.uint8]:
        """True class + 1 where a crop stands, 0 elsewhere."""
        standing = self.growth.green >= STANDING
        classes = np.where(standing, self.stress + 1, 0).astype(np.uint8)[self.land.field]
        return np.where(self.land.cover == land.CROP, classes, 0).astype(np.uint8)

    @cached_property
    def _canopy(self) -> _Canopy:
        """Green and dry canopy of each pixel, and the chlorophyll that it lacks, times green."""
        field, thresholds = self.land.field, stress.loss_thresholds()[self.stress]
        above = self.land.patches - thresholds[field]
        left = 1 - stress.DEPTH[self.stress][field] * smoothstep(above, -0.25, 0.25).astype(np.float32)
        left *= stress.compensation()[self.stress][field]
        left *= self.land.stand * (1 + np.float32(VIGOUR) * self.land.vigour)
        green = np.minimum(self.growth.green[field] * left, np.float32(0.98))
        dry = np.minimum(self.growth.dry[field] * left, 1 - green)
        lacking = stress.CHLOROSIS[self.stress] + self.growth.colour
        return _Canopy(green, dry, lacking.astype(np.float32)[field] * green)

    def _ground(self, name: str) -> Array:
        """Reflectance at the ground."""
        canopy = self._canopy
        soil = self.land.soil * self._sky.moisture * spectra.SOIL(name)
        bright = soil * (1 - canopy.green - canopy.dry)
        bright += canopy.green * spectra.CANOPY(name)
        bright += canopy.dry * spectra.STRAW(name)
        bright += canopy.colour * spectra.CHLOROSIS(name)
        others = {
            land.BUILT: spectra.BUILT,
            land.TREES: spectra.TREES,
            land.WATER: spectra.WATER,
            land.TRACK: spectra.TRACK,
        }
        flat = np.array([0, *(others[cover](name) for cover in sorted(others))], np.float32)
        return np.where(self.land.cover == land.CROP, bright, flat[self.land.cover] * (0.5 + 0.5 * self.land.soil))

    @cached_property
    def _sky(self) -> _Sky:
        """What stands between the ground and the sensor, shape (height, width) each."""
        step = self._node_step()
        x, y = world_metres(*self.grid.centres(step) if step > 1 else self.grid.centres())
        dx, dy = clouds.shadow_offset(self.day, bool(np.mean(y) < 0), self.seed)
        rich, number = self.world == "standard", self.day.toordinal()
        cloud = clouds.opacity(x, y, self.day, self.seed)
        nothing = np.zeros_like(cloud)
        shadow = clouds.opacity(x + dx, y + dy, self.day, self.seed) * (1 - cloud) if rich else nothing
        cirrus = clouds.cirrus(x, y, self.day, self.seed) if rich else nothing
        haze, moisture = nothing, nothing + 1
        if rich:
            day_haze = key(self.seed, "haze", number) / 2**32
            haze = np.clip(day_haze + 0.2 * smooth(x, y, 8000, key(self.seed, "haze", number, 1)), 0, 1.2)
            moisture = 0.93 + 0.07 * smooth(x, y, 15_000, key(self.seed, "moisture", number // 5))
        parts = (cloud, cirrus, shadow, haze, moisture)
        shape = self.grid.height, self.grid.width
        return _Sky(*(np.asarray(upsample(p, shape, step) if step > 1 else p, np.float32) for p in parts))

    def _node_step(self) -> int:
        size = self.grid.pixel_size[1] * (METRES_PER_DEGREE if self.grid.crs == 4326 else 1)
        return max(1, int(CLOUD_NODES / size))

    def _sensor_noise(self, name: str) -> Array:
        """Triangular, independent from pixel to pixel."""
        bits = scramble(self.land.hashes.copy(), key(self.seed, "noise", self.day, name))
        total = (bits & np.uint32(0xFFFF)).astype(np.float32) + (bits >> np.uint32(16)).astype(np.float32)
        return (total * np.float32(1 / 65_535) - 1) * np.float32(NOISE[self.world] * np.sqrt(6))

    def _scene_classification(self) -> NDArray[np.uint8]:
        sky, red, near_infrared = self._sky, self._ground("B04"), self._ground("B08")
        ndvi = (near_infrared - red) / (near_infrared + red)
        classes = np.where(ndvi >= VEGETATION_NDVI, 4, 5).astype(np.uint8)
        classes[self.land.cover == land.WATER] = 6
        classes[sky.shadow >= SHADOW_SEEN] = 3
        classes[sky.cirrus >= CIRRUS_SEEN] = 10
        classes[sky.cloud >= CLOUD_SEEN] = 8
        classes[sky.cloud >= CLOUD_SURE] = 9
        return classes
