"""The simulator's pixels of one day: canopy over soil, stress, sky, sensor; and the classes that belong to them.

Spectra are typical values as spectral libraries have them for these surfaces, rounded to 0.005; mixtures are linear in
area.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub import land
from include.standins.sentinel_hub.land import Land, world_metres
from include.standins.sentinel_hub.noise import Floats, key, scramble, smooth, smoothstep, upsample
from include.standins.sentinel_hub.scenes import REFERENCE, SCL, WGS84, Grid

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
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
OCTAVES = ((50_000, 0.5), (18_000, 0.45), (6500, 0.4), (2400, 0.35), (1000, 0.25), (400, 0.15))
"""Wavelength (metres) and weight of the noise that clouds are cut from."""
REGION = 300_000.0
"""Size of a weather region: the day's cover is drawn for each, metres."""
METRES_PER_DEGREE = 111_195.0
Array = NDArray[np.float32]


def _spectrum(*reflectances: float) -> dict[str, np.float32]:
    """Return the reflectance of a surface by band."""
    return dict(zip(BANDS, map(np.float32, reflectances), strict=True))


SOIL_SPECTRUM = _spectrum(0.075, 0.09, 0.12, 0.155, 0.185, 0.205, 0.225, 0.245, 0.265, 0.28, 0.34, 0.29)
CANOPY_SPECTRUM = _spectrum(0.02, 0.025, 0.055, 0.03, 0.09, 0.32, 0.41, 0.45, 0.47, 0.46, 0.19, 0.085)
STRAW_SPECTRUM = _spectrum(0.06, 0.075, 0.125, 0.165, 0.215, 0.255, 0.28, 0.305, 0.325, 0.33, 0.35, 0.25)
WATER_SPECTRUM = _spectrum(0.05, 0.05, 0.055, 0.04, 0.035, 0.025, 0.025, 0.02, 0.02, 0.015, 0.01, 0.005)
BUILT_SPECTRUM = _spectrum(0.11, 0.125, 0.145, 0.165, 0.18, 0.195, 0.205, 0.215, 0.225, 0.23, 0.25, 0.23)
TRACK_SPECTRUM = _spectrum(0.09, 0.11, 0.145, 0.18, 0.205, 0.22, 0.235, 0.25, 0.265, 0.275, 0.34, 0.3)
TREES_SPECTRUM = _spectrum(0.02, 0.025, 0.045, 0.03, 0.075, 0.21, 0.27, 0.29, 0.31, 0.31, 0.16, 0.075)
COVER_SPECTRA = (SOIL_SPECTRUM, BUILT_SPECTRUM, TREES_SPECTRUM, WATER_SPECTRUM, TRACK_SPECTRUM)
"""By the cover of the land: CROP (whose canopy is computed instead), BUILT, TREES, WATER and TRACK."""
CLOUD_SPECTRUM = _spectrum(0.52, 0.51, 0.5, 0.5, 0.5, 0.5, 0.5, 0.51, 0.51, 0.5, 0.4, 0.32)
CHLOROSIS_SPECTRUM = _spectrum(0.0, 0.002, 0.009, 0.011, 0.015, -0.004, -0.008, -0.01, -0.01, -0.01, 0.004, 0.003)
"""What full chlorosis adds to the canopy: less chlorophyll, so brighter in green, red and the red edge."""
HAZE_SPECTRUM = _spectrum(0.018, 0.014, 0.009, 0.006, 0.005, 0.004, 0.003, 0.003, 0.002, 0.002, 0.001, 0.001)
"""What an atmosphere that is corrected badly adds at most."""


