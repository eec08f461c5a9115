"""Vegetation and water indices from reflectance, undefined (NaN) where their denominator vanishes.

NDVI: Rouse et al. 1974. SAVI with L = 0.5: Huete 1988. EVI with the coefficients of MODIS: Huete et al. 2002. NDWI of
open water: McFeeters 1996.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from include.satellite.imagery.model import CLEAR, NODATA, REFLECTANCE_BANDS, SCALE

Values = NDArray[np.float64]

VANISHING = 1e-6
TOLERANCE = 0.01
LIMITS = {"ndvi": 1.0, "savi": 1.5, "evi": 1.0, "ndwi": 1.0}
"""Largest magnitude that an index may have; beyond it, and the tolerance, the reflectances cannot be right."""
SAVI_L = 0.5


def ndvi(red: ArrayLike, nir: ArrayLike) -> Values:
    """(B08 − B04) / (B08 + B04)."""
    return _normalised_difference(_values(nir), _values(red))


def ndwi(green: ArrayLike, nir: ArrayLike) -> Values:
    """(B03 − B08) / (B03 + B08)."""
    return _normalised_difference(_values(green), _values(nir))


def savi(red: ArrayLike, nir: ArrayLike) -> Values:
    """1.5 · (B08 − B04) / (B08 + B04 + 0.5)."""
    r, n = _values(red), _values(nir)
    return _ratio((1 + SAVI_L) * (n - r), n + r + SAVI_L)


def evi(blue: ArrayLike, red: ArrayLike, nir: ArrayLike) -> Values:
    """2.5 · (B08 − B04) / (B08 + 6 · B04 − 7.5 · B02 + 1)."""
    b, r, n = _values(blue), _values(red), _values(nir)
    return _ratio(2.5 * (n - r), n + 6 * r - 7.5 * b + 1)


def in_range(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    """Where an index is defined and within its valid range."""
    with np.errstate(invalid="ignore"):
        within: NDArray[np.bool_] = np.abs(_values(values)) <= LIMITS[name] + TOLERANCE
    return within


INDICES: dict[str, Callable[[Values], Values]] = {
    "ndvi": lambda rho: ndvi(rho[..., 2], rho[..., 3]),
    "savi": lambda rho: savi(rho[..., 2], rho[..., 3]),
    "evi": lambda rho: evi(rho[..., 0], rho[..., 2], rho[..., 3]),
    "ndwi": lambda rho: ndwi(rho[..., 1], rho[..., 3]),
}
"""Each index of reflectances whose last axis begins with B02, B03, B04, B08."""


def clear_mask(dn: NDArray[np.uint16], scl: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels hold data that the scene classification calls clear.

    Args:
        dn: Digital numbers, (…, bands), reflectances first: B02, B03, B04, B08.
        scl: Scene classification, (…).
    """
    data: NDArray[np.bool_] = (dn[..., : len(REFLECTANCE_BANDS)] != NODATA).all(axis=-1)
    return np.isin(scl, CLEAR) & data


def valid_mask(dn: NDArray[np.uint16], scl: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels may be learnt from: clear, and every index defined and within its range.

    Args:
        dn: Digital numbers, (…, bands), reflectances first: B02, B03, B04, B08.
        scl: Scene classification, (…).
    """
    valid = clear_mask(dn, scl)
    rho = _values(dn[valid][:, : len(REFLECTANCE_BANDS)]) * SCALE
    right = np.ones(len(rho), dtype=bool)
    for name, index in INDICES.items():
        right &= in_range(name, index(rho))
    valid[valid] = right
    return valid


def _normalised_difference(one: Values, other: Values) -> Values:
    return _ratio(one - other, one + other)


def _ratio(numerator: Values, denominator: Values) -> Values:
    defined = np.abs(denominator) >= VANISHING
    ratio: Values = np.divide(numerator, denominator, out=np.full(defined.shape, np.nan), where=defined)
    return ratio


def _values(values: ArrayLike) -> Values:
    return np.asarray(values, dtype=np.float64)
