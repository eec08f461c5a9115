"""Builds a run's report from the run's folder, and writes it.

Nothing in it comes from what a step says of itself: times, records, key figures and checksums stand in the verdicts
that the orchestrator wrote. Task states of Airflow only tell a step that was skipped from one that never came to run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue, ValidationError

from include.core.outcome import StepOutcome
from include.core.publish import PublishMetrics
from include.core.run_folder import (
    INTERRUPTED_MARK,
    Failure,
    Run,
    RunFolder,
    StepResult,
    seconds_between,
    write_atomically,
    write_json,
)
from include.reporting.html import render_html
from include.reporting.model import (
    ArtifactReport,
    FailurePoint,
    Interval,
    PipelineReport,
    Provenance,
    Published,
    Status,
    StepFinding,
    StepRecords,
    StepReport,
    StepTable,
    SummaryStatistics,
)
from include.reporting.verdicts import Verdict, around, verdicts

SHOWN_ELSEWHERE = ("findings", "tables", "statistics", "plots", "provenance")


def build_report(folder: RunFolder, *, task_states: Mapping[str, str] | None = None, now: datetime) -> PipelineReport:
    """Put together what is known of a run.

    Args:
        folder: The run; it may lack anything, `run.json` too.
        task_states: How Airflow says that tasks ended, by task id; None where nobody knows.
        now: Also the end of a run that is not over, or whose last attempt died.
    """
    try:
        run, broken = folder.run(), None
    except ValidationError:
        run, broken = None, Failure(kind="error", message=f"{folder.path / 'run.json'} is damaged and cannot be read")
    steps = verdicts(folder, run, task_states)
    others = around(folder, run, steps, task_states)
    failure = _failure_point(folder, [*steps, *others], broken)
    halted = failure is not None and task_states is None
    reports = [_step_report(number, step, halted=halted) for number, step in enumerate(steps, start=1)]
    results = [step.result for step in steps if step.result is not None and step.result.status == "success"]
    begun = [each.started_at for each in (*steps, *others) if each.started_at] or [run.created_at if run else now]
    ended = [each.ended_at or now for each in (*steps, *others) if each.started_at] or [now]
    start, end = min(begun), max(ended)
    return PipelineReport(
        pipeline_name=run.pipeline if run else folder.path.parent.name,
        start_time=start,
        end_time=end,
        total_duration_seconds=seconds_between(start, end),
        overall_status=_overall([*reports], others, failed=failure is not None),
        summary_statistics=_statistics(reports, results, seconds_between(start, end)),
        steps=reports,
        dag_id=run.dag_id if run else folder.path.parent.name,
        run_id=run.run_id if run else folder.path.name,
        runtime=run.runtime if run else None,
        interval=_interval(run, results),
        params=run.params if run else {},
        failure_point=failure,
        record_accounting=[
            StepRecords(step=result.step, **result.records.model_dump()) for result in results if result.records
        ],
        findings=[
            StepFinding(step=result.step, severity=finding.severity, message=finding.message)
            for result in results
            for finding in result.outcome.findings
        ],
        tables=[
            StepTable(step=result.step, title=table.title, columns=table.columns, rows=table.rows)
            for result in results
            for table in result.outcome.tables
        ],
        artifacts=[
            ArtifactReport(step=result.step, **record.model_dump()) for result in results for record in result.outputs
        ],
        published=_published(others),
        provenance=_provenance(run, results),
        generated_at=now,
    )


def write_report(folder: RunFolder, report: PipelineReport) -> tuple[Path, Path]:
    """Write the report into the run's folder, the JSON last: where it stands, the page stands too.

    Returns:
        Paths of the JSON document and of the HTML page.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    name = f"pipeline_report_{report.generated_at:%Y%m%d_%H%M%S}"
    stem, count = name, 1
    while (folder.path / f"{stem}.json").exists():
        count += 1
        stem = f"{name}_{count}"
    json_path, html_path = folder.path / f"{stem}.json", folder.path / f"{stem}.html"
    write_atomically(html_path, render_html(report, folder.files).encode())
    write_json(json_path, report)
    return json_path, html_path


def _step_report(number: int, step: Verdict, *, halted: bool) -> StepReport:
    """A step's part; where the run has broken and nobody knows more, what did not start counts as skipped."""
    result = step.result
    status: Status = "skipped" if halted and step.status == "pending" else step.status
    return StepReport(
        step_number=number,
        id=step.id,
        name=step.title,
        description=step.description,
        script=result.command if result else "",
        args=[f"{name}={_argument(value)}" for name, value in result.params.items() if value is not None]
        if result
        else [],
        status=status,
        start_time=step.started_at,
        end_time=step.ended_at,
        duration_seconds=result.duration_seconds if result else None,
        error_message=step.error.message if step.error else None,
        output_summary=_output_summary(result.outcome) if result and result.status == "success" else None,
        skipped_by=result.skipped if result else None,
        error=step.error,
        attempt=step.attempt,
        reused=result.reused if result else False,
        runtime=step.runtime,
        image=result.image if result else None,
        log_url=result.log_url if result else None,
    )