class _Sky(NamedTuple):
    cloud: Array
    cirrus: Array
    shadow: Array
    haze: Array
    moisture: Array


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
        self.growth: land.Growth = land.growth(ground.fields, day, world, seed)
        self.stress = land.stress_classes(ground.fields.x, ground.fields.y, day.toordinal(), seed)

    def band(self, name: str) -> NDArray[Any]:
        """Return uint16 reflectance × 10000, or uint8 classes for SCL and REFERENCE; shape (height, width)."""
        if name == SCL:
            return self._scene_classification()
        if name == REFERENCE:
            return self._reference()
        bright = self._ground(name)
        sky = self._sky
        bright *= 1 - np.float32(SHADE) * sky.shadow
        bright += HAZE_SPECTRUM[name] * sky.haze
        veil = np.maximum(sky.cloud, sky.cirrus)
        bright += (CLOUD_SPECTRUM[name] - bright) * veil
        bright += self._sensor_noise(name)
        bright *= np.float32(10_000)
        return np.clip(np.rint(bright, out=bright), 0, 65_535, out=bright).astype(np.uint16)

    def _reference(self) -> NDArray[np.uint8]:
        """True class + 1 where a crop stands, 0 elsewhere."""
        standing = self.growth.green >= STANDING
        classes = np.where(standing, self.stress + 1, 0).astype(np.uint8)[self.land.field]
        return np.where(self.land.cover == land.CROP, classes, 0).astype(np.uint8)

    @cached_property
    def _canopy(self) -> land.Growth:
        """Green and dry canopy of each pixel, and the chlorophyll that it lacks, times green."""
        field, thresholds = self.land.field, land.LOSS_THRESHOLD[self.stress]
        above = self.land.patches - thresholds[field]
        left = 1 - land.LOSS_DEPTH[self.stress][field] * smoothstep(above, -0.25, 0.25).astype(np.float32)
        left *= land.COMPENSATION[self.stress][field]
        left *= self.land.stand * (1 + np.float32(VIGOUR) * self.land.vigour)
        green = np.minimum(self.growth.green[field] * left, np.float32(0.98))
        dry = np.minimum(self.growth.dry[field] * left, 1 - green)
        lacking = land.CHLOROSIS_BY_CLASS[self.stress] + self.growth.colour
        return land.Growth(green, dry, lacking.astype(np.float32)[field] * green)

    def _ground(self, name: str) -> Array:
        """Reflectance at the ground."""
        canopy = self._canopy
        soil = self.land.soil * self._sky.moisture * SOIL_SPECTRUM[name]
        bright = soil * (1 - canopy.green - canopy.dry)
        bright += canopy.green * CANOPY_SPECTRUM[name]
        bright += canopy.dry * STRAW_SPECTRUM[name]
        bright += canopy.colour * CHLOROSIS_SPECTRUM[name]
        covers = np.array([spectrum[name] for spectrum in COVER_SPECTRA])
        return np.where(self.land.cover == land.CROP, bright, covers[self.land.cover] * (0.5 + 0.5 * self.land.soil))

    @cached_property
    def _sky(self) -> _Sky:
        """What stands between the ground and the sensor, shape (height, width) each."""
        size = self.grid.pixel_size[1] * (METRES_PER_DEGREE if self.grid.crs == WGS84 else 1)
        step = max(1, int(CLOUD_NODES / size))
        x, y = world_metres(*self.grid.centres(step))
        dx, dy = shadow_offset(self.day, bool(np.mean(y) < 0), self.seed)
        rich, number = self.world == "standard", self.day.toordinal()
        cloud = cloud_opacity(x, y, self.day, self.seed)
        nothing = np.zeros_like(cloud)
        shadow = cloud_opacity(x + dx, y + dy, self.day, self.seed) * (1 - cloud) if rich else nothing
        cirrus = cirrus_opacity(x, y, self.day, self.seed) if rich else nothing
        haze, moisture = nothing, nothing + 1
        if rich:
            day_haze = key(self.seed, "haze", number) / 2**32
            haze = np.clip(day_haze + 0.2 * smooth(x, y, 8000, key(self.seed, "haze", number, 1)), 0, 1.2)
            moisture = 0.93 + 0.07 * smooth(x, y, 15_000, key(self.seed, "moisture", number // 5))
        parts = (cloud, cirrus, shadow, haze, moisture)
        shape = self.grid.shape
        return _Sky(*(np.asarray(upsample(p, shape, step) if step > 1 else p, np.float32) for p in parts))

    def _sensor_noise(self, name: str) -> Array:
        """Triangular, independent from pixel to pixel."""
        bits = scramble(self.land.hashes, key(self.seed, "noise", self.day, name))
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


def cloud_opacity(x: Floats, y: Floats, day: date, seed: int) -> NDArray[np.float32]:
    """Return the share of the light that clouds take, 0 to 1, at each point (world metres)."""
    number = day.toordinal()
    weather = smooth(x, y, REGION, key(seed, "weather", number)) + smooth(y, x, 0.8 * REGION, key(seed, "sky", number))
    chance = 1 / (1 + np.exp(-1.702 * (weather / np.float32(np.sqrt(2)))))  # about the normal distribution
    share = np.clip(_cover(chance, day), 0.002, 0.998)
    noise = np.zeros(np.shape(x), np.float32)
    for wavelength, weight in OCTAVES:
        noise += np.float32(weight) * smooth(x, y, wavelength, key(seed, "cloud", number, wavelength))
    noise /= np.float32(np.sqrt(sum(weight**2 for _, weight in OCTAVES)))
    threshold = -_quantile(share)
    return np.asarray(smoothstep(noise, threshold - 0.1, threshold + 0.45), np.float32)


def cirrus_opacity(x: Floats, y: Floats, day: date, seed: int) -> NDArray[np.float32]:
    """Return the opacity of thin high cloud, 0 to 0.2; on one day in five."""
    number = day.toordinal()
    if key(seed, "cirrus", number) % 5:
        return np.zeros(np.shape(x), np.float32)
    noise = smooth(x, y, 9000, key(seed, "cirrus", number, 1))
    noise += np.float32(0.6) * smooth(x, y, 3000, key(seed, "cirrus", number, 2))
    return np.asarray(0.2 * smoothstep(noise, 0.4, 1.6), np.float32)


def shadow_offset(day: date, southern: bool, seed: int) -> tuple[float, float]:
    """Return where the cloud stands that shades a point, from the point, metres: towards the morning sun."""
    height = 1000 + 1500 * key(seed, "height", day.toordinal()) / 2**32
    summer = np.cos(2 * np.pi * ((day.timetuple().tm_yday - 172) / 365 + 0.5 * southern))
    slope = 0.75 - 0.4 * summer
    return 0.55 * slope * height, (0.83 if southern else -0.83) * slope * height


def _cover(chance: NDArray[np.float32], day: date) -> Floats:
    """Cloud share from a uniform draw: 45 % of days nearly clear, 30 % broken, 25 % overcast; July and August worse."""
    season = 0.12 * max(0.0, float(np.cos(2 * np.pi * (day.timetuple().tm_yday - 213) / 365)))
    broken, overcast = 0.48 - season, 0.77 - season
    return np.interp(chance, (0, broken, overcast, 1), (0, 0.04, 0.6, 1.0))


def _quantile(share: Floats) -> Floats:
    """Inverse of the normal distribution, by interpolation."""
    grid = np.linspace(0.001, 0.999, 999)
    return np.interp(share, grid, [NormalDist().inv_cdf(float(p)) for p in grid])
