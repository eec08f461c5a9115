"""What a service does behind its protocol: takes tasks, runs each in its own process, remembers how they ended.

Any registered step can be offered; its program (`Step.program`) is what runs. All that must survive a restart lies in
one folder: `tasks.sqlite`, `content/` (inputs that were pushed and outputs, by checksum) and `tasks/`.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.control.models import (
    ENDED,
    DataReference,
    Execute,
    Fault,
    FileData,
    Health,
    InlineData,
    Operation,
    Output,
    Status,
    file_reference,
)
from include.control.task_table import Row, TaskTable
from include.control.transfer import Incoming
from include.control.worker import LOCK, ORDER, OUTCOME, Order, Outcome
from include.core.artifact_store import FolderStore
from include.core.contracts import Step
from include.core.errors import BadInputError, GroundtruthError, SetupError, explain
from include.core.process import STOP_SECONDS
from include.core.run_folder import read_model, write_json
from include.core.runner import code_version
from include.core.settings import ROOT
from include.core.work_folder import remove_tree

LOG = logging.getLogger("service")
PRUNE_SECONDS = 3600.0


class UnknownTaskError(GroundtruthError):
    """The service does not know a task or a file."""


class ConflictError(GroundtruthError):
    """A request contradicts what the service knows."""


@dataclass(frozen=True)
class ServiceSettings:
    """How a service runs.

    Args:
        name: What it is called.
        folder: What it keeps.
        capacity: How many tasks run at once.
        max_bytes: How large a file may be that is pushed to it.
        keep_seconds: How long it keeps ended tasks, and files that nobody asks for.
        mounts: Folders by name, of which inputs may be named.
    """

    name: str
    folder: Path
    capacity: int = 1
    max_bytes: int = 16 << 30
    keep_seconds: float = 3 * 86_400
    mounts: Mapping[str, Path] = field(default_factory=dict)


class Service:
    """A service of steps; `start` it, and `stop` it when it is done with.

    Args:
        steps: What it offers, by id.
        settings: How it runs.
    """

    def __init__(self, steps: Mapping[str, Step], settings: ServiceSettings) -> None:
        self.steps, self.settings = steps, settings
        self.version = code_version()
        self.content = FolderStore(settings.folder / "content")
        self.content.folder.mkdir(parents=True, exist_ok=True)
        self.table = TaskTable(settings.folder / "tasks.sqlite")
        self._turn = threading.Condition()
        self._running: set[str] = set()
        self._stopped = False
        self._pruned = 0.0

    def start(self) -> None:
        """Take up the tasks that a former process of this service started, and begin with those that wait."""
        for row in self.table.running():
            folder = self._folder(row.request.task)
            if row.pid is None and not _lives(folder) and not (folder / OUTCOME).exists():
                LOG.info("Queues the task again: the former server ended before it had a process", extra=_keys(row))
                self.table.queue_again(row.request.task)
                continue
            LOG.info("Takes up the task again", extra=_keys(row))
            self._watch(row, None)
        threading.Thread(target=self._dispatch, daemon=True, name="dispatch").start()

    def stop(self) -> None:
        """Start no more tasks; those that run go on, and are taken up by the next start."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    # ── what the protocol asks ───────────────────────────────────────────────────────────────────────────────────────

    def health(self) -> Health:
        """Return what the service is and how busy it is."""
        counts = self.table.counts()
        return Health(
            status="healthy",
            service=self.settings.name,
            version=self.version,
            operations=[operation_of(step) for step in self.steps.values()],
            running=sum(count for (_, state), count in counts.items() if state == "running"),
            queued=sum(count for (_, state), count in counts.items() if state == "queued"),
            capacity=self.settings.capacity,
        )

    def execute(self, request: Execute) -> Status:
        """Take a task, once; start it again where it failed and a later attempt asks.

        Raises:
            BadInputError: The operation, its parameters or an input are not usable.
            ConflictError: The task is another one, or one of a later generation goes on.
        """
        step = self._step_of(request)
        with self._turn:
            known = self.table.find(request.task)
            if known is not None:
                same = known.request.model_copy(update={"attempt": request.attempt})
                if same.model_dump(exclude={"priority"}) != request.model_dump(exclude={"priority"}):
                    raise ConflictError(f"task {request.task[:12]} was another request; an id stands for one alone")
                if known.state not in ("failed", "cancelled") or request.attempt <= known.request.attempt:
                    return self._status(known)
            others = self.table.others(request)
            if any(other.request.keys.generation > request.keys.generation for other in others):
                raise ConflictError("a later generation of this task goes on; its clear made this one void")
            for reference in (*request.inputs, *request.stored):
                self._take_in(reference)
            self.table.queue(request, self.version)
            self._turn.notify_all()
        for other in others:
            self._cancel(other)
        row = self._row(request.task)
        LOG.info("Queued %s", step.id, extra=_keys(row))
        return self._status(row)

    def status(self, task: str) -> Status:
        """Return how a task is doing."""
        return self._status(self._row(task))

    def output(self, task: str) -> Output:
        """Return what a task left.

        Raises:
            ConflictError: It is not complete.
        """
        row = self._row(task)
        if row.state != "complete":
            raise ConflictError(f"task {task[:12]} is {row.state}; only a complete one has outputs")
        return Output(
            task=task,
            keys=row.request.keys,
            outputs=list(row.outputs),
            service=self.settings.name,
            version=row.version,
        )

    def cancel(self, task: str) -> Status:
        """Stop a task, and return how it is doing: cancelled once its process has ended."""
        self._cancel(self._row(task))
        return self.status(task)

    def tasks(self, deployment: str) -> list[Status]:
        """Return the tasks of a deployment that have not ended."""
        return [self._status(row) for row in self.table.going_on(deployment)]

    def incoming(self, checksum: str, length: int) -> Incoming:
        """Return the place of a file that is pushed."""
        place = self.content.materialise(checksum)
        return Incoming(place, checksum, checksum, length=length, max_bytes=self.settings.max_bytes)

    def file(self, checksum: str) -> Path:
        """Return a file of the content; asking for it keeps it.

        Raises:
            UnknownTaskError: There is none.
        """
        place = self.content.materialise(checksum)
        try:
            os.utime(place)
        except FileNotFoundError:
            raise UnknownTaskError(f"there is no content {checksum[:12]}") from None
        return place

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _row(self, task: str) -> Row:
        row = self.table.find(task)
        if row is None:
            raise UnknownTaskError(f"there is no task {task[:12]}")
        return row

    def _status(self, row: Row) -> Status:
        now = time.time()
        begun = row.started_at or row.ended_at or now
        return Status(
            task=row.request.task,
            operation=row.request.operation,
            state=row.state,
            keys=row.request.keys,
            attempt=row.request.attempt,
            progress=1.0 if row.state == "complete" else None,
            queued_seconds=max(0.0, begun - row.queued_at),
            running_seconds=max(0.0, (row.ended_at or now) - begun),
            error=row.fault,
            service=self.settings.name,
            version=row.version,
        )

    def _step_of(self, request: Execute) -> Step:
        step = self.steps.get(request.operation)
        if step is None:
            raise BadInputError(
                f"there is no operation {request.operation}; this service offers {', '.join(sorted(self.steps))}"
            )
        if step.version != request.version:
            raise SetupError(
                f"{step.id} is version {step.version} here, and version {request.version} was asked for; "
                "update the service or the orchestrator"
            )
        if step.mapped and request.keys.map_index < 0:
            raise BadInputError(f"{step.id}: is a mapped step, so map_index must be 0 or more")
        try:
            step.params.model_validate(request.parameters)
        except ValidationError as error:
            raise BadInputError(explain(error)) from error
        return step.instance(request.keys.map_index) if step.mapped else step

    def _take_in(self, reference: DataReference) -> None:
        """Have an input among the content, its checksum proven."""
        if isinstance(reference, InlineData):
            with self.incoming(reference.sha256, reference.bytes) as incoming:
                incoming.write(reference.content)
                incoming.finish()
        elif isinstance(reference, FileData):
            self._copy_mounted(reference)
        else:
            try:
                self.file(reference.sha256)
            except UnknownTaskError:
                raise BadInputError(f"{reference.path}: must be pushed to /data/{reference.sha256} first") from None

    def _copy_mounted(self, reference: FileData) -> None:
        mount = self.settings.mounts.get(reference.mount)
        if mount is None:
            raise BadInputError(f"{reference.path}: this service has no mount {reference.mount}")
        file = (mount / reference.uri).resolve()
        if not file.is_relative_to(mount.resolve()) or not file.is_file():
            raise BadInputError(f"{reference.path}: {reference.uri} is not a file of the mount {reference.mount}")
        with self.incoming(reference.sha256, reference.bytes) as incoming, file.open("rb") as content:
            while piece := content.read(1 << 20):
                incoming.write(piece)
            incoming.finish()

    def _cancel(self, row: Row) -> None:
        task = row.request.task
        if row.state in ENDED:
            return
        if row.state == "queued" and self.table.end(task, "cancelled", Fault(kind="interrupted", message="cancelled")):
            return
        self.table.note_cancel(task)
        row = self._row(task)
        if row.pid is not None and _lives(self._folder(task)):
            with suppress(ProcessLookupError):
                os.kill(row.pid, signal.SIGTERM)
            timer = threading.Timer(STOP_SECONDS + 2, self._kill, (task, row.pid))
            timer.daemon = True
            timer.start()

    def _kill(self, task: str, pid: int) -> None:
        if _lives(self._folder(task)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _folder(self, task: str) -> Path:
        return self.settings.folder / "tasks" / task

    # ── running them ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _dispatch(self) -> None:
        while True:
            with self._turn:
                if self._stopped:
                    return
                row = self.table.next() if len(self._running) < self.settings.capacity else None
                if row is None:
                    self._turn.wait(PRUNE_SECONDS)
                    self._prune()
                    continue
                if not self.table.start(row.request.task):
                    continue
            try:
                process = self._begin(row)
            except (OSError, GroundtruthError) as error:
                fault = Fault(kind="setup", message=f"it cannot be started: {error}")
                self.table.end(row.request.task, "failed", fault)
                continue
            self._watch(row, process)

    def _begin(self, row: Row) -> subprocess.Popen[bytes]:
        """Start the process of a task; it inherits the lock that says that it lives."""
        request, folder = row.request, self._folder(row.request.task)
        remove_tree(folder / "files")
        remove_tree(folder / "stores")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / OUTCOME).unlink(missing_ok=True)
        step = self._step_of(request)
        keys = request.keys
        order = Order(
            command=[sys.executable, *step.program[1:]],
            parameters=request.parameters,
            inputs={reference.path: str(self.content.materialise(reference.sha256)) for reference in request.inputs},
            stored={reference.path: str(self.content.materialise(reference.sha256)) for reference in request.stored},
            outputs=list(step.outputs),
            scratch={name: str(folder / "scratch" / name) for name in step.scratch},
            timeout_seconds=request.timeout_seconds,
            memory_mb=request.memory_mb,
            log_keys={
                "dag_id": keys.dag,
                "run_id": keys.run,
                "task_id": keys.step,
                "map_index": keys.map_index,
                "try_number": request.attempt,
            },
            content=str(self.content.folder),
        )
        write_json(folder / ORDER, order)
        LOG.info("Starts", extra=_keys(row))
        with (folder / LOCK).open("w") as lock, (folder / "log").open("ab") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen(  # noqa: S603 - the program of a registered step
                [sys.executable, "-m", "include.control.worker", str(folder.resolve()), str(lock.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )
        self.table.note_process(request.task, process.pid)
        if self._row(request.task).cancelled:  # it was cancelled while it had no process yet
            process.terminate()
        return process

    def _watch(self, row: Row, process: subprocess.Popen[bytes] | None) -> None:
        """Wait for the end of a task in a thread of its own."""
        self._running.add(row.request.task)
        threading.Thread(target=self._await, args=(row, process), daemon=True, name=row.request.task[:12]).start()

    def _await(self, row: Row, process: subprocess.Popen[bytes] | None) -> None:
        task = row.request.task
        folder = self._folder(task)
        with suppress(FileNotFoundError), (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the process holds it as long as it lives
        if process is not None:
            process.wait()
        state, fault, outputs = self._judge(task, folder)
        LOG.info("Ended as %s%s", state, f": {fault.message}" if fault else "", extra=_keys(row))
        self.table.end(task, state, fault, outputs)
        if state == "complete":
            remove_tree(folder)
        else:
            remove_tree(folder / "files")  # its log and its scratch folders stay for the next attempt
            (folder / OUTCOME).unlink(missing_ok=True)
        with self._turn:
            self._running.discard(task)
            self._turn.notify_all()

    def _judge(self, task: str, folder: Path) -> tuple[Any, Fault | None, list[Any]]:
        outcome = read_model(folder / OUTCOME, Outcome)
        if outcome is not None and outcome.fault is None:
            return "complete", None, [file_reference(o.path, o.sha256, o.bytes) for o in outcome.outputs]
        if self._row(task).cancelled:
            return "cancelled", Fault(kind="interrupted", message="was cancelled"), []
        if outcome is None:
            lost = "its process ended without an outcome: it was killed, or the machine was restarted"
            return "failed", Fault(kind="transient", message=lost), []
        return "failed", outcome.fault, []

    def _prune(self) -> None:
        """Forget old tasks, and files that nobody asked for."""
        if time.monotonic() - self._pruned < PRUNE_SECONDS / 2:
            return
        self._pruned, before = time.monotonic(), time.time() - self.settings.keep_seconds
        self.table.prune(before)
        for place in (*self.content.folder.iterdir(), *_entries(self.settings.folder / "tasks")):
            with suppress(OSError):  # another request removed it
                if place.stat().st_mtime < before and place.name not in self._running:
                    remove_tree(place) if place.is_dir() else place.unlink()


def operation_of(step: Step) -> Operation:
    """Return a step as a service offers it."""
    return Operation(
        name=step.id,
        title=step.title,
        description=step.description,
        version=step.version,
        parameters=step.params.model_json_schema(),
        reads=list(step.inputs),
        writes=list(step.outputs),
    )


def check_servable(steps: Iterable[Step]) -> None:
    """Refuse steps that no service can run.

    Raises:
        BadInputError: One talks to an external service, asks a user, or reads the env file of the deployment.
    """
    for step in steps:
        if step.in_worker or step.approval or step.env_keys or step.credentials:
            raise BadInputError(f"{step.id}: cannot be served: it needs the worker's own accounts, files or users")


class JsonLog(logging.Formatter):
    """Writes each line of a service's log as JSON, with dag, run, step and task where it is about one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | getattr(record, "keys", {}))


def _keys(row: Row) -> dict[str, Any]:
    keys = row.request.keys
    return {"keys": {"dag": keys.dag, "run": keys.run, "step": keys.step, "task": row.request.task[:12]}}


def _lives(folder: Path) -> bool:
    """Return whether the process of a task holds its lock."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
