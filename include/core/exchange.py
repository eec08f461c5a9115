"""What runs of one pipeline take from runs of another: an accepted artifact, found by the run and verified.

A pipeline names its producers: which parameter stands for which artifact of which DAG. A run is named by the user
(`imagery=run:manual__2026-01-01`), by the asset event that triggered the consuming run, or is the latest one. No
parameter names a file of a run by its path: users who may trigger one DAG could read the runs of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from include.core.artifacts import sha256
from include.core.errors import BadInputError, ContractError
from include.core.run_folder import SOURCE_FOLDER, FileRecord, Run, RunFolder

NAMED_RUN = "run:"
"""Begins the value of a parameter that names a run instead of a file."""


@dataclass(frozen=True)
class Producer:
    """An artifact that runs of another pipeline hand over.

    Args:
        dag_id: The DAG whose runs may hand it over; no other may.
        step: The step that wrote it.
        artifact: Its path.
    """

    dag_id: str
    step: str
    artifact: str


@dataclass(frozen=True)
class Handed:
    """A file that a run takes from another.

    Args:
        path: Where it lies.
        sha256: Its checksum, as it was accepted.
        run: Name of the folder of the run that it comes from.
    """

    path: Path
    sha256: str
    run: str


def handed_over(
    producers: Mapping[str, Producer], params: Mapping[str, Any], triggers: Sequence[tuple[str, str]], data_dir: Path
) -> dict[str, Handed]:
    """Return the files that parameters stand for which name a run, or nothing; one that names a file stands for that.

    Args:
        producers: The consuming pipeline's, by parameter.
        params: The run's, as requested.
        triggers: DAG and id of the runs whose asset events triggered the run, newest first, as Airflow recorded them.
        data_dir: The data folder, with the runs.

    Raises:
        BadInputError: There is no such run, or no run at all has the artifact.
        ContractError: The artifact is not as it was accepted.
    """
    handed = {}
    for name, producer in producers.items():
        value = params.get(name)
        if isinstance(value, str) and value.startswith(NAMED_RUN):
            run_id = value.removeprefix(NAMED_RUN)
            handed[name] = _of_run(producer, run_id, data_dir, f"{name}: the run {run_id} of {producer.dag_id}")
        elif not value:
            handed[name] = _newest(producer, [run for dag, run in triggers if dag == producer.dag_id], data_dir, name)
    return handed


def check_handed(run: Run, handed: Mapping[str, Handed]) -> None:
    """Check that the files which a run took are those that were accepted, whatever happened while they were copied.

    Args:
        run: The run that took them, prepared.
        handed: The files, by parameter.

    Raises:
        ContractError: One is another.
    """
    sources = {record.path: record for record in run.sources}
    for name, file in handed.items():
        staged = sources[f"{SOURCE_FOLDER}/{run.params[name]}"]
        if staged.sha256 != file.sha256:
            raise _changed(str(file.path), file.run)


def refuse_runs(paths: Iterable[object], allowed: Iterable[Path], runs: Path) -> None:
    """Refuse input files that lie among the runs, however they are named.

    Args:
        paths: As users stated them; absolute, or below one of the allowed folders.
        allowed: Folders below which input files may lie.
        runs: The folder `runs/` of the data folder.

    Raises:
        BadInputError: One lies there.
    """
    runs, allowed = runs.resolve(), tuple(allowed)
    for path in (path for path in paths if isinstance(path, str)):
        for folder in allowed:
            with suppress(OSError, ValueError, RuntimeError):  # what cannot be resolved is refused when it is staged
                if (folder / path).resolve().is_relative_to(runs):
                    raise BadInputError(
                        f"{path}: lies among the runs, whose files are not input files; provide a published file, or "
                        f"name the run ({NAMED_RUN}RUN) where the parameter takes one"
                    )


def _newest(producer: Producer, triggering: Iterable[str], data_dir: Path, name: str) -> Handed:
    """Return the artifact of the newest run that triggered this one and has it, else of the one accepted last."""
    for run_id in triggering:
        with suppress(BadInputError):
            return _of_run(producer, run_id, data_dir, run_id)
    accepted: list[tuple[datetime, str]] = []
    for path in (data_dir / "runs" / producer.dag_id).glob("[!.]*"):
        result = _accepted(RunFolder(path), producer) if path.is_dir() and not path.is_symlink() else None
        if result is not None:
            accepted.append((result[0], path.name))
    for _, run in sorted(accepted, reverse=True):
        with suppress(BadInputError):
            return _of_run(producer, run, data_dir, run)
    raise BadInputError(
        f"{name}: no run of {producer.dag_id} has an accepted {producer.artifact} yet: run {producer.dag_id} first, or "
        f"name a file ({name}=FILE)"
    )


def _of_run(producer: Producer, run_id: str, data_dir: Path, what: str) -> Handed:
    folder = RunFolder.of(data_dir, producer.dag_id, run_id)
    accepted = _accepted(folder, producer)
    path = folder.files / producer.artifact
    if accepted is None or not path.is_file():
        raise BadInputError(f"{what} has no accepted {producer.artifact}")
    if sha256(path) != accepted[1].sha256:
        raise _changed(str(path), folder.path.name)
    return Handed(path, accepted[1].sha256, folder.path.name)


def _accepted(folder: RunFolder, producer: Producer) -> tuple[datetime, FileRecord] | None:
    """Return when a run's artifact was accepted and its record; None where it was not, or the record is damaged."""
    return next(
        (
            (result.ended_at, record)
            for result in folder.recorded_successes()
            if result.step == producer.step
            for record in result.outputs
            if record.path == producer.artifact
        ),
        None,
    )


def _changed(path: str, run: str) -> ContractError:
    return ContractError(path, f"must be as the run {run} left it (its checksum was recorded)", "other content")
