"""Predictions on held-out samples: how they are kept as Parquet, and the checks before anything is derived from them.

A table holds one row for each model and sample. Numbers are kept as DOUBLE, which holds float32 exactly, so metrics of
a table equal those of the arrays that it was written from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from include.core.contracts import Artifact
from include.core.errors import ContractError, SetupError
from include.core.files import atomic_file
from include.core.tables import connect, file_argument, literal
from include.satellite.datasets.schemas import CLASSES
from include.satellite.evaluation.schemas import PatchPrediction

Rows = NDArray[np.int64]
Values = NDArray[np.floating]
PROBABILITIES = tuple(name.lower() for name in CLASSES)
TOLERANCE = 1e-4
"""Of a probability or of NDVI that is predicted again from the same weights, in float32 on another device."""
TRAINING_TOLERANCE = 0.01
"""Of what the training itself predicts, perhaps in a GPU's shorter number format, and of a regression's iterations."""
RULE_TOLERANCE = 1e-6
"""Of a naive rule, which is arithmetic."""
CLOSER = 1e-3
"""By how much a shorter number format may move the mean error of NDVI forecasts."""
REGRESSION = "logistic_regression"
FORECAST_REGRESSIONS = ("ridge", "gradient_boosting")
REFITTED = (REGRESSION, *FORECAST_REGRESSIONS)
"""Rivals of scikit-learn, which `verify` fits again; the orchestrator's image does not hold it."""
DRAWN_SAMPLES = 256
"""Held-out samples of each model that are predicted again; fewer where there are fewer."""


@dataclass(frozen=True)
class Predictions:
    """Predictions of several models for the same samples.

    Args:
        sample: (N,) rows of the dataset's index, ascending.
        truth: (N,) classes as positions in `CLASSES`, or NDVI.
        values: By model: (N, classes) probabilities, or (N,) NDVI.
    """

    sample: Rows
    truth: NDArray[Any]
    values: Mapping[str, Values]

    def classes(self) -> dict[str, Rows]:
        """Return the (N,) most probable classes by model."""
        return {name: probabilities.argmax(axis=1) for name, probabilities in self.values.items()}

    def of(self, sample: Rows) -> Predictions:
        """Return the predictions of some of the samples.

        Raises:
            KeyError: One is not among them.
        """
        position = np.searchsorted(self.sample, sample)
        if not np.array_equal(self.sample[np.minimum(position, len(self.sample) - 1)], sample):
            raise KeyError("a sample without a prediction")
        values = {name: values[position] for name, values in self.values.items()}
        return Predictions(sample, self.truth[position], values)


