"""Metrics agree with what is counted by hand; naive predictions are fitted on the training part alone."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.satellite.artifacts import CNN, LSTM
from include.satellite.datasets.patches import PatchDataset, load_patches
from include.satellite.datasets.schemas import CLASSES
from include.satellite.datasets.sequences import load_sequences
from include.satellite.evaluation.baselines import climatology, patch_baselines, sequence_baselines
from include.satellite.evaluation.metrics import (
    calibration_error,
    class_scores,
    classification,
    confusion,
    dates_of,
    evaluate_cnn,
    evaluate_lstm,
    explained_variance,
    forecast_score,
    gate_rows,
    in_gate,
    score_classes,
    score_forecasts,
    skills,
)
from include.satellite.evaluation.predictions import Predictions
from tests.satellite.small_data import write_patches, write_sequences

NAMES = ("Healthy", "Moderate", "Stressed", "Critical")
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@settings(deadline=None)
@given(PAIRS)
def test_scores_of_classes_are_the_counted_shares(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    hits = true == predicted
    recalls = {NAMES[label]: hits[true == label].mean() for label in np.unique(true)}
    scored = classification(true, predicted)
    assert scored.samples == len(pairs)
    assert scored.accuracy == pytest.approx(hits.mean())
    assert scored.balanced_accuracy == pytest.approx(np.mean(list(recalls.values())))
    for label, score in enumerate(class_scores(true, predicted, NAMES, NAMES[:3])):
        correct, actual, claimed = (hits & (true == label)).sum(), (true == label).sum(), (predicted == label).sum()
        assert score.samples == actual
        for value, part, total in (
            (score.precision, correct, claimed),
            (score.recall, correct, actual),
            (score.f1, 2 * correct, actual + claimed),
        ):
            assert value == (None if total == 0 else pytest.approx(part / total))
        assert score.in_gate == (label < 3)


def test_the_confusion_counts_samples_by_true_and_predicted_class() -> None:
    counts = confusion(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


@settings(deadline=None)
@given(PAIRS)
def test_scores_of_classes_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, recall_score

    true, predicted = np.array(pairs).T
    scored = classification(true, predicted)
    assert scored.accuracy == pytest.approx(accuracy_score(true, predicted))
    macro = recall_score(true, predicted, labels=np.unique(true), average="macro")
    assert scored.balanced_accuracy == pytest.approx(macro)
    columns = precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=np.nan)
    own = [(score.precision, score.recall, score.f1) for score in class_scores(true, predicted, NAMES, NAMES)]
    assert np.array(own, float) == pytest.approx(np.transpose(columns[:3]), nan_ok=True)


def test_calibration_error_of_a_hand_made_case() -> None:
    confidence = np.array([0.9, 0.9, 0.6, 0.6])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    true = np.array([0, 1, 0, 0])
    # at 0.9 half is right (gap 0.4), at 0.6 all is (gap 0.4)
    assert calibration_error(probabilities, true) == pytest.approx(0.4)


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not() -> None:
    sure = np.eye(4)[[0, 1, 2, 3]]
    assert calibration_error(sure, np.arange(4)) == 0
    assert calibration_error(sure, np.array([1, 2, 3, 0])) == 1


def test_errors_of_a_forecast() -> None:
    true, forecast = np.array([0.2, 0.4, 0.6], np.float32), np.array([0.2, 0.5, 0.4], np.float32)
    score = forecast_score(true, forecast)
    assert score.mae == pytest.approx(0.1)
    assert score.rmse == pytest.approx(np.sqrt(0.05 / 3))
    assert score.accuracy == pytest.approx(0.95)
    assert explained_variance(true, forecast) == pytest.approx(1 - 0.05 / 0.08)
    assert explained_variance(np.array([0.5, 0.5]), np.array([0.4, 0.5])) is None


def test_skill_is_what_a_model_adds_to_a_naive_forecast() -> None:
    true = np.array([0.5, 0.7])
    by_name = skills(true, 0.05, {"naive": np.array([0.4, 0.8]), "perfect": true})
    assert by_name["naive"].mae == pytest.approx(0.1)
    assert by_name["naive"].skill == pytest.approx(0.5)
    assert by_name["perfect"].skill is None


@pytest.fixture
def patches(tmp_path: Path) -> PatchDataset:
    write_patches(tmp_path)
    return load_patches(tmp_path)


# evaluation


def test_a_perfect_classifier_scores_one_and_is_compared_with_naive_ones(trained: Path, patches: PatchDataset) -> None:
    rows, record = patches.rows("validation"), CNN.metrics.read(trained).training
    values = {"real": np.eye(4)[patches.label[rows]], **patch_baselines(patches, rows)}
    metrics = evaluate_cnn(patches, Predictions(rows, patches.label[rows], values), record, 0.9)
    assert (metrics.accuracy, metrics.balanced_accuracy, metrics.expected_calibration_error) == (1, 1, 0)
    assert (metrics.minimum_accuracy, metrics.required, metrics.training) == (0.9, True, record)
    assert np.array_equal(metrics.confusion, np.diag(np.bincount(patches.label[rows], minlength=4)))
    assert set(metrics.baselines) == {"majority", "logistic_regression", "ndvi_rule"}
    assert metrics.evaluation_dates == dates_of(patches.info.dates, patches.date[rows])


def test_a_forecast_is_measured_beside_naive_ones(trained: Path, tmp_path: Path) -> None:
    write_sequences(tmp_path)
    dataset = load_sequences(tmp_path)
    rows = dataset.rows("validation")
    values = {"real": dataset.y[rows] + 0.1, **sequence_baselines(dataset, rows)}
    predictions = Predictions(rows, dataset.y[rows], values)
    metrics = evaluate_lstm(dataset, predictions, LSTM.metrics.read(trained).training, 0.8)
    assert (metrics.mae, metrics.rmse, metrics.accuracy) == pytest.approx((0.1, 0.1, 0.95), abs=1e-6)
    assert metrics.samples == len(rows)
    persistence = metrics.baselines["persistence"]
    assert persistence.skill == pytest.approx(1 - 0.1 / persistence.mae, abs=1e-5)
    assert metrics.climatology_fallback == climatology(dataset, rows)[1].mean()


def test_classes_with_too_few_training_samples_are_not_in_the_gate(patches: PatchDataset) -> None:
    rows = patches.rows("validation")
    some = SimpleNamespace(label=patches.label, info=patches.info.model_copy(update={"gate_classes": ["Healthy"]}))
    assert np.array_equal(in_gate(some, rows), patches.label[rows] == 0)
    none = SimpleNamespace(label=patches.label, info=patches.info.model_copy(update={"gate_classes": []}))
    assert in_gate(none, rows).all(), "nothing would be left"


def test_dates_are_those_at_some_positions_each_once_in_order() -> None:
    days = [date(2026, month, 1) for month in range(1, 6)]
    assert dates_of(days, np.array([3, 1, 3])) == [days[1], days[3]]


# several models


def labelled(label, date, block, gate=CLASSES):
    dates = [str(np.datetime64("2026-01-01") + 30 * number) for number in range(6)]
    info = SimpleNamespace(classes=list(CLASSES), gate_classes=list(gate), dates=dates)
    label = np.asarray(label)
    return SimpleNamespace(
        label=label, date=np.asarray(date), block=np.asarray(block), info=info, rows=lambda split: np.arange(len(label))
    )


def predicted(dataset, rows, **classes):
    """Predictions of some classes by model, each certain."""
    rows = np.asarray(rows)
    certain = {name: np.eye(4)[np.asarray(values)] for name, values in classes.items()}
    return Predictions(rows, dataset.label[rows], certain)


def differences(comparison):
    return {(difference.against, difference.metric): difference for difference in comparison.differences}


def test_scores_are_what_a_person_would_count():
    dataset = labelled([0, 0, 0, 1], [0, 0, 1, 1], [5, 5, 6, 6])
    models = {"real": [0, 0, 1, 1], "synthetic": [0, 1, 1, 1], "majority": [0, 0, 0, 0]}
    scored = score_classes(dataset, predicted(dataset, range(4), **models))
    assert {name: (score.accuracy, round(score.balanced_accuracy, 4)) for name, score in scored.models.items()} == {
        "real": (0.75, 0.8333),
        "synthetic": (0.5, 0.6667),
        "majority": (0.75, 0.5),
    }
    assert scored.accuracy_improvement == pytest.approx(50)
    assert scored.models["synthetic"].recall == {"Healthy": pytest.approx(1 / 3), "Moderate": 1.0}
    assert (scored.samples, scored.blocks, scored.spells, len(scored.dates)) == (4, 2, 2, 2)
    by_rival = differences(scored)
    assert by_rival["synthetic", "accuracy"].difference == 0.25
    assert by_rival["majority", "balanced_accuracy"].difference == pytest.approx(1 / 3)
    assert set(by_rival) == {
        (rival, m) for rival in ("synthetic", "majority") for m in ("accuracy", "balanced_accuracy")
    }


def test_the_interval_is_that_of_the_paired_difference():
    draw = np.random.default_rng(0)
    block, date = (index.ravel() for index in np.indices((8, 6)).repeat(30, axis=1))
    label = draw.integers(0, 2, len(block))
    hard = draw.random((8, 6))[block, date] < 0.5  # complete cells are hard: each model fails there, alike
    real = np.where(hard, 1 - label, label)
    rival = np.where(draw.random(len(label)) < 0.05, 1 - real, real)
    dataset = labelled(label, date, block)
    by_rival = differences(score_classes(dataset, predicted(dataset, range(len(label)), real=real, x=rival)))
    difference = by_rival["x", "accuracy"]
    assert difference.low <= difference.difference <= difference.high
    assert difference.high - difference.low < 0.08, "the cells that both fail on are no difference between them"


def test_a_model_against_itself_differs_by_nothing():
    block, date = (index.ravel() for index in np.indices((3, 6)))
    dataset = labelled((block + date) % 2, date, block)
    own = np.where(date == 0, 1, dataset.label)
    by_rival = differences(score_classes(dataset, predicted(dataset, range(18), real=own, champion=own)))
    assert {(difference.difference, difference.low, difference.high) for difference in by_rival.values()} == {(0, 0, 0)}


def test_classes_with_too_few_training_samples_do_not_count():
    dataset = labelled([0, 1, 2, 3], [0] * 4, [0] * 4, gate=("Healthy", "Critical"))
    assert gate_rows(dataset).tolist() == [0, 3]
    scored = score_classes(dataset, predicted(dataset, gate_rows(dataset), real=[0, 3], synthetic=[0, 0]))
    assert scored.classes == ["Healthy", "Critical"]
    assert scored.left_out == ["Moderate", "Stressed"]
    assert len(gate_rows(labelled([1, 2], [0] * 2, [0] * 2, gate=("Healthy",)))) == 2, "nothing would be left"


def test_forecasts_are_compared_by_the_error_that_is_avoided():
    dataset = SimpleNamespace(
        y=np.repeat([0.5, 0.7, 0.5, 0.7], 6).astype(np.float32), target=np.tile(np.arange(6), 4),
        block=np.repeat(np.arange(4), 6), days=20_454 + 30 * np.arange(6),
        info=SimpleNamespace(dates=[str(np.datetime64("2026-01-01") + 30 * number) for number in range(6)]),
    )  # fmt: skip
    truth = dataset.y.astype(np.float64)
    away = np.where(truth > 0.6, 0.2, -0.2) + np.random.default_rng(0).normal(0, 0.01, 24)
    values = {"real": np.full(24, 0.6), "synthetic": truth + away, "persistence": truth}
    scored = score_forecasts(dataset, Predictions(np.arange(24), dataset.y, values))
    assert scored.models["real"].mae == pytest.approx(0.1, abs=1e-6)
    assert scored.models["real"].accuracy == pytest.approx(0.95, abs=1e-6)
    assert scored.mae_improvement == pytest.approx(50, abs=2)
    by_rival = differences(scored)
    assert by_rival["synthetic", "mae"].difference == pytest.approx(0.1, abs=0.01)
    assert 0.05 < by_rival["synthetic", "mae"].low < by_rival["synthetic", "mae"].difference
    assert by_rival["persistence", "mae"].difference == pytest.approx(-0.1, abs=1e-6)
    assert by_rival["persistence", "mae"].high < 0


def test_nothing_is_said_of_an_improvement_over_nothing():
    dataset = labelled([0, 0], [0, 1], [0, 1])
    scored = score_classes(dataset, predicted(dataset, range(2), real=[0, 0], synthetic=[1, 1]))
    assert scored.accuracy_improvement is None


def test_the_gates_classes_come_from_the_dataset(trained):
    dataset = load_patches(trained)
    assert len(gate_rows(dataset)) == len(dataset.rows("validation"))
