"""What a sensor's description holds: bands by name, the classes of a scene classification, collections, true colour."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.satellite.sensors.indices import INDICES, Index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PRODUCT = re.compile(r"^(fre|sre|sr|boa)[_ -]|[_ -](10|20|60) ?m$|,.*$")
"""What names of bands have around them: MAJA's corrections, pixel sizes, and wavelengths after a comma."""
NODATA = 0
"""Digital number of a pixel without data, in every file of the imagery store."""
REFERENCE = "REFERENCE"
"""Band of the simulator alone: the true class of each pixel, from 1, and 0 for none."""


@dataclass(frozen=True)
class Band:
    """A band of reflectances.

    Args:
        name: Its name in requests and files (`B04`).
        common_name: Its common name in the STAC extension `eo` (`red`), by which formulas refer to it.
        wavelength_nm: Central wavelength.
        resolution_m: Native pixel size.
        optional: Fetched only where a run requests it (`extra_bands`).
        aliases: Other names that catalogs and files give it, in lower case.
    """

    name: str
    common_name: str
    wavelength_nm: float
    resolution_m: int
    optional: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class SceneClasses:
    """A scene classification: its values by name, and what they count as.

    Args:
        band: Name of the band that holds it.
        values: Value of each class by its name.
        clear: Classes whose reflectance is that of the ground.
        cloud: Classes that count as cloud.
        shadow: Classes that count as cloud shadow.
        land: Clear classes of vegetation and soil, whose NDVI is assessed.
        water: Clear classes of water.
    """

    band: str
    values: Mapping[str, int]
    clear: tuple[str, ...]
    cloud: tuple[str, ...]
    shadow: tuple[str, ...]
    land: tuple[str, ...]
    water: tuple[str, ...]

    def mask(self, classes: NDArray[Any], names: Iterable[str]) -> NDArray[np.bool_]:
        """Return where a scene has one of some classes.

        Args:
            classes: Scene classification, any shape.
            names: Names of the classes.
        """
        import numpy as np

        values = sorted(self.values[name] for name in names)
        if values and values[-1] - values[0] + 1 == len(values):  # neighbours: comparisons are faster than a table
            return np.asarray((classes >= values[0]) & (classes <= values[-1]))
        return np.isin(classes, values)


@dataclass(frozen=True)
class TrueColour:
    """How a scene is drawn in true colour, the same for all dates, so that they compare.

    Args:
        bands: Common names of the bands of red, green and blue.
        white: Reflectance that is drawn white.
        gamma: Exponent below it.
    """

    bands: tuple[str, str, str] = ("red", "green", "blue")
    white: float = 0.30
    gamma: float = 0.8


@dataclass(frozen=True)
class Sensor:
    """A sensor and its product, as the imagery store keeps it.

    Args:
        id: Short name (`sentinel2`).
        title: Name for reports.
        bands: Bands of reflectances in the order of the store's files.
        classes: Scene classification.
        scale: Reflectance of digital number 1.
        collections: Id of the collection by service (a run's `source`).
        true_colour: How a scene is drawn.
    """

    id: str
    title: str
    bands: tuple[Band, ...]
    classes: SceneClasses
    scale: float
    collections: Mapping[str, str]
    true_colour: TrueColour = TrueColour()

    @property
    def base_bands(self) -> tuple[str, ...]:
        """Names of the bands that every run fetches."""
        return tuple(band.name for band in self.bands if not band.optional)

    @property
    def extra_bands(self) -> tuple[str, ...]:
        """Names of the bands that a run may request."""
        return tuple(band.name for band in self.bands if band.optional)

    def name_of(self, band: str) -> str:
        """Return the name of a band from its name or its common name.

        Raises:
            KeyError: The sensor has no such band.
        """
        names = {alias: entry.name for entry in self.bands for alias in (entry.name, entry.common_name)}
        if band not in names:
            raise KeyError(f"{self.title} has no band {band}")
        return names[band]

    def band_spelt(self, text: str) -> str | None:
        """Return the name of the band that a file or a catalog means, or None: `b04`, `B4`, `red`, `FRE_B4`, `B04_10m`.

        >>> from include.satellite.sensors.sentinel2 import SENTINEL2
        >>> [SENTINEL2.band_spelt(text) for text in ("b04", "SRE_B8A", "rededge1", "scl_20m", "B4, 665 nm", "quality")]
        ['B04', 'B8A', 'B05', 'SCL', 'B04', None]
        """
        names: dict[str, tuple[str, ...]] = {self.classes.band: (self.classes.band,), REFERENCE: (REFERENCE,)}
        names |= {band.name: (band.name, band.common_name, *band.aliases) for band in self.bands}
        by_spelling = {_spelling(alias): name for name, aliases in names.items() for alias in aliases}
        return by_spelling.get(_spelling(text))

    def is_class_band(self, band: str) -> bool:
        """Whether a band holds classes, which are neither scaled nor averaged, rather than reflectances."""
        return band in {self.classes.band, REFERENCE}

    def reflectances(self, bands: Iterable[str]) -> list[str]:
        """Return those of some bands that hold reflectances, in their order."""
        return [band for band in bands if not self.is_class_band(band)]

    def indices_of(self, bands: Iterable[str]) -> list[Index]:
        """Return the indices that can be computed from some bands."""
        names = set(bands)
        common = {band.common_name for band in self.bands if band.name in names}
        return [index for index in INDICES.values() if common.issuperset(index.bands)]


def _spelling(text: str) -> str:
    """Return a name of a band without what does not tell bands apart: case, leading zeros, product and pixel size."""
    return re.sub(r"^b0+(?=\d)", "b", _PRODUCT.sub("", text.strip().casefold()))
