"""Cloud masks beside the scenes of a folder: which belongs to which scene, what its values mean, and the SCL they give.

A mask is matched by the date that its name, its tags or its bands state, and by where it lies. Only a scene
classification (SCL) may go undeclared, and only where a name says that it is one: an Fmask or a cloud probability holds
values of SCL too, with other meanings.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.standins.sentinel_hub.georeference import degrees_of
from include.standins.sentinel_hub.scene_names import day_in, days_in
from include.standins.sentinel_hub.scenes import Box, Grid

FOLDERS = ("scl", "masks", "mask", "clouds", "cloud")
"""Folders whose rasters are masks, in any case."""
CLEAR = 255
"""Class of a pixel that the mask calls clear without saying of what."""
NO_DATA, SHADOW, WATER, CLOUD, SNOW = 0, 3, 6, 9, 11
MOST_NO_DATA = 0.5
"""Share of the pixels with data that an SCL may call 0 (no data); masks of other types call clear pixels 0."""
_OUTSIDE = -1e30


class MaskError(ValueError):
    """A mask that cannot be what it was taken for; the message says why, and what to do."""


@dataclass(frozen=True)
class MaskType:
    """What the values of a mask mean.

    Args:
        title: For messages.
        largest: Largest value; the least is 0.
        classes: Value → SCL class; the others are `CLEAR`.
        cloud_from: Values from this one on are cloud.
        none: Value without meaning, beyond the largest.
    """

    title: str
    largest: float
    classes: Mapping[int, int] = field(default_factory=dict)
    cloud_from: float | None = None
    none: int | None = None

    def scl(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the SCL class of each value, 0 where it is NaN, `CLEAR` where the mask tells no more than that."""
        classes = np.full(values.shape, CLEAR, np.uint8)
        for value, scl in self.classes.items():
            classes[values == value] = scl
        if self.cloud_from is not None:
            classes[values >= self.cloud_from] = CLOUD
        classes[np.isnan(values) | (values == self.none)] = NO_DATA
        return classes


PROBABLE = 0.4
"""Probability from which s2cloudless calls a pixel cloud (its documented default)."""
MASK_TYPES = {
    "scl": MaskType("scene classification of Sen2Cor, 0 to 11", 11, {value: value for value in range(12)}, none=255),
    "clm": MaskType("cloud mask, 1 is cloud", 1, {1: CLOUD}, none=255),
    "clp": MaskType("cloud probability of Sentinel Hub, 0 to 255", 255, cloud_from=255 * PROBABLE),
    "cloud_probability": MaskType("cloud probability, percent", 100, cloud_from=100 * PROBABLE, none=255),
    "s2cloudless": MaskType("s2cloudless, mask or probability from 0 to 1", 1, cloud_from=PROBABLE, none=255),
    "fmask": MaskType("Fmask 4, 0 to 4", 4, {1: WATER, 2: SHADOW, 3: SNOW, 4: CLOUD}, none=255),
}
REMEDY = f"say what it is with --mask-type ({', '.join(MASK_TYPES)})"


@dataclass(frozen=True)
class Mask:
    """One band of a mask file, for one date.

    Args:
        path: The file.
        name: Its path below the folder, for messages.
        band: Number of the band, from 1.
        type: Key of `MASK_TYPES`.
        day: Its date.
        moment: Its time, where it states one.
        degrees: West, south, east, north.
    """

    path: Path
    name: str
    band: int
    type: str
    day: date
    moment: datetime | None
    degrees: Box

    def read(self, grid: Grid) -> NDArray[np.float32]:
        """Return its values over a grid, NaN outside of it.

        Raises:
            MaskError: A value is none of its type.
        """
        import rasterio
        from rasterio.vrt import WarpedVRT

        kind = MASK_TYPES[self.type]
        with rasterio.open(self.path) as file:
            # a declared nodata of 0 is a value of most masks: "not cloud"
            undefined = file.nodata is None or 0 <= file.nodata <= kind.largest
            source = _OUTSIDE if undefined else file.nodata
            options = {**grid.profile, "dtype": "float32", "src_nodata": source, "nodata": _OUTSIDE}
            with WarpedVRT(file, **options) as warped:
                values: NDArray[np.float32] = warped.read(self.band)
        values[values == np.float32(_OUTSIDE)] = np.nan
        wrong = (values < 0) | ((values > kind.largest) & (values != kind.none))
        if kind.cloud_from is None:
            wrong |= values % 1 > 0
        if wrong.any():
            raise MaskError(f"{self.name}: holds {values[wrong][0]:g}, which is no value of {kind.title}; {REMEDY}")
        return values

    def fits(self, day: date, degrees: Box) -> bool:
        """Return whether it is of a scene's day, and touches the scene."""
        west, south, east, north = self.degrees
        touches = west < degrees[2] and degrees[0] < east and south < degrees[3] and degrees[1] < north
        return touches and self.day == day


