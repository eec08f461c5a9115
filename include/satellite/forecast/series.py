"""The series of fields: NDVI of each field on the previews of several years, by the rules of the forecaster's training.

A pixel of a preview (60 m) counts for the part of a field that it covers, 10 m and more inside the outline. A date
counts for a field that is at least 80 % clear there, and mainly land; dates under haze count for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.cube import read_scene
from include.satellite.datasets.labels import assess
from include.satellite.datasets.series import radiometry_of
from include.satellite.fields.pixels import field_pixels
from include.satellite.fields.schemas import CropField
from include.satellite.imagery.area import inside_mask
from include.satellite.imagery.radiometry import haze
from include.satellite.imagery.schemas import Acquisition, Grid, Imagery, Radiometry

FINE_M = 10
LEAST_PIXELS = 4
"""A field needs the area of so many pixels of a preview: a smaller one shows its neighbours more than itself."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FieldShares:
    """The parts of fields in the pixels of a preview.

    Args:
        positions: (M,) row · width + column of the pixel.
        field: (M,) which field.
        weight: (M,) pixels of `FINE_M` of the field in it.
        count: Number of fields n.
    """

    positions: NDArray[np.int64]
    field: NDArray[np.int64]
    weight: Floats
    count: int

    @classmethod
    def of(cls, geometries: Sequence[dict[str, Any]], grid: Grid) -> FieldShares:
        """Return the parts of outlines (GeoJSON, WGS 84) in the pixels of a grid."""
        ratio = max(1, grid.resolution // FINE_M)
        fine = grid.model_copy(
            update={
                "resolution": grid.resolution // ratio,
                "width": grid.width * ratio,
                "height": grid.height * ratio,
            }
        )
        pixels = field_pixels(geometries, fine)
        row, column = np.divmod(pixels.positions, fine.width)
        cells = grid.width * grid.height
        key, weight = np.unique(
            pixels.field * cells + (row // ratio) * grid.width + column // ratio, return_counts=True
        )
        field, positions = np.divmod(key, cells)
        return cls(positions, field, weight.astype(np.float64), pixels.count)

    @property
    def pixels(self) -> Floats:
        """Pixels of `FINE_M` of each field, (n,)."""
        return np.bincount(self.field, self.weight, minlength=self.count).astype(np.float64)

    def sums(self, image: NDArray[Any]) -> Floats:
        """Return the weighted sum of the image (H, W) over each field, (n,)."""
        values = self.weight * image.ravel()[self.positions].astype(np.float64)
        return np.bincount(self.field, values, minlength=self.count).astype(np.float64)

    def too_small(self, grid: Grid) -> NDArray[np.bool_]:
        """Return which fields cover less than `LEAST_PIXELS` pixels of a preview, (n,)."""
        return np.asarray(self.pixels * FINE_M**2 < LEAST_PIXELS * grid.resolution**2)


@dataclass(frozen=True)
class FieldSeries:
    """The NDVI of n fields on T dates.

    Args:
        ndvi: (n, T) float32, NaN where a date does not count.
        dates: (T,) ascending; none is hazy.
        hazy: Dates that are left out for haze.
        too_small: (n,) fields without any value, since they are too small for the previews.
    """

    ndvi: NDArray[np.float32]
    dates: list[date]
    hazy: list[date]
    too_small: NDArray[np.bool_]


def current_fields(fields: Sequence[CropField], day: date) -> list[CropField]:
    """Return one row a field: the one that is valid on a day, else the last one before it, else the first; by id."""
    current: dict[str, CropField] = {}
    for field in sorted(fields, key=lambda field: field.valid_from or date.min):
        if field.field_id not in current or (field.valid_from or date.min) <= day:
            current[field.field_id] = field
    return [current[name] for name in sorted(current)]


def measure_fields(fields: Sequence[CropField], imagery: Imagery) -> FieldSeries:
    """Return the series of fields.

    Raises:
        ContractError: A file of the imagery store is not what was fetched.
    """
    shares = FieldShares.of([field.geometry for field in fields], imagery.grid)
    inside = inside_mask(imagery.geometry, imagery.grid)
    small = shares.too_small(imagery.grid)
    columns: list[Floats] = []
    shown: dict[date, Radiometry] = {}
    for acquisition in imagery.acquisitions:
        column, shown[acquisition.date] = _measure(acquisition, imagery, shares, inside)
        columns.append(np.where(small, np.nan, column))
    hazy = haze({day: radiometry for day, radiometry in shown.items() if radiometry.blue is not None})
    kept = [number for number, item in enumerate(imagery.acquisitions) if item.date not in hazy]
    ndvi: NDArray[np.float32] = np.stack([columns[number] for number in kept], axis=1).astype(np.float32)
    return FieldSeries(ndvi, [imagery.acquisitions[number].date for number in kept], sorted(hazy), small)


def ndvi_on(fields: Sequence[CropField], imagery: Imagery, days: Sequence[date]) -> NDArray[np.float32]:
    """Return the NDVI of fields on some dates alone, (n, days), as `measure_fields` does."""
    shares = FieldShares.of([field.geometry for field in fields], imagery.grid)
    inside, small = inside_mask(imagery.geometry, imagery.grid), shares.too_small(imagery.grid)
    by_date = {item.date: item for item in imagery.acquisitions}
    columns = [np.where(small, np.nan, _measure(by_date[day], imagery, shares, inside)[0]) for day in days]
    return np.stack(columns, axis=1).astype(np.float32)


def _measure(
    acquisition: Acquisition, imagery: Imagery, shares: FieldShares, inside: NDArray[np.bool_]
) -> tuple[Floats, Radiometry]:
    """Return the NDVI of each field on one date, (n,), and what the scene shows of haze."""
    scene = read_scene(acquisition, imagery, inside)
    has_pixels = shares.pixels > 0  # without any, nothing of a field is missing either
    return np.where(has_pixels, assess(scene, shares, None).ndvi, np.nan), radiometry_of(scene)
