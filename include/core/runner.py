"""Run one step and check it: the only way that a step gets the status "success".

The same function serves every runtime. The caller provides how the step is executed (a call, a process, a container);
what is checked before and after is the same, and is checked here, on the orchestrator's side.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from include.core.artifacts import check_artifact, check_unchanged, remove
from include.core.contracts import Step, StepParams
from include.core.errors import BadInputError, ContractError, InterruptedStepError, explain
from include.core.recording import failure_recorded, write_result
from include.core.run_folder import (
    INTERRUPTED_MARK,
    SOURCE_FOLDER,
    FileRecord,
    Records,
    Run,
    RunFolder,
    Started,
    StepResult,
    read_model,
    write_json,
)

Signature = tuple[int, int, int]
LIBRARIES = ("pydantic", "apache-airflow")
BEGUN = "begun.json"


class Begun(BaseModel):
    """What a step's work began with, for an attempt that resumes it (in the step's records)."""

    image: str | None
    params: dict[str, Any]
    inputs: list[FileRecord]
    files: dict[str, Signature]

    def same_work(self, draft: StepResult) -> bool:
        """Whether an attempt that began now would do the same."""
        return (self.image, self.params, self.inputs) == (draft.image, draft.params, draft.inputs)


@dataclass(frozen=True)
class Attempt:
    """Which attempt of a step this is, and how it runs.

    Args:
        number: 1 for the first.
        generation: Raised each time a user clears the step; a result of an earlier generation is never reused.
        runtime: `local` or `docker`.
        command: What runs, for users.
        image: Finds the id of the image that runs (None for none); may raise like the step itself.
        log_url: Where its log can be read.
        declared: Every path that any step of the pipeline may write; others are refused.
        resuming: Whether the work that an attempt of this generation began goes on without it, or ended after its
            worker died; None where work dies with its worker. What it wrote is then kept and judged.
    """

    number: int = 1
    generation: int = 0
    runtime: str = "local"
    command: str = ""
    image: Callable[[], str | None] = lambda: None
    log_url: str | None = None
    declared: frozenset[str] = field(default_factory=frozenset)
    resuming: Callable[[], bool] | None = None

    def start(self, step_id: str) -> Started:
        """Return the record of a task whose attempt begins now."""
        return Started(
            step=step_id,
            started_at=datetime.now(UTC),
            attempt=self.number,
            generation=self.generation,
            runtime=self.runtime,
        )


def run_step(step: Step, folder: RunFolder, attempt: Attempt, execute: Callable[[StepParams], None]) -> StepResult:
    """Run a step under its contract.

    Args:
        step: The step and its contract.
        folder: The run, whose plan (`run.json`) holds the parameters.
        attempt: Which attempt this is.
        execute: Does the work: calls the step's function, or runs its command or container.

    Returns:
        The result, whose status is always `success`: everything else raises.

    Raises:
        GroundtruthError: What went wrong, in a sentence; the result with the status `failed` is written first.
    """
    started = attempt.start(step.id)
    draft = StepResult.draft(
        started,
        title=step.title,
        description=step.description,
        version=step.version,
        command=attempt.command or step.function,
        log_url=attempt.log_url,
        versions=_versions(step),
    )
    with failure_recorded(folder, draft, make_room=lambda: _remove(folder, step.outputs)):
        if (folder.path / INTERRUPTED_MARK).exists():
            raise InterruptedStepError("not started: the run was interrupted")
        draft.image = attempt.image()
        run = _plan(folder)
        params = _params(step, run)
        draft.params = params.model_dump(mode="json")
        if step.skip_param and getattr(params, step.skip_param):
            draft.skipped = step.skip_param
        draft.inputs = _check_inputs(step, folder, run.sources)
        previous = _accepted_before(folder, draft)
        if previous is not None:
            return previous
        before = _begin(step, folder, attempt, started, draft)
        began = draft.started_at.timestamp()
        execute(params)
        _check_nothing_else(step, folder, before, attempt.declared, draft.started_at)
        for record in draft.inputs:
            check_unchanged(folder.files, record, "its producer")
        checked = [check_artifact(folder.files, artifact, since=began) for artifact in step.writes]
        draft.outputs = [record for record in checked if record is not None]
        if step.records is not None:
            draft.records = step.records(folder.files)
            _check_accounting(step.id, draft.records)
        proofs = step.prove(folder.files, params)  # first: what an outcome shows is proven
        draft.outcome = step.read_outcome(folder.files).proven(proofs)
        result = write_result(folder, draft, "success")
        _remove(folder, step.scratch)
        return result


def _begin(
    step: Step, folder: RunFolder, attempt: Attempt, started: Started, draft: StepResult
) -> dict[str, Signature]:
    """Resume the work of an attempt that died, or remove what it left; return the files that existed before it."""
    records = folder.step(step.id)
    died = folder.started(step.id)
    same_generation = died is not None and died.generation == started.generation
    (records / "result.json").unlink(missing_ok=True)
    begun = read_model(records / BEGUN, Begun) if attempt.resuming and same_generation else None
    if begun and died and attempt.resuming and begun.same_work(draft) and attempt.resuming():
        draft.started_at = died.started_at
        write_json(records / "started.json", started.model_copy(update={"started_at": died.started_at}))
        return begun.files
    _remove_leftovers(step, folder, attempt.declared, started.started_at, same_generation=same_generation)
    before = _listing(folder.files)
    if attempt.resuming:
        write_json(records / BEGUN, Begun(image=draft.image, params=draft.params, inputs=draft.inputs, files=before))
    write_json(records / "started.json", started)
    return before


def _versions(step: Step) -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in (*step.libraries, *LIBRARIES):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    return versions


def _plan(folder: RunFolder) -> Run:
    run = folder.run()
    if run is None:
        raise ContractError("run.json", "must be written before the first step", "no such file")
    return run


def _params(step: Step, run: Run) -> StepParams:
    declared = {name: value for name, value in run.params.items() if name in step.params.model_fields}
    try:
        return step.params.model_validate(declared)
    except ValidationError as error:
        raise BadInputError(explain(error)) from error


def _check_inputs(step: Step, folder: RunFolder, sources: Iterable[FileRecord]) -> list[FileRecord]:
    producers = {record.path: ("the run's preparation", record) for record in sources}
    for result in folder.accepted_results():
        producers |= {record.path: (result.title, record) for record in result.outputs}
    inputs = []
    for artifact in step.reads:
        for path in _expand(artifact.path, producers):
            if path in producers:
                producer, record = producers[path]
                check_unchanged(folder.files, record, producer)
                inputs.append(record)
            elif not artifact.optional:
                raise ContractError(path, "must come from a step of this run that succeeded", "no such result")
    return inputs


def _expand(path: str, produced: Iterable[str]) -> list[str]:
    """Return the produced files that `folder/*` stands for; any other path stands for itself."""
    return sorted(file for file in produced if file.startswith(path[:-1])) if path.endswith("/*") else [path]


def _accepted_before(folder: RunFolder, draft: StepResult) -> StepResult | None:
    """The accepted result of the same step, generation, inputs, parameters, version and image, if it still holds."""
    previous = folder.result(draft.step)
    same = ("generation", "version", "image", "command", "params", "inputs", "runtime")
    if previous is None or previous.status != "success":
        return None
    if any(getattr(previous, name) != getattr(draft, name) for name in same):
        return None
    for record in previous.outputs:
        check_unchanged(folder.files, record, draft.title)
    previous.reused = True
    write_json(folder.step(draft.step) / "result.json", previous)
    return previous


def _covered(path: str, declared: Iterable[str]) -> bool:
    """Whether a path was declared, by itself or (`folder/`) with all that lies in a folder."""
    return path in declared or any(path.startswith(name) for name in declared if name.endswith("/"))


def _remove_leftovers(
    step: Step, folder: RunFolder, declared: frozenset[str], since: datetime, *, same_generation: bool
) -> None:
    """Remove what an attempt that died left behind: its outputs, and files that are neither declared nor input files.

    Its scratch folders stay for the attempt after it, unless a user cleared the step.
    """
    _remove(folder, step.outputs if same_generation else (*step.outputs, *step.scratch))
    paths = list(_listing(folder.files))
    if _ran_alongside(step, folder, since):  # checked after the listing, which so holds no file of theirs
        return
    kept = declared | {record.path for result in folder.accepted_results() for record in result.outputs}
    for path in paths:
        if not _covered(path, kept) and not path.startswith(f"{SOURCE_FOLDER}/"):
            top = path.split("/", 1)[0]
            remove(folder.files, top if top.startswith(".") else path)


def _remove(folder: RunFolder, names: Iterable[str]) -> None:
    for name in names:
        remove(folder.files, name)


def _listing(files: Path) -> dict[str, Signature]:
    """Return all files and links below a folder; links are not followed."""
    signatures = {}
    for folder, folders, names in os.walk(files):
        for path in (Path(folder, name) for name in (*folders, *names)):
            with suppress(FileNotFoundError):  # a temporary file of a step that runs at the same time
                status = path.lstat()
                if not stat.S_ISDIR(status.st_mode):
                    signatures[path.relative_to(files).as_posix()] = status.st_size, status.st_mtime_ns, status.st_ino
    return signatures


def _check_nothing_else(
    step: Step, folder: RunFolder, before: dict[str, Signature], declared: frozenset[str], since: datetime
) -> None:
    """Check that a step wrote only what it declared; files that other steps declared are checked with those steps."""
    allowed = declared | {*step.outputs} | {f"{name}/" for name in step.scratch}
    after = _listing(folder.files)
    for path in sorted(set(before) | set(after)):
        if before.get(path) == after.get(path) or _covered(path, allowed):
            continue
        if _ran_alongside(step, folder, since):
            return
        if path not in before:
            raise ContractError(path, "must not be written: the step did not declare it", "an undeclared file")
        raise ContractError(path, "must not be touched by a step that only reads it", "a changed or removed file")


def _ran_alongside(step: Step, folder: RunFolder, since: datetime) -> bool:
    """Whether another step ran meanwhile: then a temporary file could be that step's."""
    others = (task for task in folder.all_tasks() if task != step.id and folder.started(task))
    return any(result is None or result.ended_at >= since for result in map(folder.result, others))


def _check_accounting(step: str, records: Records) -> None:
    if not records.reconciles:
        raise ContractError(
            step,
            "records read must equal accepted + rejected + outside the window",
            f"{records.read:,} read, {records.accepted:,} accepted, {records.rejected:,} rejected "
            f"({sum(records.rejected_by_reason.values()):,} with a reason), {records.outside:,} outside",
        )
