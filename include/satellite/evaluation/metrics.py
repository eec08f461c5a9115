"""Metrics on held-out samples: of a trained model, of the naive predictions that it must beat, of several models.

Naive predictions are fitted on the training part alone. All is computed on the processor, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    recall_score,
    root_mean_squared_error,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from include.satellite.datasets.labels import classes_of
from include.satellite.datasets.patches import PatchDataset
from include.satellite.datasets.sequences import SequenceDataset
from include.satellite.evaluation.bootstrap import Bools, Bootstrap, Floats
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
from include.satellite.training.networks import ModelBundle, predict_patches, predict_sequences
from include.satellite.training.schemas import (
    Classification,
    ClassScore,
    CnnMetrics,
    LstmMetrics,
    Skill,
    TrainingRecord,
)

Rows = NDArray[np.int64]
Classes = NDArray[np.integer]
Forecast = NDArray[np.floating]
CALIBRATION_BINS = 15
SEASON_DAYS, YEAR_DAYS = 30, 365.25


def evaluate_cnn(
    dataset: PatchDataset, rows: Rows, probabilities: Forecast, training: TrainingRecord, minimum: float
) -> CnnMetrics:
    """Evaluate the CNN's class probabilities (N, classes) of the rows.

    Classes with too few training samples leave the gate: accuracy, balanced accuracy and the baselines are measured
    on the samples of the other classes (on all, should none of those be left).
    """
    info = dataset.info
    true, predicted = dataset.label[rows], probabilities.argmax(axis=1)
    gated = in_gate(dataset, rows)
    gate = classification(true[gated], predicted[gated])
    naive = patch_baselines(dataset, rows)
    return CnnMetrics(
        **gate.fields_of(CnnMetrics),
        minimum_accuracy=minimum,
        required=info.label_source != "next_ndvi",
        expected_calibration_error=calibration_error(probabilities, true),
        all_classes=classification(true, predicted),
        baselines={name: classification(true[gated], classes[gated]) for name, classes in naive.items()},
        classes=class_scores(true, predicted, info.classes, info.gate_classes),
        confusion=confusion_matrix(true, predicted, labels=range(len(info.classes))).tolist(),
        evaluation_dates=dates_of(info.dates, dataset.date[rows]),
        training=training,
    )


def evaluate_lstm(
    dataset: SequenceDataset, rows: Rows, forecast: Forecast, training: TrainingRecord, minimum: float
) -> LstmMetrics:
    """Evaluate the LSTM's forecasts (N,) of NDVI for the rows."""
    true = dataset.y[rows]
    score = forecast_score(true, forecast)
    return LstmMetrics(
        samples=len(rows),
        **score.fields_of(LstmMetrics),
        r2=explained_variance(true, forecast),
        minimum_accuracy=minimum,
        baselines=skills(true, score.mae, sequence_baselines(dataset, rows)),
        climatology_fallback=float(climatology(dataset, rows)[1].mean()),
        evaluation_dates=dates_of(dataset.info.dates, dataset.target[rows]),
        training=training,
    )


def in_gate(dataset: PatchDataset, rows: Rows) -> Bools:
    """Return (N,) which rows count in the gates: those of classes with enough training samples, or all if none has."""
    gated = np.isin(dataset.label[rows], [dataset.info.classes.index(name) for name in dataset.info.gate_classes])
    return gated if gated.any() else np.ones_like(gated)


def dates_of(dates: Sequence[date], positions: Rows) -> list[date]:
    """Return the dates at some positions, each once, in order."""
    return [dates[position] for position in np.unique(positions)]


def classification(true: Classes, predicted: Classes) -> Classification:
    """Compute accuracy, and the mean recall of the classes that are present."""
    return Classification(
        samples=len(true),
        accuracy=float(accuracy_score(true, predicted)),
        balanced_accuracy=float(recall_score(true, predicted, labels=np.unique(true), average="macro")),
    )


