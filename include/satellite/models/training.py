"""The training steps: fit a model, measure it once on places and dates that it has never seen, write all that down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.core.run_folder import read_model, write_atomically, write_json
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.sequences import SequenceDataset, load_sequences
from include.satellite.imagery.schemas import Imagery
from include.satellite.models.batches import Batch, Rows
from include.satellite.models.card import cnn_card, lstm_card
from include.satellite.models.checkpoints import copy_weights, fingerprint
from include.satellite.models.documents import CnnMetrics, LstmMetrics, ModelCard
from include.satellite.models.evaluation import evaluate_cnn, evaluate_lstm
from include.satellite.models.loop import Training, fit
from include.satellite.models.machine import Machine
from include.satellite.models.networks import PatchCnn, SequenceLstm, parameter_count, seeded
from include.satellite.models.plots import plot_confusion, plot_forecast, plot_training
from include.satellite.models.predict import outputs, scale
from include.satellite.models.summaries import train_cnn_summary, train_lstm_summary
from include.satellite.params import CnnTrainParams, LstmTrainParams

__all__ = ["train_cnn", "train_cnn_summary", "train_lstm", "train_lstm_summary"]
VERSION = 1
"""Raised when the same data and parameters would give other weights: older checkpoints are then of no use."""
CNN_DATA = ("cube.npy", "scl.npy", "cnn_index.parquet", "cnn_dataset.json")
LSTM_DATA = ("lstm_series.npy", "lstm_index.parquet", "lstm_dataset.json")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Settings:
    """What decides a training beside its data."""

    epochs: int
    patience: int
    learning_rate: float
    batch_size: int
    seed: int


def train_cnn(files: Path, params: CnnTrainParams) -> None:
    """Train the classifier of crop health; see `learn_cnn`.

    Raises:
        BadInputError: The training diverges.
        ContractError: The accuracy is below its minimum; model, card, metrics and plots are written before.
        SetupError: The folder cannot be written, or the disk is full.
    """
    card, metrics = learn_cnn(files, params)
    plot_training(files / "plot_cnn_training.png", "cnn", metrics.training)
    plot_confusion(files / "plot_cnn_confusion.png", metrics)
    _publish(files, card, metrics)
    if metrics.required:
        _check_minimum(card, metrics)


def learn_cnn(files: Path, params: CnnTrainParams) -> tuple[ModelCard, CnnMetrics]:
    """Train the classifier and measure it once on the validation part.

    Args:
        files: A folder with the CNN's dataset and `validated.json`; the weights are written there.
        params: Of the training.

    Raises:
        BadInputError: The training diverges.
        SetupError: The folder cannot be written, or the disk is full.
    """
    dataset, machine = load_patches(files), Machine.best()
    info, labels, train = dataset.info, torch.from_numpy(dataset.label), dataset.rows("train")

    def batch(rows: Rows) -> Batch:
        return torch.from_numpy(dataset.batch(rows)), labels[rows]

    settings = Settings(
        params.cnn_epochs, params.cnn_patience, params.cnn_learning_rate, params.cnn_batch_size, params.seed
    )
    network = seeded(params.seed, PatchCnn, len(info.bands), info.patch_size, len(info.classes))
    threads = machine.threads(params.cnn_batch_size * info.patch_size**2)
    training = Training(
        network=network,
        batch=batch,
        loss=functional.cross_entropy,
        score=lambda found, known: (found.argmax(dim=1) == known).sum(),
        drawn=np.repeat(train, dataset.repeat[train]),
        tune=dataset.rows("tune"),
        symmetric=True,
        machine=machine,
        threads=threads,
        checkpoints=files / "checkpoints" / "cnn",
        fingerprint=_fingerprint(files, CNN_DATA, settings, machine, threads),
        **vars(settings),
    )
    record = fit(training)
    held_out = dataset.rows("validation")
    probabilities = torch.softmax(outputs(network, batch, held_out), dim=1).numpy()
    metrics = evaluate_cnn(dataset, held_out, probabilities, record, params.min_cnn_accuracy)
    weights = _write_weights(files / "cnn_model.safetensors", network)
    parameters = parameter_count(network)
    return cnn_card(
        _imagery(files), info, metrics, parameters=parameters, params=vars(settings), weights=weights
    ), metrics


def train_lstm(files: Path, params: LstmTrainParams) -> None:
    """Train the forecaster of NDVI; see `learn_lstm`.

    Raises:
        BadInputError: The training diverges.
        ContractError: 1 − MAE/2 is below its minimum; model, card, metrics and plots are written before.
        SetupError: The folder cannot be written, or the disk is full.
    """
    card, metrics, forecast = learn_lstm(files, params)
    dataset = load_sequences(files)
    plot_training(files / "plot_lstm_training.png", "lstm", metrics.training)
    plot_forecast(files / "plot_lstm_forecast.png", dataset, dataset.rows("validation"), forecast, metrics)
    _publish(files, card, metrics)
    _check_minimum(card, metrics)


def learn_lstm(files: Path, params: LstmTrainParams) -> tuple[ModelCard, LstmMetrics, Floats]:
    """Train the forecaster and measure it once on the validation part.

    Args:
        files: A folder with the LSTM's dataset and `validated.json`; the weights are written there.
        params: Of the training.

    Returns:
        Card, measures, and the forecasts of the validation part.

    Raises:
        BadInputError: The training diverges.
        SetupError: The folder cannot be written, or the disk is full.
    """
    dataset, machine = load_sequences(files), Machine.best()
    info, train, held_out = dataset.info, dataset.rows("train"), dataset.rows("validation")
    mean, std = _scaling(dataset, train)
    inputs, targets = scale(dataset.x, mean, std), torch.from_numpy(dataset.y)

    def batch(rows: Rows) -> Batch:
        return inputs[rows], targets[rows]

    settings = Settings(
        params.lstm_epochs, params.lstm_patience, params.lstm_learning_rate, params.lstm_batch_size, params.seed
    )
    network = seeded(params.seed, SequenceLstm, len(info.features))
    threads = machine.threads(params.lstm_batch_size * info.sequence_length)
    training = Training(
        network=network,
        batch=batch,
        loss=functional.mse_loss,
        score=lambda found, known: (found - known).abs().sum(),
        drawn=train,
        tune=dataset.rows("tune"),
        symmetric=False,
        machine=machine,
        threads=threads,
        checkpoints=files / "checkpoints" / "lstm",
        fingerprint=_fingerprint(files, LSTM_DATA, settings, machine, threads),
        **vars(settings),
    )
    record = fit(training)
    forecast = outputs(network, batch, held_out).numpy()
    metrics = evaluate_lstm(dataset, held_out, forecast, record, params.min_lstm_accuracy)
    weights = _write_weights(files / "lstm_model.safetensors", network)
    parameters = parameter_count(network)
    card = lstm_card(
        _imagery(files), info, metrics, (mean, std), parameters=parameters, params=vars(settings), weights=weights
    )
    return card, metrics, forecast


def _publish(files: Path, card: ModelCard, metrics: CnnMetrics | LstmMetrics) -> None:
    """Write card and measures."""
    write_json(files / f"{card.kind}_model.json", card)
    write_json(files / f"{card.kind}_metrics.json", metrics)


def _fingerprint(files: Path, names: tuple[str, ...], settings: Settings, machine: Machine, threads: int) -> str:
    decisive: dict[str, Any] = vars(settings) | {
        "version": VERSION,
        "torch": torch.__version__,
        "threads": threads,
        "device": machine.name,
        "precision": machine.precision,
    }
    return fingerprint([files / name for name in names], decisive)


def _scaling(dataset: SequenceDataset, train: Rows) -> tuple[list[float], list[float]]:
    """Mean and standard deviation by feature over the training part; 1 for one that does not vary."""
    seen = dataset.x[train].reshape(-1, dataset.x.shape[2]).astype(np.float64)
    std = seen.std(axis=0)
    return seen.mean(axis=0).tolist(), np.where(std > 0, std, 1.0).tolist()


def _imagery(files: Path) -> Imagery:
    imagery = read_model(files / "validated.json", Imagery)
    if imagery is None:
        raise ContractError("validated.json", "must exist", "no such file")
    return imagery


def _write_weights(path: Path, network: nn.Module) -> str:
    write_atomically(path, save({name: tensor.contiguous() for name, tensor in copy_weights(network).items()}))
    return sha256(path)


def _check_minimum(card: ModelCard, metrics: CnnMetrics | LstmMetrics) -> None:
    if metrics.accuracy < metrics.minimum_accuracy:
        rule = f"accuracy must be at least {metrics.minimum_accuracy:g} (min_{card.kind}_accuracy)"
        hint = (
            f"The model is whole, but not good enough: see {card.kind}_metrics.json and the plots in the run's files. "
            f"More dates, samples or epochs may help; min_{card.kind}_accuracy states another minimum."
        )
        raise ContractError(f"{card.kind}_metrics.json", rule, f"{metrics.accuracy:.4f}", hint=hint)
