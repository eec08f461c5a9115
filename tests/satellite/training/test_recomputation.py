"""What a training states of its model must follow from its predictions, the dataset and the run's parameters."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.satellite.artifacts import CNN, LSTM
from include.satellite.evaluation.predictions import read_predictions, write_predictions
from include.satellite.params import CnnTrainParams, LstmTrainParams
from include.satellite.training.recomputation import recompute_cnn, recompute_lstm
from include.satellite.training.train import train_lstm
from tests.satellite.small_data import write_sequences

PARAMS = {
    CNN: CnnTrainParams(cnn_epochs=10, min_cnn_accuracy=0, patch_size=8, stride=8),
    LSTM: LstmTrainParams(lstm_epochs=12, min_lstm_accuracy=0, sequence_length=4),
}
RECOMPUTE = {CNN: recompute_cnn, LSTM: recompute_lstm}
MODELS = pytest.mark.parametrize("model", [CNN, LSTM], ids=["cnn", "lstm"])


@pytest.fixture
def files(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "files")
    return tmp_path / "files"


def edit(artifact, files, **changes):
    """Change fields of a JSON artifact; `a__b` is field b of a."""
    document = json.loads(artifact.at(files).read_bytes())
    for name, value in changes.items():
        *outer, last = name.split("__")
        part = document
        for field in outer:
            part = part[field]
        part[last] = value
    artifact.at(files).write_text(json.dumps(document))


def predict(model, files, **changes):
    """Change some of the predictions."""
    path = model.predictions.at(files)
    write_predictions(path, replace(read_predictions(model.predictions, files), **changes))


@MODELS
def test_an_honest_training_is_confirmed(files, model):
    RECOMPUTE[model](files, PARAMS[model])


METRICS = {
    "accuracy": 0.99,
    "minimum_accuracy": 0.5,
    "evaluation_dates": ["2026-01-01"],
}


@MODELS
@pytest.mark.parametrize("field", METRICS)
def test_metrics_better_than_the_predictions_are_named(files, model, field):
    edit(model.metrics, files, **{field: METRICS[field]})
    with pytest.raises(ContractError, match=rf"{model.metrics.path}: must state what follows .*\$\.{field}"):
        RECOMPUTE[model](files, PARAMS[model])


@pytest.mark.parametrize(
    ("model", "changes", "field"),
    [
        (CNN, {"balanced_accuracy": 0.999}, "balanced_accuracy"),
        (CNN, {"expected_calibration_error": 0.0}, "expected_calibration_error"),
        (CNN, {"required": False}, "required"),
        (CNN, {"baselines__majority__balanced_accuracy": 0.01}, "baselines"),
        (CNN, {"confusion": [[32, 0, 0, 0], [0, 32, 0, 0], [0, 0, 32, 0], [0, 0, 0, 32]]}, "confusion"),
        (LSTM, {"mae": 0.0001}, "mae"),
        (LSTM, {"r2": 0.999}, "r2"),
        (LSTM, {"baselines__persistence__skill": 0.9}, "baselines"),
        (LSTM, {"samples": 9999}, "samples"),
    ],
)
def test_every_metric_is_derived_again(files, model, changes, field):
    edit(model.metrics, files, **changes)
    with pytest.raises(ContractError, match=rf"{model.metrics.path}: must state what follows .*\$\.{field}"):
        RECOMPUTE[model](files, PARAMS[model])


@MODELS
def test_a_truth_that_was_altered_to_what_the_model_predicts_is_named(files, model):
    predictions = read_predictions(model.predictions, files)
    real = predictions.values["real"]
    predict(model, files, truth=real.argmax(axis=1) if model is CNN else real)
    with pytest.raises(ContractError, match=f"{model.predictions.path}: must state the truth of the dataset"):
        RECOMPUTE[model](files, PARAMS[model])


@MODELS
def test_held_out_samples_that_are_left_out_are_counted(files, model):
    predictions = read_predictions(model.predictions, files)
    write_predictions(model.predictions.at(files), predictions.of(predictions.sample[5:]))
    with pytest.raises(ContractError, match="held-out samples and no others; found 5 differ"):
        RECOMPUTE[model](files, PARAMS[model])


@pytest.mark.parametrize(
    ("model", "naive"), [(CNN, "majority"), (CNN, "ndvi_rule"), (LSTM, "persistence"), (LSTM, "climatology")]
)
def test_a_baseline_made_worse_than_it_is_is_named(files, model, naive):
    predictions = read_predictions(model.predictions, files)
    worse = np.roll(predictions.values[naive], 1, axis=1) if model is CNN else predictions.values[naive] + 0.3
    predict(model, files, values={**predictions.values, naive: worse})
    with pytest.raises(ContractError, match=f"must hold what the model {naive} predicts"):
        RECOMPUTE[model](files, PARAMS[model])


@MODELS
@pytest.mark.parametrize("change", ["missing", "more"])
def test_a_model_too_few_or_too_many_is_refused(files, model, change):
    values = dict(read_predictions(model.predictions, files).values)
    if change == "missing":
        del values["logistic_regression" if model is CNN else "training_mean"]
    else:
        values["champion"] = values["real"]
    predict(model, files, values=values)
    with pytest.raises(ContractError, match=r"must hold (the models|predictions of the model)"):
        RECOMPUTE[model](files, PARAMS[model])


@MODELS
@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"weights_sha256": "0" * 64}, r"\$\.weights_sha256"),
        ({"seed": 99}, r"\$\.seed"),
        ({"mean": [9.0, 9.0, 9.0, 9.0]}, r"\$\.mean"),
        ({"limits": []}, r"\$\.limits"),
        ({"data__synthetic": False}, r"\$\.data\.synthetic"),
        ({"evaluation_dates": 99}, r"\$\.evaluation_dates"),
        ({"label_source": "next_ndvi"}, r"\$\.label_source"),
    ],
)
def test_a_card_states_the_run_that_it_is_of(files, model, changes, rule):
    edit(model.card, files, **changes)
    with pytest.raises(ContractError, match=rf"{model.card.path}: must state what follows .*{rule}"):
        RECOMPUTE[model](files, PARAMS[model])


@MODELS
def test_a_card_states_the_runs_parameters_of_the_training(files, model):
    card = model.card.read(files)
    edit(model.card, files, params=card.params | {"epochs": 1000})
    with pytest.raises(ContractError, match="must state the run's parameters of the training"):
        RECOMPUTE[model](files, PARAMS[model])


@MODELS
def test_weights_of_another_run_are_named(files, model):
    with model.weights.at(files).open("ab") as weights:
        weights.write(b" ")
    with pytest.raises(ContractError, match=r"\$\.weights_sha256") as refused:
        RECOMPUTE[model](files, PARAMS[model])
    assert sha256(model.weights.at(files)) in str(refused.value)


@MODELS
def test_a_history_without_its_epochs_is_refused(files, model):
    edit(model.metrics, files, training__history=[])
    with pytest.raises(ContractError, match="epochs with finite losses"):
        RECOMPUTE[model](files, PARAMS[model])


def test_forecasts_that_calibrate_the_interval_must_be_those_of_all_later_samples(tmp_path):
    """A step that leaves the worst errors out would narrow its interval; one that states another width is found too."""
    params = LstmTrainParams(lstm_epochs=1, min_lstm_accuracy=0, sequence_length=4)
    write_sequences(tmp_path, seasonal=True)
    train_lstm(tmp_path, params, plots=False)
    recompute_lstm(tmp_path, params)
    honest = read_predictions(LSTM.calibration, tmp_path)
    write_predictions(LSTM.calibration.at(tmp_path), honest.of(honest.sample[1:]))
    with pytest.raises(ContractError, match=r"lstm_calibration.parquet: must hold the .* held-out samples"):
        recompute_lstm(tmp_path, params)
    write_predictions(LSTM.calibration.at(tmp_path), honest)
    edit(LSTM.metrics, tmp_path, interval__half_width=0.001)
    with pytest.raises(ContractError, match=r"interval\.half_width is"):
        recompute_lstm(tmp_path, params)


def test_a_card_states_what_the_run_s_forecast_learns(files):
    with pytest.raises(ContractError, match="must state the run's lstm_target: absolute"):
        recompute_lstm(files, PARAMS[LSTM].model_copy(update={"lstm_target": "absolute"}))
