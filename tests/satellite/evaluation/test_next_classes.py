"""The class of the next date is that of the forecast NDVI; rivals learn from the training part alone."""

from dataclasses import replace

import numpy as np
import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import COMPARISON, LSTM, NEXT_COMPARED, NEXT_VERIFIED
from include.satellite.datasets.sequences import load_sequences
from include.satellite.evaluation.comparison import compare_outcome
from include.satellite.evaluation.decision import recompute_comparison, recompute_verification
from include.satellite.evaluation.next_classes import (
    gate_classes,
    next_boosting,
    next_rows,
    next_rules,
    next_truth,
)
from include.satellite.evaluation.predictions import Predictions, read_predictions, write_predictions
from tests.satellite.small_data import write_sequences
from tests.satellite.trained_run import PARAMS

NEXT = PARAMS.model_copy(update={"label_source": "next_ndvi"})


@pytest.fixture
def dataset(tmp_path):
    write_sequences(tmp_path)
    return load_sequences(tmp_path)


@pytest.fixture
def files(compared_once):
    return compared_once(label_source="next_ndvi")


def test_the_truth_is_the_class_of_the_ndvi_at_the_target_date(dataset):
    y = dataset.y.astype(float)
    assert next_truth(dataset).tolist() == [0 if v > 0.7 else 1 if v > 0.5 else 2 if v > 0.3 else 3 for v in y]


def test_classes_of_too_few_training_sequences_do_not_count(dataset):
    assert gate_classes(dataset) == ["Healthy", "Moderate", "Stressed", "Critical"]
    assert np.array_equal(next_rows(dataset), dataset.rows("validation"))
    rare = dataset.y.copy()
    rare[dataset.rows("train")] = 0.6
    rare[dataset.rows("train")[:19]] = 0.9
    few = replace(dataset, y=rare)
    assert gate_classes(few) == ["Moderate"]
    assert set(next_truth(few)[next_rows(few)]) == {1}


def test_a_forecast_of_ndvi_gives_its_class_and_the_majority_is_that_of_the_training_part(dataset):
    rows = dataset.rows("validation")
    values = {"real": dataset.y[rows], "persistence": np.full(len(rows), 0.7), "ridge": dataset.y[rows]}
    rules = next_rules(dataset, Predictions(rows, dataset.y[rows], values))
    classes = rules.classes()
    assert list(classes) == ["real", "persistence", "majority"]
    assert np.array_equal(classes["real"], next_truth(dataset)[rows])
    assert set(classes["persistence"]) == {1}, "0.7 is not above the threshold"
    assert set(classes["majority"]) == {np.bincount(next_truth(dataset)[dataset.rows("train")]).argmax()}


def test_gradient_boosting_learns_the_classes_from_the_training_part_alone(dataset):
    rows = dataset.rows("validation")
    probabilities = next_boosting(dataset, rows)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == next_truth(dataset)[rows]).mean() > 0.8
    other = dataset.y.copy()
    other[rows] = 0.0
    assert np.array_equal(next_boosting(replace(dataset, y=other), rows), probabilities)


def test_a_run_of_next_ndvi_decides_on_the_classes_of_the_series_and_never_promotes_the_cnn(files):
    comparison = COMPARISON.read(files)
    gates = {gate.name: gate for gate in comparison.decision.gates}
    assert {name for name, gate in gates.items() if name.startswith("next_") and gate.required} == {
        "next_persistence", "next_climatology", "next_majority",
    }  # fmt: skip
    assert not gates["next_gradient_boosting"].required
    assert {name for name, gate in gates.items() if name.startswith("cnn_") and gate.required} == {"cnn_labels"}
    assert "cnn" not in comparison.decision.promoted
    own = [gate for name, gate in gates.items() if gate.required and not name.startswith("cnn_")]
    assert comparison.decision.promote is all(gate.passed for gate in own)
    assert recompute_comparison(files, NEXT) == comparison
    recompute_verification(files, NEXT)
    assert any(table.title.startswith("Classes of the next date") for table in compare_outcome(files).tables)


@pytest.mark.parametrize("model", ["real", "persistence", "majority"])
def test_classes_that_do_not_follow_from_the_forecasts_are_refused(files, model):
    stated = read_predictions(NEXT_COMPARED, files)
    wrong = np.roll(stated.values[model], 1, axis=1)
    write_predictions(NEXT_COMPARED.at(files), replace(stated, values={**stated.values, model: wrong}))
    with pytest.raises(ContractError, match=rf"next_comparison\.parquet: must hold what the model {model} predicts"):
        recompute_comparison(files, NEXT)


def test_classes_that_gradient_boosting_did_not_give_are_refused(files):
    stated = read_predictions(NEXT_COMPARED, files)
    perfect = np.eye(4)[stated.truth]
    write_predictions(NEXT_COMPARED.at(files), replace(stated, values={**stated.values, "gradient_boosting": perfect}))
    with pytest.raises(ContractError, match="must hold what the model gradient_boosting predicts"):
        recompute_verification(files, NEXT)


def test_a_verification_of_too_few_classes_is_refused(files):
    again = read_predictions(NEXT_VERIFIED, files)
    write_predictions(NEXT_VERIFIED.at(files), again.of(again.sample[:3]))
    with pytest.raises(ContractError, match=r"next_verification\.parquet: must hold at least"):
        recompute_verification(files, NEXT)


def test_other_label_sources_leave_no_classes_of_the_next_date(compared_once):
    files = compared_once()
    assert COMPARISON.read(files).next_comparison is None
    assert not NEXT_COMPARED.at(files).exists()
    write_predictions(NEXT_COMPARED.at(files), read_predictions(LSTM.compared, files))
    with pytest.raises(ContractError, match="must be written for label_source next_ndvi alone"):
        recompute_comparison(files, PARAMS)
