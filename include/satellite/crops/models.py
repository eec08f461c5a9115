"""The models of crop classification, and their predictions on held-out blocks.

Hyperparameters are the defaults of scikit-learn but for what is stated here; nothing is chosen by a result. Crops
weigh alike whatever their number of fields, for the measure is balanced accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from include.satellite.crops.params import CropModel
from include.satellite.crops.samples import KEY, NEIGHBOURS_M, column_of, metres
from include.satellite.crops.schemas import CropData
from include.satellite.schemas import REAL

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
MAJORITY, REGRESSION, SINGLE = "majority", "logistic_regression", "month "
KINDS: tuple[CropModel, ...] = get_args(CropModel)
SETTINGS: Mapping[CropModel, Mapping[str, Any]] = {
    "random_forest": {"n_estimators": 300, "class_weight": "balanced"},
    "gradient_boosting": {"subsample": 0.5, "max_features": "sqrt"},
}
"""Random forest: Breiman 2001, with trees enough that the seed hardly matters. Stochastic gradient boosting: Friedman
2002, with half of the samples a tree."""


@dataclass(frozen=True)
class Samples:
    """The samples of a training in memory.

    Args:
        values: (N, months × features).
        crop: (N,) positions in `crops`.
        crops: Their names.
        block: (N,) blocks.
        fold: (N,) folds.
        place: (N, 2) metres east and north.
        months: Columns of each month, by the name of its rival.
    """

    values: Floats
    crop: Rows
    crops: tuple[str, ...]
    block: Rows
    fold: Rows
    place: Floats
    months: Mapping[str, Rows]

    @property
    def folds(self) -> list[int]:
        """The folds, ascending."""
        return [int(fold) for fold in np.unique(self.fold)]

    def held_out(self, fold: int) -> Rows:
        """Return the fields of a fold."""
        return np.flatnonzero(self.fold == fold)

    def training(self, fold: int) -> Rows:
        """Return the fields that a fold's models learn from: the other blocks, without neighbours of the held-out."""
        from scipy.spatial import cKDTree

        distance, _ = cKDTree(self.place[self.held_out(fold)]).query(self.place)
        return np.flatnonzero((self.fold != fold) & (distance >= NEIGHBOURS_M))


def samples_of(table: pd.DataFrame, data: CropData) -> Samples:
    """Return the samples of a training.

    Args:
        table: `crop_samples.parquet`.
        data: Its document.
    """
    columns = [name for name in table.columns if name not in KEY]
    position = {name: number for number, name in enumerate(columns)}
    crops = tuple(sorted(data.crops))
    return Samples(
        values=table[columns].to_numpy(float),
        crop=np.array([crops.index(crop) for crop in table["crop"]], np.int64),
        crops=crops,
        block=table["block"].to_numpy(np.int64),
        fold=table["fold"].to_numpy(np.int64),
        place=np.stack(metres(table["longitude"].to_numpy(float), table["latitude"].to_numpy(float)), axis=1),
        months={
            f"{SINGLE}{month:%Y-%m}": np.array([position[column_of(feature, month)] for feature in data.features])
            for month in data.months
        },
    )


def rivals(samples: Samples, kind: CropModel) -> list[str]:
    """Return the names of all models that are evaluated, this run's first."""
    regressions = (of_regression(month) for month in samples.months)
    return [REAL, *(name for name in KINDS if name != kind), REGRESSION, MAJORITY, *samples.months, *regressions]


def of_regression(month: str) -> str:
    """Return the name of the logistic regression that sees one month."""
    return f"{REGRESSION} {month}"


def fit(kind: CropModel, values: Floats, crop: Rows, seed: int) -> Any:
    """Return a model of scikit-learn, trained.

    Args:
        kind: Which.
        values: (N, features).
        crop: (N,) crops as numbers.
        seed: Of its random numbers.
    """
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.utils.class_weight import compute_sample_weight

    if kind == "random_forest":
        return RandomForestClassifier(**SETTINGS[kind], random_state=seed).fit(values, crop)
    model = GradientBoostingClassifier(**SETTINGS[kind], random_state=seed)
    return model.fit(values, crop, sample_weight=compute_sample_weight("balanced", crop))


def predict_fold(samples: Samples, fold: int, kind: CropModel, seed: int) -> dict[str, Floats]:
    """Return the (held-out fields, crops) probabilities of all models, trained without the fold and its neighbours.

    Args:
        samples: All fields.
        fold: Which blocks are held out.
        kind: This run's kind of model.
        seed: Of the trainings.
    """
    train, held = samples.training(fold), samples.held_out(fold)
    crop = samples.crop[train]

    def predicted(train_on: Callable[[Floats, Rows], Any], columns: Rows | slice = slice(None)) -> Floats:
        model = train_on(samples.values[train][:, columns], crop)
        return _all_crops(model, samples.values[held][:, columns], len(samples.crops))

    def tree_model(name: CropModel) -> Callable[[Floats, Rows], Any]:
        return lambda values, crop: fit(name, values, crop, seed)

    others: dict[str, Floats] = {name: predicted(tree_model(name)) for name in KINDS if name != kind}
    majority = np.bincount(crop, minlength=len(samples.crops)).argmax()
    months = samples.months.items()
    return {
        REAL: predicted(tree_model(kind)),
        **others,
        REGRESSION: predicted(_regression),
        MAJORITY: np.tile(np.eye(len(samples.crops))[majority], (len(held), 1)),
        **{name: predicted(tree_model(kind), columns) for name, columns in months},
        **{of_regression(name): predicted(_regression, columns) for name, columns in months},
    }


def _regression(values: Floats, crop: Rows) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    return model.fit(values, crop)


def _all_crops(model: Any, values: Floats, count: int) -> Floats:
    """Return probabilities of all crops, 0 of one that a fold's training lacks."""
    probabilities = np.zeros((len(values), count))
    probabilities[:, model.classes_] = model.predict_proba(values)
    return probabilities


def predict_held_out(
    samples: Samples, folds: Iterable[int], kind: CropModel, seed: int
) -> tuple[Rows, dict[str, Floats]]:
    """Return the held-out fields of some folds, ascending, and the probabilities of all models for them."""
    parts: list[tuple[Rows, dict[str, Floats]]] = [
        (samples.held_out(fold), predict_fold(samples, fold, kind, seed)) for fold in folds
    ]
    row = np.concatenate([held for held, _ in parts])
    order = np.argsort(row)
    names: Sequence[str] = list(parts[0][1])
    return row[order], {name: np.concatenate([values[name] for _, values in parts])[order] for name in names}
