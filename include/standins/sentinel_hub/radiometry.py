"""What the numbers of a scene's file mean: reflectance is number × scale + offset, as GDAL and STAC define both.

Scale and offset are those that the user states, else the file's tags, else those of its type: 16-bit integers are
reflectance × 10000, floating-point numbers are recognised by their size. Everything else is refused, never guessed.
Without data are a file's nodata value and, whether it is tagged or not, NaN, infinity and the values that programs
write for it and that no reflectance has: −9999, −10000, 65535 and the ends of the type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

NUMBERS = 10_000
"""Digital number of reflectance 1 in what the stand-in serves."""
LARGEST_REFLECTANCE = 2.0
"""Floating-point numbers that are reflectances are at most this, bright cloud included."""
NEGATIVE_FILLS = (-1, -999, -9999, -10_000)
"""Numbers that mean nodata, tagged or not."""
SMALLEST_NUMBER = 150.0
"""Floating-point numbers that are reflectance × 10000 exceed this somewhere, being land; percent do not."""
_QUANTIFICATION = ("quantification_value", "boa_quantification_value")
_ADDED = ("boa_add_offset", "radio_add_offset")
"""Items of ESA's products: reflectance = (number + added) / quantification."""
UNTAGGED = (1.0, 0.0)
"""Scale and offset of a band without tags, as GDAL states them."""
LARGEST_TAG = 1.0
"""Scale and offset of reflectances are at most this."""
SAMPLE_PIXELS, SAMPLE_WINDOWS = 256, 4
"""Side of the windows from which floating-point numbers are recognised, and how many there are a side."""
REMEDY = (
    "state what the numbers are: --scale and --offset beside --scenes (reflectance = number × scale + offset; "
    "numbers of 10000 for reflectance 1: --scale 0.0001; with 1000 added to them, too: --offset -0.1)"
)


class Stated(NamedTuple):
    """Scale and offset as the user states them; None where the file is to be believed."""

    scale: float | None = None
    offset: float | None = None


class Radiometry(NamedTuple):
    """How reflectance follows from a file's numbers.

    Args:
        bands: Scale and offset by the name of the band.
        basis: What they are known by, in words.
    """

    bands: dict[str, tuple[float, float]]
    basis: str

    def __str__(self) -> str:
        """Return scale and offset with their basis: `scale 0.0001, offset -0.1: the file's tags`."""
        pairs = (f"scale {scale:g}, offset {offset:g}" for scale, offset in dict.fromkeys(self.bands.values()))
        return f"{' and '.join(pairs)}: {self.basis}"


def radiometry_of(file: DatasetReader, bands: Mapping[str, int], stated: Stated) -> Radiometry:
    """Return how reflectance follows from a file's numbers.

    Args:
        file: An open raster.
        bands: Numbers of its bands of reflectances, by their names.
        stated: By the user; replaces what the file states.

    Raises:
        ValueError: The file does not tell, or what it states cannot be; names file, rule and remedy.
    """
    if file.dtypes[0].startswith("complex"):
        raise ValueError(f"{file.name}: holds {file.dtypes[0]}, which is no reflectance; make it again as uint16")
    numbers = [*bands.values()]
    pairs = [(file.scales[number - 1], file.offsets[number - 1]) for number in numbers]
    basis = "the file's tags"
    if all(pair == UNTAGGED for pair in pairs):
        pairs = [_pair_in(file.tags() | file.tags(number)) for number in numbers]
        basis = "the file's metadata"
    if not all(pair == UNTAGGED for pair in pairs):
        if stated == Stated():
            _check_tags(file, pairs)
    elif numbers and stated.scale is None:
        scale, basis = _by_type(file, numbers)
        pairs = [(scale, 0.0)] * len(pairs)
    if stated != Stated():
        basis = "as the user states"
        pairs = [
            (scale if stated.scale is None else stated.scale, offset if stated.offset is None else stated.offset)
            for scale, offset in pairs
        ]
    return Radiometry(dict(zip(bands, pairs, strict=True)), basis)


