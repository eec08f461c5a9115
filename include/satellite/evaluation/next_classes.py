"""The class of the next date, predicted from the series of a location: what `label_source` next_ndvi asks for.

The truth is the class of the NDVI at the target date. The class of the LSTM and of the naive rules is that of the NDVI
that they forecast; `gradient_boosting` learns the classes themselves, `majority` is the most frequent one. So they are
evaluated on the held-out sequences of the forecast, with clusters and intervals of their own gates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.labels import classes_of
from include.satellite.datasets.sampling import LEAST_GATED
from include.satellite.datasets.schemas import CLASSES
from include.satellite.datasets.sequences import SequenceDataset
from include.satellite.evaluation.predictions import Predictions, Rows
from include.satellite.schemas import CHAMPION, REAL, SYNTHETIC

BOOSTING, MAJORITY = "gradient_boosting", "majority"
FORECASTS = (REAL, SYNTHETIC, CHAMPION, "persistence", "anomaly_persistence", "climatology")
"""Forecasts of NDVI whose classes are compared, in this order."""

Floats = NDArray[np.float64]


def next_truth(dataset: SequenceDataset) -> Rows:
    """Return the (N,) class at the target date of each sequence, as position in `CLASSES`."""
    return classes_of(dataset.y.astype(np.float64)).astype(np.int64)


def gate_classes(dataset: SequenceDataset) -> list[str]:
    """Return the classes with enough training sequences to count in the gates; all, if none has."""
    counts = np.bincount(next_truth(dataset)[dataset.rows("train")], minlength=len(CLASSES))
    return [name for name, count in zip(CLASSES, counts, strict=True) if count >= LEAST_GATED] or list(CLASSES)


def next_rows(dataset: SequenceDataset) -> Rows:
    """Return the held-out sequences whose class counts in the gates; all, if none does."""
    rows = dataset.rows("validation")
    gated = np.isin(next_truth(dataset)[rows], [CLASSES.index(name) for name in gate_classes(dataset)])
    return rows[gated] if gated.any() else rows


def next_rules(dataset: SequenceDataset, forecasts: Predictions) -> Predictions:
    """Return the classes that follow from forecasts of NDVI, and the most frequent one, on the rows of the gates.

    Args:
        dataset: The sequences.
        forecasts: Of NDVI on all held-out sequences, by model.

    Returns:
        (N, classes) probabilities by model: 1 for the predicted class.
    """
    rows, truth = next_rows(dataset), next_truth(dataset)
    compared = forecasts.of(rows)
    majority = np.bincount(truth[dataset.rows("train")]).argmax()
    classes: dict[str, NDArray[np.integer]] = {
        name: classes_of(compared.values[name].astype(np.float64)) for name in FORECASTS if name in compared.values
    }
    classes[MAJORITY] = np.full(len(rows), majority)
    return Predictions(rows, truth[rows], {name: np.eye(len(CLASSES))[value] for name, value in classes.items()})


def next_boosting(dataset: SequenceDataset, rows: Rows) -> Floats:
    """Predict the classes of some sequences by gradient boosting on the steps of the LSTM, fitted on the training part.

    200 trees a class; classes weigh alike, for the measure is balanced accuracy.

    Returns:
        (N, classes) probabilities.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    train, steps = dataset.rows("train"), dataset.x.reshape(len(dataset), -1).astype(np.float64)
    model = HistGradientBoostingClassifier(
        max_iter=200, early_stopping=False, class_weight="balanced", random_state=0
    ).fit(steps[train], next_truth(dataset)[train])
    probabilities = np.zeros((len(rows), len(CLASSES)))
    probabilities[:, model.classes_] = model.predict_proba(steps[rows])
    return probabilities
