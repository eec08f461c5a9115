"""Training data from measured imagery: small sites, real clouds, and what is really there."""

import csv
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from include.core.errors import BadInputError
from include.satellite.datasets.patches import load_patches, prepare_cnn
from include.satellite.datasets.sequences import load_sequences, prepare_lstm
from include.satellite.imagery.schemas import Grid, Imagery
from include.satellite.params import CnnDataParams, LstmDataParams
from tests.satellite.imagery_store import ImageryMaker

pytestmark = pytest.mark.real_data
Layers = NDArray[np.integer]


def index_of(site: Path) -> list[dict[str, str]]:
    with (site / "index.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def stored(data_dir: Path, files: Path, scenes: Sequence[tuple[str, Layers]], like: Path) -> Imagery:
    """A store of (date, layers), on the grid of a file."""
    with rasterio.open(like) as file:
        grid = Grid(
            crs=file.crs.to_string(), resolution=10, bounds=tuple(file.bounds), width=file.width, height=file.height
        )
    maker = ImageryMaker(data_dir, grid)
    return maker.manifest(files, [maker.scene(date.fromisoformat(day), layers) for day, layers in scenes])


@pytest.fixture
def romania(real_data: Path, data_dir: Path, files: Path) -> tuple[list[dict[str, str]], Imagery]:
    """The usable dates of 2018, by the cloud and clear shares of the site's index."""
    site = real_data / "satellite" / "romania_s2l2a_west"
    usable = [
        row
        for row in index_of(site)
        if row["date"].startswith("2018") and float(row["clear_pct"]) >= 70 and float(row["cloud_pct"]) <= 20
    ]
    scenes = []
    for row in usable:
        with rasterio.open(site / row["file"]) as file, rasterio.open(site / row["scl"]) as scl:
            scenes.append((row["date"], np.concatenate([file.read([1, 2, 3, 4]), scl.read()])))
    return usable, stored(data_dir, files, scenes, site / usable[0]["file"])


@pytest.fixture
def belgium(real_data: Path, data_dir: Path, files: Path) -> Imagery:
    """The ten composites that are not wholly nodata; no classification, so land and water by their indices."""
    site = real_data / "satellite" / "belgium_hesbaye_monthly"
    scenes = []
    for row in index_of(site):
        if float(row["nodata_pct"]) < 100:
            with rasterio.open(site / row["file"]) as file:
                names = [(name or "").upper() for name in file.descriptions]
                dn = np.stack([file.read(names.index(band) + 1) for band in ("B02", "B03", "B04", "B08")])
            dn = np.where(dn == 65535, 0, dn)
            _, green, red, nir = dn.astype(float)
            with np.errstate(invalid="ignore", divide="ignore"):
                vegetation = (nir - red) / (nir + red) >= 0.3
                water = ((green - nir) / (green + nir) > 0) & (nir < 1000)
            scl = np.select([(dn == 0).any(axis=0), water, vegetation], [0, 6, 4], 5)
            scenes.append((row["date"], np.concatenate([dn, scl[None]])))
    return stored(data_dir, files, scenes, site / "scenes" / "S2_20201101.tif")


def test_romania_2018_gives_patches_of_16_pixels(romania: tuple[list[dict[str, str]], Imagery], files: Path) -> None:
    usable, imagery = romania
    assert len(imagery.acquisitions) == len(usable) == 16
    prepare_cnn(files, CnnDataParams(patch_size=16, stride=4))
    data = load_patches(files)
    counted = {split: sum(by_class.values()) for split, by_class in data.info.counts.items()}
    assert counted["validation"] >= 30
    assert counted["train"] > 1000
    assert data.info.counts["train"]["Critical"] == 0  # forest and pasture
    assert data.info.counts["train"]["Healthy"] > 0.6 * counted["train"]
    assert data.info.gate_classes == ["Healthy", "Moderate", "Stressed"]
    assert np.isfinite(data.batch(data.rows("validation"))).all()


@pytest.mark.parametrize("seed", range(4))
def test_romania_2018_can_be_forecast(romania: tuple[list[dict[str, str]], Imagery], files: Path, seed: int) -> None:
    prepare_cnn(files, CnnDataParams(patch_size=16, stride=4, label_source="next_ndvi", seed=seed))
    info = load_patches(files).info
    assert max(info.training_dates) < min(info.validation_dates)
    assert info.validation_dates[-1] == info.dates[-2]
    prepare_lstm(files, LstmDataParams(location_size=6, sequence_length=8, seed=seed))
    sequences = load_sequences(files)
    assert sequences.info.counts["validation"] >= 30
    assert sequences.info.validation_targets == sequences.info.dates[-3:]


def test_the_series_show_the_forests_year_as_the_raw_files_do(
    romania: tuple[list[dict[str, str]], Imagery], real_data: Path, files: Path
) -> None:
    prepare_lstm(files, LstmDataParams(location_size=6, sequence_length=8))
    data = load_sequences(files)
    found = np.nanmean(data.series, axis=0)
    for row, mean in zip(romania[0], found, strict=True):
        site = real_data / "satellite" / "romania_s2l2a_west"
        with rasterio.open(site / row["file"]) as file, rasterio.open(site / row["scl"]) as scl:
            red, nir = file.read([3, 4]).astype(float)
            land = np.isin(scl.read(1), (4, 5))
        assert mean == pytest.approx(((nir - red) / (nir + red))[land].mean(), abs=0.02), row["date"]
    month = np.array([day.month for day in data.info.dates])
    assert found[month == 4].min() < 0.5 < 0.7 < found[(month >= 5) & (month <= 9)].min()


def test_romania_in_patches_of_the_default_size_is_refused_in_words(
    romania: tuple[list[dict[str, str]], Imagery], files: Path
) -> None:
    with pytest.raises(BadInputError, match="64 pixels does not fit into the area of 100 × 60 pixels"):
        prepare_cnn(files, CnnDataParams())


def test_belgian_composites_give_patches_and_short_sequences(belgium: Imagery, files: Path) -> None:
    assert len(belgium.acquisitions) == 10
    prepare_cnn(files, CnnDataParams(patch_size=16, stride=8))
    info = load_patches(files).info
    assert sum(info.counts["validation"].values()) >= 30
    assert sum(count > 0 for count in info.counts["validation"].values()) >= 2
    with pytest.raises(BadInputError, match="sequence_length 4 is too long for 10 usable dates: at most 2"):
        prepare_lstm(files, LstmDataParams(location_size=8, sequence_length=4))
    prepare_lstm(files, LstmDataParams(location_size=8, sequence_length=2))
    counts: dict[str, Any] = load_sequences(files).info.counts
    assert min(counts.values()) >= 30
