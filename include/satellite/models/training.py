"""The training steps: fit a model, measure it once on places and dates that it has never seen, write all that down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.core.runs import read_model, write_atomically, write_json
from include.satellite.datasets.patches import load_patches
from include.satellite.datasets.sequences import SequenceDataset, load_sequences
from include.satellite.imagery.model import Imagery
from include.satellite.models.card import cnn_card, lstm_card
from include.satellite.models.checkpoints import copy_weights, fingerprint
from include.satellite.models.documents import CnnMetrics, LstmMetrics, ModelKind
from include.satellite.models.evaluation import evaluate_cnn, evaluate_lstm
from include.satellite.models.loop import Batch, Rows, Training, fit
from include.satellite.models.machine import Machine
from include.satellite.models.networks import PatchCnn, SequenceLstm, parameter_count, seeded
from include.satellite.models.plots import plot_confusion, plot_forecast, plot_training
from include.satellite.models.predict import outputs, scale
from include.satellite.models.summaries import train_cnn_summary, train_lstm_summary
from include.satellite.models.tracking import track
from include.satellite.params import CnnTrainParams, LstmTrainParams

__all__ = ["train_cnn", "train_cnn_summary", "train_lstm", "train_lstm_summary"]
VERSION = 1
"""Raised when the same data and parameters would give other weights: older checkpoints are then of no use."""
CNN_DATA = ("cube.npy", "scl.npy", "cnn_index.parquet", "cnn_dataset.json")
LSTM_DATA = ("lstm_series.npy", "lstm_index.parquet", "lstm_dataset.json")


@dataclass(frozen=True)
class Settings:
    """What decides a training beside its data."""

    epochs: int
    patience: int
    learning_rate: float
    batch_size: int
    seed: int


def train_cnn(files: Path, params: CnnTrainParams) -> None:
    """Train the classifier of crop health.

    Args:
        files: The run's `files/` folder.
        params: Of the training.

    Raises:
        BadInputError: The training diverges.
        ContractError: The accuracy is below its minimum; model, card, metrics and plots are written before.
        SetupError: The folder cannot be written, or the disk is full.
    """
    dataset, machine = load_patches(files), Machine.best()
    info, labels, train = dataset.info, torch.from_numpy(dataset.label), dataset.rows("train")

    def batch(rows: Rows) -> Batch:
        return torch.from_numpy(dataset.batch(rows)), labels[rows]

    settings = Settings(
        params.cnn_epochs, params.cnn_patience, params.cnn_learning_rate, params.cnn_batch_size, params.seed
    )
    training = Training(
        network=seeded(params.seed, PatchCnn, len(info.bands), info.patch_size, len(info.classes)),
        batch=batch,
        loss=functional.cross_entropy,
        score=lambda found, known: (found.argmax(dim=1) == known).sum(),
        drawn=np.repeat(train, dataset.repeat[train]),
        tune=dataset.rows("tune"),
        machine=machine,
        checkpoints=files / "checkpoints" / "cnn",
        fingerprint=_fingerprint(files, CNN_DATA, settings, machine),
        **vars(settings),
    )
    record = fit(training)
    held_out = dataset.rows("validation")
    probabilities = torch.softmax(outputs(training.network, batch, held_out), dim=1).numpy()
    metrics = evaluate_cnn(dataset, held_out, probabilities, record, params.min_cnn_accuracy)
    weights = _write_weights(files, "cnn", training.network)
    card = cnn_card(
        _imagery(files), info, metrics,
        parameters=parameter_count(training.network), params=vars(settings), weights=weights,
    )  # fmt: skip
    write_json(files / "cnn_model.json", card)
    plot_training(files / "plot_cnn_training.png", "cnn", record)
    plot_confusion(files / "plot_cnn_confusion.png", metrics)
    problem = track(files / "cnn_model.safetensors", card, metrics)
    write_json(files / "cnn_metrics.json", metrics.model_copy(update={"not_tracked": problem}))
    if metrics.required:
        _check_minimum("cnn", metrics)


def train_lstm(files: Path, params: LstmTrainParams) -> None:
    """Train the forecaster of NDVI.

    Args:
        files: The run's `files/` folder.
        params: Of the training.

    Raises:
        BadInputError: The training diverges.
        ContractError: 1 − MAE/2 is below its minimum; model, card, metrics and plots are written before.
        SetupError: The folder cannot be written, or the disk is full.
    """
    dataset, machine = load_sequences(files), Machine.best().in_float32()
    info, train, held_out = dataset.info, dataset.rows("train"), dataset.rows("validation")
    mean, std = _scaling(dataset, train)
    inputs, targets = scale(dataset.x, mean, std), torch.from_numpy(dataset.y)

    def batch(rows: Rows) -> Batch:
        return inputs[rows], targets[rows]

    settings = Settings(
        params.lstm_epochs, params.lstm_patience, params.lstm_learning_rate, params.lstm_batch_size, params.seed
    )
    training = Training(
        network=seeded(params.seed, SequenceLstm, len(info.features)),
        batch=batch,
        loss=functional.mse_loss,
        score=lambda found, known: (found - known).abs().sum(),
        drawn=train,
        tune=dataset.rows("tune"),
        machine=machine,
        checkpoints=files / "checkpoints" / "lstm",
        fingerprint=_fingerprint(files, LSTM_DATA, settings, machine),
        **vars(settings),
    )
    record = fit(training)
    forecast = outputs(training.network, batch, held_out).numpy()
    metrics = evaluate_lstm(dataset, held_out, forecast, record, params.min_lstm_accuracy)
    weights = _write_weights(files, "lstm", training.network)
    card = lstm_card(
        _imagery(files), info, metrics, (mean, std),
        parameters=parameter_count(training.network), params=vars(settings), weights=weights,
    )  # fmt: skip
    write_json(files / "lstm_model.json", card)
    plot_training(files / "plot_lstm_training.png", "lstm", record)
    plot_forecast(files / "plot_lstm_forecast.png", dataset, held_out, forecast, metrics)
    problem = track(files / "lstm_model.safetensors", card, metrics)
    write_json(files / "lstm_metrics.json", metrics.model_copy(update={"not_tracked": problem}))
    _check_minimum("lstm", metrics)


def _fingerprint(files: Path, names: tuple[str, ...], settings: Settings, machine: Machine) -> str:
    decisive: dict[str, Any] = vars(settings) | {
        "version": VERSION,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
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


def _write_weights(files: Path, kind: ModelKind, network: nn.Module) -> str:
    path = files / f"{kind}_model.safetensors"
    write_atomically(path, save({name: tensor.contiguous() for name, tensor in copy_weights(network).items()}))
    return sha256(path)


def _check_minimum(kind: ModelKind, metrics: CnnMetrics | LstmMetrics) -> None:
    if metrics.accuracy < metrics.minimum_accuracy:
        rule = f"accuracy must be at least {metrics.minimum_accuracy:g} (min_{kind}_accuracy)"
        raise ContractError(f"{kind}_metrics.json", rule, f"{metrics.accuracy:.4f}")
