"""The one look at the validation part: what a trained model is worth there, beside naive predictions."""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.patches import PatchDataset
from include.satellite.datasets.sequences import SequenceDataset
from include.satellite.models.baselines import climatology, patch_baselines, sequence_baselines
from include.satellite.models.documents import CnnMetrics, LstmMetrics, TrainingRecord
from include.satellite.models.metrics import (
    calibration_error,
    class_scores,
    classification,
    confusion_matrix,
    errors,
    explained,
    skills,
)

Rows = NDArray[np.int64]
Floats = NDArray[np.floating]


def evaluate_cnn(
    dataset: PatchDataset, rows: Rows, probabilities: Floats, training: TrainingRecord, minimum: float
) -> CnnMetrics:
    """Measures of the CNN's class probabilities (N, classes) for the rows.

    Classes with too few training samples leave the gate: accuracy, balanced accuracy and the baselines are measured
    on the samples of the other classes (on all, should none of those be left).
    """
    info = dataset.info
    true, predicted = dataset.label[rows], probabilities.argmax(axis=1)
    gated = np.isin(true, [info.classes.index(name) for name in info.gate_classes])
    held = gated if gated.any() else np.ones_like(gated)
    gate = classification(true[held], predicted[held])
    matrix = confusion_matrix(true, predicted, len(info.classes))
    naive = patch_baselines(dataset, rows)
    return CnnMetrics(
        accuracy=gate.accuracy,
        balanced_accuracy=gate.balanced_accuracy,
        minimum_accuracy=minimum,
        required=info.label_source != "next_ndvi",
        expected_calibration_error=calibration_error(probabilities, true),
        all_classes=classification(true, predicted),
        baselines={name: classification(true[held], classes[held]) for name, classes in naive.items()},
        classes=class_scores(matrix, info.classes, info.gate_classes),
        confusion=matrix.tolist(),
        evaluation_dates=_dates(info.dates, dataset.date[rows]),
        training=training,
    )


def evaluate_lstm(
    dataset: SequenceDataset, rows: Rows, forecast: Floats, training: TrainingRecord, minimum: float
) -> LstmMetrics:
    """Measures of the LSTM's forecasts (N,) of NDVI for the rows."""
    true = dataset.y[rows]
    mae, rmse = errors(true, forecast)
    return LstmMetrics(
        samples=len(rows),
        mae=mae,
        rmse=rmse,
        r2=explained(true, forecast),
        accuracy=1 - mae / 2,
        minimum_accuracy=minimum,
        baselines=skills(true, mae, sequence_baselines(dataset, rows)),
        climatology_fallback=float(climatology(dataset, rows)[1].mean()),
        evaluation_dates=_dates(dataset.info.dates, dataset.target[rows]),
        training=training,
    )


def _dates(dates: list[date], positions: Rows) -> list[date]:
    return [dates[position] for position in np.unique(positions)]
