"""What a person sees while a run goes on: each attempt once, also one that failed before its work began."""

import io
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from include.cli.progress import Progress
from include.core.definitions.load import load_definition
from include.core.pipeline import Pipeline
from include.core.run_folder import Failure, StepResult, write_json
from include.energy.steps import ENERGY_STEPS

ENERGY = Path(__file__).resolve().parents[2] / "include/config/energy-pipeline.json"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def failed(attempt, kind, message):
    return StepResult(
        step="energy-generator",
        started_at=NOW,
        attempt=attempt,
        title="Collect",
        description="",
        version="1",
        status="failed",
        ended_at=NOW,
        duration_seconds=0,
        error=Failure(kind=kind, message=message),
    )


def test_each_failed_attempt_is_said_once_and_a_passing_fault_as_such(folder):
    said = io.StringIO()
    pipeline = Pipeline(load_definition(ENERGY, ENERGY_STEPS), ENERGY_STEPS)
    progress = Progress(pipeline, folder, Console(file=said, width=200))
    verdict = folder.step("energy-generator") / "result.json"
    write_json(verdict, failed(1, "transient", "the engine does not answer"))
    progress.update()
    progress.update()
    write_json(verdict, failed(2, "setup", "the image is missing"))
    progress.update()
    assert said.getvalue().splitlines() == [
        "✗ Step 1 met a fault that may pass: the engine does not answer",
        "✗ Step 1 failed: the image is missing",
    ]
