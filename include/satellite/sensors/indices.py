"""Vegetation and water indices from reflectance, undefined (NaN) where their denominator vanishes.

NDVI: Rouse et al. 1974. SAVI with L = 0.5: Huete 1988. EVI with the coefficients of MODIS: Huete et al. 2002. NDWI of
open water: McFeeters 1996. NDRE: Barnes et al. 2000. NDMI: Gao 1996, who calls it NDWI. Both take the narrow near
infrared (B8A), whose pixels are as large as those of the red edge and the short-wave infrared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

VANISHING = 1e-6
TOLERANCE = 0.01
SAVI_L = 0.5


@dataclass(frozen=True)
class Index:
    """A spectral index.

    Args:
        name: Its name in reports.
        bands: Common names of its bands, in the order of the formula's arguments.
        formula: From reflectances to the index.
        limit: Largest magnitude that it may have; beyond it, and the tolerance, the reflectances cannot be right.
    """

    name: str
    bands: tuple[str, ...]
    formula: Callable[..., Values]
    limit: float

    def __call__(self, *reflectances: ArrayLike) -> Values:
        """Return the index of reflectances in the order of `bands`; NaN where it is undefined."""
        import numpy as np

        return self.formula(*(np.asarray(values, dtype=np.float64) for values in reflectances))

    def of(self, reflectance: Callable[[str], ArrayLike]) -> Values:
        """Return the index of a scene.

        Args:
            reflectance: From the common name of a band to its reflectances.
        """
        return self(*map(reflectance, self.bands))

    def in_range(self, values: Values) -> NDArray[np.bool_]:
        """Return where values of the index are defined and within the valid range."""
        import numpy as np

        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(values) <= self.limit + TOLERANCE)


def ratio(numerator: Values, denominator: Values) -> Values:
    """Return a quotient, NaN where the denominator vanishes."""
    import numpy as np

    defined = np.abs(denominator) >= VANISHING
    quotient: Values = np.divide(numerator, denominator, out=np.full(defined.shape, np.nan), where=defined)
    return quotient


def normalised_difference(one: Values, other: Values) -> Values:
    """Return (one − other) / (one + other)."""
    return ratio(one - other, one + other)


INDICES = {
    index.name: index
    for index in (
        Index("ndvi", ("nir", "red"), normalised_difference, 1.0),
        Index("savi", ("red", "nir"), lambda red, nir: ratio((1 + SAVI_L) * (nir - red), nir + red + SAVI_L), 1.5),
        Index(
            "evi",
            ("blue", "red", "nir"),
            lambda blue, red, nir: ratio(2.5 * (nir - red), nir + 6 * red - 7.5 * blue + 1),
            1.5,  # lush canopy exceeds 1: https://github.com/davidfrantz/force/issues/22
        ),
        Index("ndwi", ("green", "nir"), normalised_difference, 1.0),
        Index("ndre", ("nir08", "rededge071"), normalised_difference, 1.0),
        Index("ndmi", ("nir08", "swir16"), normalised_difference, 1.0),
    )
}
"""Every index by its name; an entry here adds one to validation and masks, where its bands are among the imagery's."""
NDVI = INDICES["ndvi"]
