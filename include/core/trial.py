"""A pipeline run in this process, without Airflow: for tests of one's own pipelines, which end within a second."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.core.contracts import StepParams
from include.core.pipeline import INPUT_FILES, Pipeline, PipelineStep
from include.core.preparation import prepare_run
from include.core.process import run_command
from include.core.run_folder import RunFolder
from include.core.runner import Attempt, Ran, called, run_step
from include.core.work_folder import WorkFolder

DAY = datetime(2026, 6, 1, tzinfo=UTC)


def try_pipeline(
    pipeline: Pipeline,
    folder: Path,
    params: Mapping[str, Any] | None = None,
    *,
    files: Sequence[Path] = (),
    secrets: Mapping[str, str] | None = None,
    interval: tuple[datetime, datetime] = (DAY, DAY + timedelta(days=1)),
    log: Callable[[str], None] = print,
) -> Path:
    """Run each step of a pipeline under its contract, as the runtime `local` does, and return the folder of its files.

    Args:
        pipeline: What to run.
        folder: A new folder for the run.
        params: The run's parameters.
        files: Its input files.
        secrets: Values for variables that connections fill in a deployment.
        interval: Its data interval; default: 1 June 2026 in UTC.
        log: Receives each line of the steps' output.

    Raises:
        GroundtruthError: A parameter is impossible, a step failed, or left something else than its contract says.
    """
    run = RunFolder(folder)
    stated = dict(params or {}) | ({INPUT_FILES: list(map(str, files))} if files else {})
    prepare_run(
        pipeline,
        run,
        stated,
        run_id=folder.name,
        runtime="local",
        interval=interval,
        allowed_inputs=tuple(file.resolve().parent for file in files),
    )
    for item in pipeline.steps:
        run_step(item.step, run, Attempt(), _work(item, secrets or {}, log))
    return run.files


def _work(
    item: PipelineStep, secrets: Mapping[str, str], log: Callable[[str], None]
) -> Callable[[StepParams, WorkFolder], Ran]:
    command = item.spec.program(sys.executable)
    if command is None:
        return called(item.step.load())
    variables = {**item.spec.environment, **{name: secrets[name] for name in item.spec.secrets}}

    def execute(params: StepParams, work: WorkFolder) -> Ran:
        return Ran(isolation=run_command(command, work, params, log, None, variables, list(secrets.values())))

    return execute
