"""Build the report of a run from the run's folder, and write it.

Nothing in it rests on what a step states about itself: times, records, metrics and checksums come from the results that
the orchestrator wrote. Airflow's task states only tell a skipped step from one that has not run yet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from include.core.files import write_atomically
from include.core.publish import PublishMetrics
from include.core.run_folder import (
    INTERRUPTED_MARK,
    Failure,
    Run,
    RunFolder,
    StepResult,
    seconds_between,
    write_json,
)
from include.reporting import model
from include.reporting.html import render_html
from include.reporting.task_status import TaskStatus, task_statuses

SHOWN_ELSEWHERE = {"findings", "tables", "statistics", "plots", "provenance"}
RESUME = "A task that is cleared in Airflow resumes here: accepted steps are not repeated."
HINTS = {
    "bad_input": "Fix the input, and start the run again.",
    "contract": "The step's output breaks its contract: read the step's log, fix the step, and run it again.",
    "setup": f"Fix the machine or its configuration, and run again. {RESUME}",
    "transient": "Every attempt met a transient fault: run again, or clear the task, when the other side responds.",
    "interrupted": f"Run again. {RESUME}",
    "timeout": "Raise timeout_seconds in the definition, or provide less data, and run again.",
    "lost": f"Check whether the machine ran out of memory, and run again. {RESUME}",
    "error": "Read the log of the task: its last lines show where it failed.",
}
"""What to do about each kind of fault, where the failure itself has no hint."""


def build_report(
    folder: RunFolder, *, task_states: Mapping[str, str] | None = None, now: datetime
) -> model.PipelineReport:
    """Build the report of a run from the records in its folder.

    Args:
        folder: The run; any file may be missing, `run.json` too.
        task_states: Airflow's state by task id; None where it is not known.
        now: Also the end of a run that is not over, or whose last attempt died.
    """
    try:
        run, damage = folder.run(), None
    except ValidationError:
        run, damage = None, Failure(kind="error", message=f"{folder.path / 'run.json'} is damaged and cannot be read")
    tasks = task_statuses(folder, run, task_states)
    failure = _failure_point(folder, tasks, damage)
    halted = failure is not None and task_states is None
    own, others = [task for task in tasks if task.is_step], [task for task in tasks if not task.is_step]
    steps = [_step_report(number, step, halted=halted) for number, step in enumerate(own, start=1)]
    results = [step.result for step in own if step.result and step.result.status == "success"]
    outcomes = [(result.step, result.outcome) for result in results]
    begun = [task for task in tasks if task.started_at]
    start = min((task.started_at for task in begun if task.started_at), default=run.created_at if run else now)
    end = max((task.ended_at or now for task in begun), default=now)
    seconds = seconds_between(start, end)
    return model.PipelineReport(
        pipeline_name=run.pipeline if run else folder.path.parent.name,
        start_time=start,
        end_time=end,
        total_duration_seconds=seconds,
        overall_status=_overall(steps, others, failed=failure is not None),
        summary_statistics=_statistics(steps, results, seconds),
        steps=steps,
        dag_id=run.dag_id if run else folder.path.parent.name,
        run_id=run.run_id if run else folder.path.name,
        runtime=run.runtime if run else None,
        interval=_interval(run, results),
        params=run.params if run else {},
        failure_point=failure,
        record_accounting=[model.StepRecords(step=item.step, **dict(item.records)) for item in results if item.records],
        findings=[
            model.StepFinding(step=step, **dict(part)) for step, outcome in outcomes for part in outcome.findings
        ],
        tables=[model.StepTable(step=step, **dict(part)) for step, outcome in outcomes for part in outcome.tables],
        plots=[model.StepPlot(step=step, **dict(part)) for step, outcome in outcomes for part in outcome.plots],
        artifacts=[
            model.ArtifactReport(step=result.step, **dict(part)) for result in results for part in result.outputs
        ],
        published=_published(others),
        provenance=_provenance(run, results),
        generated_at=now,
    )


def write_report(folder: RunFolder, report: model.PipelineReport) -> tuple[Path, Path]:
    """Write the report into the run's folder, the JSON last: where it exists, the page exists too.

    Returns:
        Paths of the JSON document and of the HTML page.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    name = f"pipeline_report_{report.generated_at:%Y%m%d_%H%M%S}"
    json_path, number = folder.path / f"{name}.json", 1
    while json_path.exists():
        number += 1
        json_path = folder.path / f"{name}_{number}.json"
    html_path = json_path.with_suffix(".html")
    write_atomically(html_path, render_html(report, folder.files).encode())
    write_json(json_path, report)
    return json_path, html_path


