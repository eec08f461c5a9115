"""Metrics of predictions on held-out samples: of a trained model, of naive rules, of several models compared.

All are pure functions of predictions, truth and the dataset's index, in float64, with NumPy alone: the training, the
comparison and the orchestrator, whose image holds neither PyTorch nor scikit-learn, compute them by the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.patches import PatchSamples
from include.satellite.datasets.schemas import CLASSES
from include.satellite.datasets.sequences import SequenceDataset
from include.satellite.evaluation.baselines import climatology
from include.satellite.evaluation.clusters import Bools, Clusters, Floats, balanced_influence, mean_influence
from include.satellite.evaluation.next_classes import gate_classes
from include.satellite.evaluation.predictions import Predictions
from include.satellite.schemas import (
    REAL,
    SYNTHETIC,
    CnnComparison,
    CnnScore,
    Difference,
    LstmComparison,
    LstmScore,
    Metric,
    NextComparison,
)
from include.satellite.training.schemas import (
    Classification,
    ClassScore,
    CnnMetrics,
    Interval,
    LstmMetrics,
    Skill,
    TrainingRecord,
)

Rows = NDArray[np.int64]
Classes = NDArray[np.integer]
Forecast = NDArray[np.floating]
CALIBRATION_BINS = 15
INTERVAL_LEVEL = 0.9


def evaluate_cnn(
    samples: PatchSamples, predictions: Predictions, training: TrainingRecord, minimum: float
) -> CnnMetrics:
    """Evaluate the CNN on held-out patches.

    Classes with too few training samples leave the gate: accuracy, balanced accuracy and the baselines are measured
    on the samples of the other classes (on all, should none of those be left).

    Args:
        samples: The dataset, with or without its pixels.
        predictions: Of the model (`real`) and of the naive rules.
        training: How it was trained.
        minimum: `min_cnn_accuracy`.
    """
    info, rows, true = samples.info, predictions.sample, predictions.truth
    classes = predictions.classes()
    predicted, probabilities = classes.pop(REAL), predictions.values[REAL]
    gated = in_gate(samples, rows)
    gate = classification(true[gated], predicted[gated])
    return CnnMetrics(
        **gate.fields_of(CnnMetrics),
        minimum_accuracy=minimum,
        required=info.label_source != "next_ndvi",
        expected_calibration_error=calibration_error(probabilities, true),
        all_classes=classification(true, predicted),
        baselines={name: classification(true[gated], naive[gated]) for name, naive in classes.items()},
        classes=class_scores(true, predicted, info.classes, info.gate_classes),
        confusion=confusion(true, predicted, len(info.classes)).tolist(),
        evaluation_dates=dates_of(info.dates, samples.date[rows]),
        training=training,
    )


def evaluate_lstm(
    dataset: SequenceDataset,
    predictions: Predictions,
    training: TrainingRecord,
    minimum: float,
    calibration: Predictions | None = None,
) -> LstmMetrics:
    """Evaluate the LSTM's forecasts of NDVI on held-out sequences.

    Args:
        dataset: The sequences.
        predictions: Of the model (`real`) and of the naive rules.
        training: How it was trained.
        minimum: `min_lstm_accuracy`.
        calibration: Of the model, on the samples that calibrate its interval.
    """
    rows, true = predictions.sample, predictions.truth
    naive = {name: forecast for name, forecast in predictions.values.items() if name != REAL}
    forecast = predictions.values[REAL]
    score = forecast_score(true, forecast)
    return LstmMetrics(
        samples=len(rows),
        **score.fields_of(LstmMetrics),
        r2=explained_variance(true, forecast),
        minimum_accuracy=minimum,
        baselines=skills(true, score.mae, naive),
        climatology_fallback=float(climatology(dataset, rows)[1].mean()),
        evaluation_dates=dates_of(dataset.info.dates, dataset.target[rows]),
        interval=None if calibration is None else interval_of(dataset, calibration, true, forecast),
        training=training,
    )


def interval_of(dataset: SequenceDataset, calibration: Predictions, true: Forecast, forecast: Forecast) -> Interval:
    """Return the interval that covers 90 % of the calibrating truths, and how much of the held-out ones it covers.

    Split conformal prediction (Lei et al. 2018): the half width is the error whose rank is (n + 1) × 90 %, rounded up.

    Args:
        dataset: The sequences.
        calibration: Forecasts of the model (`real`) on later dates.
        true: (N,) NDVI of the held-out samples.
        forecast: (N,) what the model forecasts of them.
    """
    errors = np.sort(_errors(calibration.truth, calibration.values[REAL]))
    rank = min(int(np.ceil((len(errors) + 1) * INTERVAL_LEVEL)), len(errors))
    half_width = float(errors[rank - 1])
    return Interval(
        level=INTERVAL_LEVEL,
        half_width=half_width,
        samples=len(errors),
        dates=len(np.unique(dataset.target[calibration.sample])),
        coverage=float((_errors(true, forecast) <= half_width).mean()),
    )


def _errors(true: Forecast, forecast: Forecast) -> Floats:
    return np.abs(np.asarray(forecast, np.float64) - np.asarray(true, np.float64))


def in_gate(samples: PatchSamples, rows: Rows) -> Bools:
    """Return (N,) which rows count in the gates: those of classes with enough training samples, or all if none has."""
    gated = np.isin(samples.label[rows], [samples.info.classes.index(name) for name in samples.info.gate_classes])
    return gated if gated.any() else np.ones_like(gated)


def gate_rows(samples: PatchSamples) -> Rows:
    """Return the held-out patches that count in the gates."""
    rows = samples.rows("validation")
    return rows[in_gate(samples, rows)]


def dates_of(dates: Sequence[date], positions: Rows) -> list[date]:
    """Return the dates at some positions, each once, in order."""
    return [dates[position] for position in np.unique(positions)]


def classification(true: Classes, predicted: Classes) -> Classification:
    """Compute accuracy, and the mean recall of the classes that are present."""
    hits = true == predicted
    return Classification(
        samples=len(true),
        accuracy=float(hits.mean()),
        balanced_accuracy=float(np.mean([hits[true == position].mean() for position in np.unique(true)])),
    )


def confusion(true: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """Count the samples by true class (rows) and predicted class (columns)."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (true, predicted), 1)
    return counts