def served(
    raw: NDArray[Any], nodata: float, pairs: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Return reflectance × 10000, clamped to 0 to 65535, and where there is data.

    Args:
        raw: A file's numbers, (bands, height, width).
        nodata: Its value for pixels without data.
        pairs: Scale and offset of each band.

    Returns:
        Two arrays of shape (bands, height, width), uint16 and bool.
    """
    data = has_data(raw, nodata)
    values = np.zeros(raw.shape, np.uint16)
    for band, numbers, known, (scale, offset) in zip(values, raw, data, pairs, strict=True):
        if raw.dtype == np.uint16 and (scale, offset) == (1 / NUMBERS, 0):
            np.copyto(band, numbers, where=known)
        else:
            reflectance = np.where(known, numbers, 0).astype(np.float64) * scale + offset
            np.copyto(band, np.clip(np.rint(reflectance * NUMBERS), 0, 65_535).astype(np.uint16), where=known)
    return values, data


def has_data(raw: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Return where a file's numbers are data, whatever its tag for nodata says.

    >>> has_data(np.array([0, 812, 65535], np.uint16), nodata=0).tolist()
    [False, True, False]
    >>> has_data(np.array([np.nan, 0.12, -9999, np.inf]), nodata=np.nan).tolist()
    [False, True, False, False]
    """
    data = raw != nodata
    if raw.dtype.kind == "f":
        limits = np.finfo(raw.dtype)
        data &= np.isfinite(raw) & (raw != limits.min) & (raw != limits.max)
        data &= ~np.isin(raw, NEGATIVE_FILLS) & (raw != -32_768) & (raw != 65_535)
    elif raw.dtype.itemsize > 1:
        ends = np.iinfo(raw.dtype)
        data &= raw != ends.max
        if ends.min < 0:
            data &= (raw != ends.min) & ~np.isin(raw, NEGATIVE_FILLS)
            if ends.max > 65_535:
                data &= (raw != -32_768) & (raw != 65_535)
    return np.asarray(data)


def _pair_in(items: Mapping[str, str]) -> tuple[float, float]:
    """Return the scale and the offset that a file's metadata items state as text, `UNTAGGED` where they state none.

    >>> _pair_in({"scale_factor": "0.0001", "add_offset": "-0.1"}), _pair_in({"SCALE": "reflectance = DN/10000"})
    ((0.0001, -0.1), (1.0, 0.0))
    >>> _pair_in({"QUANTIFICATION_VALUE": "10000", "BOA_ADD_OFFSET": "-1000"})
    (0.0001, -0.1)
    """
    numbers = {}
    for name, text in items.items():
        with suppress(ValueError):
            numbers[name.lower()] = float(text)
    scales = [numbers[name] for name in ("scale_factor", "scale") if name in numbers]
    scales += [1 / numbers[name] for name in _QUANTIFICATION if numbers.get(name)]
    offset = next((numbers[name] for name in ("add_offset", "offset", *_ADDED) if name in numbers), 0.0)
    scale = scales[0] if scales else UNTAGGED[0] if offset == 0 else 1 / NUMBERS
    return scale, offset * scale if abs(offset) > LARGEST_TAG else offset


def _check_tags(file: DatasetReader, pairs: Sequence[tuple[float, float]]) -> None:
    if UNTAGGED in pairs:
        raise ValueError(f"{file.name}: only some of its bands have tags for scale and offset; {REMEDY}")
    integers = np.dtype(file.dtypes[0]).kind != "f"
    for scale, offset in pairs:
        if not 0 < scale <= LARGEST_TAG or abs(offset) > LARGEST_TAG or (integers and scale == 1):
            raise ValueError(
                f"{file.name}: its tags, scale {scale:g} and offset {offset:g}, make no reflectance of "
                f"{file.dtypes[0]}; {REMEDY}"
            )


def _by_type(file: DatasetReader, numbers: Sequence[int]) -> tuple[float, str]:
    """Return the scale of a file without tags, and what it is known by."""
    dtype = np.dtype(file.dtypes[numbers[0] - 1])
    if dtype.itemsize == 1:
        raise ValueError(f"{file.name}: holds {dtype} without a tag for its scale, an export for display; {REMEDY}")
    if dtype.kind != "f":
        return 1 / NUMBERS, f"{dtype} without tags is taken as reflectance × {NUMBERS}"
    largest = _nearly_largest(file, numbers)
    if largest is None or largest <= LARGEST_REFLECTANCE:
        size = "without data" if largest is None else f"up to {LARGEST_REFLECTANCE:g}"
        return 1.0, f"{dtype} {size} without tags is reflectance"
    if largest < SMALLEST_NUMBER:
        raise ValueError(
            f"{file.name}: holds {dtype} up to {largest:.3g} without a tag for its scale: too large for reflectance "
            f"(at most {LARGEST_REFLECTANCE:g}), too small for reflectance × {NUMBERS}; {REMEDY}"
        )
    return 1 / NUMBERS, f"{dtype} from {SMALLEST_NUMBER:g} on without tags is reflectance × {NUMBERS}"


def _nearly_largest(file: DatasetReader, numbers: Sequence[int]) -> float | None:
    """Return the 99th percentile of numbers with data, from windows spread over the file; None if there are none."""
    from rasterio.windows import Window

    nodata, largest = 0 if file.nodata is None else file.nodata, []
    rows, columns = (_starts(side) for side in file.shape)
    for window in (Window(x, y, SAMPLE_PIXELS, SAMPLE_PIXELS) for y in rows for x in columns):
        raw = file.read(list(numbers), window=window)
        values = raw[has_data(raw, nodata)]
        if values.size:
            largest.append(float(np.percentile(values, 99)))
    return max(largest, default=None)


def _starts(side: int) -> list[int]:
    """Return where windows along a side start: all of a short one, else spread evenly."""
    count = min(SAMPLE_WINDOWS, -(-side // SAMPLE_PIXELS))
    return [round(start) for start in np.linspace(0, max(side - SAMPLE_PIXELS, 0), count).tolist()]
