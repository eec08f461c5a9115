"""Clouds of the simulator: how much of a day's sky they cover, where they stand, and where their shadows fall."""

from __future__ import annotations

from datetime import date
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.noise import Floats, key, smooth, smoothstep

OCTAVES = ((50_000, 0.5), (18_000, 0.45), (6500, 0.4), (2400, 0.35), (1000, 0.25), (400, 0.15))
"""Wavelength (metres) and weight of the noise that clouds are cut from."""
REGION = 300_000.0
"""Size of a weather region: the day's cover is drawn for each, metres."""
_NORMAL = NormalDist()


def opacity(x: Floats, y: Floats, day: date, seed: int) -> NDArray[np.float32]:
    """Share of the light that clouds take, 0 to 1, at each point (world metres)."""
    number = day.toordinal()
    weather = smooth(x, y, REGION, key(seed, "weather", number)) + smooth(y, x, 0.8 * REGION, key(seed, "sky", number))
    chance = _cdf(weather / np.float32(np.sqrt(2)))
    share = np.clip(_cover(chance, day), 0.002, 0.998)
    noise = np.zeros(np.shape(x), np.float32)
    for wavelength, weight in OCTAVES:
        noise += np.float32(weight) * smooth(x, y, wavelength, key(seed, "cloud", number, wavelength))
    noise /= np.float32(np.sqrt(sum(weight**2 for _, weight in OCTAVES)))
    threshold = -_quantile(share)
    return np.asarray(smoothstep(noise, threshold - 0.1, threshold + 0.45), np.float32)


def cirrus(x: Floats, y: Floats, day: date, seed: int) -> NDArray[np.float32]:
    """Opacity of thin high cloud, 0 to 0.2; on one day in five."""
    number = day.toordinal()
    if key(seed, "cirrus", number) % 5:
        return np.zeros(np.shape(x), np.float32)
    noise = smooth(x, y, 9000, key(seed, "cirrus", number, 1))
    noise += np.float32(0.6) * smooth(x, y, 3000, key(seed, "cirrus", number, 2))
    return np.asarray(0.2 * smoothstep(noise, 0.4, 1.6), np.float32)


def shadow_offset(day: date, southern: bool, seed: int) -> tuple[float, float]:
    """Where the cloud stands that shades a point, from the point, metres: towards the morning sun."""
    height = 1000 + 1500 * key(seed, "height", day.toordinal()) / 2**32
    summer = np.cos(2 * np.pi * ((day.timetuple().tm_yday - 172) / 365 + 0.5 * southern))
    slope = 0.75 - 0.4 * summer
    return 0.55 * slope * height, (0.83 if southern else -0.83) * slope * height


def _cover(chance: NDArray[np.float32], day: date) -> Floats:
    """Cloud share from a uniform draw: 45 % of days nearly clear, 30 % broken, 25 % overcast; July and August worse."""
    season = 0.12 * max(0.0, float(np.cos(2 * np.pi * (day.timetuple().tm_yday - 213) / 365)))
    broken, overcast = 0.48 - season, 0.77 - season
    return np.interp(chance, (0, broken, overcast, 1), (0, 0.04, 0.6, 1.0))


def _cdf(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-1.702 * values)), np.float32)


def _quantile(share: Floats) -> Floats:
    """Inverse of the normal distribution, by interpolation."""
    grid = np.linspace(0.001, 0.999, 999)
    return np.interp(share, grid, [_NORMAL.inv_cdf(float(p)) for p in grid])
