"""The training steps: fit a model, evaluate it once on held-out places and dates, write weights, card and metrics."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch.nn import functional

from include.core.artifacts import sha256
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.files import write_atomically
from include.satellite.artifacts import CNN, CNN_DATA, LSTM, LSTM_DATA, VALIDATED, ModelArtifacts
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.sequences import imagery_of, load_sequences, sequence_scaling
from include.satellite.evaluation.baselines import patch_baselines, sequence_baselines
from include.satellite.evaluation.metrics import evaluate_cnn, evaluate_lstm
from include.satellite.evaluation.predictions import Predictions, write_predictions
from include.satellite.params import CnnTrainParams, LstmTrainParams
from include.satellite.schemas import REAL
from include.satellite.training.cards import cnn_card, lstm_card
from include.satellite.training.loop import SETTINGS, Training, copy_weights, fingerprint, fit
from include.satellite.training.machine import Batch, Machine, Rows
from include.satellite.training.networks import (
    PatchCnn,
    SequenceLstm,
    forecast_of,
    outputs,
    parameter_count,
    scale,
    seeded,
)
from include.satellite.training.report import plot_confusion, plot_forecast, plot_training
from include.satellite.training.schemas import CnnMetrics, LstmMetrics, ModelKind

VERSION = 2
"""Raised when the same data and parameters would give other weights: older checkpoints are then not used."""
DATA: dict[ModelKind, tuple[Artifact[Any], ...]] = {"cnn": CNN_DATA, "lstm": LSTM_DATA}
LIBRARIES = ("torch", "numpy", "scikit-learn", "safetensors")


def train_cnn(files: Path, params: CnnTrainParams, *, plots: bool = True) -> None:
    """Train the classifier of crop health and evaluate it once on the validation part.

    Args:
        files: A folder with the CNN's dataset and `validated.json`; weights, card, metrics and plots are written there.
        params: Of the training.
        plots: Whether to draw the plots.

    Raises:
        BadInputError: The training diverges.
        ContractError: The accuracy is below its minimum; model, card, metrics and plots are written before.
        SetupError: The folder cannot be written, or the disk is full.
    """
    dataset = load_patches(files)
    info, labels = dataset.info, torch.from_numpy(dataset.label)
    train, held_out = dataset.rows("train"), dataset.rows("validation")

    def batch(rows: Rows) -> Batch:
        return torch.from_numpy(dataset.batch(rows)), labels[rows]

    training = _training(
        files,
        CNN,
        params,
        info.patch_size**2,
        network=seeded(params.seed, PatchCnn, len(info.bands), info.patch_size, len(info.classes)),
        batch=batch,
        loss=functional.cross_entropy,
        score=lambda logits, truth: (logits.argmax(dim=1) == truth).sum(),
        drawn=np.repeat(train, dataset.repeat[train]),
        tune=dataset.rows("tune"),
        symmetric=True,
    )
    record = fit(training)
    probabilities = torch.softmax(outputs(training.network, batch, held_out), dim=1).numpy()
    values = {REAL: probabilities, **patch_baselines(dataset, held_out)}
    predictions = Predictions(held_out, dataset.label[held_out], values)
    metrics = evaluate_cnn(dataset, predictions, record, params.min_cnn_accuracy)
    trained = _write_weights(CNN.weights.at(files), training)
    CNN.card.write(files, cnn_card(VALIDATED.read(files), info, metrics, trained))
    CNN.metrics.write(files, metrics)
    write_predictions(CNN.predictions.at(files), predictions)
    if plots:
        plot_training(CNN.training_plot.at(files), "cnn", record)
        plot_confusion(CNN.evaluation_plot.at(files), metrics)
    if metrics.required:
        _check_minimum(CNN, metrics)


def train_lstm(files: Path, params: LstmTrainParams, *, plots: bool = True) -> None:
    """Train the forecaster of NDVI and evaluate it once on the validation part.

    Args:
        files: A folder with the LSTM's dataset and `validated.json`; weights, card, metrics and plots are written
            there.
        params: Of the training.
        plots: Whether to draw the plots.

    Raises:
        BadInputError: The training diverges.
        ContractError: 1 − MAE/2 is below its minimum; model, card, metrics and plots are written before.
        SetupError: The folder cannot be written, or the disk is full.
    """
    dataset = load_sequences(files)
    info, train, held_out = dataset.info, dataset.rows("train"), dataset.rows("validation")
    mean, std = sequence_scaling(dataset)
    residual = params.lstm_target == "residual"
    inputs = scale(dataset.x, mean, std)
    targets = torch.from_numpy(dataset.y - dataset.expected if residual else dataset.y)
    network = seeded(params.seed, SequenceLstm, len(info.features))
    if residual and isinstance(network, SequenceLstm):
        network.start_at_zero()

    def batch(rows: Rows) -> Batch:
        return inputs[rows], targets[rows]

    training = _training(
        files,
        LSTM,
        params,
        info.sequence_length,
        network=network,
        batch=batch,
        loss=functional.l1_loss,
        score=lambda forecasts, truth: (forecasts - truth).abs().sum(),
        drawn=train,
        tune=dataset.tuning_rows(),
        symmetric=False,
        target=params.lstm_target,
    )
    record = fit(training)

    def predicted(rows: Rows) -> Any:
        return forecast_of(outputs(training.network, batch, rows).numpy(), dataset.expected[rows], params.lstm_target)

    forecast, later = predicted(held_out), dataset.calibration_rows()
    values: dict[str, Any] = {REAL: forecast, **sequence_baselines(dataset, held_out)}
    predictions = Predictions(held_out, dataset.y[held_out], values)
    calibration = None
    if len(later):
        calibration = Predictions(later, dataset.y[later], {REAL: predicted(later)})
    metrics = evaluate_lstm(dataset, predictions, record, params.min_lstm_accuracy, calibration)
    trained = _write_weights(LSTM.weights.at(files), training) | {"mean": mean, "std": std}
    trained |= {"target": params.lstm_target}
    LSTM.card.write(files, lstm_card(imagery_of(files, dataset), info, metrics, trained))
    LSTM.metrics.write(files, metrics)
    write_predictions(LSTM.predictions.at(files), predictions)
    if calibration is not None:
        write_predictions(LSTM.calibration.at(files), calibration)
    if plots:
        plot_training(LSTM.training_plot.at(files), "lstm", record)
        plot_forecast(LSTM.evaluation_plot.at(files), dataset, held_out, forecast, metrics)
    _check_minimum(LSTM, metrics)


def _training(
    files: Path,
    model: ModelArtifacts[Any],
    params: CnnTrainParams | LstmTrainParams,
    values: int,
    *,
    target: str | None = None,
    **parts: Any,
) -> Training:
    """Return a model's training on this machine, with the run's parameters.

    Args:
        files: The folder of the data and of the checkpoints.
        model: Which model.
        params: Of the run; those of the model start with its kind (`cnn_epochs`).
        values: Pixels or steps of a sample.
        target: What a forecast learns.
        parts: Other fields of `Training`.
    """
    machine = Machine.best()
    settings = {"seed": params.seed} | {name: getattr(params, f"{model.kind}_{name}") for name in SETTINGS}
    threads = machine.threads(settings["batch_size"] * values)
    decisive = settings | {
        "version": VERSION,
        "target": target,
        "torch": torch.__version__,
        "threads": threads,
        "device": machine.name,
        "precision": machine.precision,
    }
    return Training(
        machine=machine,
        threads=threads,
        checkpoints=files / model.checkpoints,
        fingerprint=fingerprint([artifact.at(files) for artifact in DATA[model.kind]], decisive),
        **settings,
        **parts,
    )


def _write_weights(path: Path, training: Training) -> dict[str, Any]:
    """Write the weights and return the fields of the model card that describe them."""
    weights = copy_weights(training.network)
    write_atomically(path, save({name: tensor.contiguous() for name, tensor in weights.items()}))
    params = {name: getattr(training, name) for name in (*SETTINGS, "seed")}
    return {
        "architecture": str(training.network.architecture),
        "parameters": parameter_count(training.network),
        "params": params,
        "versions": {name: version(name) for name in LIBRARIES},
        "weights_sha256": sha256(path),
    }


def _check_minimum(model: ModelArtifacts[Any], metrics: CnnMetrics | LstmMetrics) -> None:
    if metrics.accuracy < metrics.minimum_accuracy:
        name = f"min_{model.kind}_accuracy"
        raise ContractError(
            model.metrics.path,
            f"accuracy must be at least {metrics.minimum_accuracy:g} ({name})",
            f"{metrics.accuracy:.4f}",
            hint=f"The model is complete, but not good enough: see {model.metrics.path} and the plots in the run's "
            f"files. More dates, samples or epochs may help; {name} states another minimum.",
        )
