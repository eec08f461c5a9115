"""Published folders: the manifest of each, whether it is still true, and those that were replaced.

```
data/published/<pipeline>/<key>/                    what the schedule published last
data/published/<pipeline>/manual/<key>/             what a run started by hand published last
data/published/.replaced/<pipeline>/<key>/<time>/   what one of them held before
```

Each holds `publication.json`, its manifest, beside the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from include.core.artifacts import sha256
from include.core.errors import BadInputError, ContractError
from include.core.run_folder import PUBLICATION, FileRecord, Run, StartedBy, damage_of, read_model

SCHEMA_VERSION = 1
"""Of `publication.json`: raised when its keys change meaning."""
REPLACED, MANUAL = ".replaced", "manual"
NAMES_OF_SCHEDULES = ("scheduled__", "backfill__", "asset_triggered__")
"""Begin the ids of runs that no user started."""
_DEPTH = 3
"""A file of a publication lies so many folders below its manifest at most."""


class Replaced(BaseModel):
    """The publication whose place another one took."""

    run_id: str
    started_by: StartedBy | None = None
    results_ended_at: AwareDatetime
    kept: str = Field(description="Where it lies now, below the data folder.")


class Forgotten(BaseModel):
    """A subject was forgotten: some files were written again without it, others removed."""

    at: AwareDatetime
    rewritten: list[str]
    removed: list[str]


class Publication(BaseModel):
    """Whose results a published folder holds, and what they are (`publication.json` in it)."""

    schema_version: int = Field(
        0, description="0 where an earlier release published, which stated run and files alone."
    )
    domain: str | None = None
    pipeline: str | None = Field(None, description="As in the name of the folder.")
    key: str | None = None
    dag_id: str
    run_id: str
    started_by: StartedBy | None = None
    interval_start: AwareDatetime | None = None
    interval_end: AwareDatetime | None = None
    params: dict[str, Any] = {}
    sources: list[FileRecord] = Field([], description="The input files of the run.")
    report: str | None = Field(
        None, description="Address of the run's report; where Airflow has none, the run's folder below the data folder."
    )
    published_at: AwareDatetime | None = None
    results_ended_at: AwareDatetime = Field(description="When the last of the run's results was accepted.")
    replaced: Replaced | None = Field(None, description="What the folder held before, where that was something else.")
    forgotten: list[Forgotten] = []
    files: list[FileRecord] = Field(description="All files beside the manifest, with their checksums.")


def by_hand(run: Run) -> bool:
    """Return whether a user started a run, or gave it parameters that its schedule does not have.

    A run of an earlier release, which may be cleared after an upgrade, is known by its name alone.
    """
    return run.started_by == "user" or (run.started_by is None and not run.run_id.startswith(NAMES_OF_SCHEDULES))


def read_publication(folder: Path) -> Publication | None:
    """Return the manifest of a published folder; None where there is none.

    Raises:
        ContractError: It is damaged.
    """
    try:
        return read_model(folder / PUBLICATION, Publication)
    except ValidationError as error:
        hint = "Publish it again: clear the task publish of its run, or run it anew."
        raise ContractError(
            str(folder / PUBLICATION), "must be readable", damage_of(folder / PUBLICATION, error), hint=hint
        ) from error


def find_publications(published: Path) -> Iterator[Path]:
    """Yield the published folders, those that were replaced last.

    Args:
        published: The folder `published/` of the data folder.
    """
    for root in (published, published / REPLACED):
        for manifest in sorted(root.rglob(PUBLICATION)):
            if not any(part.startswith(".") for part in manifest.parent.relative_to(root).parts):
                yield manifest.parent


def check_published(file: Path, checksum: str) -> None:
    """Check a file that is about to be read against the manifest that lies beside it; without one, it is anyone's.

    Args:
        file: The file.
        checksum: Its SHA-256.

    Raises:
        BadInputError: The manifest is damaged, or states another file.
    """
    for folder in list(file.parents)[:_DEPTH]:
        try:
            publication = read_publication(folder)
        except ContractError as error:
            raise BadInputError(f"{file}: {error}") from error
        if publication is not None:
            name = file.relative_to(folder).as_posix()
            stated = next((record.sha256 for record in publication.files if record.path == name), checksum)
            if stated != checksum:
                raise BadInputError(
                    f"{file}: is not what the run {publication.run_id} published: its SHA-256 is {checksum[:12]}…, and "
                    f"{PUBLICATION} states {stated[:12]}…; publish it again, or copy your file elsewhere"
                )
            return


def faults_of(folder: Path) -> list[str]:
    """Return how a published folder differs from its manifest, a sentence for each file.

    Raises:
        ContractError: The manifest is damaged, or there is none.
    """
    publication = read_publication(folder)
    if publication is None:
        raise ContractError(str(folder), f"must hold {PUBLICATION}", "no such file")
    faults = []
    for record in publication.files:
        path = folder / record.path
        if not path.is_file():
            faults.append(f"{record.path}: is missing")
        elif sha256(path) != record.sha256:
            faults.append(f"{record.path}: differs from the manifest")
    return faults
