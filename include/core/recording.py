"""Record how an attempt ended, whatever happened, with its error in words."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from include.core.errors import ContractError, GroundtruthError, InterruptedStepError, SetupError, StepSuspendedError
from include.core.events import Deferred, Failed, Proven, StepStarted
from include.core.run_folder import (
    INTERRUPTED_MARK,
    Failure,
    RunFolder,
    Started,
    StepResult,
    seconds_between,
)
from include.core.text import message_text


@contextmanager
def failure_recorded(
    folder: RunFolder, draft: StepResult, make_room: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Write a result with the status `failed` for whatever goes wrong in the block, and raise it as an error in words.

    Args:
        folder: The run.
        draft: The result as far as it is known.
        make_room: Called where the result cannot be written at first, as on a full disk.
    """
    try:
        yield
    except StepSuspendedError:
        folder.sink.emit(Deferred(step=draft.step, attempt=draft.attempt))
        raise
    except BaseException as error:
        # Libraries turn an interrupt into errors of their own (DuckDB among them); the mark does not change.
        stopped = (folder.path / INTERRUPTED_MARK).exists()
        explained = as_known_error(error, folder.path)
        if stopped and not isinstance(explained, InterruptedStepError):
            explained = InterruptedStepError("interrupted")
        draft.error = failure_of(explained)
        try:
            _write_failure(folder, draft, make_room)
        except SetupError as unwritten:
            explained.add_note(f"its result could not be written either: {unwritten}")
        if explained is error:
            raise
        raise explained from error


def _write_failure(folder: RunFolder, draft: StepResult, make_room: Callable[[], None]) -> None:
    try:
        write_result(folder, draft, "failed")
    except SetupError:
        make_room()
        write_result(folder, draft, "failed")


@contextmanager
def recorded(
    folder: RunFolder, started: Started, title: str, description: str, log_url: str | None = None
) -> Iterator[StepResult]:
    """Keep the records of a task that is not a step (preparation, publication), so that reports show its failure."""
    draft = StepResult.draft(started, title=title, description=description, version="1", log_url=log_url)
    with failure_recorded(folder, draft):
        begin(folder, started)
        yield draft
        write_result(folder, draft, "success")


def begin(folder: RunFolder, started: Started) -> None:
    """Record that an attempt begins."""
    folder.keep(started.step, "started.json", started)
    folder.sink.emit(StepStarted(step=started.step, attempt=started.attempt, runtime=started.runtime))


def write_result(folder: RunFolder, draft: StepResult, status: str) -> StepResult:
    """Write `result.json`, now being the end of the attempt."""
    ended_at = datetime.now(UTC)
    seconds = seconds_between(draft.started_at, ended_at)
    result = draft.model_copy(update={"status": status, "ended_at": ended_at, "duration_seconds": seconds})
    folder.keep(draft.step, "result.json", result)
    folder.sink.emit(ended(result))
    return result


def ended(result: StepResult) -> Proven | Failed:
    """Return the event of a result."""
    attempt = {"step": result.step, "attempt": result.attempt}
    if result.error is not None:
        return Failed(cause=result.error.kind, message=result.error.message, **attempt)
    read = result.records.read if result.records else None
    seconds, artifacts = result.duration_seconds, len(result.outputs)
    return Proven(seconds=seconds, artifacts=artifacts, records=read, reused=result.reused, **attempt)


def as_known_error(error: BaseException, folder: Path | None = None) -> BaseException:
    """Return the error that explains an interrupt or a fault of the machine in words; any other error as it is.

    Args:
        error: What was raised.
        folder: The folder that was written to, so that a full disk can be told from others.
    """
    if isinstance(error, KeyboardInterrupt):
        return InterruptedStepError("interrupted")
    no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if no_space or ("No space left on device" in str(error) and not isinstance(error, SetupError)):
        return SetupError(f"the disk is full: free some space and run again ({error}{_free_space(folder)})")
    if "Input/output error" in str(error) and not isinstance(error, (SetupError, OSError)):
        return SetupError(f"the disk reports an error: check it, and run again ({error})")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EIO):
        return SetupError(f"{error.filename or 'a file'}: cannot be read or written: {error.strerror}")
    return error


def _free_space(folder: Path | None) -> str:
    """Return the free space in words: a disk that has some is not the one that was full (a container's /tmp, say)."""
    if folder is None or not folder.exists():
        return ""
    return f"; {shutil.disk_usage(folder).free / 1e6:.1f} MB free at {folder}"


def failure_of(error: BaseException) -> Failure:
    """Return an error as reports show it."""
    if isinstance(error, ContractError):
        value = None if error.value is None else message_text(str(error.value))
        broken = {"artifact": error.artifact, "rule": error.rule, "value": value, "hint": error.hint}
        return Failure(kind="contract", message=str(error), **broken)
    if isinstance(error, GroundtruthError):
        return Failure.model_validate({"kind": error.kind, "message": str(error)})
    kind = "timeout" if "Timeout" in type(error).__name__ else "error"
    return Failure.model_validate({"kind": kind, "message": message_text(f"{type(error).__name__}: {error}")})
