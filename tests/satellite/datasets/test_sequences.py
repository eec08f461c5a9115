"""The LSTM's dataset: no leak, everything counted, and sequences that say what was seen and when."""

import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from include.core.contracts import Artifact
from include.core.errors import BadInputError, ContractError
from include.satellite.datasets.schemas import SPLITS, SequenceInfo, SequenceRow
from include.satellite.datasets.sequences import (
    LEAST_STEPS,
    OVER_CAP,
    SEASONAL_FEATURES,
    PrepareLstmMetrics,
    SequenceDataset,
    load_sequences,
    prepare_lstm,
    prepare_lstm_outcome,
    steps_of,
)
from include.satellite.imagery.schemas import Imagery
from include.satellite.params import LstmDataParams
from tests.core.test_artifacts import sealed
from tests.satellite.imagery_store import ImageryMaker, grid_of, layers_of, make_fields, make_history

SMALL = {"sequence_length": 4, "location_size": 8}


@pytest.fixture
def imagery(data_dir: Path, files: Path) -> Imagery:
    """Fourteen dates of fields under clouds."""
    return make_fields(data_dir, files, 80, 96, 14)


def prepared(files: Path, **params: Any) -> SequenceDataset:
    prepare_lstm(files, LstmDataParams(**{**SMALL, **params}))
    return load_sequences(files)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(40, 90),
    width=st.integers(40, 90),
    length=st.integers(2, 6),
    more=st.integers(8, 14),
    size=st.sampled_from([4, 5, 8]),
    seed=st.integers(0, 1000),
    cap=st.sampled_from([5, 20, 1000]),
    share=st.sampled_from([0.05, 0.3]),
)
def test_nothing_of_validation_is_ever_seen_in_training(
    module_data: Path, height: int, width: int, length: int, more: int, size: int, seed: int, cap: int, share: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files, dates = Path(folder), length + more
        make_fields(module_data, files, height, width, dates, seed=seed, share=share)
        params = {"sequence_length": length, "location_size": size, "seed": seed, "locations_per_window": cap}
        try:
            data = prepared(files, **params)
        except BadInputError:  # too little is left: then there is no dataset that could leak
            assume(False)
        _check_no_leak(data)
        _check_counts(data, dates - min(LEAST_STEPS, length), cap)


def _check_no_leak(data: SequenceDataset) -> None:
    places = [set(data.location[data.rows(split)].tolist()) for split in SPLITS]
    assert not places[0] & places[2]
    assert not places[0] & places[1]
    assert not places[1] & places[2]
    learnt, held = np.concatenate([data.rows("train"), data.rows("tune")]), data.rows("validation")
    assert data.target[learnt].max() < data.target[held].min()
    assert (data.times < data.target[:, None]).all()
    assert ((np.diff(data.times, axis=1) > 0) | (data.times[:, :-1] < 0)).all()
    assert not data.x[data.times < 0].any()
    samples = list(zip(data.location, data.target, strict=True))
    assert len(set(samples)) == len(samples)
    dates = data.info.dates
    assert {dates[day] for day in data.target[learnt]} <= set(data.info.training_targets)
    assert {dates[day] for day in data.target[held]} <= set(data.info.validation_targets)
    assert max(data.info.training_targets) < min(data.info.validation_targets)
    assert set(data.block[held]) <= set(data.info.blocks.validation)
    assert set(data.block[data.rows("tune")]) <= set(data.info.blocks.tune)


def _check_counts(data: SequenceDataset, targets: int, cap: int) -> None:
    info = data.info
    assert info.counts == {split: len(data.rows(split)) for split in SPLITS}
    assert len(data) + sum(info.left_out.values()) + sum(info.dropped.values()) == info.locations * targets
    assert not np.isnan(data.x).any()
    assert not np.isnan(data.y).any()
    for split in SPLITS:
        assert np.bincount(data.target[data.rows(split)]).max() <= cap


def test_a_sequence_says_what_was_seen_and_for_which_day_it_forecasts(data_dir: Path, files: Path) -> None:
    """Irregular dates over a new year; one location misses a date, and its own earlier one stands in."""
    days = [date(2024, 10, 1) + timedelta(days=apart) for apart in (0, 5, 35, 60, 80, 95, 100, 130, 150, 180, 190, 220)]
    maker = ImageryMaker(data_dir, grid_of(96, 96))
    found, values = [], np.random.default_rng(0).uniform(0.2, 0.8, (len(days), 12, 12))
    for number, day in enumerate(days):
        scl = np.full((96, 96), 4)
        if number == 3:
            scl[:, :8] = 9
        found.append(maker.scene(day, layers_of(np.kron(values[number], np.ones((8, 8))), scl)))
    maker.manifest(files, found)
    data = prepared(files, sequence_length=3)
    assert data.info.features == ["ndvi", "days_since_last_date"]
    assert data.info.locations_across == 12
    skipping = np.flatnonzero((data.location % 12 == 0) & (data.target == 4))
    assert skipping.size
    sample = int(skipping[0])
    assert data.times[sample].tolist() == [0, 1, 2]
    row = data.location[sample] // 12
    assert data.x[sample, :, 0] == pytest.approx(values[[0, 1, 2], row, 0], abs=1e-3)
    assert data.y[sample] == pytest.approx(values[4, row, 0], abs=1e-3)
    assert data.x[sample, :, 1] * 30 == pytest.approx([5, 30, 45])
    other = int(np.flatnonzero(data.target == 7)[0])
    assert data.times[other].tolist() == [4, 5, 6]
    assert data.x[other, :, 1] * 30 == pytest.approx([15, 5, 30])


def test_series_of_two_years_bring_the_day_of_the_year_the_season_and_later_dates_for_the_intervals(
    data_dir: Path, files: Path
) -> None:
    maker = ImageryMaker(data_dir, grid_of(96, 96))
    days = [date(2023, 1, 1) + timedelta(days=30 * number) for number in range(30)]
    level = np.random.default_rng(0).uniform(0.3, 0.6, (12, 12))
    found = []
    for day in days:
        season = 0.15 * np.sin(2 * np.pi * day.timetuple().tm_yday / 365.25)
        found.append(maker.scene(day, layers_of(np.kron(level + season, np.ones((8, 8))), np.full((96, 96), 4))))
    maker.manifest(files, found)
    data = prepared(files)
    assert data.info.features == list(SEASONAL_FEATURES)
    assert data.info.calibration_targets == days[21:25]
    assert data.info.training_targets == days[3:21]
    assert data.target[data.rows("train")].max() == 20
    assert set(data.target[data.calibration_rows()].tolist()) == {21, 22, 23, 24}
    assert set(data.target[data.tuning_rows()].tolist()) == set(range(3, 21))
    last = data.series[data.location, data.times[:, -1]]
    held = data.rows("validation")
    assert np.abs(data.expected - data.y)[held].mean() < 0.6 * np.abs(last - data.y)[held].mean()
    sample = int(held[0])
    of_year = (days[data.target[sample]] - date(days[data.target[sample]].year, 1, 1)).days
    assert data.x[sample, -1, 2] == pytest.approx(np.sin(2 * np.pi * of_year / 365.25), abs=1e-6)
    change, weight = data.x[sample, -1, 4:]
    assert data.expected[sample] == pytest.approx(last[sample] + weight * change, abs=1e-6)


def test_the_series_are_those_of_the_previews_where_there_is_a_history(
    data_dir: Path, files: Path, imagery: Imagery
) -> None:
    coarse = make_history(data_dir, files, imagery)
    data = prepared(files)
    assert data.info.dates == [acquisition.date for acquisition in coarse.acquisitions]
    assert (data.info.grid, data.info.series_resolution) == (imagery.grid, 40)
    assert data.series[:, 0] == pytest.approx(np.full(data.info.locations, 0.5), abs=1e-3)
    messages = [finding.message for finding in prepare_lstm_outcome(files).findings]
    assert messages[0] == "series of 28 dates from 2023-01-01 to 2023-11-21, of previews of 40 m"


def test_the_series_holds_each_location_on_each_date(imagery: Imagery, files: Path) -> None:
    data = prepared(files)
    assert data.series.shape == (data.info.locations, 14)
    assert np.array_equal(data.y, data.series[data.location, data.target])
    real = data.times >= 0
    assert np.array_equal(data.x[real, 0], data.series[data.location[:, None], data.times][real])
    assert (data.info.dates[1] - data.info.dates[0]).days == data.days[1] - data.days[0]


@pytest.mark.parametrize(("length", "said"), [(7, "at most 6"), (14, "at most 6")])
def test_a_sequence_too_long_for_the_dates_is_refused_with_the_numbers(
    imagery: Imagery, files: Path, length: int, said: str
) -> None:
    with pytest.raises(BadInputError, match=f"sequence_length {length} is too long for 14 usable dates: {said}"):
        prepared(files, sequence_length=length)
    assert not (files / "lstm_dataset.json").exists()
    prepared(files, sequence_length=6)


def test_too_few_dates_for_any_sequence_are_refused(data_dir: Path, files: Path) -> None:
    make_fields(data_dir, files, 80, 96, 9)
    with pytest.raises(BadInputError, match="too long for 9 usable dates: too few for any sequence"):
        prepared(files, sequence_length=2)


def test_too_few_sequences_are_refused_with_size_and_area(data_dir: Path, files: Path) -> None:
    make_fields(data_dir, files, 80, 80, 12)
    with pytest.raises(BadInputError, match=r"location_size 20 and sequence_length 4 leave, .* 80 × 80 pixels"):
        prepared(files, location_size=20)


def test_the_cap_holds_for_each_target_date_and_part(imagery: Imagery, files: Path) -> None:
    whole, capped = prepared(files), prepared(files, locations_per_window=11)
    lost = 0
    for split in SPLITS:
        before = np.bincount(whole.target[whole.rows(split)], minlength=14)
        after = np.bincount(capped.target[capped.rows(split)], minlength=14)
        assert np.array_equal(after, np.minimum(before, 11))
        lost += int((before - after).sum())
    assert capped.info.dropped[OVER_CAP] == lost > 0


def test_only_the_crop_mask_is_forecast(imagery: Imagery, files: Path) -> None:
    import rasterio

    (files / "source").mkdir()
    grid = imagery.grid
    mask = np.zeros((grid.height, grid.width), np.uint8)
    mask[:, 16:] = 1
    place = rasterio.Affine(10, 0, grid.bounds[0], 0, -10, grid.bounds[3])
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": grid.height, "width": grid.width}
    with rasterio.open(files / "source" / "crop.tif", "w", crs=grid.crs, transform=place, **profile) as file:
        file.write(mask, 1)
    data = prepared(files, crop_mask="crop.tif")
    assert set((data.location % 12).tolist()) == set(range(2, 12))
    assert np.isnan(data.series.reshape(10, 12, 14)[:, :2]).all()


def test_the_same_seed_gives_the_same_files(imagery: Imagery, files: Path) -> None:
    names = ("lstm_series.npy", "lstm_index.parquet", "lstm_dataset.json")
    prepared(files, locations_per_window=11)
    first = [(files / name).read_bytes() for name in names]
    prepared(files, locations_per_window=11)
    assert [(files / name).read_bytes() for name in names] == first
    prepared(files, locations_per_window=11, seed=1)
    assert (files / names[1]).read_bytes() != first[1]


def test_the_export_holds_the_same_samples_under_the_usual_names(imagery: Imagery, files: Path) -> None:
    data = prepared(files, export_npy=True)
    for split, name in (("train", "train"), ("tune", "tune"), ("validation", "val")):
        rows = data.rows(split)
        assert np.array_equal(np.load(files / "lstm_npy" / f"X_{name}.npy"), data.x[rows])
        assert np.array_equal(np.load(files / "lstm_npy" / f"y_{name}.npy"), data.y[rows])


def test_the_files_keep_to_their_schemas_and_the_outcome_adds_up(imagery: Imagery, files: Path) -> None:
    data = prepared(files)
    record = sealed(files, Artifact("lstm_index.parquet", SequenceRow))
    assert record is not None
    assert record.records == len(data)
    sealed(files, Artifact("lstm_dataset.json", SequenceInfo))
    metrics = prepare_lstm_outcome(files).metrics_as(PrepareLstmMetrics)
    assert sum(metrics.samples.values()) + metrics.left_out + metrics.dropped == data.info.locations * 11
    assert sorted(path.name for path in files.iterdir()) == sorted(
        ["validated.json", "lstm_series.npy", "lstm_index.parquet", "lstm_dataset.json"]
    )


def test_loading_before_preparing_is_an_error_in_words(files: Path) -> None:
    with pytest.raises(ContractError, match=r"lstm_dataset.json: must exist"):
        load_sequences(files)


def test_a_date_that_is_yet_to_come_has_the_steps_of_one_that_was_observed() -> None:
    days = np.arange(0, 1200, 12)
    series = np.random.default_rng(0).uniform(0.2, 0.8, (2, len(days))).astype(np.float32)
    location, target = np.array([0, 1]), np.array([len(days) - 1] * 2)
    features = ["ndvi", "days_since_last_date", "season_change", "season_weight"]
    known = steps_of(series, days, location, target, features, 5, seasonal=True)
    coming = series.copy()
    coming[:, -1] = np.nan
    assert np.array_equal(steps_of(coming, days, location, target, features, 5, seasonal=True).x, known.x)
    assert known.times[0].tolist() == list(range(len(days) - 6, len(days) - 1))
    without = steps_of(coming, days, location, target, features[:2], 5, seasonal=False)
    assert np.array_equal(without.expected, series[:, -2]), "without seasons it is the last value"
