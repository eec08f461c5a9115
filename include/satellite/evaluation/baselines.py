"""Naive predictions that a trained model must beat, fitted on the training part alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.labels import classes_of
from include.satellite.datasets.patches import PatchDataset, PatchSamples
from include.satellite.datasets.schemas import CLASSES
from include.satellite.datasets.seasons import YEAR_DAYS, has_seasons
from include.satellite.datasets.sequences import SequenceDataset
from include.satellite.evaluation.predictions import FORECAST_REGRESSIONS

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
SEASON_DAYS = 30


def patch_baselines(dataset: PatchDataset, rows: Rows) -> dict[str, Floats]:
    """Predict the classes of some patches by naive rules.

    `logistic_regression` sees the patch's mean reflectance by band, standardised, on the samples that training draws,
    repeats included; the others are those of `patch_rules`.

    Returns:
        (N, classes) probabilities by name.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = dataset.rows("train")
    labels = dataset.label[np.repeat(train, dataset.repeat[train])]
    means = np.repeat(dataset.band_means(train), dataset.repeat[train], axis=0)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    regression.fit(means, labels)
    probabilities = np.zeros((len(rows), len(CLASSES)))
    probabilities[:, regression.classes_] = regression.predict_proba(dataset.band_means(rows))
    rules = patch_rules(dataset, rows)
    return {"majority": rules.pop("majority"), "logistic_regression": probabilities, **rules}


def patch_rules(samples: PatchSamples, rows: Rows) -> dict[str, Floats]:
    """Predict the classes of some patches by the naive rules that see no pixel.

    `majority` is the most frequent class of the training part; `ndvi_rule` is the class of the patch's own mean NDVI,
    left out where that is the label.

    Returns:
        (N, classes) probabilities by name: 1 for the predicted class.
    """
    majority = np.bincount(samples.label[samples.rows("train")]).argmax()
    classes = {"majority": np.full(len(rows), majority, np.int64)}
    if samples.info.label_source != "ndvi_rule":
        classes["ndvi_rule"] = classes_of(samples.ndvi[rows]).astype(np.int64)
    return {name: np.eye(len(CLASSES))[predicted] for name, predicted in classes.items()}


def sequence_baselines(dataset: SequenceDataset, rows: Rows) -> dict[str, Floats]:
    """Forecast the NDVI of some sequences by naive rules.

    `persistence` is the location's NDVI at the last date of the sequence, `anomaly_persistence` that and the season's
    change since (where the series hold seasons), `climatology` that of `climatology`, and `training_mean` the mean of
    the training part's targets.

    Returns:
        (N,) NDVI by name.
    """
    train, seasonal = dataset.rows("train"), {}
    if has_seasons(dataset.info.dates):
        seasonal["anomaly_persistence"] = dataset.expected[rows].astype(np.float64)
    return {
        "persistence": dataset.series[dataset.location[rows], dataset.times[rows, -1]].astype(np.float64),
        **seasonal,
        "climatology": climatology(dataset, rows)[0],
        "training_mean": np.full(len(rows), dataset.y[train].mean(dtype=np.float64)),
    }


def sequence_regressions(dataset: SequenceDataset, rows: Rows) -> dict[str, Floats]:
    """Forecast by regressions on the steps of the LSTM, added to anomaly persistence, fitted on the training part.

    `ridge` is linear, on standardised steps; `gradient_boosting` minimises the absolute error, with 200 trees.

    Returns:
        (N,) NDVI by name.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, steps = dataset.rows("train"), dataset.x.reshape(len(dataset), -1).astype(np.float64)
    left = (dataset.y - dataset.expected).astype(np.float64)
    models = (
        make_pipeline(StandardScaler(), Ridge()),
        HistGradientBoostingRegressor(loss="absolute_error", max_iter=200, early_stopping=False, random_state=0),
    )
    return {
        name: dataset.expected[rows] + model.fit(steps[train], left[train]).predict(steps[rows])
        for name, model in zip(FORECAST_REGRESSIONS, models, strict=True)
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
