"""Predictions are kept exactly, and are refused where they are not of the held-out samples."""

from dataclasses import replace

import numpy as np
import pytest

from include.core.errors import ContractError, SetupError
from include.core.tables import check_table
from include.satellite.artifacts import CNN, LSTM
from include.satellite.evaluation import predictions as module
from include.satellite.evaluation.predictions import (
    DRAWN_SAMPLES,
    RULE_TOLERANCE,
    TOLERANCE,
    Predictions,
    check_no_closer,
    check_same,
    check_samples,
    draw,
    read_predictions,
    write_predictions,
)

SAMPLE = np.array([2, 3, 7])
LABEL = np.array([0, 3, 1])


def patches(**more):
    random = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    values = {"real": random / random.sum(axis=1, keepdims=True), "majority": np.eye(4)[[0, 0, 0]]}
    return Predictions(SAMPLE, LABEL, values | more)


def forecasts():
    truth = np.array([0.1, 0.2, 0.3], np.float32)
    return Predictions(SAMPLE, truth, {"real": truth + np.float32(0.01), "persistence": np.array([0.5, 0.6, 0.7])})


@pytest.mark.parametrize(("model", "made"), [(CNN, patches()), (LSTM, forecasts())])
def test_what_is_read_is_what_was_written_to_the_last_bit(tmp_path, model, made):
    write_predictions(model.predictions.at(tmp_path), made)
    read = read_predictions(model.predictions, tmp_path)
    assert np.array_equal(read.sample, made.sample)
    assert np.array_equal(read.truth, made.truth)
    assert list(read.values) == list(made.values)
    assert all(np.array_equal(read.values[name], made.values[name]) for name in made.values)
    assert check_table(model.predictions.at(tmp_path), "predictions", model.predictions.schema) == 6


@pytest.mark.parametrize("model", [CNN, LSTM])
def test_a_folder_that_cannot_be_written_is_reported(tmp_path, model):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError):
        write_predictions(tmp_path / "file" / model.predictions.path, patches())


def test_what_is_missing_or_no_table_is_named(tmp_path):
    with pytest.raises(ContractError, match=r"cnn_predictions\.parquet: must open as Parquet"):
        read_predictions(CNN.predictions, tmp_path)
    CNN.predictions.at(tmp_path).write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(ContractError, match="must open as Parquet"):
        read_predictions(CNN.predictions, tmp_path)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("UPDATE rows SET sample = 4 WHERE model = 'majority' AND sample = 3", "the same samples"),
        ("UPDATE rows SET truth = 'Healthy' WHERE model = 'majority'", "the same samples, with one truth"),
        ("DELETE FROM rows WHERE model = 'majority' AND sample = 7", "the same samples"),
        ("INSERT INTO rows SELECT * FROM rows", "each sample once, in ascending order"),
        ("UPDATE rows SET sample = 9 - sample", "each sample once, in ascending order"),
    ],
)
def test_models_with_different_samples_are_refused(tmp_path, change, rule):
    import duckdb

    path = CNN.predictions.at(tmp_path)
    write_predictions(path, patches())
    with duckdb.connect() as db:
        db.execute(f"CREATE TABLE rows AS FROM '{path}'")
        db.execute(change)
        db.execute(f"COPY (FROM rows) TO '{path}' (FORMAT parquet)")
    with pytest.raises(ContractError, match=rule):
        read_predictions(CNN.predictions, tmp_path)


def test_predictions_of_some_samples_keep_their_rows():
    some = patches().of(np.array([2, 7]))
    assert (some.sample.tolist(), some.truth.tolist()) == ([2, 7], [0, 1])
    assert np.array_equal(some.values["real"], patches().values["real"][[0, 2]])
    for sample in ([1], [4], [99]):
        with pytest.raises(KeyError):
            patches().of(np.array(sample))


def test_the_most_probable_class_is_predicted():
    assert patches().classes()["majority"].tolist() == [0, 0, 0]
    assert np.array_equal(patches().classes()["real"], patches().values["real"].argmax(axis=1))


TRUTH = np.array([9, 9, 0, 3, 9, 9, 9, 1])


@pytest.mark.parametrize(
    ("predictions", "rows", "rule"),
    [
        (patches(), [2, 3], "must hold the 2 held-out samples and no others; found 1 differ"),
        (patches(), [2, 3, 5, 7], "must hold the 4 held-out samples"),
        (patches(), [1, 3, 7], "2 differ"),
        (
            replace(patches(), truth=np.array([0, 2, 1])),
            [2, 3, 7],
            "must state the truth of the dataset; found 2 for sample 3",
        ),
    ],
)
def test_other_samples_and_another_truth_are_refused(predictions, rows, rule):
    check_samples("p.parquet", patches(), SAMPLE, TRUTH)
    with pytest.raises(ContractError, match=rule):
        check_samples("p.parquet", predictions, np.array(rows), TRUTH)


def test_predictions_within_the_tolerance_are_the_same_and_their_largest_difference_is_returned():
    again = patches(real=patches().values["real"] + 0.5 * TOLERANCE)
    assert check_same("p.parquet", patches(), again) == {
        "real": pytest.approx(0.5 * TOLERANCE, rel=1e-3),
        "majority": 0,
    }


def test_a_regression_may_differ_by_its_iterations():
    stated, again = (patches(logistic_regression=np.eye(4)[[0, 1, 2]] + more) for more in (0, 0.009))
    assert check_same("p.parquet", stated, again, RULE_TOLERANCE)["logistic_regression"] == pytest.approx(0.009)


def forecasts(error):
    return Predictions(np.arange(40), np.full(40, 0.5), {"real": 0.5 + error * np.resize([1.0, -1.0, 1.0], 40)})


def test_forecasts_may_be_farther_from_the_truth_but_no_closer():
    check_no_closer("p.parquet", forecasts(0.105), forecasts(0.1))
    check_no_closer("p.parquet", forecasts(0.0995), forecasts(0.1))
    with pytest.raises(ContractError, match=r"no closer to the truth than what real predicts: .* 0.1000; found 0.0950"):
        check_no_closer("p.parquet", forecasts(0.095), forecasts(0.1))


@pytest.mark.parametrize(
    ("again", "rule"),
    [
        (
            patches(real=patches().values["real"] + 1.5 * TOLERANCE),
            "must hold what the model real predicts, within 0.0001",
        ),
        (patches(real=np.full((3, 4), np.nan)), "must hold what the model real predicts"),
        (patches(champion=np.eye(4)[[0, 0, 0]]), "must hold predictions of the model champion; found real, majority"),
        (replace(patches(), sample=np.array([2, 3, 8])), "must hold every sample that was predicted again"),
    ],
)
def test_predictions_that_another_computation_does_not_give_are_refused(again, rule):
    with pytest.raises(ContractError, match=rule):
        check_same("p.parquet", patches(), again)


def test_the_draw_takes_some_rows_once_and_another_time_others():
    rows = np.arange(100, 1100)
    first, second = draw(rows), draw(rows)
    assert len(np.unique(first)) == len(first) == DRAWN_SAMPLES
    assert np.isin(first, rows).all()
    assert (np.diff(first) > 0).all()
    assert not np.array_equal(first, second)
    assert np.array_equal(draw(rows[:5]), rows[:5])


def test_the_draw_comes_from_the_operating_system(monkeypatch):
    monkeypatch.setattr(module.os, "urandom", bytes)
    np.random.default_rng(1)
    assert np.array_equal(draw(np.arange(1000)), draw(np.arange(1000)))
