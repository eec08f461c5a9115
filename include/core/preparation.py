"""Prepare a run: its folder, its plan (`run.json`), and its input files, sealed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from include.core.artifacts import remove, sha256
from include.core.contracts import imported
from include.core.errors import BadInputError
from include.core.events import RunStarted
from include.core.files import setup_errors
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.publications import check_published
from include.core.run_folder import (
    SCHEMA_VERSION,
    SOURCE_FOLDER,
    FileRecord,
    Run,
    RunFolder,
    StartedBy,
)
from include.core.work_folder import show


def prepare_run(
    pipeline: Pipeline,
    folder: RunFolder,
    requested: Mapping[str, Any],
    *,
    run_id: str,
    runtime: str,
    interval: tuple[datetime, datetime] | None,
    allowed_inputs: tuple[Path, ...],
    started_by: StartedBy | None = None,
) -> Run:
    """Check the parameters, stage the input files, and write the plan that every step works to.

    Args:
        pipeline: What is to run.
        folder: Where; what an earlier attempt left there stays.
        requested: Parameters by name, as the user stated them.
        run_id: Airflow's name of the run.
        runtime: `local` or `docker`.
        interval: The run's data interval, used where there are neither `start` and `end` nor input files.
        allowed_inputs: Folders below which input files may lie.
        started_by: What started the run.

    Returns:
        The plan, also written to `run.json`.

    Raises:
        BadInputError: A parameter is unknown or impossible, a file cannot be used, or the folder is another run's.
        SetupError: The folder cannot be written.
    """
    definition, earlier = pipeline.definition, folder.run()
    if earlier is not None and (earlier.dag_id, earlier.run_id) != (definition.dag_id, run_id):
        raise BadInputError(f"{folder.path} belongs to the run {earlier.run_id}; give this one another run id")
    run = Run(
        schema_version=SCHEMA_VERSION,
        pipeline=definition.workflow_name,
        dag_id=definition.dag_id,
        run_id=run_id,
        runtime=runtime,
        created_at=datetime.now(UTC),
        started_by=started_by,
        params=dict(requested),
        steps=pipeline.plan,
        definition=FileRecord(
            path=definition.file.name, sha256=sha256(definition.file), bytes=definition.file.stat().st_size
        ),
    )
    folder.sink.keep("run.json", run)  # at once, so that the report of a refused run names its steps
    folder.sink.emit(RunStarted(pipeline=run.pipeline, steps=len(run.steps)))
    params = pipeline.check_params(requested)
    window = pipeline.window.of_run(params, interval, has_files=bool(params.get(INPUT_FILES)))
    if params.get("end", window.end) is None:
        limits = {name: value for name, value in window.model_dump(mode="json").items() if name in params}
        params = pipeline.check_params(params | limits)
    files = params.get(INPUT_FILES) or []
    single_files = {name: params[name] for name in pipeline.file_params if params.get(name)}
    paths = [*files, *single_files.values()]
    sources = stage(paths, folder, allowed_inputs) if paths else []
    names = staged_names(paths)
    params |= {INPUT_FILES: names[: len(files)]} if files else {}
    params |= dict(zip(single_files, names[len(files) :], strict=True))
    plan = {"params": params, "sources": sources, "interval_start": window.start, "interval_end": window.end}
    run = run.model_copy(update=plan)
    folder.sink.keep("run.json", run)
    if pipeline.check_files:
        imported(pipeline.check_files)(folder.files / SOURCE_FOLDER, params)
    return run


def staged_names(paths: Iterable[str | PurePath]) -> list[str]:
    """Return the names below `files/source/`: each file's own, without control characters, made unique.

    >>> staged_names(["a/day.csv", "b/day.csv", "c/year.csv.gz"])
    ['day.csv', 'day-2.csv', 'year.csv.gz']
    """
    names: list[str] = []
    for path in paths:
        name = "".join(sign if sign.isprintable() else "-" for sign in PurePath(path).name)
        stem, dot, suffix = name.partition(".")
        candidate, number = name, 2
        while candidate in names:
            candidate, number = f"{stem}-{number}{dot}{suffix}", number + 1
        names.append(candidate)
    return names


def stage(paths: Iterable[str], folder: RunFolder, allowed: Iterable[Path]) -> list[FileRecord]:
    """Seal input files as `source/<name>`, beside which `files/source/` shows nothing else afterwards.

    Args:
        paths: Files, absolute or below one of the allowed folders.
        folder: The run.
        allowed: Folders below which a file may lie.

    Raises:
        BadInputError: A file is missing, unreadable, empty, lies elsewhere, or is not what was published.
        SetupError: The copy could not be written.
    """
    paths, allowed, resolved = list(paths), tuple(place.resolve() for place in allowed), []
    for path in paths:
        try:
            resolved.append(_resolve(path, allowed))
        except (OSError, ValueError, RuntimeError) as error:  # no access, a NUL or too long a name, a loop of links
            raise BadInputError(f"{path!r}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    with setup_errors(folder.files / SOURCE_FOLDER, "written"):
        remove(folder.files, SOURCE_FOLDER)
    names = (f"{SOURCE_FOLDER}/{name}" for name in staged_names(paths))
    records = [_stage(source, folder, name) for source, name in zip(resolved, names, strict=True)]
    folder.artifacts.flush({record.sha256: record.path for record in records})
    return records


def _resolve(path: str, allowed: tuple[Path, ...]) -> Path:
    for folder in allowed:
        candidate = (folder / path).resolve()
        if not candidate.is_relative_to(folder) or not candidate.exists():
            continue
        if not candidate.is_file():
            raise BadInputError(f"{path}: is not a file")
        if candidate.stat().st_size == 0:
            raise BadInputError(f"{path}: is empty (0 bytes)")
        return candidate
    if Path(path).is_absolute() and not any(Path(path).resolve().is_relative_to(folder) for folder in allowed):
        folders = ", ".join(map(str, allowed))
        raise BadInputError(
            f"{path}: lies outside the folders that runs may read ({folders}); see GROUNDTRUTH_INPUT_DIRS"
        )
    raise BadInputError(f"{path}: no such file")


def _stage(source: Path, folder: RunFolder, name: str) -> FileRecord:
    try:
        reader = source.open("rb")
    except OSError as error:
        raise BadInputError(f"{source}: cannot be read: {error.strerror}") from error
    with reader:
        sealed = folder.artifacts.put(reader, name)
    check_published(source, sealed.sha256)
    record = FileRecord(path=name, sha256=sealed.sha256, bytes=sealed.bytes)
    show(folder.files, name, folder.locate(record))
    return record
