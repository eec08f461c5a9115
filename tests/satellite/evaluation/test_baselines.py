"""Naive predictions are fitted on the training part alone, and never see what they predict."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from include.satellite.datasets.patches import PatchDataset, load_patch_samples, load_patches
from include.satellite.datasets.schemas import SequenceInfo
from include.satellite.datasets.sequences import SequenceDataset, load_sequences
from include.satellite.evaluation.baselines import (
    Rows,
    climatology,
    patch_baselines,
    patch_rules,
    sequence_baselines,
    sequence_regressions,
)
from tests.satellite.small_data import write_patches, write_sequences


@pytest.fixture
def patches(tmp_path: Path) -> PatchDataset:
    write_patches(tmp_path)
    return load_patches(tmp_path)


def classes(patches: PatchDataset, rows: Rows) -> dict[str, Rows]:
    """The most probable classes by name."""
    return {name: values.argmax(axis=1) for name, values in patch_baselines(patches, rows).items()}


def test_the_rules_that_see_no_pixel_are_the_same_without_the_cube(tmp_path: Path, patches: PatchDataset) -> None:
    rows = patches.rows("validation")
    rules, complete = patch_rules(load_patch_samples(tmp_path), rows), patch_baselines(patches, rows)
    assert list(complete) == ["majority", "logistic_regression", "ndvi_rule"]
    assert all((rules[name] == complete[name]).all() for name in ("majority", "ndvi_rule"))
    assert complete["logistic_regression"].sum(axis=1) == pytest.approx(1)


def test_the_majority_is_the_training_parts(patches: PatchDataset) -> None:
    train, rows = patches.rows("train"), patches.rows("validation")
    most = np.bincount(patches.label[train]).argmax()
    assert (classes(patches, rows)["majority"] == most).all()


def test_the_regression_sees_colour_and_not_texture(patches: PatchDataset) -> None:
    rows = patches.rows("validation")
    blind = classes(patches, rows)["logistic_regression"]
    assert (blind == patches.label[rows]).mean() < 0.5
    cube = np.array(patches.cube)
    for sample in range(len(patches)):
        row, col = patches.row[sample], patches.col[sample]
        cube[patches.date[sample], row : row + 8, col : col + 8, 1] += np.uint16(500 * patches.label[sample])
    seeing = classes(replace(patches, cube=cube), rows)["logistic_regression"]
    assert (seeing == patches.label[rows]).mean() > 0.95


def test_baselines_are_fitted_on_the_training_part_alone(patches: PatchDataset) -> None:
    rows = patches.rows("validation")
    before = patch_baselines(patches, rows)
    label = patches.label.copy()
    label[patches.split != 0] = 3 - label[patches.split != 0]
    after = patch_baselines(replace(patches, label=label), rows)
    assert all((before[name] == after[name]).all() for name in before)


def test_the_ndvi_rule_is_a_baseline_unless_it_is_the_label(tmp_path: Path, patches: PatchDataset) -> None:
    rows = patches.rows("validation")
    ndvi = patches.ndvi.copy()
    ndvi[rows[:4]] = [0.8, 0.6, 0.4, 0.1]
    assert classes(replace(patches, ndvi=ndvi), rows[:4])["ndvi_rule"].tolist() == [0, 1, 2, 3]
    write_patches(tmp_path, label_source="ndvi_rule")
    assert "ndvi_rule" not in patch_baselines(load_patches(tmp_path), rows)


def _two_years(info: SequenceInfo, series: list[float]) -> SequenceDataset:
    dates = [date(2024, 12, 20), date(2025, 6, 1), date(2025, 12, 1), date(2026, 1, 10)]
    return SequenceDataset(
        x=np.zeros((1, 2, 4), np.float32), expected=np.zeros(1, np.float32), y=np.array([series[-1]], np.float32),
        times=np.array([[1, 2]]),
        target=np.array([3]), location=np.array([0]), block=np.array([0]), split=np.array([2]),
        series=np.array([series], np.float32), days=np.array(dates, "datetime64[D]").astype(int),
        info=info.model_copy(update={"dates": dates}),
    )  # fmt: skip


def test_climatology_is_the_season_across_the_new_year(tmp_path: Path) -> None:
    write_sequences(tmp_path)
    info = load_sequences(tmp_path).info
    # 20 December is 21 days of the year before 10 January, 1 December is 40
    forecast, fallback = climatology(_two_years(info, [0.3, 0.7, 0.5, 0.9]), np.array([0]))
    assert forecast == pytest.approx([0.3])
    assert not fallback.any()
    forecast, fallback = climatology(_two_years(info, [np.nan, 0.7, 0.5, 0.9]), np.array([0]))
    assert forecast == pytest.approx([0.6])
    assert fallback.all()


def test_naive_forecasts_never_see_the_target(tmp_path: Path) -> None:
    write_sequences(tmp_path)
    dataset = load_sequences(tmp_path)
    rows = dataset.rows("validation")
    before = sequence_baselines(dataset, rows)
    for row in rows:
        series = dataset.series.copy()
        series[dataset.location[row], dataset.target[row] :] = 9
        after = sequence_baselines(replace(dataset, series=series), np.array([row]))
        assert all(after[name][0] == before[name][rows == row][0] for name in before)


def test_persistence_is_the_last_value_of_the_series(tmp_path: Path) -> None:
    write_sequences(tmp_path)
    dataset = load_sequences(tmp_path)
    rows = dataset.rows("validation")
    assert sequence_baselines(dataset, rows)["persistence"] == pytest.approx(dataset.x[rows, -1, 0])
    train = dataset.rows("train")
    assert sequence_baselines(dataset, rows)["training_mean"] == pytest.approx(dataset.y[train].mean())


def test_regressions_learn_what_is_left_of_anomaly_persistence_from_the_training_part_alone(tmp_path):
    write_sequences(tmp_path)
    dataset = load_sequences(tmp_path)
    rows = dataset.rows("validation")
    forecasts = sequence_regressions(dataset, rows)
    assert list(forecasts) == ["ridge", "gradient_boosting"]
    persistence = np.abs(dataset.expected[rows] - dataset.y[rows]).mean()
    assert all(np.abs(forecast - dataset.y[rows]).mean() < 0.5 * persistence for forecast in forecasts.values())
    y = dataset.y.copy()
    y[rows] = 0.9
    again = sequence_regressions(replace(dataset, y=y), rows)
    assert all(np.array_equal(again[name], forecast) for name, forecast in forecasts.items())
