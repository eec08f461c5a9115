"""Reflectance of what the simulator's ground is made of, by Sentinel-2 band.

Typical values as spectral libraries have them for these surfaces, rounded to 0.005; mixtures are linear in area.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


class Surface(NamedTuple):
    """Reflectance of one surface, in the order of BANDS."""

    values: tuple[float, ...]

    def __call__(self, band: str) -> np.float32:
        """Reflectance in a band."""
        return np.float32(self.values[BANDS.index(band)])


SOIL = Surface((0.075, 0.09, 0.12, 0.155, 0.185, 0.205, 0.225, 0.245, 0.265, 0.28, 0.34, 0.29))
CANOPY = Surface((0.02, 0.025, 0.055, 0.03, 0.09, 0.32, 0.41, 0.45, 0.47, 0.46, 0.19, 0.085))
STRAW = Surface((0.06, 0.075, 0.125, 0.165, 0.215, 0.255, 0.28, 0.305, 0.325, 0.33, 0.35, 0.25))
WATER = Surface((0.05, 0.05, 0.055, 0.04, 0.035, 0.025, 0.025, 0.02, 0.02, 0.015, 0.01, 0.005))
BUILT = Surface((0.11, 0.125, 0.145, 0.165, 0.18, 0.195, 0.205, 0.215, 0.225, 0.23, 0.25, 0.23))
TRACK = Surface((0.09, 0.11, 0.145, 0.18, 0.205, 0.22, 0.235, 0.25, 0.265, 0.275, 0.34, 0.3))
TREES = Surface((0.02, 0.025, 0.045, 0.03, 0.075, 0.21, 0.27, 0.29, 0.31, 0.31, 0.16, 0.075))
CLOUD = Surface((0.52, 0.51, 0.5, 0.5, 0.5, 0.5, 0.5, 0.51, 0.51, 0.5, 0.4, 0.32))
CHLOROSIS = Surface((0.0, 0.002, 0.009, 0.011, 0.015, -0.004, -0.008, -0.01, -0.01, -0.01, 0.004, 0.003))
"""What full chlorosis adds to the canopy: less chlorophyll, so brighter in green, red and the red edge."""
HAZE = Surface((0.018, 0.014, 0.009, 0.006, 0.005, 0.004, 0.003, 0.003, 0.002, 0.002, 0.001, 0.001))
"""What an atmosphere that is corrected badly adds at most."""