def class_scores(true: Classes, predicted: Classes, names: Sequence[str], gated: Sequence[str]) -> list[ClassScore]:
    """Compute precision, recall and F1 of each class; None where a score is undefined.

    Args:
        true: (N,) classes, as positions in the names.
        predicted: (N,) classes.
        names: Of all classes.
        gated: Names of the classes that count in the gates.
    """
    counts = confusion(true, predicted, len(names))
    right, of_class, as_class = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return [
        ClassScore(
            name=name,
            samples=int(of_class[number]),
            precision=_share(right[number], as_class[number]),
            recall=_share(right[number], of_class[number]),
            f1=_share(2 * right[number], of_class[number] + as_class[number]),
            in_gate=name in gated,
        )
        for number, name in enumerate(names)
    ]


def _share(part: np.int64, total: np.int64) -> float | None:
    return float(part / total) if total else None


def calibration_error(probabilities: Forecast, true: Classes, bins: int = CALIBRATION_BINS) -> float:
    """Compute the expected calibration error: the mean gap of confidence and accuracy over equal bins.

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


def forecast_score(true: Forecast, forecast: Forecast) -> LstmScore:
    """Compute mean absolute error, root mean square error, and 1 − MAE/2."""
    error = np.asarray(forecast, np.float64) - np.asarray(true, np.float64)
    mae = float(np.abs(error).mean())
    return LstmScore(mae=mae, rmse=float(np.sqrt((error**2).mean())), accuracy=1 - mae / 2)


def explained_variance(true: Forecast, forecast: Forecast) -> float | None:
    """Compute R², the share of the truth's variance that the forecast explains; None where the truth is constant."""
    truth = np.asarray(true, np.float64)
    if np.ptp(truth) == 0:
        return None
    return float(1 - ((truth - forecast) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def skills(true: Forecast, mae: float, naive: Mapping[str, Forecast]) -> dict[str, Skill]:
    """Compute the errors of naive forecasts, and the skill over them of a model with this MAE."""
    scores = {name: forecast_score(true, forecast) for name, forecast in naive.items()}
    return {
        name: Skill(mae=score.mae, rmse=score.rmse, skill=1 - mae / score.mae if score.mae > 0 else None)
        for name, score in scores.items()
    }


def score_classes(samples: PatchSamples, predictions: Predictions) -> CnnComparison:
    """Score classifiers on the same patches.

    Args:
        samples: The dataset, with or without its pixels.
        predictions: On the patches that count; `real` is compared with the other models.
    """
    info, date = samples.info, samples.date[predictions.sample]
    clusters = Clusters.of(samples.block[predictions.sample], days_of(info.dates)[date])
    models, differences = _scored_classes(predictions, clusters)
    return CnnComparison(
        samples=len(predictions.sample),
        blocks=clusters.blocks,
        spells=clusters.spells,
        dates=dates_of(info.dates, date),
        classes=[info.classes[position] for position in np.unique(predictions.truth)],
        left_out=[name for name in info.classes if name not in info.gate_classes],
        accuracy_improvement=_percent(models[REAL].accuracy, models.get(SYNTHETIC, models[REAL]).accuracy),
        models=models,
        differences=differences,
    )


def score_next_classes(dataset: SequenceDataset, predictions: Predictions) -> NextComparison:
    """Score predictions of the class at the next date on the same sequences.

    Args:
        dataset: The sequences.
        predictions: On the held-out ones that count; `real` is compared with the other models.
    """
    target = dataset.target[predictions.sample]
    clusters = Clusters.of(dataset.block[predictions.sample], dataset.days[target])
    models, differences = _scored_classes(predictions, clusters)
    gated = gate_classes(dataset)
    return NextComparison(
        samples=len(predictions.sample),
        blocks=clusters.blocks,
        spells=clusters.spells,
        dates=dates_of(dataset.info.dates, target),
        classes=[CLASSES[position] for position in np.unique(predictions.truth)],
        left_out=[name for name in CLASSES if name not in gated],
        models=models,
        differences=differences,
    )


def _scored_classes(predictions: Predictions, clusters: Clusters) -> tuple[dict[str, CnnScore], list[Difference]]:
    """Return the scores of classifiers on the same samples, and how `real` differs from the others."""
    label, predicted = predictions.truth, predictions.classes()
    hits = {name: classes == label for name, classes in predicted.items()}
    models = {}
    for name, classes in predicted.items():
        by_class = class_scores(label, classes, CLASSES, CLASSES)
        recall = {score.name: score.recall for score in by_class if score.samples}
        models[name] = CnnScore(recall=recall, **classification(label, classes).fields_of(CnnScore))
    accuracies = {name: mean_influence(hit) for name, hit in hits.items()}
    balanced = {name: balanced_influence(hit, label) for name, hit in hits.items()}
    return models, [
        *_differences(clusters, "accuracy", models, accuracies),
        *_differences(clusters, "balanced_accuracy", models, balanced),
    ]


def score_forecasts(dataset: SequenceDataset, predictions: Predictions) -> LstmComparison:
    """Score forecasts of NDVI on the same sequences.

    Args:
        dataset: The sequences.
        predictions: On the held-out ones; `real` is compared with the other models.
    """
    rows, truth = predictions.sample, predictions.truth.astype(np.float64)
    target = dataset.target[rows]
    clusters = Clusters.of(dataset.block[rows], dataset.days[target])
    models = {name: forecast_score(truth, forecast) for name, forecast in predictions.values.items()}
    errors = {name: mean_influence(_errors(truth, forecast)) for name, forecast in predictions.values.items()}
    return LstmComparison(
        samples=len(rows),
        blocks=clusters.blocks,
        spells=clusters.spells,
        dates=dates_of(dataset.info.dates, target),
        mae_improvement=_percent(-models[REAL].mae, -models.get(SYNTHETIC, models[REAL]).mae),
        models=models,
        differences=list(_differences(clusters, "mae", models, errors)),
    )


def days_of(dates: Sequence[date]) -> Rows:
    """Return dates as days since 1970."""
    return np.array(dates, "datetime64[D]").astype(np.int64)


def _differences(
    clusters: Clusters,
    metric: Metric,
    models: Mapping[str, CnnScore | LstmScore],
    influence: Mapping[str, Floats],
) -> Iterator[Difference]:
    """Yield how much better `real` is than each other model: gain in accuracy, or error avoided."""
    sign = -1 if metric == "mae" else 1
    for name, score in models.items():
        if name != REAL:
            own = sign * (influence[REAL] - influence[name])
            gain = sign * getattr(models[REAL], metric) - sign * getattr(score, metric)
            low, high = clusters.interval(gain, own)
            yield Difference(
                against=name,
                metric=metric,
                difference=gain,
                low=low,
                high=high,
                effective_samples=clusters.effective_samples(own),
            )


def _percent(value: float, other: float) -> float | None:
    """Return how much better a value is than another, in percent of the other's size; None where that is 0."""
    return 100 * (value - other) / abs(other) if other else None
