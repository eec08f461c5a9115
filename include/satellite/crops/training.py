"""The steps `read_series` and `train_crops`: the samples, the predictions on held-out blocks, and the model."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from include.core.artifacts import sha256
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.outcome import StepMetrics, StepOutcome, Table
from include.core.run_folder import SOURCE_FOLDER
from include.satellite.artifacts import (
    CROP_CARD,
    CROP_DATA,
    CROP_PREDICTIONS,
    CROP_SAMPLES,
    CROP_WEIGHTS,
)
from include.satellite.crops.models import Floats, Rows, Samples, fit, predict_held_out, samples_of
from include.satellite.crops.params import CropDataParams, CropTrainParams
from include.satellite.crops.samples import training_samples
from include.satellite.crops.schemas import CropCard, CropData, CropPrediction, SampleRow
from include.satellite.crops.trees import Ensemble, ensemble_of
from include.satellite.evaluation.predictions import Predictions
from include.satellite.evaluation.statements import check_stated
from include.satellite.fields.store import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

ARCHITECTURES = {
    "random_forest": "random forest of decision trees (Breiman 2001)",
    "gradient_boosting": "stochastic gradient boosting of regression trees (Friedman 2002)",
}
LIBRARIES = ("scikit-learn", "numpy")
ROUNDING = 1e-9


class ReadSeriesMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `read_series`."""

    fields: int
    crops: int
    crops_left_out: int
    months: int
    blocks: int
    rows_in: int


class TrainCropsMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `train_crops`."""

    fields: int
    trees: int
    folds: int


def read_series(files: Path, params: CropDataParams) -> None:
    """Write the samples of the training (`crop_samples.parquet`, `crop_data.json`).

    Args:
        files: The run's `files/` folder, with the table in `source/`.
        params: How it is understood, and which crops count.

    Raises:
        BadInputError: A file cannot be read, or does not hold what is needed.
        SetupError: The folder cannot be written.
    """
    table, document = training_samples(files / SOURCE_FOLDER, params)
    write_table(CROP_SAMPLES.at(files), table, SampleRow)
    CROP_DATA.write(files, document)


def recompute_series(files: Path, params: CropDataParams) -> None:
    """Check that the samples are those of the table, read again.

    Raises:
        ContractError: A field, a crop, a block, a fold or a value is another.
    """
    table, document = training_samples(files / SOURCE_FOLDER, params)
    check_stated(CROP_DATA.path, CROP_DATA.read(files), document)
    stated, rule = read_table(CROP_SAMPLES.at(files)), "must hold the samples of the series"
    if list(stated.columns) != list(table.columns) or len(stated) != len(table):
        raise ContractError(CROP_SAMPLES.path, rule, f"{len(stated)} rows of {len(stated.columns)} columns")
    for name in table.columns:
        same = (
            np.isclose(stated[name].astype(float), table[name].astype(float), rtol=0, atol=ROUNDING)
            if name in NUMBERS or name not in SampleRow.model_fields
            else (stated[name] == table[name]).to_numpy()
        )
        if not same.all():
            row = int(np.flatnonzero(~same)[0])
            raise ContractError(
                CROP_SAMPLES.path,
                f"{rule}: field {table['field_id'][row]} has {name} {table[name][row]}",
                stated[name][row],
            )


NUMBERS = ("longitude", "latitude", "block", "fold", "months")


def read_series_outcome(files: Path) -> StepOutcome:
    """Return how the series were understood, and which crops are learnt."""
    data = CROP_DATA.read(files)
    rows = [(crop, count, "learnt") for crop, count in data.crops.items()]
    rows += [(crop.crop, crop.fields, f"left out: {crop.reason}") for crop in data.left_out]
    return StepOutcome(
        metrics=ReadSeriesMetrics(
            fields=data.fields,
            crops=len(data.crops),
            crops_left_out=len(data.left_out),
            months=len(data.months),
            blocks=data.blocks,
            rows_in=data.rows,
        ),
        findings=tuple(data.findings),
        tables=(Table(title="Crops", columns=("crop", "fields", ""), rows=tuple(rows)),),
        provenance={"series": data.file},
        synthetic=data.synthetic,
    )


def read_samples(files: Path) -> tuple[pd.DataFrame, CropData, Samples]:
    """Return the samples of a run: their table, their document, and both in memory."""
    table, data = read_table(CROP_SAMPLES.at(files)), CROP_DATA.read(files)
    return table, data, samples_of(table, data)


def train_crops(files: Path, params: CropTrainParams) -> None:
    """Write the predictions of all models on held-out blocks, and this run's model, trained on all fields.

    Args:
        files: The run's `files/` folder.
        params: The kind of model, and the seed.

    Raises:
        SetupError: The folder cannot be written.
    """
    table, data, samples = read_samples(files)
    rows, values = predict_held_out(samples, samples.folds, params.crop_model, params.seed)
    write_crop_predictions(CROP_PREDICTIONS.at(files), samples, rows, values)
    model = fit(params.crop_model, samples.values, samples.crop, params.seed)
    ensemble_of(model, params.crop_model).save(CROP_WEIGHTS.at(files))
    CROP_CARD.write(files, card_of(table, data, params, sha256(CROP_WEIGHTS.at(files))))


def card_of(
    table: pd.DataFrame,
    data: CropData,
    params: CropTrainParams,
    weights_sha256: str,
    versions: dict[str, str] | None = None,
) -> CropCard:
    """Return the card of a trained classifier.

    Args:
        table: The samples.
        data: Their document.
        params: Of the training.
        weights_sha256: Of its weights.
        versions: Of the libraries; default: those that are installed.
    """
    longitude, latitude = table["longitude"], table["latitude"]
    limits = [
        "Measured on other places of the same area and season. Other seasons and areas are not measured.",
        f"It knows {len(data.crops)} crops, and takes every field for one of them.",
        "Its probabilities are shares of trees or sums of them; they are not calibrated.",
    ]
    if data.synthetic:
        limits.append("Trained on simulated series: it says nothing about real fields.")
    return CropCard(
        kind=params.crop_model,
        architecture=ARCHITECTURES[params.crop_model],
        crops=sorted(data.crops),
        features=data.features,
        first_month=data.months[0].month,
        months=len(data.months),
        fields=data.crops,
        bounds=(longitude.min(), latitude.min(), longitude.max(), latitude.max()),
        season=(data.months[0], data.months[-1]),
        file=data.file,
        file_sha256=data.sha256,
        synthetic=data.synthetic,
        seed=params.seed,
        params=params.model_dump(include={"crop_model", "seed"}),
        versions=versions or {name: importlib.metadata.version(name) for name in LIBRARIES},
        limits=limits,
        weights_sha256=weights_sha256,
    )


def recompute_training(files: Path, params: CropTrainParams) -> None:
    """Check the card, that the weights are its own and give each field a crop, and whom the predictions are of.

    Raises:
        ContractError: One states something else.
    """
    table, data, samples = read_samples(files)
    card = CROP_CARD.read(files)
    check_stated(CROP_CARD.path, card, card_of(table, data, params, sha256(CROP_WEIGHTS.at(files)), card.versions))
    ensemble = read_ensemble(files)
    probabilities = ensemble.predict(samples.values)
    if probabilities.shape[1] != len(card.crops):
        raise ContractError(CROP_WEIGHTS.path, f"must give {len(card.crops)} crops", probabilities.shape[1])
    read_crop_predictions(CROP_PREDICTIONS, files, samples)


def read_ensemble(folder: Path) -> Ensemble:
    """Return the ensemble of a folder, whose weights are those that the card was written for.

    Raises:
        ContractError: A file is missing or damaged, or the weights are others.
    """
    card, weights = CROP_CARD.read(folder), CROP_WEIGHTS.at(folder)
    if not weights.is_file() or sha256(weights) != card.weights_sha256:
        raise ContractError(CROP_WEIGHTS.path, f"must be the weights that {CROP_CARD.path} was written for", "others")
    return Ensemble.load(weights)


def train_crops_outcome(files: Path) -> StepOutcome:
    """Return how many trees were trained on how many fields."""
    table = read_table(CROP_SAMPLES.at(files))
    return StepOutcome(
        metrics=TrainCropsMetrics(
            fields=len(table), trees=len(read_ensemble(files).root), folds=int(table["fold"].nunique())
        )
    )


def write_crop_predictions(path: Path, samples: Samples, rows: Rows, values: dict[str, Floats]) -> None:
    """Write predictions on held-out fields as Parquet, model by model."""
    import pandas as pd

    count = len(values)
    stacked = np.concatenate(list(values.values()))
    table = pd.DataFrame(
        {
            "model": np.repeat(np.array(list(values), object), len(rows)),
            "sample": np.tile(rows, count),
            "crop": np.array(samples.crops, object)[np.tile(samples.crop[rows], count)],
        }
    )
    probabilities = {f"p_{crop}": stacked[:, number] for number, crop in enumerate(samples.crops)}
    write_table(path, table.assign(**probabilities), CropPrediction)


def read_crop_predictions(artifact: Artifact[Any], files: Path, samples: Samples) -> Predictions:
    """Read predictions on held-out fields.

    Raises:
        ContractError: They are not of the fields with the crops that the samples state, each once a model, in order; or
            probabilities do not add up to 1.
    """
    table = read_table(artifact.at(files))
    columns = [f"p_{crop}" for crop in samples.crops]
    if list(table.columns) != ["model", "sample", "crop", *columns]:
        raise ContractError(artifact.path, f"must hold the columns {', '.join(columns)}", ", ".join(table.columns))
    values: dict[str, Floats] = {}
    row: Rows | None = None
    for name, part in table.groupby("model", sort=False):
        own = part["sample"].to_numpy(np.int64)
        row = own if row is None else row
        sound = (
            np.array_equal(own, row) and (np.diff(own) > 0).all() and own.min() >= 0 and own.max() < len(samples.crop)
        )
        if not sound:
            raise ContractError(artifact.path, "must hold the same fields, each once, ascending, for every model", name)
        truth = np.array(samples.crops, object)[samples.crop[own]]
        if not (part["crop"].to_numpy() == truth).all():
            raise ContractError(artifact.path, f"must state the crops of {CROP_SAMPLES.path}", f"others for {name}")
        values[str(name)] = part[columns].to_numpy(float)
        if not np.allclose(values[str(name)].sum(axis=1), 1, rtol=0, atol=1e-6) or (values[str(name)] < 0).any():
            raise ContractError(artifact.path, "must hold probabilities that add up to 1", f"others for {name}")
    if row is None:
        raise ContractError(artifact.path, "must hold predictions", "none")
    return Predictions(row, samples.crop[row], values)
