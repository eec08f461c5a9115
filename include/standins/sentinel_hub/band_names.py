"""Names of the bands of a scene's file: those of the API, from the usual spellings or as the user states them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from include.standins.sentinel_hub.masks import MASK_TYPES
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
    "B08": ("nir", "broadnir"),
    "B8A": ("nir08", "nir_narrow"),
    "B09": ("nir09", "water_vapor"),
    "B11": ("swir16", "swir1"),
    "B12": ("swir22", "swir2"),
}
"""Common names of STAC, those of Earth Search's assets, and `broadnir` of FORCE: its `nir` is B8A, so it is refused."""
SKIPPED = "-"
"""Stands for a band that is not used, where the user states the names."""
NOT_SERVED = ("B10", "TCI", "AOT", "WVP")
"""Files of a product beside those of the bands: cirrus, true colour, aerosol, water vapour."""
REMEDY = "name all bands in their order, as in --band-names B02,B03,B04,B08 (- for one that is not used)"
_AROUND = re.compile(r"^(fre|sre|sr|boa)[_ -]|[_ -](10|20|60) ?m$|,.*$")
"""What names of bands have around them: MAJA's corrections, pixel sizes, and wavelengths after a comma."""
_FILE = re.compile(r"(.+?)(?:[_.-][FS]RE)?[_./-]([a-z0-9]+)(?:[_.-](?:10|20|60)m)?\.\w+", re.IGNORECASE)
"""Scene and band in the name of a file that holds one band."""


def _spelling(text: str) -> str:
    return re.sub(r"^b0+(?=\d)", "b", _AROUND.sub("", text.strip().casefold()))


_BY_SPELLING = {
    _spelling(spelling): band for band in (*BANDS, *CLASS_BANDS) for spelling in (band, *COMMON.get(band, ()))
}


def band_of(text: str) -> str:
    """Return the band that a description means; the description where it means none.

    >>> [band_of(text) for text in ("b02", "B2", "blue", "FRE_B8A", "B04_10m", "B11, 1610 nm", "CLM")]
    ['B02', 'B02', 'B02', 'B8A', 'B04', 'B11', 'CLM']
    """
    return _BY_SPELLING.get(_spelling(text), text)


def scene_and_band(file: str) -> tuple[str, str | None]:
    """Return what a file's name says: the scene, and the band or layer where it holds one alone.

    >>> scene_and_band("scenes/T31UFS_20240510T105619_B04_10m.jp2"), scene_and_band("scenes/S2_20240510.tif")
    (('scenes/T31UFS_20240510T105619', 'B04'), ('scenes/S2_20240510', None))
    """
    match = _FILE.fullmatch(file)
    band = band_of(match[2].upper()) if match else ""
    if match and band in (*BANDS, *NOT_SERVED):
        return match[1], band
    return file.removesuffix(Path(file).suffix), None


def names_of(descriptions: Sequence[str | None], path: Path, stated: Sequence[str] = ()) -> tuple[str | None, ...]:
    """Return the names of a file's bands.

    Args:
        descriptions: As the file has them, None for a band without.
        path: The file; its name counts where it holds one band.
        stated: Names in the order of the bands, where the user states them; `-` for one that is not used.

    Raises:
        ValueError: No band has a name that is known, two have the same, a stated name is unknown, not as many are
            stated as there are bands, or a file of one band is named after another one than its description.
    """
    if stated and len(stated) != len(descriptions):
        raise ValueError(f"{path}: has {len(descriptions)} bands, and --band-names names {len(stated)}; {REMEDY}")
    names = tuple(None if text is None or text == SKIPPED else band_of(text) for text in (stated or descriptions))
    unknown = {*filter(None, names)} - {*BANDS, *CLASS_BANDS, *(kind.upper() for kind in MASK_TYPES)} if stated else ()
    if unknown:
        raise ValueError(f"{path}: --band-names: {', '.join(sorted(unknown))}: no such band; {REMEDY}")
    band = scene_and_band(path.as_posix())[1]
    if band and len(names) == 1 and not stated:
        if names[0] in BANDS and names[0] != band:
            raise ValueError(f"{path}: is named {band}, and its description is {descriptions[0]}; correct one of them")
        names = (band,)
    known = [name for name in names if name in BANDS]
    found = ", ".join(text or "none" for text in (stated or descriptions))
    if not known:
        raise ValueError(f"{path}: no band has a known name (the descriptions are: {found}); {REMEDY}")
    repeated = sorted({name for name in known if known.count(name) > 1})
    if repeated:
        raise ValueError(f"{path}: several bands are {', '.join(repeated)} (the descriptions are: {found}); {REMEDY}")
    return names


def evidence(descriptions: Sequence[str | None], names: Sequence[str | None], stated: Sequence[str]) -> str:
    """Return in words how bands got names that are not the file's own; nothing where they are.

    >>> evidence(("blue", "red"), ("B02", "B04"), ())
    '; bands B02, B04 from the descriptions blue, red'
    """
    if tuple(descriptions) == tuple(names):
        return ""
    listed = f"; bands {', '.join(name or SKIPPED for name in names)}"
    if stated:
        return f"{listed}, as the user names them"
    return f"{listed} from the descriptions {', '.join(text or 'none' for text in descriptions)}"
