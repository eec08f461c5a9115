"""The series: NDVI of locations over time, from the previews of the history, or from the run's own scenes.

Previews are coarser than the run's grid. A pixel of a preview counts for the part of a location that it covers, so the
rules of labels (80 % clear, land) and the mean are those of the previews, resampled by nearest neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from include.satellite.artifacts import HISTORY, VALIDATED
from include.satellite.datasets.cube import CubeScene, scenes
from include.satellite.datasets.labels import Assessment, assess, crop_mask, stack
from include.satellite.datasets.seasons import Doubles
from include.satellite.datasets.splits import Tiles
from include.satellite.imagery.radiometry import FEWEST_PIXELS, haze
from include.satellite.imagery.schemas import Grid, Imagery, Radiometry
from include.satellite.params import LstmDataParams


@dataclass(frozen=True)
class ResampledTiles(Tiles):
    """Tiles of a grid whose sums are taken over a coarser one, resampled by nearest neighbour.

    Args:
        row_pixels: (tile rows, H of the coarser grid) pixel rows of each tile in each coarser row.
        column_pixels: (tile columns, W of the coarser grid) the same of columns.
    """

    row_pixels: Doubles
    column_pixels: Doubles

    @classmethod
    def of(cls, tiles: Tiles, grid: Grid, coarse: Grid) -> ResampledTiles:
        """Return tiles of a grid over a coarser grid that covers it."""
        ratio, (xmin, _, _, ymax) = grid.resolution / coarse.resolution, coarse.bounds
        down, right = (ymax - grid.bounds[3]) / coarse.resolution, (grid.bounds[0] - xmin) / coarse.resolution
        rows = _shares(tiles.tops, tiles.size, down, ratio, coarse.height)
        return cls(
            tiles.size, tiles.tops, tiles.lefts, rows, _shares(tiles.lefts, tiles.size, right, ratio, coarse.width)
        )

    def sums(self, image: np.ndarray) -> Doubles:
        """Return the sum of the resampled image over each tile, shape (P,)."""
        return np.asarray(self.row_pixels @ image.astype(np.float64) @ self.column_pixels.T).ravel()


def _shares(starts: np.ndarray, size: int, offset: float, ratio: float, coarse: int) -> Doubles:
    """Return how many of the `size` pixels from each start on lie in each coarser pixel, (starts, coarse)."""
    position = np.floor(offset + ratio * (starts[:, None] + np.arange(size) + 0.5)).astype(np.int64)
    return np.stack([np.bincount(row, minlength=coarse) for row in position]).astype(np.float64)


@dataclass(frozen=True)
class LocationSeries:
    """The NDVI of the P locations on all dates, and what it comes from.

    Args:
        imagery: The acquisitions, one a date; its grid is that of their pixels.
        assessed: (T, P) NDVI and why there is none.
        hazy: Dates of the history that were left out, each with the evidence.
    """

    imagery: Imagery
    assessed: Assessment
    hazy: dict[date, str]


def series_imagery(files: Path) -> Imagery:
    """Return the manifest that the series are made from: the history, if it holds as many dates as the run has."""
    validated, history = VALIDATED.read(files), HISTORY.find(files)
    if history is None or len(history.acquisitions) < len(validated.acquisitions):
        return validated
    return history


def measure_series(files: Path, params: LstmDataParams, tiles: Tiles, grid: Grid) -> LocationSeries:
    """Return the NDVI of the locations over time; dates of the history under haze are left out.

    Args:
        files: The run's `files/` folder.
        params: Locations, and the crop mask.
        tiles: The locations on the run's grid.
        grid: The run's grid.

    Raises:
        ContractError: A file of the imagery store is not what was fetched.
    """
    imagery = series_imagery(files)
    crop = crop_mask(files, params, imagery.grid)
    over = tiles if imagery.grid == grid else ResampledTiles.of(tiles, grid, imagery.grid)
    dates, shown = [], {}
    for acquisition, scene in zip(imagery.acquisitions, scenes(imagery), strict=True):
        dates.append(assess(scene, over, crop))
        shown[acquisition.date] = radiometry_of(scene)
    hazy = {}
    if imagery.bands != VALIDATED.read(files).bands:  # the scenes of the run were tested by the validation
        hazy = haze({day: radiometry for day, radiometry in shown.items() if radiometry.blue is not None})
    kept = [number for number, acquisition in enumerate(imagery.acquisitions) if acquisition.date not in hazy]
    imagery = imagery.model_copy(update={"acquisitions": [imagery.acquisitions[number] for number in kept]})
    return LocationSeries(imagery, stack(dates[number] for number in kept), hazy)


def radiometry_of(scene: CubeScene) -> Radiometry:
    """Return the median blue and red of a scene's clear land, by which haze is found."""
    land = scene.land
    if (pixels := int(land.sum())) < FEWEST_PIXELS:
        return Radiometry(land=pixels)
    blue, red = (float(np.median(scene.band(name)[land])) * scene.sensor.scale for name in ("blue", "red"))
    return Radiometry(land=pixels, blue=round(blue, 4), red=round(red, 4))
