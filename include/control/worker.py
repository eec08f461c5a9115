"""The process of one task: it runs the step as a program, under limits, and leaves an outcome whatever happens.

It is started in a session of its own and holds a lock on its folder as long as it lives, so that a server that was
restarted knows whether it still works. What the step starts ends with this process (`include/core/confinement.py`).
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.control.models import Fault
from include.core.artifact_store import FolderStore, step_output
from include.core.contracts import StepParams
from include.core.errors import GroundtruthError, InterruptedStepError, StepTimeoutError
from include.core.process import run_command
from include.core.recording import as_known_error, failure_of
from include.core.run_folder import FileRecord, read_model, write_json
from include.core.settings import ROOT
from include.core.work_folder import WorkFolder

ORDER, OUTCOME, LOCK, FILES = "order.json", "outcome.json", "lock", "files"


class Order(BaseModel):
    """What a process is to do (`order.json` in its folder)."""

    command: list[str]
    parameters: dict[str, Any]
    inputs: dict[str, str]
    stored: dict[str, str]
    outputs: list[str]
    scratch: dict[str, str]
    timeout_seconds: float
    memory_mb: int
    log_keys: dict[str, Any]
    content: str


class Outcome(BaseModel):
    """How it ended (`outcome.json`): the files that the step left, or why it failed."""

    outputs: list[FileRecord] = []
    fault: Fault | None = None


class _Params(StepParams):
    model_config = ConfigDict(extra="allow")


def perform(folder: Path, log: Callable[[str], None]) -> list[FileRecord]:
    """Run the step of an order and return the files that it left, now in the content of the service.

    Args:
        folder: Of the task, with its order.
        log: Receives each line of the step's output.

    Raises:
        GroundtruthError: It failed; says why.
    """
    order = read_model(folder / ORDER, Order)
    assert order is not None  # noqa: S101 - the server writes it first
    work = WorkFolder(
        files=folder / FILES,
        inputs={name: Path(file) for name, file in order.inputs.items()},
        scratch={name: Path(place) for name, place in order.scratch.items()},
    )
    work.create()
    variables = {}
    if order.stored:
        stores = WorkFolder(folder / "stores", {name: Path(file) for name, file in order.stored.items()})
        stores.create()
        stores.link_inputs()
        variables["GROUNDTRUTH_DATA_DIR"] = str(stores.files)
    run_command(order.command, work, _Params(**order.parameters), log, order.log_keys, variables)
    store, outputs = FolderStore(Path(order.content)), []
    for path in order.outputs:
        with step_output(work.files, path) as source:
            if source is not None:
                sealed = store.put(source, path)
                outputs.append(FileRecord(path=path, sha256=sealed.sha256, bytes=sealed.bytes))
    if outputs:
        store.flush({record.sha256: record.path for record in outputs})
    return outputs


def main(folder: Path, lock: int) -> int:
    """Perform an order under its limits, and write its outcome.

    Args:
        folder: Of the task.
        lock: The open file whose lock says that this process lives; nothing that it starts inherits it.
    """
    os.set_inheritable(lock, False)
    order = read_model(folder / ORDER, Order)
    assert order is not None  # noqa: S101 - the server writes it first
    limit = order.timeout_seconds

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if number == signal.SIGALRM:
            raise StepTimeoutError(f"took longer than its limit of {limit:g} s (timeout_seconds) and was stopped")
        raise InterruptedStepError("was cancelled")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    outcome = Outcome()
    try:
        signal.setitimer(signal.ITIMER_REAL, limit)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (order.memory_mb << 20, hard))
        outcome.outputs = perform(folder, lambda line: print(line, flush=True))  # noqa: T201 - its log is its output
    except BaseException as error:
        explained = as_known_error(error, folder)
        failure = failure_of(explained)
        kind = failure.kind if isinstance(explained, GroundtruthError) else "error"
        outcome.fault = Fault.model_validate({"kind": kind, "message": failure.message[:4000]})
    signal.setitimer(signal.ITIMER_REAL, 0)
    write_json(folder / OUTCOME, outcome)
    return 1 if outcome.fault else 0


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