def draw(rows: Rows, count: int = DRAWN_SAMPLES) -> Rows:
    """Return some of the rows, ascending, drawn by the operating system's random numbers: nobody can foresee them."""
    random = np.random.default_rng(int.from_bytes(os.urandom(16)))
    return np.sort(random.choice(rows, size=min(count, len(rows)), replace=False))


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions as Parquet, model by model.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    import duckdb

    count, sample, truth = len(predictions.values), predictions.sample, predictions.truth
    stacked = np.concatenate([np.asarray(values, np.float64) for values in predictions.values.values()])
    columns: dict[str, NDArray[Any]] = {
        "model": np.repeat(np.array(list(predictions.values), object), len(sample)),
        "sample": np.tile(sample, count),
    }
    if stacked.ndim == 2:
        columns["truth"] = np.array(CLASSES, object)[np.tile(truth, count)]
        columns |= {name: np.ascontiguousarray(stacked[:, number]) for number, name in enumerate(PROBABILITIES)}
    else:
        columns |= {"truth": np.tile(np.asarray(truth, np.float64), count), "forecast": stacked}
    with atomic_file(path) as partial, connect() as db:
        db.register("rows", columns)
        try:
            db.execute(f"COPY (SELECT * FROM rows) TO {literal(partial)} (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.IOException as error:
            raise SetupError(f"{path}: cannot be written: {error}") from error


def read_predictions(artifact: Artifact[Any], files: Path) -> Predictions:
    """Read the predictions of a folder.

    Raises:
        ContractError: They are missing, or the models did not predict the same samples, each once, in order.
    """
    import duckdb

    with connect() as db:
        try:
            columns = db.execute(f"SELECT * FROM read_parquet({file_argument(artifact.at(files))})").fetchnumpy()
        except duckdb.Error as error:
            raise ContractError(artifact.path, "must open as Parquet", str(error).splitlines()[0]) from error
    model, sample = np.asarray(columns["model"]), np.asarray(columns["sample"], np.int64)
    if issubclass(artifact.schema or BaseModel, PatchPrediction):
        truth = (np.asarray(columns["truth"])[:, None] == np.array(CLASSES, object)).argmax(axis=1)
        values = np.stack([np.asarray(columns[name], np.float64) for name in PROBABILITIES], axis=1)
    else:
        truth, values = (np.asarray(columns[name], np.float64) for name in ("truth", "forecast"))
    groups = {str(name): model == name for name in dict.fromkeys(model.tolist())}
    first = next(iter(groups.values()))
    for name, group in groups.items():
        if not (np.array_equal(sample[group], sample[first]) and np.array_equal(truth[group], truth[first])):
            raise ContractError(artifact.path, "must hold the same samples, with one truth, for every model", name)
    if (np.diff(sample[first]) <= 0).any():
        raise ContractError(artifact.path, "must hold each sample once, in ascending order", "another order")
    return Predictions(sample[first], truth[first], {name: values[group] for name, group in groups.items()})


def check_samples(name: str, predictions: Predictions, rows: Rows, truth: NDArray[Any]) -> None:
    """Check that predictions are for the held-out samples, all of them, with the truth that the dataset states.

    Args:
        name: The file of the predictions.
        predictions: What it holds.
        rows: The held-out rows of the dataset.
        truth: Of all rows of the dataset.

    Raises:
        ContractError: They are for other samples, or with another truth.
    """
    if not np.array_equal(predictions.sample, rows):
        others = len(np.setxor1d(predictions.sample, rows))
        raise ContractError(name, f"must hold the {len(rows):,} held-out samples and no others", f"{others:,} differ")
    wrong = np.flatnonzero(predictions.truth != truth[rows].astype(predictions.truth.dtype))
    if wrong.size:
        found = f"{predictions.truth[wrong[0]]} for sample {rows[wrong[0]]}, which is {truth[rows[wrong[0]]]}"
        raise ContractError(name, "must state the truth of the dataset", found)


def check_same(
    name: str, stated: Predictions, recomputed: Predictions, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Check that predictions are those of another computation, within a tolerance.

    Args:
        name: The file of the stated predictions.
        stated: What it holds.
        recomputed: For some or all of its samples, for some of its models.
        tolerance: Largest difference; that of a regression may be `TRAINING_TOLERANCE`.

    Returns:
        The largest difference by model.

    Raises:
        ContractError: A model or a sample is missing, or a prediction differs; names the model and the sample.
    """
    differences = {}
    for model, values in recomputed.values.items():
        if model not in stated.values:
            raise ContractError(name, f"must hold predictions of the model {model}", ", ".join(stated.values))
        try:
            own = stated.of(recomputed.sample).values[model]
        except KeyError as error:
            raise ContractError(name, "must hold every sample that was predicted again", "a missing one") from error
        apart = np.abs(own - values).reshape(len(values), -1).max(axis=1)
        largest = int(apart.argmax())
        limit = max(tolerance, TRAINING_TOLERANCE) if model in REFITTED else tolerance
        if not apart[largest] <= limit:
            raise ContractError(
                name,
                f"must hold what the model {model} predicts, within {limit:g}",
                f"a difference of {apart[largest]:.2g} at sample {recomputed.sample[largest]}",
            )
        differences[model] = float(apart[largest])
    return differences


def check_no_closer(name: str, stated: Predictions, recomputed: Predictions) -> None:
    """Check that forecasts are on average no closer to the truth than those of another computation.

    A shorter number format moves each forecast a little, and as often away from the truth as towards it.

    Args:
        name: The file of the stated predictions.
        stated: What it holds; of classes, nothing is checked.
        recomputed: For the same samples, of the same models at least.

    Raises:
        ContractError: The mean error of a model is smaller by more than `CLOSER`.
    """
    for model, values in stated.values.items():
        if values.ndim == 1:
            own, again = (np.abs(each - stated.truth).mean() for each in (values, recomputed.values[model]))
            if own < again - CLOSER:
                rule = f"must be no closer to the truth than what {model} predicts: a mean error of {again:.4f}"
                raise ContractError(name, rule, f"{own:.4f}")
