"""The step `classify_crops`: the crop of each field of a table, by the classifier that the `.env` file enables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from include.core.errors import BadInputError, ContractError
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.run_folder import SOURCE_FOLDER
from include.core.settings import get_settings
from include.env_file import read_keys
from include.satellite.artifacts import CROP_CARD, CROP_CLASSES, CROP_CLASSIFICATION
from include.satellite.crops.params import SeriesParams
from include.satellite.crops.samples import FieldSeries, column_of, field_series
from include.satellite.crops.schemas import ClassRow, CropCard, CropClasses
from include.satellite.crops.training import read_ensemble
from include.satellite.evaluation.statements import check_stated
from include.satellite.fields.collection import key_of
from include.satellite.fields.store import read_table, write_table
from include.satellite.registry import store

if TYPE_CHECKING:
    import pandas as pd

ROWS_SHOWN = 50
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)


class ClassifyMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `classify_crops`."""

    fields: int
    crops: int
    stated: int
    agreeing: int


def classify_crops(files: Path, params: SeriesParams) -> None:
    """Write the crop and its probability of each field (`crop_classes.parquet`, `crop_classes.json`).

    Args:
        files: The run's `files/` folder, with the table in `source/`.
        params: How it is understood.

    Raises:
        BadInputError: No classifier is enabled; the table cannot be read; or it is of another season of the year, or
            lacks a feature that the classifier takes.
        SetupError: The folder cannot be written.
    """
    table, document = _classified(files, params)
    write_table(CROP_CLASSES.at(files), table, ClassRow)
    CROP_CLASSIFICATION.write(files, document)


def recompute_classes(files: Path, params: SeriesParams) -> None:
    """Check the crops and their probabilities, by reading the table and walking the trees again.

    Raises:
        ContractError: One is another.
    """
    table, document = _classified(files, params)
    check_stated(CROP_CLASSIFICATION.path, CROP_CLASSIFICATION.read(files), document)
    stated = read_table(CROP_CLASSES.at(files))
    own = [_plain(row) for row in table.to_dict("records")]
    for row, expected in zip([_plain(row) for row in stated.to_dict("records")], own, strict=False):
        if row != expected:
            raise ContractError(CROP_CLASSES.path, f"must state what the classifier gives: {expected}", row)
    if len(stated) != len(table):
        raise ContractError(CROP_CLASSES.path, f"must hold {len(table)} fields", len(stated))


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {
        str(name): None if value is None or value != value else round(value, 9) if isinstance(value, float) else value  # noqa: PLR0124
        for name, value in row.items()
    }


def enabled_classifier() -> store.StoredModel | None:
    """Return the crop classifier that the env file enables, whose files are unchanged; None where it enables none.

    Raises:
        BadInputError: It names a version that is not stored.
        ContractError: The version is damaged.
    """
    keys = read_keys(get_settings().env_file, store.CROP_ENV_KEYS)
    version = store.crops_in_use(keys)
    return None if version is None else store.find(version, store.CROP_FILES)


def _classified(files: Path, params: SeriesParams) -> tuple[pd.DataFrame, CropClasses]:
    model = enabled_classifier()
    if model is None:
        raise BadInputError(
            f"{get_settings().env_file}: enables no crop classifier ({store.USE}=true and {store.CROP_PATH}); "
            "`./pipeline run crops` trains one, and promotes it if every gate agrees"
        )
    card = CROP_CARD.read(model.folder)
    found = field_series(files / SOURCE_FOLDER, params)
    _check_fits(found, card, str(params.series))
    columns = [column_of(feature, month) for month in found.months for feature in card.features]
    probabilities = read_ensemble(model.folder).predict(found.table[columns].to_numpy(float))
    table = _rows(found, card, probabilities)
    known = table["stated"].isin(card.crops)
    document = CropClasses(
        model_version=model.version,
        model_sha256=card.weights_sha256,
        file=str(params.series),
        months=found.months,
        fields=len(table),
        by_crop=dict(sorted(Counter(table["predicted"]).items())),
        stated=int(known.sum()),
        agreeing=int((table["stated"] == table["predicted"])[known].sum()),
        synthetic=found.series.synthetic or card.synthetic,
        findings=[*found.series.findings, *found.findings, *_findings(found, card)],
    )
    return table, document


