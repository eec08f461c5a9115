"""Measures of predictions; all on the processor, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from include.satellite.models.documents import Classification, ClassScore, Skill

Classes = NDArray[np.integer]
Floats = NDArray[np.floating]
CALIBRATION_BINS = 15


def confusion_matrix(true: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """Samples by true class (rows) and predicted class (columns)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (true, predicted), 1)
    return matrix


def classification(true: Classes, predicted: Classes) -> Classification:
    """Accuracy, and the mean recall of the classes that are present."""
    hits = true == predicted
    recalls = [hits[true == each].mean() for each in np.unique(true)]
    return Classification(samples=len(true), accuracy=float(hits.mean()), balanced_accuracy=float(np.mean(recalls)))


def class_scores(matrix: NDArray[np.int64], names: Sequence[str], gated: Sequence[str]) -> list[ClassScore]:
    """Precision, recall and F1 of each class of a confusion matrix."""
    scores = []
    for position, name in enumerate(names):
        hits, actual, said = matrix[position, position], matrix[position].sum(), matrix[:, position].sum()
        scores.append(
            ClassScore(
                name=name,
                samples=int(actual),
                precision=_ratio(hits, said),
                recall=_ratio(hits, actual),
                f1=_ratio(2 * hits, actual + said),
                in_gate=name in gated,
            )
        )
    return scores


def calibration_error(probabilities: Floats, true: Classes, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over equal bins of confidence.

    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks (2017).

    Args:
        probabilities: (N, classes), rows sum to 1.
        true: (N,) classes.
        bins: Number of bins between 0 and 1; each is open below and closed above.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    hits = probabilities.argmax(axis=1) == true
    position = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(position, weights=hits - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(true))


def errors(true: Floats, forecast: Floats) -> tuple[float, float]:
    """Mean absolute error and root mean square error."""
    gap = np.asarray(forecast, np.float64) - true
    return float(np.abs(gap).mean()), float(np.sqrt((gap**2).mean()))


def explained(true: Floats, forecast: Floats) -> float | None:
    """R²: the share of the truth's variance that the forecast explains; None where the truth is constant."""
    truth = np.asarray(true, np.float64)
    spread = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - forecast) ** 2).sum() / spread) if spread > 0 else None


def skills(true: Floats, mae: float, naive: Mapping[str, Floats]) -> dict[str, Skill]:
    """What a model with this MAE adds to each naive forecast."""
    found = {}
    for name, forecast in naive.items():
        own, rmse = errors(true, forecast)
        found[name] = Skill(mae=own, rmse=rmse, skill=1 - mae / own if own > 0 else None)
    return found


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None
