"""The tries: every comparison on the same held-out data, so that repeating it until it passes is seen and counted.

One file a place, `data/models/tries/<hash of place and source>.jsonl`, a line a try; of crop classifiers all are in
`crops.jsonl`. Models that are retrained to the same weights are the same try. Held-out data are the same where at least
half of the forecast's held-out dates are; of crop classifiers, where at least half of the fields are, in seasons that
overlap. Many fields are compared by a sample of them: those whose checksums are smallest (Broder 1997).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AwareDatetime, Field, ValidationError

from include.core.errors import ContractError
from include.core.files import locked, write_atomically
from include.core.settings import get_settings
from include.satellite.artifacts import CNN, COMPARISON, CROP_CARD, CROP_COMPARISON, CROP_SAMPLES, LSTM, VALIDATED
from include.satellite.crops.params import CropCompareParams, CropModel
from include.satellite.evaluation.synthetic_baseline import keep_baseline
from include.satellite.fields.store import read_table
from include.satellite.imagery.schemas import Document
from include.satellite.params import CompareParams, LabelSource
from include.satellite.schemas import ModelName

SAMPLED_FIELDS = 512


class _Comparison(Document):
    run: str
    decided_at: AwareDatetime
    seed: int
    weights: str = Field(description="Checksum of the weights: of both models, or of the classifier.")

    @property
    def passed(self) -> bool:
        """Whether it passed all gates of a model."""
        return False

    def on_the_data_of(self, own: Any) -> bool:
        """Return whether it was made on the held-out data of another comparison of its kind."""
        return False


class Try(_Comparison):
    """One comparison on held-out data (`data/models/tries/*.jsonl`)."""

    label_source: LabelSource
    held_out: list[date] = Field(description="Dates that the forecast was measured on.")
    promoted: list[ModelName] = Field(description="Models that passed all their gates.")

    @property
    def passed(self) -> bool:
        """Whether it passed all gates of a model."""
        return bool(self.promoted)

    def on_the_data_of(self, own: Try) -> bool:
        """Return whether at least half of another try's held-out dates are among these."""
        return 2 * len({*own.held_out} & {*self.held_out}) >= len({*own.held_out})


class CropTry(_Comparison):
    """One comparison of crop classifiers (`data/models/tries/crops.jsonl`)."""

    model: CropModel
    season: tuple[date, date] = Field(description="First and last month.")
    fields: list[str] = Field(description=f"Checksums of fields (place and crop), the smallest {SAMPLED_FIELDS}.")
    promoted: bool = Field(description="Whether it passed all gates.")

    @property
    def passed(self) -> bool:
        """Whether it passed all gates."""
        return self.promoted

    def on_the_data_of(self, own: CropTry) -> bool:
        """Return whether seasons overlap and, by the sample, at least half of the fields are those of another try."""
        union = sorted({*self.fields, *own.fields})[:SAMPLED_FIELDS]
        shared = {*self.fields} & {*own.fields} & {*union}
        overlap = self.season[0] <= own.season[1] and own.season[0] <= self.season[1]
        return overlap and 3 * len(shared) >= len(union)


T = TypeVar("T", bound=_Comparison)


def keep_comparison(files: Path, params: CompareParams) -> None:
    """Keep what an accepted comparison leaves behind: its synthetic baseline, and that it was made.

    Args:
        files: The run's accepted files.
        params: Of the comparison.

    Raises:
        ContractError: The comparison names another recipe of the baseline, or the file of the tries is damaged.
        TransientError: Another run has stored a baseline of the same recipe meanwhile, which differs.
        SetupError: A store cannot be written.
    """
    keep_baseline(files, params)
    _keep(_path(files), this_try(files))


def keep_crop_comparison(files: Path, params: CropCompareParams) -> None:
    """Keep that an accepted comparison of crop classifiers was made.

    Args:
        files: The run's accepted files.
        params: Of the comparison.

    Raises:
        ContractError: The file of the tries is damaged.
        SetupError: The store cannot be written.
    """
    _keep(_crops_path(), this_crop_try(files))


