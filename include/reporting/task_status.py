"""The status of each task of a run: from the orchestrator's records, or else from Airflow's task states."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from include.core.run_folder import (
    INTERRUPTED_MARK,
    STOPPED,
    Failure,
    Mark,
    Run,
    RunFolder,
    Started,
    StepInfo,
    StepResult,
    damage_of,
)
from include.reporting.model import Status, StepReport

RANKS = {"failed": 0, "upstream_failed": 2, "skipped": 3, "removed": 4, None: 5, "success": 6}
"""Airflow's states of tasks that have ended or have no state yet, by how bad they are."""
ACTIVE = 1
"""Rank of every other state: the task waits or runs."""
OTHER_TASKS = {"prepare": "Prepare the run", "publish": "Publish the results"}
"""Titles of the tasks around the steps, by task id."""
SHOWN_ELSEWHERE = {"findings", "tables", "statistics", "plots", "provenance", "proofs"}
"""Parts of an outcome that have their own place in a report."""

AS_RECORDED = {"attempt", "runtime", "duration_seconds", "reused", "image", "log_url"}
"""Fields of an attempt's record that its report repeats."""


@dataclass(frozen=True)
class TaskStatuses:
    """Where the tasks of a run stand, as its report states it; a task has an error if it failed, and only then.

    Args:
        steps: The steps of the pipeline, in its order.
        others: Preparing and publishing, then other tasks that failed.
        results: The orchestrator's record of the last attempt, by task id, of those that have ended.
    """

    steps: list[StepReport]
    others: list[StepReport]
    results: dict[str, StepResult]


def task_statuses(folder: RunFolder, run: Run | None, task_states: Mapping[str, str] | None) -> TaskStatuses:
    """Return where every task of a run stands.

    Args:
        folder: The run.
        run: Its plan; without one, every step that left a record counts, in the order of their ids.
        task_states: Airflow's state by task id; None where it is not known.
    """
    states = task_states or {}
    recorded = sorted(path.name for path in folder.path.glob("steps/*") if path.name not in OTHER_TASKS)
    steps = run.steps if run else [_info(name, name) for name in recorded]
    others = [_info(name, title) for name, title in OTHER_TASKS.items()]
    listed = {name for info in (*steps, *others) for name in (info.id, *info.parts)}
    others += [_info(task, task) for task, state in states.items() if state == "failed" and task not in listed]
    results: dict[str, StepResult] = {}
    reports = [_report(folder, info, states, results, number) for number, info in enumerate((*steps, *others), start=1)]
    return TaskStatuses(reports[: len(steps)], reports[len(steps) :], results)


def begun_tasks(folder: RunFolder) -> dict[str, str]:
    """Return the state `running` for each task that has begun, of a run that goes on where no Airflow can be asked."""
    begun = [path.name for path in folder.path.glob("steps/*")]
    return {name: "running" for task in begun for name in (task, re.sub(r"\.\d+$", "", task))}


def worst_state(states: Collection[str | None]) -> str | None:
    """Return the state of several tasks as one: a failure first, success last.

    >>> worst_state({"success", "running"})
    'running'
    """
    return min(states, key=_rank, default=None)


def worst_states(tasks: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the state of each task, of a mapped one the worst of its instances.

    Args:
        tasks: Task id and state of each instance.
    """
    states: dict[str, str] = {}
    for task, state in tasks:
        states[task] = min(states.get(task, state), state, key=_rank)
    return states


def _rank(state: str | None) -> int:
    return RANKS.get(state, ACTIVE)


def _info(name: str, title: str) -> StepInfo:
    return StepInfo(id=name, title=title, description="")


def _report(
    folder: RunFolder, info: StepInfo, states: Mapping[str, str], results: dict[str, StepResult], number: int
) -> StepReport:
    """Return where a task stands, and keep its result."""
    state = worst_state([states.get(part) for part in info.parts or [info.id]])
    started, result = None, None
    try:
        started, result = folder.step_started(info), folder.step_result(info)
        if result:
            status, error = _status_of_result(info.title, result, state)
        else:
            interrupted = (folder.path / INTERRUPTED_MARK).exists()
            status, error = _status_of_state(info.title, started, interrupted=interrupted, state=state)
        mark = _mark(folder, info, started) if error and error.kind in ("lost", "interrupted") else None
        if mark is not None:
            status, error = _failed(
                f"{info.title} was marked as failed by the user {mark.by} in Airflow.", "interrupted"
            )
    except ValidationError as damage:
        name = "result.json" if damage.title == StepResult.__name__ else "started.json"
        status, error = _failed(damage_of(folder.step(info.id) / name, damage), "error")
    record, texts = result or started, result or info
    accepted = result if result and result.status == "success" else None
    if result:
        results[info.id] = result
    return StepReport(
        step_number=number,
        id=info.id,
        name=texts.title,
        description=texts.description,
        script=result.command if result else "",
        args=_arguments(result.params) if result else [],
        status=status,
        start_time=record.started_at if record else None,
        end_time=result.ended_at if result else None,
        error_message=error.message if error else None,
        output_summary=accepted.outcome.model_dump(mode="json", exclude=SHOWN_ELSEWHERE) if accepted else None,
        skipped_by=result.skipped if result else None,
        error=error,
        **(record.model_dump(include=AS_RECORDED) if record else {}),
    )


def _mark(folder: RunFolder, info: StepInfo, started: Started | None) -> Mark | None:
    """Return which user marked the present attempt of a task as failed."""
    marks = [mark for mark in map(folder.mark, folder.tasks(info)) if mark is not None]
    current = [mark for mark in marks if started is None or mark.at >= started.started_at]
    return max(current, key=lambda mark: mark.at, default=None)


def _arguments(params: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in params.items()
        if value is not None
    ]


def _status_of_result(title: str, result: StepResult, state: str | None) -> tuple[Status, Failure | None]:
    """Return "success" for an accepted result, unless its task failed afterwards."""
    if result.status == "failed":
        return "failed", result.error or Failure(kind="error", message=f"{title} failed without a reason.")
    if state == "failed":
        return _failed(f"{title}: the work was accepted, but its task failed afterwards; its log says why.", "error")
    return ("skipped" if result.skipped else "success"), None


def _status_of_state(
    title: str, started: Started | None, *, interrupted: bool, state: str | None
) -> tuple[Status, Failure | None]:
    """Return the status of a task without a result; whatever Airflow reports, it is never a success."""
    if _rank(state) == ACTIVE:
        return ("running" if started else "pending"), None
    if started:
        return _status_of_attempt(title, started, interrupted=interrupted)
    match state:
        case "failed":
            return _failed(f"{title}: its task failed before the work began; its log says why.", "lost")
        case "success":
            return _failed(f"{title}: its task succeeded in Airflow, but there is no accepted result.", "contract")
        case _:
            return ("skipped" if state else "pending"), None


def _status_of_attempt(title: str, started: Started, *, interrupted: bool) -> tuple[Status, Failure]:
    """Return why an attempt ended that left no result."""
    if interrupted:
        return _failed(f"{title} was interrupted while it ran.", "interrupted")
    if started.stopped:
        return _failed(f"{title} was {STOPPED}.", "interrupted")
    return _failed(f"{title}: the worker died while it ran, so nothing of this attempt was accepted.", "lost")


def _failed(message: str, kind: str) -> tuple[Status, Failure]:
    return "failed", Failure.model_validate({"kind": kind, "message": message})