def masks_of(masks: Iterable[Mask], moment: datetime, degrees: Box) -> tuple[Mask, ...]:
    """Return the masks of a scene: those of its very time, or else of its day, where it lies.

    Raises:
        MaskError: Two of them show the same place.
    """
    fitting = [mask for mask in masks if mask.fits(moment.date(), degrees)]
    fitting = [mask for mask in fitting if mask.moment == moment] or fitting
    for one, other in itertools.combinations(fitting, 2):
        if np.allclose(one.degrees, other.degrees, rtol=0, atol=1e-6):
            raise MaskError(f"{one.name} and {other.name}: are two masks of one scene ({moment:%Y-%m-%d}); keep one")
    return tuple(fitting)


def scl_of(masks: Sequence[Mask], grid: Grid, data: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the SCL classes that the masks of a scene give over a grid; the first that covers a pixel decides.

    Args:
        masks: Of one type.
        grid: The pixels.
        data: Where the scene has data, (height, width).

    Returns:
        (height, width); `CLEAR` where a mask calls a pixel clear without saying of what, 0 where none covers it.

    Raises:
        MaskError: A value is none of the mask's type, or the values contradict the scene.
    """
    values = np.full(grid.shape, np.nan, np.float32)
    for mask in masks:
        values = np.where(np.isnan(values), mask.read(grid), values)
    check_no_data(values, data, masks[0])
    return MASK_TYPES[masks[0].type].scl(values)


def check_no_data(values: NDArray[np.float32], data: NDArray[np.bool_], mask: Mask) -> None:
    """Check that an SCL does not call most pixels with data 0 (no data), as masks of other types do.

    Raises:
        MaskError: It does.
    """
    share = float((values[data] == NO_DATA).mean()) if mask.type == "scl" and data.any() else 0.0
    if share > MOST_NO_DATA:
        raise MaskError(
            f"{mask.name}: is 0 on {100 * share:.0f} % of the pixels that hold data, which SCL calls no data; it is "
            f"another type of mask: {REMEDY}"
        )


def is_mask(path: Path, folder: Path) -> bool:
    """Return whether a raster of a folder is a mask: by the folder that it lies in, or by its name."""
    parts = path.relative_to(folder).parts[:-1]
    if any(part.lower() in FOLDERS for part in parts):
        return True
    if "stack" in parts:
        return path.name.startswith("CLOUD_MASK")
    return bool(re.search(r"(^|[_-])(SCL|CLM|CLP|FMASK|CLOUD_?MASK|CLDPRB)([_.-]|$)", path.name, re.IGNORECASE))


def read_masks(
    paths: Iterable[Path], folder: Path, declared: str | None, indexed: Mapping[Path, date]
) -> tuple[list[Mask], dict[date, str]]:
    """Return the masks of some files, one for each band that states a date, else one for each file.

    Args:
        paths: The files.
        folder: The folder of the scenes.
        declared: Type of the masks; None where their names have to say it.
        indexed: Date of the files that an index names as SCL.

    Returns:
        The masks, and why a file could not be read, by its date.

    Raises:
        MaskError: A file states no date, or no type.
    """
    import rasterio
    from rasterio.errors import RasterioError

    masks: list[Mask] = []
    damaged: dict[date, str] = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            with rasterio.open(path) as file:
                bands, tags = file.descriptions, file.tags()
                box = degrees_of(file, name)
        except (RasterioError, ValueError) as error:
            fault = str(error) if isinstance(error, ValueError) else f"{name}: cannot be read as a raster: {error}"
            damaged[indexed.get(path) or _date(path.name, "", name)] = fault
            continue
        kind = declared or ("scl" if path in indexed else _type_of(path, name, bands))
        dated = [(number, moment) for number, text in enumerate(bands, 1) if (moment := _moment(text or ""))]
        for number, moment in dated:
            masks.append(Mask(path, name, number, kind, moment.date(), moment, box))
        if not dated:
            day = indexed.get(path) or _date(path.name, tags.get("DATETIME", tags.get("DATE", "")), name)
            masks.append(Mask(path, name, 1, kind, day, None, box))
    return masks, damaged


def _type_of(path: Path, name: str, bands: Sequence[str | None]) -> str:
    if path.name.startswith("CLOUD_MASK"):
        return "clm"
    if any(re.search(r"(?<![a-z])scl(?![a-z])", text, re.IGNORECASE) for text in (path.name, *filter(None, bands))):
        return "scl"
    raise MaskError(f"{name}: neither its name nor its band says that it is a scene classification (SCL); {REMEDY}")


def _moment(text: str) -> datetime | None:
    if not re.match(r"\d{4}-?\d{2}-?\d{2}", text):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date(file_name: str, tag: str, name: str) -> date:
    try:
        day = day_in(file_name) or next(iter(days_in(tag)), None)
    except ValueError as error:
        raise MaskError(f"{name}: {error}") from error
    if day is None:
        raise MaskError(
            f"{name}: neither its name nor a tag DATETIME states a date (YYYYMMDD), so its scene is unknown"
        )
    return day
