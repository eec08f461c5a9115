"""Run one step and check it: the only way that a step gets the status "success".

The same function serves every runtime. The caller provides how the step is executed (a call, a process, a container);
what is checked before and after is the same, and is checked here, on the orchestrator's side.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from include.core.artifacts import check_unchanged, flushing, remove, seal, sha256
from include.core.contracts import Step, StepParams, imported
from include.core.errors import BadInputError, ContractError, GroundtruthError, InterruptedStepError, explain
from include.core.events import Progress, Resumed
from include.core.outcome import Proof
from include.core.progress import INTERVAL_S
from include.core.recording import begin, ended, failure_recorded, write_result
from include.core.rules import check_declared
from include.core.run_folder import (
    INTERRUPTED_MARK,
    FileRecord,
    Records,
    Run,
    RunFolder,
    Started,
    StepResult,
    read_model,
)
from include.core.settings import ROOT, get_settings
from include.core.work_folder import WorkFolder, remove_tree, show, view

LIBRARIES = ("pydantic", "apache-airflow")
BEGUN = "begun.json"


class Begun(BaseModel):
    """What a step's work began with, for an attempt that resumes it (in the step's records)."""

    image: str | None
    params: dict[str, Any]
    inputs: list[FileRecord]
    work: str

    def same_work(self, draft: StepResult) -> bool:
        """Whether an attempt that began now would do the same."""
        return (self.image, self.params, self.inputs) == (draft.image, draft.params, draft.inputs)


@dataclass(frozen=True)
class Ran:
    """What a runtime knows of an execution once it has ended.

    Args:
        image: The id of the image that ran, as the execution itself states it; None where it has none.
        isolation: How it was kept apart from the run's records and artifacts, in words.
        files: Where it wrote its outputs; None for the work folder itself.
    """

    image: str | None = None
    isolation: str | None = None
    files: Path | None = None


Execute = Callable[[StepParams, WorkFolder], Ran | None]
"""Does the work of a step in its work folder, and returns when nothing of it runs any more."""


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
        definition: Checksum of the file that defines the pipeline now; a step that is cleared later may meet another.
        owner: User id that the step runs as, where it is not this process's; its work folder is given to it.
        resuming: Whether the work that an attempt of this generation began goes on without it, or ended after its
            worker died; None where work dies with its worker. What it wrote is then kept and judged.
    """

    number: int = 1
    generation: int = 0
    runtime: str = "local"
    command: str = ""
    image: Callable[[], str | None] = lambda: None
    log_url: str | None = None
    definition: str | None = None
    owner: int | None = None
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


def called(function: Callable[[Path, Any], None]) -> Callable[[StepParams, WorkFolder], Ran]:
    """Return the execution of a step by one of our own functions (`files`, params), which is trusted."""

    def execute(params: StepParams, work: WorkFolder) -> Ran:
        work.link_inputs()
        function(work.files, params)
        return Ran(isolation="our own function in the worker")

    return execute


def run_step(step: Step, folder: RunFolder, attempt: Attempt, execute: Execute) -> StepResult:
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
        versions=_versions(step, attempt),
    )
    with failure_recorded(folder, draft, make_room=lambda: _remove_works(step, folder)):
        if (folder.path / INTERRUPTED_MARK).exists():
            raise InterruptedStepError("not started: the run was interrupted")
        draft.image = attempt.image()
        run = _plan(folder)
        params = _params(step, run)
        draft.params = params.model_dump(mode="json")
        if step.skip_param and getattr(params, step.skip_param):
            draft.skipped = step.skip_param
        draft.inputs = _check_inputs(step, folder, run.sources)
        draft.stored = _check_stored(step, folder, draft.inputs, params)
        previous = _accepted_before(folder, draft)
        if previous is not None:
            _remove_works(step, folder)
            return previous
        work = _begin(step, folder, attempt, started, draft)
        ran = execute(params, work) or Ran()
        if (datetime.now(UTC) - draft.started_at).total_seconds() > INTERVAL_S:
            folder.sink.emit(Progress(step=step.id, text="done; its outputs are being checked"))
        work = replace(work, files=ran.files or work.files)
        draft.image, draft.isolation = ran.image or draft.image, ran.isolation
        work.check_nothing_else(step.outputs)
        sealed = [seal(folder.artifacts, work.files, artifact) for artifact in step.writes]
        draft.outputs = [record for record in sealed if record is not None]
        with (
            flushing(folder.artifacts, draft.outputs),
            view(folder.path, _located(folder, [*draft.inputs, *draft.outputs])) as files,
        ):
            for artifact in step.writes:
                check_declared(files, artifact)
            if step.records is not None:
                draft.records = step.records(files)
                _check_accounting(step.id, draft.records)
            proofs = _prove(step, files, params, audit=run.audited)  # first: what an outcome shows is proven
            draft.audited = run.audited
            _count_rewritten(step, draft.outputs, proofs)
            draft.outcome = step.read_outcome(files).proven(proofs)
            if step.keep:
                imported(step.keep)(files, params)
        for record in draft.outputs:
            show(folder.files, record.path, folder.locate(record))
        result = write_result(folder, draft, "success")
        _remove_works(step, folder)
        _remove_scratch(step, folder)
        return result


