"""What became of each task of a run, from the orchestrator's records and, where there are none, Airflow's states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from include.core.run_folder import INTERRUPTED_MARK, Failure, Run, RunFolder, Started, StepInfo, StepResult
from include.reporting.model import Status

UNDER_WAY = (
    "running",
    "awaiting_input",
    "queued",
    "scheduled",
    "up_for_retry",
    "up_for_reschedule",
    "restarting",
    "deferred",
)
AROUND = {"prepare": "Prepare the run", "publish": "Publish the results"}


@dataclass(frozen=True)
class Verdict:
    """What became of a task.

    Args:
        id: The task's id.
        title: Shown to people.
        description: What it does.
        status: Where it stands.
        is_step: Whether it is a step of the pipeline, not a task around the steps.
        result: The orchestrator's verdict on its last attempt, if there is one.
        started: Its last attempt, if it has begun.
        error: Why it failed; always there if it did.
    """

    id: str
    title: str
    description: str
    status: Status
    is_step: bool = True
    result: StepResult | None = None
    started: Started | None = None
    error: Failure | None = None

    @property
    def started_at(self) -> datetime | None:
        """When its last attempt began."""
        known = self.result or self.started
        return known.started_at if known else None

    @property
    def ended_at(self) -> datetime | None:
        """When its last attempt ended; None if that is not known."""
        return self.result.ended_at if self.result else None

    @property
    def attempt(self) -> int | None:
        """1 for the first."""
        known = self.result or self.started
        return known.attempt if known else None

    @property
    def runtime(self) -> str | None:
        """Where it ran."""
        known = self.result or self.started
        return known.runtime if known else None


def verdicts(folder: RunFolder, run: Run | None, task_states: Mapping[str, str] | None) -> list[Verdict]:
    """Every step of the plan; without a plan, every step that left a record, in the order of their ids."""
    if run is not None:
        plan = run.steps
    else:
        found = sorted(path.name for path in folder.path.glob("steps/*") if path.name not in AROUND)
        plan = [StepInfo(id=name, title=name, description="") for name in found]
    return [_verdict(folder, info, task_states, is_step=True) for info in plan]


def around(
    folder: RunFolder, run: Run | None, steps: list[Verdict], task_states: Mapping[str, str] | None
) -> list[Verdict]:
    """Preparing and publishing, and any other task of the DAG that failed."""
    others = [
        _verdict(folder, StepInfo(id=name, title=title, description=""), task_states, is_step=False)
        for name, title in AROUND.items()
    ]
    known = {
        *AROUND,
        *(step.id for step in steps),
        *(part for info in (run.steps if run else []) for part in info.parts),
    }
    for task, state in (task_states or {}).items():
        if task not in known and state == "failed":
            others.append(_verdict(folder, StepInfo(id=task, title=task, description=""), task_states, is_step=False))
    return others


def _verdict(folder: RunFolder, info: StepInfo, states: Mapping[str, str] | None, *, is_step: bool) -> Verdict:
    state = _state(info, states or {})
    status: Status
    error: Failure | None
    try:
        started, result = folder.step_started(info), folder.step_result(info)
    except ValidationError:
        started, result = None, None
        status, error = _failed(f"The records in {folder.step(info.id)} are damaged and cannot be read.", "error")
    else:
        if (
            not info.parts
            and started
            and result
            and (started.generation, started.attempt) > (result.generation, result.attempt)
        ):
            result = None
        if result is not None:
            status, error = _of_result(info.title, result, state)
        else:
            interrupted = (folder.path / INTERRUPTED_MARK).exists()
            status, error = _of_state(info.title, begun=started is not None, interrupted=interrupted, state=state)
    title, description = (result.title, result.description) if result else (info.title, info.description)
    return Verdict(info.id, title, description, status, is_step, result, started, error)


def _state(info: StepInfo, states: Mapping[str, str]) -> str | None:
    """How Airflow says that a step ended; of several tasks, the worst."""
    found = {states.get(part) for part in info.parts or [info.id]}
    order = ("failed", *UNDER_WAY, "upstream_failed", "skipped", "removed", None, "success")
    return next((state for state in order if state in found), None)


def _of_result(title: str, result: StepResult, state: str | None) -> tuple[Status, Failure | None]:
    """A verdict is proof; only a task that failed after it takes anything away."""
    if result.status == "failed":
        return "failed", result.error or Failure(kind="error", message=f"{title} failed without a reason.")
    if state == "failed":
        return _failed(f"{title}: the work was accepted, but its task failed afterwards; its log says why.", "error")
    return ("skipped" if result.skipped else "success"), None


def _of_state(title: str, *, begun: bool, interrupted: bool, state: str | None) -> tuple[Status, Failure | None]:
    """Without a verdict nothing has succeeded, whatever Airflow says."""
    if state in UNDER_WAY:
        return ("running" if begun else "pending"), None
    if begun and interrupted:
        return _failed(f"{title} was interrupted while it ran.", "interrupted")
    if begun:
        return _failed(f"{title}: the worker died while it ran, so nothing of this attempt was accepted.", "lost")
    match state:
        case "failed":
            return _failed(f"{title}: its task failed before the work began; its log says why.", "lost")
        case "success":
            return _failed(f"{title}: its task ended well, but there is no accepted result.", "contract")
        case _:
            return ("skipped" if state in ("upstream_failed", "skipped", "removed") else "pending"), None


def _failed(message: str, kind: str) -> tuple[Status, Failure]:
    return "failed", Failure.model_validate({"kind": kind, "message": message})
