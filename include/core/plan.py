"""Prepares a run: its folder, its plan (`run.json`), and people's files staged into it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.core.artifacts import sha256
from include.core.contracts import Window
from include.core.errors import BadInputError, SetupError
from include.core.pipeline import Pipeline
from include.core.runs import FileRecord, Run, RunFolder, write_json
from include.core.staging import stage, staged_names


def prepare_run(
    pipeline: Pipeline,
    folder: RunFolder,
    given: Mapping[str, Any],
    *,
    run_id: str,
    runtime: str,
    interval: tuple[datetime, datetime] | None,
    allowed_inputs: tuple[Path, ...],
    owner: int | None = None,
) -> Run:
    """Check the parameters, stage people's files, and write the plan that every step works to.

    Args:
        pipeline: What is to run.
        folder: Where; what an earlier attempt left there stays.
        given: Parameters by name, as somebody gave them.
        run_id: Airflow's name of the run.
        runtime: `local` or `docker`.
        interval: The run's data interval, used where neither `start` and `end` nor files are given.
        allowed_inputs: Folders below which people's files may lie.
        owner: User id that owns `files/` (containers write there as this user).

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
        pipeline=definition.workflow_name,
        dag_id=definition.dag_id,
        run_id=run_id,
        runtime=runtime,
        created_at=datetime.now(UTC),
        params=dict(given),
        steps=pipeline.plan,
        definition=FileRecord(
            path=definition.file.name, sha256=sha256(definition.file), bytes=definition.file.stat().st_size
        ),
    )
    write_json(folder.path / "run.json", run)  # at once, so that the report of a refused run names its steps
    params = pipeline.check_params(given)
    window = _window(params, interval)
    if params.get("end", window.end) is None:
        taken = {name: value for name, value in window.model_dump(mode="json").items() if name in params}
        params = pipeline.check_params(params | taken)
    try:
        folder.files.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"{folder.files}: cannot be created: {error.strerror}") from error
    sources: list[FileRecord] = []
    if params.get("csv"):
        sources = stage(params["csv"], folder.files, allowed_inputs)
        params["csv"] = staged_names(params["csv"])
    handed_in = {name: params[name] for name in pipeline.file_params if params.get(name)}
    if handed_in:
        sources = stage(handed_in.values(), folder.files, allowed_inputs)
        params |= dict(zip(handed_in, staged_names(handed_in.values()), strict=True))
    if owner is not None:
        give_to(folder.files, owner)
    plan = {"params": params, "sources": sources, "interval_start": window.start, "interval_end": window.end}
    run = run.model_copy(update=plan)
    write_json(folder.path / "run.json", run)
    return run


def _window(params: Mapping[str, Any], interval: tuple[datetime, datetime] | None) -> Window:
    """The run's window: as its params say, else its data interval; people's own files set their own.

    A pipeline that looks back covers the days before the end, whatever its interval's length.
    """
    end = params.get("end")
    if "days_back" in params:
        last = datetime.fromisoformat(end) if end else interval[1].astimezone(UTC) if interval else None
        return Window(start=last - timedelta(days=params["days_back"]), end=last) if last else Window()
    if not params.get("csv") and params.get("start") is None and interval is not None:
        return Window(start=interval[0].astimezone(UTC), end=interval[1].astimezone(UTC))
    return Window.model_validate({"start": params.get("start"), "end": end})


def give_to(files: Path, owner: int) -> None:
    """Let containers that run as `owner` write to a run's `files/`; what was staged stays read-only to them.

    Raises:
        SetupError: This process may not hand the folder over.
    """
    if files.stat().st_uid == owner:
        return
    try:
        os.chown(files, owner, -1)
    except PermissionError as error:
        raise SetupError(
            f"{files}: cannot be handed to user {owner} that containers run as; set GROUNDTRUTH_STEP_UID to yours"
        ) from error
