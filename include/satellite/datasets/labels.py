"""Labels of tiles: the class of the mean NDVI, or the class in a raster; and the rasters among the input files.

Thresholds of the classes: Healthy > 0.7, Moderate > 0.5, Stressed > 0.3, Critical otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.core.run_folder import SOURCE_FOLDER
from include.satellite.datasets.cube import CubeScene
from include.satellite.datasets.schemas import CLASSES, PatchInfo, SequenceInfo
from include.satellite.datasets.splits import Tiles
from include.satellite.imagery.area import affine_of, inside_mask
from include.satellite.imagery.scenes import percent
from include.satellite.imagery.schemas import Grid, Imagery
from include.satellite.params import CnnDataParams, LabelParams, LabelSource
from include.satellite.sensors.sensor import REFERENCE

THRESHOLDS = (0.7, 0.5, 0.3)
CROP_VALUES = {1.0, 100.0, 255.0}
"""What masks hold for cropland; 100 is WorldCereal's."""
LARGEST_SAMPLE = 1024
LEAST_CLEAR, LEAST_SHARE = 0.8, 0.5
NOT_CLEAR = "less than 80 % clear"
NOT_LAND = "not assessed: mainly water"
UNCLASSIFIED = "not assessed: mainly unclassified"
NOT_CROP = "less than half in the crop mask"
NO_REFERENCE = "less than half has a reference class"
NO_NEXT = "no next date"
REASONS = ("", NOT_CLEAR, NOT_LAND, UNCLASSIFIED, NOT_CROP)
"""Why a tile has no NDVI, by code; 0: it has one."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]


class Regions(Protocol):
    """P parts of the area, such as tiles or fields."""

    @property
    def pixels(self) -> NDArray[np.number[Any]]:
        """Pixels of each, shape (P,)."""

    def sums(self, image: NDArray[Any]) -> Floats:
        """Return the sum of the image (H, W) over each, shape (P,)."""


@dataclass(frozen=True)
class Assessment:
    """Tiles on one date (P,), or on all dates (T, P).

    Args:
        ndvi: Mean NDVI of the pixels that decide, NaN where the tile is not assessed.
        reason: Position in `REASONS`.
        masked: Clear pixels whose index is out of range or undefined.
    """

    ndvi: Floats
    reason: Codes
    masked: int


@dataclass(frozen=True)
class Labels:
    """Tiles on all dates.

    Args:
        label: (T, P) class, −1 where there is none.
        ndvi: (T, P) mean NDVI of the pixels that decide at the date itself, NaN where the tile is not assessed.
        left_out: How many have no label, by reason.
        masked: Clear pixels whose index is out of range or undefined.
    """

    label: Codes
    ndvi: Floats
    left_out: dict[str, int]
    masked: int


def classes_of(ndvi: NDArray[np.floating]) -> Codes:
    """Return the class of each NDVI, −1 where it is NaN.

    >>> classes_of(np.array([0.71, 0.7, 0.5, 0.3, np.nan])).tolist()
    [0, 1, 2, 3, -1]
    """
    position = sum((ndvi <= threshold).astype(np.int8) for threshold in THRESHOLDS)
    return np.where(np.isnan(ndvi), -1, position).astype(np.int8)


def assess(scene: CubeScene, tiles: Regions, crop: NDArray[np.bool_] | None) -> Assessment:
    """Return the mean NDVI of each tile over its vegetation and soil (in the crop mask, where there is one).

    At least 80 % of a tile must be clear, at least half of what is clear must be vegetation or soil, and at least
    half of that must lie in the crop mask. NDVI is rounded to 6 decimals, finer than the digital numbers tell.
    """
    land = scene.land
    decides = land if crop is None else land & crop
    red, nir = scene.band("red").astype(np.float32), scene.band("nir").astype(np.float32)
    ndvi = np.divide(nir - red, nir + red, out=np.zeros_like(red), where=decides)
    clear, land_pixels, water = tiles.sums(scene.clear), tiles.sums(land), tiles.sums(scene.water)
    deciding = land_pixels if crop is None else tiles.sums(decides)
    reason = np.select(
        [
            clear < LEAST_CLEAR * tiles.pixels,
            (land_pixels < LEAST_SHARE * clear) & (2 * water >= clear - land_pixels),
            land_pixels < LEAST_SHARE * clear,
            deciding < LEAST_SHARE * land_pixels,
        ],
        [REASONS.index(name) for name in (NOT_CLEAR, NOT_LAND, UNCLASSIFIED, NOT_CROP)],
        0,
    ).astype(np.int8)
    mean = np.round(tiles.sums(ndvi) / np.maximum(deciding, 1), 6)
    return Assessment(ndvi=np.where(reason == 0, mean, np.nan), reason=reason, masked=scene.masked)


def stack(dates: Iterable[Assessment]) -> Assessment:
    """Return the assessments of all dates as one."""
    assessments = list(dates)
    return Assessment(
        ndvi=np.stack([date.ndvi for date in assessments]),
        reason=np.stack([date.reason for date in assessments]),
        masked=sum(date.masked for date in assessments),
    )


def count_reasons(reason: Codes) -> dict[str, int]:
    """Return how many tiles have no NDVI, by reason.

    Args:
        reason: Positions in `REASONS`.
    """
    return {name: int((reason == code).sum()) for code, name in enumerate(REASONS) if code}


def reference_classes(raster: NDArray[np.uint8], tiles: Tiles, crop: NDArray[np.bool_] | None) -> Codes:
    """Return the most frequent class of each tile, shape (P,); −1 where fewer than half of its pixels have one.

    Args:
        raster: (H, W), class + 1, 0 for none.
        tiles: The tiles.
        crop: Pixels that count, where there is a crop mask.
    """
    labelled = raster if crop is None else np.where(crop, raster, 0)
    votes = np.stack([tiles.sums(labelled == value) for value in range(1, len(CLASSES) + 1)])
    enough = votes.sum(axis=0) >= LEAST_SHARE * tiles.pixels
    return np.where(enough, votes.argmax(axis=0), -1).astype(np.int8)


def label_patches(
    files: Path, params: CnnDataParams, imagery: Imagery, passing: Iterable[CubeScene], tiles: Tiles
) -> Labels:
    """Return the label of each tile on each date, while the scenes pass.

    Raises:
        BadInputError: An input raster is not usable, or reference labels have no class raster.
    """
    crop = crop_mask(files, params, imagery.grid)
    wanted = params.label_source == "reference"
    raster = class_raster(files, params.reference, imagery.grid) if wanted and params.reference else None
    fixed = None if raster is None else reference_classes(raster, tiles, crop)
    dates: list[Assessment] = []
    classes: list[Codes] = []
    for acquisition, scene in zip(imagery.acquisitions, passing, strict=True):
        dates.append(assess(scene, tiles, crop))
        if fixed is not None:
            classes.append(fixed)
        elif wanted and scene.reference is not None:
            classes.append(reference_classes(scene.reference, tiles, crop))
        elif wanted:
            raise BadInputError(
                "label_source reference needs a class raster: none is named as `reference`, and the imagery of "
                f"{acquisition.date} has no band {REFERENCE} (only the simulator's has)"
            )
    assessed = stack(dates)
    label, left_out = _combine(assessed, params.label_source, np.stack(classes) if classes else None)
    return Labels(label, assessed.ndvi, {name: count for name, count in left_out.items() if count}, assessed.masked)


def _combine(assessed: Assessment, source: LabelSource, classes: Codes | None) -> tuple[Codes, dict[str, int]]:
    """Return the labels (T, P) by their source, and how many tiles have none, by reason."""
    usable, own, left_out = assessed.reason == 0, classes_of(assessed.ndvi), count_reasons(assessed.reason)
    if classes is not None:
        left_out[NO_REFERENCE] = int((usable & (classes < 0)).sum())
        return np.where(usable, classes, np.int8(-1)), left_out
    if source != "next_ndvi":
        return own, left_out
    following = np.full_like(own, -1)
    following[:-1] = own[1:]
    next_reasons = count_reasons(assessed.reason[1:][usable[:-1]])
    left_out |= {f"next date: {name}": count for name, count in next_reasons.items()}
    left_out[NO_NEXT] = int(usable[-1].sum())
    return np.where(usable, following, np.int8(-1)), left_out


def class_raster(files: Path, name: str, grid: Grid) -> NDArray[np.uint8]:
    """Return a class raster on the grid, (H, W): class + 1, 0 for none; nearest neighbour.

    Raises:
        BadInputError: It cannot be read, holds other values than 0 to 4, or no class in the area.
    """
    values = _on_grid(files, name, grid)
    others = np.setdiff1d(values, np.arange(len(CLASSES) + 1))
    if others.size:
        raise BadInputError(f"{name}: a class raster holds 1 to 4, and 0 for none; found {others[0]:g} in the area")
    if not values.any():
        raise BadInputError(f"{name}: no pixel of the area has a class; does the raster cover it?")
    return values.astype(np.uint8)


def crop_mask(files: Path, params: LabelParams, grid: Grid) -> NDArray[np.bool_] | None:
    """Return a run's crop mask on the grid, (H, W), nearest neighbour; None where it names none.

    A raster of 0 and one of 1, 100 and 255 is a mask. Any other is a land-cover map, whose codes of cropland have to be
    named (`crop_mask_codes`).

    Raises:
        BadInputError: It cannot be read, holds no cropland in the area, or codes of which nobody said what they are.
    """
    if params.crop_mask is None:
        return None
    name, values = params.crop_mask, _on_grid(files, params.crop_mask, grid)
    held = np.union1d(np.unique(values), _codes(files / SOURCE_FOLDER / name))
    held = held[held != 0]
    shares = ", ".join(f"{code:g} ({100 * (values == code).mean():.1f} %)" for code in held)
    if not params.crop_mask_codes:
        if held.size > 1 or not {*held} <= CROP_VALUES:
            raise BadInputError(
                f"{name}: is a land-cover map, not a mask of 0 and 1: it holds {shares} of the area's box; name the "
                "codes that are cropland, as in crop_mask_codes=[40] for ESA WorldCover"
            )
        mask: NDArray[np.bool_] = values != 0
    else:
        mask = np.isin(values, params.crop_mask_codes)
    if not mask.any():
        codes = (
            f" with one of the codes {', '.join(map(str, params.crop_mask_codes))}" if params.crop_mask_codes else ""
        )
        raise BadInputError(
            f"{name}: no pixel of the area is cropland{codes}; it holds {shares or 'no code'}: does it cover the area?"
        )
    return mask


def crop_shares(files: Path, params: LabelParams, imagery: Imagery) -> dict[str, Any]:
    """Return the share of cropland in the area, percent, and those of all codes, as fields of a dataset's description.

    Raises:
        BadInputError: As `crop_mask`.
    """
    mask = crop_mask(files, params, imagery.grid)
    if mask is None or params.crop_mask is None:
        return {}
    inside = inside_mask(imagery.geometry, imagery.grid)
    codes, counts = np.unique(_on_grid(files, params.crop_mask, imagery.grid)[inside], return_counts=True)
    return {
        "crop_share": percent(mask[inside]),
        "crop_codes": {
            f"{code:g}": round(100 * count / inside.sum(), 4) for code, count in zip(codes, counts, strict=True)
        },
    }


def crop_finding(info: PatchInfo | SequenceInfo) -> list[Finding]:
    """Return what a run's crop mask leaves of the area."""
    if info.crop_share is None:
        return []
    codes = ", ".join(f"{code} ({share:.1f} %)" for code, share in info.crop_codes.items())
    return [
        Finding(severity="info", message=f"cropland on {info.crop_share:.1f} % of the area; its mask holds {codes}")
    ]


