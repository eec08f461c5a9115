"""Small steps that a service offers in tests, and their program: `python -m tests.control.small_steps STEP`."""

import os
import subprocess
import sys
import time
from pathlib import Path

from include.control.models import Execute, TaskKeys
from include.control.task_ids import task_id
from include.core.contracts import Artifact, Step, StepParams
from include.core.errors import BadInputError
from include.core.process import main


class SmallStep(Step):
    """A step whose program is this module."""

    @property
    def program(self):
        return ("python", "-m", "tests.control.small_steps", self.id)


class MeasureParams(StepParams):
    rows: int = 2


class CopyParams(StepParams):
    seconds: float = 0
    child: str = ""


def measure(files: Path, params: MeasureParams) -> None:
    (files / "in.csv").write_text("value\n" + "1\n" * params.rows)


def copy(files: Path, params: CopyParams) -> None:
    """Copy a file, after some time; a child in a session of its own notes its id, and would outlive it."""
    if params.child:
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        (files / "scratch" / "child").write_text(str(child.pid))
    time.sleep(params.seconds)
    (files / "out.csv").write_bytes((files / "in.csv").read_bytes())


def fail(files: Path, params: MeasureParams) -> None:
    raise BadInputError(f"rows: {params.rows} is not usable")


def hog(files: Path, params: MeasureParams) -> None:
    bytearray(1 << 30)


def crash(files: Path, params: MeasureParams) -> None:
    os.abort()


def _step(function, params, reads=(), writes=(), **more):
    name = function.__name__
    reads, writes = (tuple(map(Artifact, paths)) for paths in (reads, writes))
    return SmallStep(name, name, "", "1", params, f"tests.control.small_steps:{name}", reads, writes, **more)


STEPS = {
    step.id: step
    for step in (
        _step(measure, MeasureParams, writes=["in.csv"]),
        _step(copy, CopyParams, ["in.csv"], ["out.csv"], scratch=("scratch",)),
        _step(fail, MeasureParams),
        _step(hog, MeasureParams),
        _step(crash, MeasureParams),
    )
}


def asked(operation: str, *, inputs=(), run="r", generation=0, **more) -> Execute:
    """A request, with the id that belongs to it."""
    keys = TaskKeys(deployment="d", dag="dag", run=run, step=operation, generation=generation)
    params = more.get("parameters", {})
    checksums = {reference.path: reference.sha256 for reference in inputs}
    name = task_id(keys, operation=operation, inputs=checksums, params=params, definition=None)
    return Execute(task=name, operation=operation, version="1", keys=keys, inputs=list(inputs), **more)


if __name__ == "__main__":
    sys.exit(main("tests.control.small_steps", STEPS))