def _output_summary(outcome: StepOutcome) -> dict[str, JsonValue]:
    flat = outcome.model_dump(mode="json")
    return {name: value for name, value in flat.items() if name not in SHOWN_ELSEWHERE}


def _argument(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _failure_point(folder: RunFolder, all_tasks: list[Verdict], broken: Failure | None) -> FailurePoint | None:
    """The failure that came first; failures without a time come last, in the pipeline's order."""
    failed = [task for task in all_tasks if task.error is not None]
    if failed:
        first = min(failed, key=_when)
        assert first.error is not None  # noqa: S101
        return _point(first.error, first)
    if broken is not None:
        return _point(broken, None)
    done = all(task.status == "success" or (task.result and task.result.skipped) for task in all_tasks)
    if (folder.path / INTERRUPTED_MARK).exists() and not done:
        return _point(Failure(kind="interrupted", message="The run was interrupted before it was done."), None)
    return None


def _when(task: Verdict) -> tuple[bool, float]:
    instant = task.ended_at or task.started_at
    return (instant is None, instant.timestamp() if instant else 0.0)


GO_ON = "A task cleared in Airflow goes on from here: what was accepted is not repeated."
HINTS = {
    "bad_input": "Mend what was handed in, and start the run again.",
    "contract": "What the step left is not what it promises: read its log, mend the step, and run it again.",
    "setup": f"Mend the machine and run again. {GO_ON}",
    "transient": "Every attempt met a fault that may pass: run again, or clear the task, when the other side answers.",
    "interrupted": f"Run again. {GO_ON}",
    "timeout": "Raise timeout_seconds in the definition, or hand in less data, and run again.",
    "lost": f"Was memory short? Run again. {GO_ON}",
    "error": "Read the log of the task; its last lines say where it broke.",
}


def _point(error: Failure, task: Verdict | None) -> FailurePoint:
    return FailurePoint(
        step=task.title if task and task.is_step else None,
        task=task.id if task else None,
        kind=error.kind,
        message=error.message,
        hint=error.hint or HINTS[error.kind],
        log_url=task.result.log_url if task and task.result else None,
    )


def _overall(steps: list[StepReport], others: list[Verdict], *, failed: bool) -> Status:
    """Success is what every step, preparing and publishing have; anything less has its own word."""
    done: list[Status] = ["success" if step.skipped_by else step.status for step in steps]
    statuses: list[Status] = [*done, *(task.status for task in others)]
    if failed:
        return "failed"
    if steps and all(status == "success" for status in statuses):
        return "success"
    if "skipped" in statuses and not {"pending", "running"} & set(statuses):
        return "skipped"
    return "pending" if set(statuses) <= {"pending"} else "running"


def _statistics(steps: list[StepReport], results: list[StepResult], seconds: float) -> SummaryStatistics:
    count = [step.status for step in steps].count
    of_the_domain = {name: value for result in results for name, value in result.outcome.statistics.items()}
    return SummaryStatistics(
        total_steps=len(steps),
        completed_steps=count("success"),
        failed_steps=count("failed"),
        skipped_steps=count("skipped"),
        total_duration_seconds=seconds,
        step_durations={step.id: step.duration_seconds for step in steps if step.duration_seconds is not None},
        **of_the_domain,
    )


def _interval(run: Run | None, results: list[StepResult]) -> Interval | None:
    """The interval that was asked for; for people's files without one, the extent of their data."""
    if run is not None and run.interval_start is not None and run.interval_end is not None:
        return Interval(start=run.interval_start, end=run.interval_end)
    for result in results:
        if result.outcome.data_start and result.outcome.data_end:
            return Interval(start=result.outcome.data_start, end=result.outcome.data_end)
    return None


def _published(others: list[Verdict]) -> Published | None:
    for task in others:
        if task.id == "publish" and task.status == "success" and task.result and task.result.outcome.scalars():
            metrics = task.result.outcome.metrics_as(PublishMetrics)
            return Published(path=metrics.published, key=metrics.key)
    return None


def _provenance(run: Run | None, results: list[StepResult]) -> Provenance:
    versions: dict[str, dict[str, None]] = {}
    for result in results:
        for library, version in result.versions.items():
            versions.setdefault(library, {})[version] = None
    return Provenance(
        versions={library: ", ".join(found) for library, found in versions.items()},
        images={result.step: result.image for result in results if result.image},
        definition=run.definition if run else None,
        sources=run.sources if run else [],
    )
