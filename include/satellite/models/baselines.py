"""Naive predictions that a model must beat before anyone trusts it; fitted on the training part alone."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.satellite.datasets.labels import classes_of

if TYPE_CHECKING:
    from include.satellite.datasets.patches import PatchDataset
    from include.satellite.datasets.sequences import SequenceDataset

Rows = NDArray[np.int64]
Classes = NDArray[np.int64]
Floats = NDArray[np.float64]
SEASON_DAYS, YEAR_DAYS = 30, 365.25


def patch_baselines(dataset: PatchDataset, rows: Rows) -> dict[str, Classes]:
    """Naive classes of some patches.

    `majority` is the most frequent class that training draws; `logistic_regression` sees the patch's mean reflectance
    by band, standardised, on the samples that training draws, repeats included; `ndvi_rule` is the class of the
    patch's own mean NDVI, left out where that is the label.

    Returns:
        (N,) classes by name.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train = dataset.rows("train")
    drawn = np.repeat(train, dataset.repeat[train])
    labels = dataset.label[drawn]
    majority = np.bincount(dataset.label[train]).argmax()
    means = np.repeat(dataset.band_means(train), dataset.repeat[train], axis=0)
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    regression.fit(means, labels)
    found = {
        "majority": np.full(len(rows), majority, np.int64),
        "logistic_regression": np.asarray(regression.predict(dataset.band_means(rows)), np.int64),
    }
    if dataset.info.label_source != "ndvi_rule":
        found["ndvi_rule"] = classes_of(dataset.ndvi[rows]).astype(np.int64)
    return found


def sequence_baselines(dataset: SequenceDataset, rows: Rows) -> dict[str, Floats]:
    """Naive forecasts of some sequences.

    `persistence` is the location's NDVI at the last date of the sequence, `climatology` what `climatology` says, and
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


def climatology(dataset: SequenceDataset, rows: Rows) -> tuple[Floats, NDArray[np.bool_]]:
    """The mean of the location's earlier dates within ±30 days of the target's day of the year.

    Where the location has none, the mean of all its earlier dates. Earlier is earlier than the target, in any year.

    Returns:
        (N,) NDVI, and (N,) whether it is the mean of all earlier dates.
    """
    of_year = np.array([_day_of_year(day) for day in dataset.info.dates])
    forecast, fallback = np.empty(len(rows)), np.zeros(len(rows), bool)
    location, target = dataset.location[rows], dataset.target[rows]
    for each in np.unique(target):
        here = target == each
        earlier = np.flatnonzero(dataset.days < dataset.days[each])
        apart = np.abs(of_year[earlier] - of_year[each])
        near = np.minimum(apart, YEAR_DAYS - apart) <= SEASON_DAYS
        series = dataset.series[location[here]][:, earlier].astype(np.float64)
        seasonal, whole = _mean(series[:, near]), _mean(series)
        fallback[here] = np.isnan(seasonal)
        forecast[here] = np.where(np.isnan(seasonal), whole, seasonal)
    return forecast, fallback


def _mean(series: Floats) -> Floats:
    """Mean over the columns that are known, NaN where none is."""
    known = ~np.isnan(series)
    count = known.sum(axis=1)
    total = np.where(known, series, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _day_of_year(day: date) -> int:
    return day.timetuple().tm_yday