def _begin(step: Step, folder: RunFolder, attempt: Attempt, started: Started, draft: StepResult) -> WorkFolder:
    """Return the work folder of an attempt that died, where its work is resumed, or a new one."""
    records = folder.step(step.id)
    died = folder.started(step.id)
    same_generation = died is not None and died.generation == started.generation
    (records / "result.json").unlink(missing_ok=True)
    for name in step.outputs:
        remove(folder.files, name)
    begun = read_model(records / BEGUN, Begun) if attempt.resuming and same_generation else None
    work = WorkFolder(
        files=folder.path / begun.work if begun else folder.work(started),
        inputs=_located(folder, draft.inputs),
        stored={record.path: get_settings().data_dir / record.path for record in draft.stored},
        scratch={name: folder.scratch(step.id, started.generation) / name for name in step.scratch},
        owner=attempt.owner,
    )
    if begun and died and attempt.resuming and begun.same_work(draft) and attempt.resuming():
        draft.started_at = died.started_at
        folder.keep(step.id, "started.json", started.model_copy(update={"started_at": died.started_at}))
        folder.sink.emit(Resumed(step=step.id, attempt=started.attempt))
        return work
    _remove_works(step, folder)
    if not same_generation:
        _remove_scratch(step, folder)
    work = replace(work, files=folder.work(started))
    work.create()
    if attempt.resuming:
        relative = work.files.relative_to(folder.path).as_posix()
        begun = Begun(image=draft.image, params=draft.params, inputs=draft.inputs, work=relative)
        folder.keep(step.id, BEGUN, begun)
    begin(folder, started)
    return work


def _located(folder: RunFolder, records: Iterable[FileRecord]) -> dict[str, Path]:
    return {record.path: folder.locate(record).resolve() for record in records}


def _remove_works(step: Step, folder: RunFolder) -> None:
    for work in folder.works(step.id):
        remove_tree(work)


def _remove_scratch(step: Step, folder: RunFolder) -> None:
    for scratch in folder.scratches(step.id):
        remove_tree(scratch)


@cache
def code_version() -> str:
    """Return a checksum of the project's code and definitions, as 12 hexadecimal digits; taken once a process."""
    digest = hashlib.sha256()
    for folder in ("include", "plugins", "dags"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            if "__pycache__" not in path.parts and path.is_file():
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _versions(step: Step, attempt: Attempt) -> dict[str, str]:
    versions = {"python": platform.python_version(), "groundtruth": code_version()}
    if attempt.definition:
        versions["definition"] = attempt.definition[:12]
    installed = {library: _installed_version(library) for library in (*step.libraries, *LIBRARIES)}
    return versions | {library: version for library, version in installed.items() if version}


@cache
def _installed_version(library: str) -> str | None:
    """Return the version of an installed library, None without it; read once a process, for that takes milliseconds."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(library)
    return None


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
                check_unchanged(folder.locate(record), record, producer)
                inputs.append(record)
            elif not artifact.optional:
                raise ContractError(path, "must come from a step of this run that succeeded", "no such result")
    return inputs


def _check_stored(step: Step, folder: RunFolder, inputs: Iterable[FileRecord], params: StepParams) -> list[FileRecord]:
    """Return the files of stores that the step reads, each checked against the checksum that an input states."""
    if step.stored is None:
        return []
    data, records = get_settings().data_dir, []
    with view(folder.path, _located(folder, inputs)) as files:
        for path, checksum, left_by in imported(step.stored)(files, params):
            file = data / path
            if checksum is not None:
                check_unchanged(file, FileRecord(path=path, sha256=checksum, bytes=0), left_by)
            elif not file.is_file():
                continue  # the step says what that means
            records.append(FileRecord(path=path, sha256=checksum or sha256(file), bytes=file.stat().st_size))
    return records


def _expand(path: str, produced: Iterable[str]) -> list[str]:
    """Return the produced files that `folder/*` stands for; any other path stands for itself."""
    return sorted(file for file in produced if file.startswith(path[:-1])) if path.endswith("/*") else [path]


def _accepted_before(folder: RunFolder, draft: StepResult) -> StepResult | None:
    """The accepted result of the same step, generation, inputs, parameters, version and image, if it still holds."""
    previous = folder.result(draft.step)
    same = ("generation", "version", "image", "command", "params", "inputs", "stored", "runtime")
    if previous is None or previous.status != "success":
        return None
    if any(getattr(previous, name) != getattr(draft, name) for name in same):
        return None
    for record in previous.outputs:
        check_unchanged(folder.locate(record), record, draft.title)
    previous.reused = True
    folder.keep(draft.step, "result.json", previous)
    folder.sink.emit(ended(previous))
    return previous


def _prove(step: Step, files: Path, params: StepParams, *, audit: bool) -> tuple[Proof, ...]:
    """Recompute a step's outputs; values that the database cannot compute with are a fault of the outputs."""
    try:
        return step.prove(files, params, audit=audit)
    except GroundtruthError:
        raise
    except Exception as error:
        import duckdb

        if isinstance(error, duckdb.Error):
            rule = "must write values that can be recomputed"
            raise ContractError(step.id, rule, str(error).splitlines()[0]) from error
        raise


def _count_rewritten(step: Step, outputs: Iterable[FileRecord], proofs: Iterable[Proof]) -> None:
    """Record how many records the files hold whose bytes were compared, in the place of a check of their format."""
    rewritten = {artifact.path for artifact in step.writes if artifact.rewritten}
    counted = {proof.artifact: proof.records for proof in proofs}
    for record in outputs:
        if record.path in rewritten:
            record.records = counted.get(record.path)
            if record.records is None:
                raise ContractError(record.path, "must be written again by its step's `recompute`", "no such proof")


def _check_accounting(step: str, records: Records) -> None:
    if not records.reconciles:
        raise ContractError(
            step,
            "records read must equal accepted + rejected + outside the window",
            f"{records.read:,} read, {records.accepted:,} accepted, {records.rejected:,} rejected "
            f"({sum(records.rejected_by_reason.values()):,} with a reason), {records.outside:,} outside",
        )
