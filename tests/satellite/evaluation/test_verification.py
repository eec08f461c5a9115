"""The weights are run again on samples that nobody could foresee; what they do not give is named."""

from dataclasses import replace

import numpy as np
import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import CNN, COMPARISON, LSTM, VERIFICATION
from include.satellite.datasets.patches import load_patch_samples
from include.satellite.datasets.sequences import load_sequences
from include.satellite.evaluation import predictions as tables
from include.satellite.evaluation.decision import check_calibration, recompute_verification
from include.satellite.evaluation.metrics import gate_rows
from include.satellite.evaluation.predictions import read_predictions, write_predictions
from include.satellite.evaluation.verification import verified, verify, verify_outcome
from include.satellite.params import LstmTrainParams
from include.satellite.training.networks import load_bundle, predict_sequences
from include.satellite.training.train import train_lstm
from tests.satellite.small_data import write_sequences
from tests.satellite.trained_run import VERIFY, randomised, write_baseline


@pytest.fixture
def files(compared_once):
    return compared_once()


def test_all_trained_models_are_run_again_on_drawn_held_out_samples(files, monkeypatch):
    monkeypatch.setattr(tables, "DRAWN_SAMPLES", 20)
    monkeypatch.setattr(tables.draw, "__defaults__", (20,))
    verify(files, VERIFY)
    again, rows = read_predictions(CNN.verified, files), load_patch_samples(files).rows("validation")
    assert list(again.values) == ["real", "synthetic", "logistic_regression"]
    assert len(again.sample) == VERIFICATION.read(files).patches == 20 < len(rows)
    assert np.isin(again.sample, rows).all()
    lstm = read_predictions(LSTM.verified, files)
    assert list(lstm.values) == ["real", "synthetic", "ridge", "gradient_boosting"]
    verify(files, VERIFY)
    assert not np.array_equal(read_predictions(CNN.verified, files).sample, again.sample), "another draw"


def test_an_audit_runs_the_weights_on_all_held_out_samples(files, monkeypatch):
    monkeypatch.setattr(tables.draw, "__defaults__", (20,))
    verify(files, VERIFY)
    with pytest.raises(ContractError, match=r"must hold all \d+ of the held-out samples"):
        recompute_verification(files, VERIFY, audit=True)
    verify(files, VERIFY.model_copy(update={"audit": True}))
    recompute_verification(files, VERIFY, audit=True)
    recompute_verification(files, VERIFY)
    held_out = gate_rows(load_patch_samples(files))
    assert np.array_equal(read_predictions(CNN.verified, files).sample, held_out)


def test_the_weights_that_ran_are_named_and_honest_ones_differ_by_rounding_alone(files):
    verification = VERIFICATION.read(files)
    assert max(verification.largest_difference.values()) < 1e-5
    assert verification.weights_sha256["cnn real"] == CNN.card.read(files).weights_sha256
    assert verification.weights_sha256["lstm real"] == LSTM.card.read(files).weights_sha256


@pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])
def test_predictions_better_than_the_weights_give_end_the_step(files, model):
    stated = read_predictions(model.compared, files)
    perfect = np.eye(4)[stated.truth] if model is CNN else stated.truth
    write_predictions(model.compared.at(files), replace(stated, values={**stated.values, "real": perfect}))
    with pytest.raises(ContractError, match=rf"{model.compared.path}: must hold what the model real predicts"):
        verify(files, VERIFY)


def test_forecasts_that_calibrate_the_interval_are_run_again(tmp_path):
    """Nearer to the truth than the weights forecast, they would narrow the interval."""
    write_sequences(tmp_path, seasonal=True)
    train_lstm(tmp_path, LstmTrainParams(lstm_epochs=1, sequence_length=4, min_lstm_accuracy=0), plots=False)
    dataset, stated = load_sequences(tmp_path), read_predictions(LSTM.calibration, tmp_path)
    rows = dataset.calibration_rows()
    again = predict_sequences(load_bundle(tmp_path, LSTM), dataset, rows)
    write_predictions(LSTM.recalibrated.at(tmp_path), replace(stated, values={"real": again}))
    found = check_calibration(tmp_path, dataset, len(rows), audit=True)
    assert found["lstm calibration"] < 1e-5
    with pytest.raises(ContractError, match=r"lstm_calibration_verification\.parquet: must hold all"):
        check_calibration(tmp_path, dataset, len(rows) - 1, audit=True)
    closer = stated.values["real"] + 0.2 * (stated.truth - stated.values["real"])
    write_predictions(LSTM.calibration.at(tmp_path), replace(stated, values={"real": closer}))
    with pytest.raises(ContractError, match=r"lstm_calibration\.parquet: must"):
        check_calibration(tmp_path, dataset, len(rows), audit=True)


@pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])
def test_weights_of_another_run_end_the_step(files, model):
    from safetensors.torch import save_file

    from include.core.artifacts import sha256

    other = randomised(load_bundle(files, model), seed=5)
    save_file({name: value.contiguous() for name, value in other.weights.items()}, model.weights.at(files))
    with pytest.raises(ContractError, match=r"must be the weights that .* was written for"):
        verify(files, VERIFY)
    model.card.write(files, other.card.model_copy(update={"weights_sha256": sha256(model.weights.at(files))}))
    with pytest.raises(ContractError, match="must hold what the model real predicts"):
        verify(files, VERIFY)


def test_a_baseline_of_other_weights_ends_the_step(files, trained):
    write_baseline(trained, files, lambda bundle: randomised(bundle, seed=5))
    with pytest.raises(ContractError, match=r"cnn_comparison.parquet: must hold what the model synthetic predicts"):
        verify(files, VERIFY)


def test_a_champion_is_run_again_too(files, compared, env_file):
    from include.env_file import EnvFile, Reason
    from include.satellite.registry import store

    model = store.put(files, COMPARISON.read(files), "dag/run")
    EnvFile(env_file).update(store.env_changes(model, ["cnn", "lstm"]), Reason(by="tester", why="a test"))
    again = read_predictions(CNN.verified, compared())
    assert np.array_equal(again.values["champion"], again.values["real"])


def test_the_outcome_says_how_much_was_verified(files):
    outcome = verify_outcome(files)
    verification = VERIFICATION.read(files)
    assert outcome.metrics.model_dump()["patches_verified"] == verification.patches
    assert outcome.findings == (verified(verification),)
    assert "drawn after the comparison" in outcome.findings[0].message