def class_scores(true: Classes, predicted: Classes, names: Sequence[str], gated: Sequence[str]) -> list[ClassScore]:
    """Compute precision, recall and F1 of each class; None where a score is undefined.

    Args:
        true: (N,) classes, as positions in the names.
        predicted: (N,) classes.
        names: Of all classes.
        gated: Names of the classes that count in the gates.
    """
    labels = range(len(names))
    scores = np.transpose(precision_recall_fscore_support(true, predicted, labels=labels, zero_division=np.nan))
    cells = scores.astype(object)
    cells[np.isnan(scores)] = None
    return [
        ClassScore(name=name, samples=samples, precision=precision, recall=recall, f1=f1, in_gate=name in gated)
        for name, (precision, recall, f1, samples) in zip(names, cells, strict=True)
    ]


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
    truth = np.asarray(true, np.float64)
    mae = float(mean_absolute_error(truth, forecast))
    return LstmScore(mae=mae, rmse=float(root_mean_squared_error(truth, forecast)), accuracy=1 - mae / 2)


def explained_variance(true: Forecast, forecast: Forecast) -> float | None:
    """Compute R², the share of the truth's variance that the forecast explains; None where the truth is constant."""
    truth = np.asarray(true, np.float64)
    return float(r2_score(truth, forecast)) if np.ptp(truth) > 0 else None


def skills(true: Forecast, mae: float, naive: Mapping[str, Forecast]) -> dict[str, Skill]:
    """Compute the errors of naive forecasts, and the skill over them of a model with this MAE."""
    scores = {name: forecast_score(true, forecast) for name, forecast in naive.items()}
    return {
        name: Skill(mae=score.mae, rmse=score.rmse, skill=1 - mae / score.mae if score.mae > 0 else None)
        for name, score in scores.items()
    }


def patch_baselines(dataset: PatchDataset, rows: Rows) -> dict[str, Rows]:
    """Predict the classes of some patches by naive rules.

    `majority` is the most frequent class that training draws; `logistic_regression` sees the patch's mean reflectance
    by band, standardised, on the samples that training draws, repeats included; `ndvi_rule` is the class of the
    patch's own mean NDVI, left out where that is the label.

    Returns:
        (N,) classes by name.
    """
    train = dataset.rows("train")
    drawn = np.repeat(train, dataset.repeat[train])
    labels = dataset.label[drawn]
    majority = np.bincount(dataset.label[train]).argmax()
    means = np.repeat(dataset.band_means(train), dataset.repeat[train], axis=0)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    regression.fit(means, labels)
    classes = {
        "majority": np.full(len(rows), majority, np.int64),
        "logistic_regression": np.asarray(regression.predict(dataset.band_means(rows)), np.int64),
    }
    if dataset.info.label_source != "ndvi_rule":
        classes["ndvi_rule"] = classes_of(dataset.ndvi[rows]).astype(np.int64)
    return classes


def sequence_baselines(dataset: SequenceDataset, rows: Rows) -> dict[str, Floats]:
    """Forecast the NDVI of some sequences by naive rules.

    `persistence` is the location's NDVI at the last date of the sequence, `climatology` that of `climatology`, and
    `training_mean` the mean of the training part's targets.

    Returns:
        (N,) NDVI by name.
    """
    train = dataset.rows("train")
    return {
        "persistence": dataset.series[dataset.location[rows], dataset.times[rows, -1]].astype(np.float64),
        "climatology": climatology(dataset, rows)[0],
        "training_mean": np.full(len(rows), dataset.y[train].mean(dtype=np.float64)),
    }


def climatology(dataset: SequenceDataset, rows: Rows) -> tuple[Floats, Bools]:
    """Forecast by the mean of the location's earlier dates within ±30 days of the target's day of the year.

    Where the location has none, the mean of all its earlier dates. Earlier is earlier than the target, in any year.

    Returns:
        (N,) NDVI, and (N,) whether it is the mean of all earlier dates.
    """
    of_year = np.array([day.timetuple().tm_yday for day in dataset.info.dates])
    forecast, fallback = np.empty(len(rows)), np.zeros(len(rows), bool)
    location, target = dataset.location[rows], dataset.target[rows]
    for position in np.unique(target):
        of_target = target == position
        earlier = np.flatnonzero(dataset.days < dataset.days[position])
        apart = np.abs(of_year[earlier] - of_year[position])
        near = np.minimum(apart, YEAR_DAYS - apart) <= SEASON_DAYS
        series = np.ma.masked_invalid(dataset.series[location[of_target]][:, earlier].astype(np.float64))
        seasonal, overall = (part.mean(axis=1).filled(np.nan) for part in (series[:, near], series))
        fallback[of_target] = np.isnan(seasonal)
        forecast[of_target] = np.where(np.isnan(seasonal), overall, seasonal)
    return forecast, fallback