def _step_report(number: int, step: TaskStatus, *, halted: bool) -> model.StepReport:
    """Report a step; in a run that failed, where Airflow's states are not known, what did not start was skipped."""
    result, record = step.result, step.record
    accepted = result if result and result.status == "success" else None
    return model.StepReport(
        step_number=number,
        id=step.id,
        name=step.title,
        description=step.description,
        script=result.command if result else "",
        args=_arguments(result) if result else [],
        status="skipped" if halted and step.status == "pending" else step.status,
        start_time=step.started_at,
        end_time=step.ended_at,
        duration_seconds=result.duration_seconds if result else None,
        error_message=step.error.message if step.error else None,
        output_summary=accepted.outcome.model_dump(mode="json", exclude=SHOWN_ELSEWHERE) if accepted else None,
        skipped_by=result.skipped if result else None,
        error=step.error,
        attempt=record.attempt if record else None,
        reused=result.reused if result else False,
        runtime=record.runtime if record else None,
        image=result.image if result else None,
        log_url=result.log_url if result else None,
    )


def _arguments(result: StepResult) -> list[str]:
    return [
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in result.params.items()
        if value is not None
    ]


def _failure_point(folder: RunFolder, tasks: list[TaskStatus], damage: Failure | None) -> model.FailurePoint | None:
    """Return the earliest failure; failures without a time come last, in the pipeline's order."""
    failed = [(task.ended_at or task.started_at, task, task.error) for task in tasks if task.error]
    if failed:
        _, task, error = min(failed, key=lambda item: item[0].timestamp() if item[0] else float("inf"))
        return _point(error, task)
    done = all(task.status == "success" or (task.result and task.result.skipped) for task in tasks)
    if damage is None and (folder.path / INTERRUPTED_MARK).exists() and not done:
        damage = Failure(kind="interrupted", message="The run was interrupted before it was done.")
    return _point(damage, None) if damage else None


def _point(error: Failure, task: TaskStatus | None) -> model.FailurePoint:
    return model.FailurePoint(
        step=task.title if task and task.is_step else None,
        task=task.id if task else None,
        kind=error.kind,
        message=error.message,
        hint=error.hint or HINTS[error.kind],
        log_url=task.result.log_url if task and task.result else None,
    )


def _overall(steps: list[model.StepReport], others: list[TaskStatus], *, failed: bool) -> model.Status:
    """Success needs every step, preparing and publishing; anything less has a word of its own."""
    statuses = [*("success" if step.skipped_by else step.status for step in steps), *(task.status for task in others)]
    if failed:
        return "failed"
    if steps and set(statuses) == {"success"}:
        return "success"
    if "skipped" in statuses and not {"pending", "running"} & set(statuses):
        return "skipped"
    return "pending" if set(statuses) <= {"pending"} else "running"


def _statistics(steps: list[model.StepReport], results: list[StepResult], seconds: float) -> model.SummaryStatistics:
    count = [step.status for step in steps].count
    of_the_domain = {name: value for result in results for name, value in result.outcome.statistics.items()}
    return model.SummaryStatistics(
        total_steps=len(steps),
        completed_steps=count("success"),
        failed_steps=count("failed"),
        skipped_steps=count("skipped"),
        total_duration_seconds=seconds,
        step_durations={step.id: step.duration_seconds for step in steps if step.duration_seconds is not None},
        **of_the_domain,
    )


def _interval(run: Run | None, results: list[StepResult]) -> model.Interval | None:
    """Return the interval of the plan; for input files without one, the extent of their data."""
    extents = [(run.interval_start, run.interval_end)] if run else []
    extents += [(result.outcome.data_start, result.outcome.data_end) for result in results]
    return next((model.Interval(start=start, end=end) for start, end in extents if start and end), None)


def _published(others: list[TaskStatus]) -> model.Published | None:
    result = next((task.result for task in others if task.id == "publish" and task.status == "success"), None)
    if result is None or not result.outcome.scalars():
        return None
    metrics = result.outcome.metrics_as(PublishMetrics)
    return model.Published(path=metrics.published, key=metrics.key)


def _provenance(run: Run | None, results: list[StepResult]) -> model.Provenance:
    versions: dict[str, dict[str, None]] = {}
    for result in results:
        for library, version in result.versions.items():
            versions.setdefault(library, {})[version] = None
    statements = [
        model.DataProvenance(
            step=result.step,
            terms=result.outcome.provenance,
            synthetic=result.outcome.synthetic,
            stand_in=result.outcome.stand_in,
        )
        for result in results
    ]
    return model.Provenance(
        versions={library: ", ".join(distinct) for library, distinct in versions.items()},
        images={result.step: result.image for result in results if result.image},
        definition=run.definition if run else None,
        sources=run.sources if run else [],
        data=[part for part in statements if part.terms or part.synthetic is not None or part.stand_in is not None],
    )