def _check_fits(found: FieldSeries, card: CropCard, name: str) -> None:
    first = found.months[0]
    if first.month != card.first_month or len(found.months) != card.months:
        raise BadInputError(
            f"{name}: holds {len(found.months)} months from {MONTHS[first.month - 1]} on; the classifier takes "
            f"{card.months} from {MONTHS[card.first_month - 1]} on (season_start, season_end)"
        )
    missing = [feature for feature in card.features if feature not in found.series.features]
    if missing:
        raise BadInputError(f"{name}: lacks {', '.join(missing)}, which the classifier takes")


def _rows(found: FieldSeries, card: CropCard, probabilities: np.ndarray[Any, Any]) -> pd.DataFrame:
    import pandas as pd

    order = np.argsort(-probabilities, axis=1, kind="stable")
    crops = np.array(card.crops, object)
    return pd.DataFrame(
        {
            "field_id": found.table["field_id"],
            "predicted": crops[order[:, 0]],
            "probability": np.take_along_axis(probabilities, order[:, :1], axis=1)[:, 0],
            "second": crops[order[:, 1]],
            "stated": found.table["crop"],
            "months": found.table["months"],
        }
    )


def _findings(found: FieldSeries, card: CropCard) -> list[Finding]:
    """Return what a reader must know: fields far from those of the training, other seasons, crops that it never saw."""
    west, south, east, north = card.bounds
    table = found.table
    outside = ~(table["longitude"].between(west, east) & table["latitude"].between(south, north))
    findings = []
    if outside.any():
        message = (
            f"{int(outside.sum()):,} of {len(table):,} fields lie outside the area of the training, where the "
            "classifier was not measured"
        )
        findings.append(Finding(severity="warning", message=message))
    if found.months[0] != card.season[0]:
        message = (
            f"the season begins in {found.months[0]:%Y-%m}, that of the training in {card.season[0]:%Y-%m}: other "
            "years were not measured"
        )
        findings.append(Finding(severity="warning", message=message))
    unknown = sorted(set(table["crop"].dropna()) - set(card.crops))
    if unknown:
        count = int(table["crop"].isin(unknown).sum())
        message = (
            f"{count:,} fields state {len(unknown)} crops that the classifier does not know; it takes them for others"
        )
        findings.append(Finding(severity="warning", message=message))
    same = found.months[0] == card.season[0] and not outside.all()
    if same:
        message = (
            "fields that the classifier learnt from agree with what is stated far more often than others would: take "
            "the agreement from the comparison, not from here"
        )
        findings.append(Finding(severity="info", message=message))
    return findings


def classify_crops_outcome(files: Path) -> StepOutcome:
    """Return how many fields were classified, and the first of them."""
    document, table = CROP_CLASSIFICATION.read(files), read_table(CROP_CLASSES.at(files))
    shown = table.sort_values("probability", kind="stable").head(ROWS_SHOWN)
    rows = tuple(
        (row["field_id"], row["predicted"], round(row["probability"], 3), row["second"], row["stated"] or None)
        for row in (_plain(row) for row in shown.to_dict("records"))
    )
    title = (
        "Fields" if len(table) <= ROWS_SHOWN else f"Fields ({ROWS_SHOWN} of {len(table):,}, the least certain first)"
    )
    counts = tuple(document.by_crop.items())
    return StepOutcome(
        metrics=ClassifyMetrics(
            fields=document.fields,
            crops=len(document.by_crop),
            stated=document.stated,
            agreeing=document.agreeing,
        ),
        findings=tuple(document.findings),
        tables=(
            Table(title="Fields by predicted crop", columns=("crop", "fields"), rows=counts),
            Table(title=title, columns=("field", "crop", "probability", "second", "stated"), rows=rows),
        ),
        provenance={"crop classifier": document.model_version, "series": document.file},
        published_as=f"{key_of(document.file)}/{document.months[-1]:%Y-%m}",
        synthetic=document.synthetic,
    )