def compare_classifiers(dataset: PatchDataset, models: Mapping[str, ModelBundle], seed: int) -> CnnComparison:
    """Score classifiers and naive rules on the held-out patches that count in the gates.

    Args:
        dataset: The patches.
        models: By name; `real` is compared with the others and with the rules.
        seed: Of the bootstrap.
    """
    rows = gate_rows(dataset)
    predicted = {name: predict_patches(model, dataset, rows).argmax(axis=1) for name, model in models.items()}
    return score_classes(dataset, rows, {**predicted, **patch_baselines(dataset, rows)}, seed)


def compare_forecasts(dataset: SequenceDataset, models: Mapping[str, ModelBundle], seed: int) -> LstmComparison:
    """Score forecasts of NDVI by models and by naive rules on the held-out sequences.

    Args:
        dataset: The sequences.
        models: By name; `real` is compared with the others and with the rules.
        seed: Of the bootstrap.
    """
    rows = dataset.rows("validation")
    forecasts = {name: predict_sequences(model, dataset, rows) for name, model in models.items()}
    return score_forecasts(dataset, rows, {**forecasts, **sequence_baselines(dataset, rows)}, seed)


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
        by_class = class_scores(label, classes, info.classes, info.gate_classes)
        recall = {score.name: score.recall for score in by_class if score.samples}
        models[name] = CnnScore(recall=recall, **classification(label, classes).fields_of(CnnScore))
    accuracies = {name: boot.mean(hit) for name, hit in hits.items()}
    balanced = {name: boot.balanced_accuracy(hit, label) for name, hit in hits.items()}
    return CnnComparison(
        samples=len(rows),
        blocks=boot.shape[0],
        dates=dates_of(info.dates, date),
        classes=[info.classes[position] for position in np.unique(label)],
        left_out=[name for name in info.classes if name not in info.gate_classes],
        accuracy_improvement=_percent(models[REAL].accuracy, models.get(SYNTHETIC, models[REAL]).accuracy),
        models=models,
        differences=[
            *_differences(boot, "accuracy", models, accuracies),
            *_differences(boot, "balanced_accuracy", models, balanced),
        ],
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
    models, draws = {}, {}
    for name, forecast in forecasts.items():
        values = np.asarray(forecast, np.float64)
        models[name] = forecast_score(truth, values)
        draws[name] = boot.mean(np.abs(values - truth))
    return LstmComparison(
        samples=len(rows),
        blocks=boot.shape[0],
        dates=dates_of(dataset.info.dates, target),
        mae_improvement=_percent(-models[REAL].mae, -models.get(SYNTHETIC, models[REAL]).mae),
        models=models,
        differences=list(_differences(boot, "mae", models, draws)),
    )


def _differences(
    boot: Bootstrap, metric: Metric, models: Mapping[str, CnnScore | LstmScore], draws: Mapping[str, Floats]
) -> Iterator[Difference]:
    """Yield how much better `real` is than each other model: gain in accuracy, or error avoided."""
    sign = -1 if metric == "mae" else 1
    for name, score in models.items():
        if name != REAL:
            low, high = boot.interval(sign * draws[REAL] - sign * draws[name])
            gain = sign * getattr(models[REAL], metric) - sign * getattr(score, metric)
            yield Difference(against=name, metric=metric, difference=gain, low=low, high=high)


def _percent(value: float, other: float) -> float | None:
    """Return how much better a value is than another, in percent of the other's size; None where that is 0."""
    return 100 * (value - other) / abs(other) if other else None
