"""Scores of several models on the same held-out samples, with paired intervals of their differences.

Intervals come from a bootstrap over blocks and dates: neighbours in space are alike, and so are patches of one date.
Blocks and dates are drawn separately, with replacement, and a sample counts as often as its block times its date were
drawn: the pigeonhole bootstrap (Owen: The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007). Models are
compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.patches import PatchDataset
from include.satellite.datasets.sequences import SequenceDataset
from include.satellite.evaluation.metrics import (
    Classes,
    Floats,
    Forecast,
    Rows,
    class_recalls,
    classification,
    dates_of,
    forecast_errors,
    in_gate,
)
from include.satellite.schemas import (
    REAL,
    SYNTHETIC,
    CnnComparison,
    CnnScore,
    Difference,
    LstmComparison,
    LstmScore,
    Metric,
)

Bools = NDArray[np.bool_]
RESAMPLES = 4000
LEVEL = 95.0


class Bootstrap:
    """Paired bootstrap: draws of blocks and dates, and statistics over them.

    Args:
        block: (N,) block of each sample.
        date: (N,) date of each sample.
        seed: The same seed gives the same draws.
        resamples: Number of draws, R.
    """

    def __init__(self, block: Rows, date: Rows, seed: int, resamples: int = RESAMPLES) -> None:
        blocks, self._block = np.unique(block, return_inverse=True)
        dates, self._date = np.unique(date, return_inverse=True)
        self.shape = (len(blocks), len(dates))
        self.resamples = resamples
        draw = np.random.default_rng(seed)
        self._of_block, self._of_date = (
            draw.multinomial(size, np.full(size, 1 / size), size=resamples).astype(np.float64) for size in self.shape
        )

    def mean(self, values: Floats | Bools, where: Bools | None = None) -> Floats:
        """Return the (R,) means of values (N,) over each draw, of the samples in `where`; NaN where a draw has none."""
        selected = np.ones(len(values), bool) if where is None else where
        with np.errstate(invalid="ignore"):
            mean: Floats = self._total(values * selected) / self._total(selected)
        return mean

    def balanced_accuracy(self, hits: Bools, label: Classes) -> Floats:
        """Return the (R,) mean recalls over the classes that a draw holds."""
        recalls = np.stack([self.mean(hits, label == position) for position in np.unique(label)])
        present = ~np.isnan(recalls)
        with np.errstate(invalid="ignore"):
            mean: Floats = np.where(present, recalls, 0).sum(axis=0) / present.sum(axis=0)
        return mean

    def interval(self, statistic: Floats) -> tuple[float, float] | tuple[None, None]:
        """Return the middle 95 % of a statistic (R,); None where nothing can be drawn but the sample itself."""
        defined = statistic[~np.isnan(statistic)]
        if self.shape == (1, 1) or len(defined) == 0:
            return None, None
        tail = (100 - LEVEL) / 2
        low, high = np.percentile(defined, [tail, 100 - tail])
        return float(low), float(high)

    def _total(self, values: Floats | Bools) -> Floats:
        cells = np.bincount(
            self._block * self.shape[1] + self._date, weights=values, minlength=self.shape[0] * self.shape[1]
        )
        total: Floats = ((self._of_block @ cells.reshape(self.shape)) * self._of_date).sum(axis=1)
        return total


def gate_rows(dataset: PatchDataset) -> Rows:
    """Return the held-out patches that count in the gates."""
    rows = dataset.rows("validation")
    return rows[in_gate(dataset, rows)]


def score_classes(dataset: PatchDataset, rows: Rows, predicted: Mapping[str, Classes], seed: int) -> CnnComparison:
    """Score classifiers on the same patches.

    Args:
        dataset: The patches.
        rows: Those that count.
        predicted: (N,) classes of the rows by model; `real` is compared with the others.
        seed: Of the bootstrap.
    """
    info, label, date = dataset.info, dataset.label[rows], dataset.date[rows]
    boot = Bootstrap(dataset.block[rows], date, seed)
    hits = {name: np.asarray(classes) == label for name, classes in predicted.items()}
    models = {}
    for name, classes in predicted.items():
        score = classification(label, classes)
        models[name] = CnnScore(
            accuracy=score.accuracy,
            balanced_accuracy=score.balanced_accuracy,
            recall=class_recalls(label, classes, info.classes),
        )
    differences: list[Difference] = []
    metrics: dict[Metric, dict[str, Floats]] = {
        "accuracy": {name: boot.mean(hit) for name, hit in hits.items()},
        "balanced_accuracy": {name: boot.balanced_accuracy(hit, label) for name, hit in hits.items()},
    }
    for metric, draws in metrics.items():
        values = {name: float(getattr(score, metric)) for name, score in models.items()}
        differences += _differences(boot, metric, values, draws)
    return CnnComparison(
        samples=len(rows),
        blocks=boot.shape[0],
        dates=dates_of(info.dates, date),
        classes=[info.classes[position] for position in np.unique(label)],
        left_out=[name for name in info.classes if name not in info.gate_classes],
        accuracy_improvement=_percent(models[REAL].accuracy, models.get(SYNTHETIC, models[REAL]).accuracy),
        models=models,
        differences=differences,
    )


def score_forecasts(
    dataset: SequenceDataset, rows: Rows, forecasts: Mapping[str, Forecast], seed: int
) -> LstmComparison:
    """Score forecasts of NDVI on the same sequences.

    Args:
        dataset: The sequences.
        rows: The held-out ones.
        forecasts: (N,) NDVI of the rows by model; `real` is compared with the others.
        seed: Of the bootstrap.
    """
    target = dataset.target[rows]
    boot = Bootstrap(dataset.block[rows], target, seed)
    truth = dataset.y[rows].astype(np.float64)
    gaps = {name: np.abs(np.asarray(forecast, np.float64) - truth) for name, forecast in forecasts.items()}
    errors = {name: forecast_errors(truth, np.asarray(forecast, np.float64)) for name, forecast in forecasts.items()}
    models = {name: LstmScore(mae=mae, rmse=rmse, accuracy=1 - mae / 2) for name, (mae, rmse) in errors.items()}
    values = {name: -score.mae for name, score in models.items()}
    draws = {name: -boot.mean(gap) for name, gap in gaps.items()}
    return LstmComparison(
        samples=len(rows),
        blocks=boot.shape[0],
        dates=dates_of(dataset.info.dates, target),
        mae_improvement=_percent(-models[REAL].mae, -models.get(SYNTHETIC, models[REAL]).mae),
        models=models,
        differences=_differences(boot, "mae", values, draws),
    )


def _differences(
    boot: Bootstrap, metric: Metric, values: Mapping[str, float], draws: Mapping[str, Floats]
) -> list[Difference]:
    differences = []
    for name in values:
        if name != REAL:
            low, high = boot.interval(draws[REAL] - draws[name])
            gain = values[REAL] - values[name]
            differences.append(Difference(against=name, metric=metric, difference=gain, low=low, high=high))
    return differences


def _percent(value: float, other: float) -> float | None:
    """Return how much better a value is than another, in percent of the other's size; None where that is 0."""
    return 100 * (value - other) / abs(other) if other else None
