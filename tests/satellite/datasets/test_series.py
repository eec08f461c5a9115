"""Series: of previews where there is a history, resampled onto the run's grid, without dates under haze."""

from pathlib import Path

import numpy as np
import pytest

from include.satellite.artifacts import HISTORY
from include.satellite.datasets.series import ResampledTiles, measure_series, series_imagery
from include.satellite.datasets.splits import Tiles
from include.satellite.imagery.schemas import Imagery
from include.satellite.params import LstmDataParams
from tests.satellite.imagery_store import grid_of, make_fields, make_history

PARAMS = LstmDataParams(location_size=8, sequence_length=4)


@pytest.fixture
def imagery(data_dir: Path, files: Path) -> Imagery:
    return make_fields(data_dir, files, 80, 96, 14)


def tiles_of(imagery: Imagery) -> Tiles:
    return Tiles.on(imagery.grid.height, imagery.grid.width, 8, 8)


def test_sums_over_a_coarser_grid_are_those_of_the_resampled_image() -> None:
    grid = grid_of(50, 70, 10, origin=(600_010, 3_420_030))
    coarse = grid_of(10, 13, 60, origin=(600_000, 3_420_000))
    tiles, image = Tiles.on(50, 70, 16, 8), np.random.default_rng(0).uniform(size=(10, 13))
    y = coarse.bounds[3] - (grid.bounds[3] - 10 * (np.arange(50) + 0.5))
    x = grid.bounds[0] + 10 * (np.arange(70) + 0.5) - coarse.bounds[0]
    resampled = image[np.ix_((y // 60).astype(int), (x // 60).astype(int))]
    assert ResampledTiles.of(tiles, grid, coarse).sums(image) == pytest.approx(tiles.sums(resampled))


def test_a_history_with_fewer_dates_than_the_run_is_not_used(data_dir: Path, files: Path, imagery: Imagery) -> None:
    assert series_imagery(files) == imagery
    history = make_history(data_dir, files, imagery)
    assert series_imagery(files) == history
    HISTORY.write(files, history.model_copy(update={"acquisitions": history.acquisitions[:13]}))
    assert series_imagery(files) == imagery


def test_a_date_of_the_history_under_haze_is_left_out_with_the_evidence(
    data_dir: Path, files: Path, imagery: Imagery
) -> None:
    history = make_history(data_dir, files, imagery, hazy=5)
    series = measure_series(files, PARAMS, tiles_of(imagery), imagery.grid)
    day = history.acquisitions[5].date
    assert list(series.hazy) == [day]
    assert "haze that the scene classification calls clear" in series.hazy[day]
    assert len(series.imagery.acquisitions) == 27
    assert series.assessed.ndvi.shape == (27, 120)
