"""The tries: every comparison on the same held-out data, so that repeating it until it passes is seen and counted.

One file a place, `data/models/tries/<hash of place and source>.jsonl`, a line a try. Models that are retrained to the
same weights are the same try. Held-out data are the same where at least half of the forecast's held-out dates are.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

from pydantic import AwareDatetime, Field, ValidationError

from include.core.errors import ContractError
from include.core.files import locked, write_atomically
from include.core.settings import get_settings
from include.satellite.artifacts import CNN, COMPARISON, LSTM, VALIDATED
from include.satellite.evaluation.synthetic_baseline import keep_baseline
from include.satellite.imagery.schemas import Document
from include.satellite.params import CompareParams, LabelSource
from include.satellite.schemas import ModelName


class Try(Document):
    """One comparison on held-out data (`data/models/tries/*.jsonl`)."""

    run: str
    decided_at: AwareDatetime
    seed: int
    label_source: LabelSource
    weights: str = Field(description="Checksum of both models' weights.")
    held_out: list[date] = Field(description="Dates that the forecast was measured on.")
    promoted: list[ModelName] = Field(description="Models that passed all their gates.")


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
    path, own = _path(files), this_try(files)
    with locked(path.with_suffix(".lock"), timeout_s=None):
        tries = _read(path)
        if own.weights not in {earlier.weights for earlier in tries}:
            lines = [entry.model_dump_json() for entry in (*tries, own)]
            write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


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


def tries_on(files: Path) -> list[Try]:
    """Return the other tries on the same held-out data as a run's comparison, oldest first.

    Raises:
        ContractError: The file of the tries is damaged.
    """
    own = this_try(files)
    dates = set(own.held_out)
    return [
        earlier
        for earlier in _read(_path(files))
        if earlier.weights != own.weights and 2 * len(dates & set(earlier.held_out)) >= len(dates)
    ]


def tries_note(files: Path) -> str | None:
    """Return how many other tries there were on the same held-out data, and with which seeds; None if there were none.

    A gate that each try passes by chance with 2.5 % is passed by one of n tries with up to n × 2.5 %.
    """
    earlier = tries_on(files)
    if not earlier:
        return None
    seeds = ", ".join(map(str, sorted({entry.seed for entry in earlier})))
    passed = sum(bool(entry.promoted) for entry in earlier)
    return (
        f"This is one of {len(earlier) + 1} comparisons on the same held-out dates (seeds of the others: {seeds}; "
        f"{passed} of them passed gates of a model): with every further try, chance is likelier to pass a gate."
    )


def run_folder(files: Path) -> Path:
    """Return the folder of the run whose artifacts, or a step's inputs, a folder holds."""
    folder = files.resolve()
    return next((parent for parent in folder.parents if (parent / "run.json").is_file()), folder.parent)


def run_of(files: Path) -> str:
    """Return `<dag>/<run>` of a run's `files/` folder."""
    run = run_folder(files)
    return f"{run.parent.name}/{run.name}"


def _path(files: Path) -> Path:
    imagery = VALIDATED.read(files)
    place = json.dumps([imagery.collection, imagery.source, imagery.geometry], sort_keys=True)
    folder = get_settings().data_dir / "models" / "tries"
    return folder / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.jsonl"


def _read(path: Path) -> list[Try]:
    if not path.is_file():
        return []
    try:
        return [Try.model_validate_json(line) for line in path.read_text().splitlines()]
    except ValidationError as error:
        raise ContractError(
            f"models/tries/{path.name}", "must hold one try a line", str(error).splitlines()[0]
        ) from error
