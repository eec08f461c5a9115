"""The orchestrator's check of a training: metrics and card are derived again from predictions, dataset and imagery.

It needs neither PyTorch nor scikit-learn. What it cannot derive, the predictions of the weights and of the logistic
regression, the step `verify` predicts again on drawn samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from include.core.artifacts import sha256
from include.core.errors import ContractError
from include.satellite.artifacts import CNN, LSTM, VALIDATED, ModelArtifacts
from include.satellite.datasets.patches import load_patch_samples
from include.satellite.datasets.sequences import SequenceDataset, imagery_of, load_sequences, sequence_scaling
from include.satellite.evaluation.baselines import patch_rules, sequence_baselines
from include.satellite.evaluation.metrics import evaluate_cnn, evaluate_lstm
from include.satellite.evaluation.predictions import (
    RULE_TOLERANCE,
    Predictions,
    check_same,
    check_samples,
    read_predictions,
)
from include.satellite.evaluation.statements import check_stated
from include.satellite.params import CnnTrainParams, LstmTrainParams
from include.satellite.training.cards import TRAINED, cnn_card, lstm_card
from include.satellite.training.schemas import CnnMetrics, LstmMetrics, ModelCard


def recompute_cnn(files: Path, params: CnnTrainParams) -> None:
    """Check predictions, metrics and card of the step `train_cnn`.

    Args:
        files: Its inputs and outputs.
        params: Of the run.

    Raises:
        ContractError: One of them states what does not follow from the others; names the file and the field.
    """
    samples, predictions = load_patch_samples(files), read_predictions(CNN.predictions, files)
    rows, stated = samples.rows("validation"), CNN.metrics.read(files)
    check_samples(CNN.predictions.path, predictions, rows, samples.label)
    rules = patch_rules(samples, rows)
    check_same(CNN.predictions.path, predictions, Predictions(rows, samples.label[rows], rules), RULE_TOLERANCE)
    _check_models(CNN, predictions, {"real", "logistic_regression", *rules})
    metrics = evaluate_cnn(samples, predictions, stated.training, params.min_cnn_accuracy)
    check_stated(CNN.metrics.path, stated, metrics)
    card = CNN.card.read(files)
    check_stated(
        CNN.card.path, card, cnn_card(VALIDATED.read(files), samples.info, metrics, _trained(files, CNN, card))
    )
    _check_run(CNN, card, params, stated)


def recompute_lstm(files: Path, params: LstmTrainParams) -> None:
    """Check predictions, metrics and card of the step `train_lstm`.

    Args:
        files: Its inputs and outputs.
        params: Of the run.

    Raises:
        ContractError: One of them states what does not follow from the others; names the file and the field.
    """
    dataset, predictions = load_sequences(files), read_predictions(LSTM.predictions, files)
    rows, stated = dataset.rows("validation"), LSTM.metrics.read(files)
    check_samples(LSTM.predictions.path, predictions, rows, dataset.y)
    naive = sequence_baselines(dataset, rows)
    check_same(LSTM.predictions.path, predictions, Predictions(rows, dataset.y[rows], naive), RULE_TOLERANCE)
    _check_models(LSTM, predictions, {"real", *naive})
    metrics = evaluate_lstm(
        dataset, predictions, stated.training, params.min_lstm_accuracy, _calibration(files, dataset)
    )
    check_stated(LSTM.metrics.path, stated, metrics)
    card = LSTM.card.read(files)
    mean, std = sequence_scaling(dataset)
    trained = _trained(files, LSTM, card) | {"mean": mean, "std": std}
    check_stated(LSTM.card.path, card, lstm_card(imagery_of(files, dataset), dataset.info, metrics, trained))
    if card.target != params.lstm_target:
        raise ContractError(LSTM.card.path, f"must state the run's lstm_target: {params.lstm_target}", card.target)
    _check_run(LSTM, card, params, stated)


def _calibration(files: Path, dataset: SequenceDataset) -> Predictions | None:
    """Return the forecasts that calibrate the interval, which must be those of all later samples."""
    rows, path = dataset.calibration_rows(), LSTM.calibration.path
    if not len(rows):
        if LSTM.calibration.at(files).exists():
            raise ContractError(path, "must not be written where no date calibrates the intervals", "forecasts")
        return None
    calibration = read_predictions(LSTM.calibration, files)
    check_samples(path, calibration, rows, dataset.y)
    if set(calibration.values) != {"real"}:
        raise ContractError(path, "must hold the model real alone", ", ".join(calibration.values))
    return calibration


def _trained(files: Path, model: ModelArtifacts[Any], card: ModelCard) -> dict[str, Any]:
    """Return the fields that only the training knows, as the card states them; the checksum is that of the weights."""
    return {name: getattr(card, name) for name in TRAINED} | {"weights_sha256": sha256(model.weights.at(files))}


def _check_models(model: ModelArtifacts[Any], predictions: Predictions, expected: set[str]) -> None:
    if set(predictions.values) != expected:
        found = ", ".join(predictions.values)
        raise ContractError(model.predictions.path, f"must hold the models {', '.join(sorted(expected))}", found)


def _check_run(
    model: ModelArtifacts[Any],
    card: ModelCard,
    params: CnnTrainParams | LstmTrainParams,
    metrics: CnnMetrics | LstmMetrics,
) -> None:
    """Check that the card states the run's parameters, and that the record holds the losses of each epoch."""
    asked = {name: getattr(params, name if name == "seed" else f"{model.kind}_{name}") for name in card.params}
    if card.params != asked or "seed" not in card.params:
        raise ContractError(model.card.path, f"must state the run's parameters of the training: {asked}", card.params)
    losses = np.array([[epoch.train_loss, epoch.tune_loss, epoch.tune_score] for epoch in metrics.training.history])
    if len(losses) != metrics.training.epochs or not np.isfinite(losses).all():
        raise ContractError(model.metrics.path, f"must hold {metrics.training.epochs} epochs with finite losses")
