"""Names of the bands of a scene's file: those of the API, from the usual spellings or as the user states them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from include.standins.sentinel_hub.rendering import BANDS
from include.standins.sentinel_hub.scenes import CLASS_BANDS

COMMON = {
    "B01": ("coastal",),
    "B02": ("blue",),
    "B03": ("green",),
    "B04": ("red",),
    "B05": ("rededge1", "rededge071"),
    "B06": ("rededge2", "rededge075"),
    "B07": ("rededge3", "rededge078"),
    "B08": ("nir",),
    "B8A": ("nir08", "nir_narrow"),
    "B09": ("nir09", "water_vapor"),
    "B11": ("swir16", "swir1"),
    "B12": ("swir22", "swir2"),
}
"""Common names of STAC, and those of Earth Search's assets."""
SKIPPED = "-"
"""Stands for a band that is not used, where the user states the names."""
_AROUND = re.compile(r"^(fre|sre|sr|boa)[_ -]|[_ -](10|20|60) ?m$|,.*$")
"""What names of bands have around them: MAJA's corrections, pixel sizes, and wavelengths after a comma."""


def _spelling(text: str) -> str:
    return re.sub(r"^b0+(?=\d)", "b", _AROUND.sub("", text.strip().casefold()))


_BY_SPELLING = {
    _spelling(spelling): band
    for band in (*BANDS, *CLASS_BANDS)
    for spelling in (band, *COMMON.get(band, ()))
}  # fmt: skip


def band_of(text: str) -> str:
    """Return the band that a description means; the description where it means none.

    >>> [band_of(text) for text in ("b02", "B2", "blue", "FRE_B8A", "B04_10m", "B11, 1610 nm", "CLM")]
    ['B02', 'B02', 'B02', 'B8A', 'B04', 'B11', 'CLM']
    """
    return _BY_SPELLING.get(_spelling(text), text)


def names_of(descriptions: Sequence[str | None], path: Path, stated: Sequence[str] = ()) -> tuple[str | None, ...]:
    """Return the names of a file's bands.

    Args:
        descriptions: As the file has them, None for a band without.
        path: The file, for messages.
        stated: Names in the order of the bands, where the user states them; `-` for one that is not used.

    Raises:
        ValueError: No band has a name that is known, two have the same, or as many are not stated as there are.
    """
    remedy = "name all bands in their order, as in --band-names B02,B03,B04,B08 (- for one that is not used)"
    if stated and len(stated) != len(descriptions):
        raise ValueError(f"{path}: has {len(descriptions)} bands, and --band-names names {len(stated)}; {remedy}")
    names = tuple(
        None if text is None or text == SKIPPED else band_of(text) for text in (stated or descriptions)
    )  # fmt: skip
    found = ", ".join(text or "none" for text in (stated or descriptions))
    known = [name for name in names if name in BANDS]
    if not known:
        raise ValueError(f"{path}: no band has a known name (the descriptions are: {found}); {remedy}")
    repeated = sorted({name for name in known if known.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: several bands are {', '.join(repeated)} (the descriptions are: {found}); {remedy}")
    return names
