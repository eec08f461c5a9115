"""What monitoring learns of a step: through Airflow's own metrics, to OpenTelemetry or StatsD, off unless configured.

Every metric has the tags `dag` and `step`; `run` is left out, for each value of a tag is a series of its own.

| metric | kind | |
|---|---|---|
| `groundtruth.step.duration` | timer | of a proven step, ms |
| `groundtruth.step.failed` | counter | also by `kind` of fault |
| `groundtruth.records.read`, `.accepted`, `.rejected`, `.outside` | counters | of steps that account for records |
| `groundtruth.figure.<name>` | gauge | each key figure of a step: processing units, accuracies, errors, shares |
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk.observability import stats

from include.core.contracts import Step, StepParams
from include.core.errors import GroundtruthError
from include.core.run_folder import RunFolder, StepResult
from include.core.runner import Attempt, run_step

PREFIX = "groundtruth"


def measured_step(
    step: Step, folder: RunFolder, attempt: Attempt, execute: Callable[[StepParams], None]
) -> dict[str, Any]:
    """Run a step under its contract, tell monitoring how it went, and return what goes through XCom.

    Raises:
        GroundtruthError: As `run_step`.
    """
    tags = {"dag": folder.path.parent.name, "step": step.id}
    try:
        result = run_step(step, folder, attempt, execute)
    except GroundtruthError as error:
        stats.incr(f"{PREFIX}.step.failed", tags=tags | {"kind": error.kind})
        raise
    if not result.reused:
        _tell(result, tags)
    return small(result)


def small(result: StepResult) -> dict[str, Any]:
    """What goes through XCom: the verdict and the key figures, never data."""
    own = {"status": result.status, "reused": result.reused, "seconds": result.duration_seconds}
    return own | result.outcome.scalars()


def _tell(result: StepResult, tags: dict[str, str]) -> None:
    stats.timing(f"{PREFIX}.step.duration", timedelta(seconds=result.duration_seconds), tags=tags)
    if result.records is not None:
        for name in ("read", "accepted", "rejected", "outside"):
            stats.incr(f"{PREFIX}.records.{name}", getattr(result.records, name), tags=tags)
    for name, value in result.outcome.scalars().items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            stats.gauge(f"{PREFIX}.figure.{name}", value, tags=tags)