def _codes(path: Path) -> NDArray[np.float64]:
    """Return values of a raster, sampled over all of it: what a map holds elsewhere tells that it is one."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as raster:
            shape = (min(raster.height, LARGEST_SAMPLE), min(raster.width, LARGEST_SAMPLE))
            return np.unique(raster.read(1, out_shape=shape, masked=True).compressed()).astype(np.float64)
    except RasterioError as error:
        raise BadInputError(f"{path.name}: cannot be read as a GeoTIFF: {error}") from error


def _on_grid(files: Path, name: str, grid: Grid) -> NDArray[np.float64]:
    """Return the first band of `source/<name>` on the grid, 0 where it has no data."""
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.warp import Resampling, reproject

    path = files / SOURCE_FOLDER / name
    target = np.zeros((grid.height, grid.width))
    try:
        with rasterio.open(path) as raster:
            if raster.crs is None:
                raise BadInputError(f"{name}: has no coordinate reference system, so its position is unknown")
            values = np.nan_to_num(raster.read(1, masked=True).filled(0).astype(np.float64))
            reproject(
                values,
                target,
                src_transform=raster.transform,
                src_crs=raster.crs,
                dst_transform=affine_of(grid),
                dst_crs=grid.crs,
                resampling=Resampling.nearest,
            )
    except RasterioError as error:
        raise BadInputError(f"{name}: cannot be read as a GeoTIFF: {error}") from error
    return target