def this_try(files: Path) -> Try:
    """Return a run's comparison as a try."""
    comparison = COMPARISON.read(files)
    checksums = [model.card.read(files).weights_sha256 for model in (CNN, LSTM)]
    return Try(
        run=run_of(files),
        decided_at=comparison.decided_at,
        seed=comparison.seed,
        label_source=comparison.label_source,
        weights=hashlib.sha256("".join(checksums).encode()).hexdigest(),
        held_out=comparison.lstm_comparison.dates,
        promoted=comparison.decision.models,
    )


def this_crop_try(files: Path) -> CropTry:
    """Return a run's comparison of crop classifiers as a try."""
    comparison, card = CROP_COMPARISON.read(files), CROP_CARD.read(files)
    table = read_table(CROP_SAMPLES.at(files))
    fields = zip(table["longitude"], table["latitude"], table["crop"], strict=True)
    keys = {f"{longitude:.4f} {latitude:.4f} {crop}".encode() for longitude, latitude, crop in fields}
    return CropTry(
        run=run_of(files),
        decided_at=comparison.decided_at,
        seed=card.seed,
        model=card.kind,
        weights=card.weights_sha256,
        season=card.season,
        fields=sorted(hashlib.sha256(key).hexdigest()[:12] for key in keys)[:SAMPLED_FIELDS],
        promoted=comparison.decision.promote,
    )


def tries_on(files: Path) -> list[Try]:
    """Return the other tries on the same held-out data as a run's comparison, oldest first.

    Raises:
        ContractError: The file of the tries is damaged.
    """
    return _others(_path(files), this_try(files))


def tries_note(files: Path) -> str | None:
    """Return how many other tries there were on the same held-out data, with which seeds; None if there were none.

    A gate that each try passes by chance with 2.5 % is passed by one of n tries with up to n × 2.5 %.
    """
    return _note(tries_on(files), "held-out dates")


def crop_tries_note(files: Path) -> str | None:
    """Return the same of a run's comparison of crop classifiers."""
    return _note(_others(_crops_path(), this_crop_try(files)), "held-out fields")


def _note(earlier: Sequence[_Comparison], data: str) -> str | None:
    if not earlier:
        return None
    seeds = ", ".join(map(str, sorted({entry.seed for entry in earlier})))
    passed = sum(entry.passed for entry in earlier)
    return (
        f"This is one of {len(earlier) + 1} comparisons on the same {data} (seeds of the others: {seeds}; "
        f"{passed} of them passed gates of a model): with every further try, chance is likelier to pass a gate."
    )


def _others(path: Path, own: T) -> list[T]:
    return [
        earlier for earlier in _read(path, type(own)) if earlier.weights != own.weights and earlier.on_the_data_of(own)
    ]


def _keep(path: Path, own: T) -> None:
    with locked(path.with_suffix(".lock"), timeout_s=None):
        tries = _read(path, type(own))
        if own.weights not in {earlier.weights for earlier in tries}:
            lines = [entry.model_dump_json() for entry in [*tries, own]]
            write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def run_folder(files: Path) -> Path:
    """Return the folder of the run whose artifacts, or a step's inputs, a folder holds."""
    folder = files.resolve()
    return next((parent for parent in folder.parents if (parent / "run.json").is_file()), folder.parent)


def run_of(files: Path) -> str:
    """Return `<dag>/<run>` of a run's `files/` folder."""
    run = run_folder(files)
    return f"{run.parent.name}/{run.name}"


def _folder() -> Path:
    return get_settings().data_dir / "models" / "tries"


def _path(files: Path) -> Path:
    imagery = VALIDATED.read(files)
    place = json.dumps([imagery.collection, imagery.source, imagery.geometry], sort_keys=True)
    return _folder() / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.jsonl"


def _crops_path() -> Path:
    return _folder() / "crops.jsonl"


def _read(path: Path, schema: type[T]) -> list[T]:
    if not path.is_file():
        return []
    try:
        return [schema.model_validate_json(line) for line in path.read_text().splitlines()]
    except ValidationError as error:
        raise ContractError(
            f"models/tries/{path.name}", "must hold one try a line", str(error).splitlines()[0]
        ) from error
