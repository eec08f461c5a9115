import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from include.satellite.models.metrics import (
    calibration_error,
    class_scores,
    classification,
    confusion_matrix,
    errors,
    explained,
    skills,
)

NAMES = ("Healthy", "Moderate", "Stressed", "Critical")
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(PAIRS)
def test_classification_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    matrix = confusion_matrix(true, predicted, 4)
    assert (matrix == reference.confusion_matrix(true, predicted, labels=range(4))).all()
    found = classification(true, predicted)
    assert found.samples == len(pairs)
    assert found.accuracy == pytest.approx(reference.accuracy_score(true, predicted))
    present = np.unique(true)
    recall = reference.recall_score(true, predicted, labels=present, average="macro", zero_division=0)
    assert found.balanced_accuracy == pytest.approx(recall)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        true, predicted, labels=range(4), zero_division=np.nan
    )
    for position, score in enumerate(class_scores(matrix, NAMES, NAMES[:3])):
        for ours, theirs in ((score.precision, precision), (score.recall, recall), (score.f1, f1)):
            assert (ours is None) == np.isnan(theirs[position])
            assert ours is None or ours == pytest.approx(theirs[position])
        assert score.in_gate == (position < 3)


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
    mae, rmse = errors(true, forecast)
    assert mae == pytest.approx(0.1)
    assert rmse == pytest.approx(np.sqrt(0.05 / 3))
    assert explained(true, forecast) == pytest.approx(1 - 0.05 / 0.08)
    assert explained(np.array([0.5, 0.5]), np.array([0.4, 0.5])) is None


def test_skill_is_what_a_model_adds_to_a_naive_forecast() -> None:
    true = np.array([0.5, 0.7])
    found = skills(true, 0.05, {"naive": np.array([0.4, 0.8]), "perfect": true})
    assert found["naive"].mae == pytest.approx(0.1)
    assert found["naive"].skill == pytest.approx(0.5)
    assert found["perfect"].skill is None
