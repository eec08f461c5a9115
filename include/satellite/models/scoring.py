"""Scores of several models on the same held-out samples, with paired intervals of their differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.satellite.models.bootstrap import Bootstrap, recalls
from include.satellite.models.results import (
    REAL,
    SYNTHETIC,
    CnnComparison,
    CnnScore,
    Difference,
    LstmComparison,
    LstmScore,
    Metric,
)

if TYPE_CHECKING:
    from include.satellite.datasets.patches import PatchDataset
    from include.satellite.datasets.sequences import SequenceDataset

Rows = NDArray[np.int64]
Classes = NDArray[np.integer]
Forecast = NDArray[np.floating]
Floats = NDArray[np.float64]


def gate_rows(dataset: PatchDataset) -> Rows:
    """The held-out patches that count: of the classes with enough training samples, or of all where no class has."""
    rows = dataset.rows("validation")
    gated = [dataset.info.classes.index(name) for name in dataset.info.gate_classes]
    held = rows[np.isin(dataset.label[rows], gated)]
    return held if len(held) else rows


def score_classes(dataset: PatchDataset, rows: Rows, predicted: Mapping[str, Classes], seed: int) -> CnnComparison:
    """Compare classifiers.

    Args:
        dataset: The patches.
        rows: Those that count.
        predicted: (N,) classes of the rows by model; `real` is held against the others.
        seed: Of the bootstrap.
    """
    info, label, date = dataset.info, dataset.label[rows], dataset.date[rows]
    boot = Bootstrap(dataset.block[rows], date, seed)
    hits = {name: np.asarray(classes) == label for name, classes in predicted.items()}
    models = {}
    for name, hit in hits.items():
        recall = recalls(hit, label, info.classes)
        models[name] = CnnScore(
            accuracy=float(hit.mean()), balanced_accuracy=float(np.mean(list(recall.values()))), recall=recall
        )
    differences = []
    metrics: dict[Metric, dict[str, Floats]] = {
        "accuracy": {name: boot.mean(hit) for name, hit in hits.items()},
        "balanced_accuracy": {name: boot.balanced_accuracy(hit, label) for name, hit in hits.items()},
    }
    for metric, draws in metrics.items():
        values = {name: float(getattr(score, metric)) for name, score in models.items()}
        differences += _differences(boot, metric, values, draws)
    present = {info.classes[each] for each in np.unique(label)}
    return CnnComparison(
        samples=len(rows),
        blocks=boot.shape[0],
        dates=[info.dates[position] for position in np.unique(date)],
        classes=[name for name in info.classes if name in present],
        left_out=[name for name in info.classes if name not in info.gate_classes],
        accuracy_improvement=_percent(models[REAL].accuracy, models.get(SYNTHETIC, models[REAL]).accuracy),
        models=models,
        differences=differences,
    )


def score_forecasts(
    dataset: SequenceDataset, rows: Rows, forecasts: Mapping[str, Forecast], seed: int
) -> LstmComparison:
    """Compare forecasts of NDVI.

    Args:
        dataset: The sequences.
        rows: The held-out ones.
        forecasts: (N,) NDVI of the rows by model; `real` is held against the others.
        seed: Of the bootstrap.
    """
    target = dataset.target[rows]
    boot = Bootstrap(dataset.block[rows], target, seed)
    truth = dataset.y[rows].astype(np.float64)
    gaps = {name: np.abs(np.asarray(forecast, np.float64) - truth) for name, forecast in forecasts.items()}
    models = {
        name: LstmScore(mae=float(gap.mean()), rmse=float(np.sqrt((gap**2).mean())), accuracy=1 - float(gap.mean()) / 2)
        for name, gap in gaps.items()
    }
    values = {name: -score.mae for name, score in models.items()}
    draws = {name: -boot.mean(gap) for name, gap in gaps.items()}
    return LstmComparison(
        samples=len(rows),
        blocks=boot.shape[0],
        dates=[dataset.info.dates[position] for position in np.unique(target)],
        mae_improvement=_percent(-models[REAL].mae, -models.get(SYNTHETIC, models[REAL]).mae),
        models=models,
        differences=_differences(boot, "mae", values, draws),
    )


def _differences(
    boot: Bootstrap, metric: Metric, values: Mapping[str, float], draws: Mapping[str, Floats]
) -> list[Difference]:
    found = []
    for name in values:
        if name != REAL:
            low, high = boot.interval(draws[REAL] - draws[name])
            gain = values[REAL] - values[name]
            found.append(Difference(against=name, metric=metric, difference=gain, low=low, high=high))
    return found


def _percent(value: float, other: float) -> float | None:
    """How much better a value is than another, in percent of the other's size; None where that is 0."""
    return 100 * (value - other) / abs(other) if other else None
