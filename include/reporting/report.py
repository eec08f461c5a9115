"""Build the report of a run from the run's folder, and write it.

Nothing in it rests on what a step states about itself: times, records, metrics and checksums come from the results that
the orchestrator wrote. Airflow's task states only tell a skipped step from one that has not run yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from include.core.events import RunEnded
from include.core.files import write_atomically
from include.core.leftovers import LOG_NAME
from include.core.proof import proof_in_run, unchecked_first
from include.core.publish import PublishMetrics
from include.core.run_folder import (
    INTERRUPTED_MARK,
    Failure,
    Run,
    RunFolder,
    StepResult,
    damage_of,
    seconds_between,
    write_json,
)
from include.reporting import model
from include.reporting.html import render_html
from include.reporting.overview import with_overview
from include.reporting.task_status import TaskStatuses, task_statuses

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


NO_REASON = "It ended without a reason that could be found."


def build_report(
    folder: RunFolder, *, task_states: Mapping[str, str] | None = None, ended: str | None = None, now: datetime
) -> model.PipelineReport:
    """Build the report of a run from the records in its folder.

    Args:
        folder: The run; any file may be missing, `run.json` too.
        task_states: Airflow's state by task id; None where it is not known.
        ended: How a run ended of which nothing runs any more, though Airflow did not report its end; one or more
            sentences. Such a run has failed, wherever its records stop.
        now: Also the end of a run that is not over, or whose last attempt died.
    """
    try:
        run, damage = folder.run(), None
    except ValidationError as error:
        run, damage = None, Failure(kind="error", message=damage_of(folder.path / "run.json", error))
    tasks = task_statuses(folder, run, task_states)
    steps, others = tasks.steps, tasks.others
    failure = _failure_point(folder, tasks, damage, ended)
    if failure is not None and (task_states is None or ended):  # in a run that failed, what did not start was skipped
        skipped = {"status": "skipped"}
        over = ("pending", "running") if ended else ("pending",)
        steps = [step.model_copy(update=skipped) if step.status in over else step for step in steps]
    latest = [tasks.results[step.id] for step in steps if step.id in tasks.results]
    results = [result for result in latest if result.status == "success"]
    outcomes = [(result.step, result.outcome) for result in results]
    publishing = tasks.results.get("publish")
    published = publishing.outcome.findings if publishing else ()
    times = [(task.start_time, task.end_time or now) for task in (*steps, *others) if task.start_time]
    start = min((start for start, _ in times), default=run.created_at if run else now)
    end = max((end for _, end in times), default=now)
    seconds = seconds_between(start, end)
    report = model.PipelineReport(
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
        audited=bool(run and run.audited and all(result.audited for result in results if result.outcome.proofs)),
        failure_point=failure,
        record_accounting=[model.StepRecords(step=item.step, **dict(item.records)) for item in results if item.records],
        findings=[
            *_mixed_versions(results),
            *(model.StepFinding(step="publish", **dict(part)) for part in published),
            *(model.StepFinding(step=step, **dict(part)) for step, outcome in outcomes for part in outcome.findings),
        ],
        tables=[model.StepTable(step=step, **dict(part)) for step, outcome in outcomes for part in outcome.tables],
        plots=[model.StepPlot(step=step, **dict(part)) for step, outcome in outcomes for part in outcome.plots],
        artifacts=_artifacts(results),
        published=_published(tasks),
        provenance=_provenance(run, results),
        generated_at=now,
    )
    return with_overview(report, folder.files)


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
    message = report.failure_point.message if report.failure_point else None
    seconds = report.total_duration_seconds
    folder.sink.emit(RunEnded(status=report.overall_status, seconds=seconds, message=message))
    return json_path, html_path


def write_report_of_lost_run(folder: RunFolder, ended: str = NO_REASON) -> Path:
    """Write the report of a run that ended without one, and return its JSON.

    Args:
        folder: The run; nothing of it runs any more.
        ended: How it ended, in sentences.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    report = build_report(folder, ended=ended, now=datetime.now(UTC))
    return write_report(folder, report)[0]


def _failure_point(
    folder: RunFolder, tasks: TaskStatuses, damage: Failure | None, ended: str | None
) -> model.FailurePoint | None:
    """Return the earliest failure; failures without a time come last, in the pipeline's order."""
    all_tasks, last = [*tasks.steps, *tasks.others], datetime.max.replace(tzinfo=UTC)
    failed = [task for task in all_tasks if task.error]
    task = min(failed, key=lambda task: task.end_time or task.start_time or last, default=None)
    error = task.error if task else damage
    done = all(task.status == "success" or task.skipped_by for task in all_tasks)
    if error is None and (folder.path / INTERRUPTED_MARK).exists() and not done:
        error = Failure(kind="interrupted", message="The run was interrupted before it was done.")
    if error is None and ended:
        error = Failure(kind="lost", message=f"The run ended {_where(tasks)}. {ended}")
    elif error is not None and error.kind == "lost" and ended:
        error = error.model_copy(update={"message": f"{error.message} {ended}"})
    if error is None:
        return None
    return model.FailurePoint(
        step=task.name if task in tasks.steps else None,
        task=task.id if task else None,
        kind=error.kind,
        message=error.message,
        hint=error.hint or HINTS[error.kind],
        log_url=task.log_url if task else LOG_NAME if (folder.path / LOG_NAME).exists() else None,
    )


def _where(tasks: TaskStatuses) -> str:
    """Return how far a run came that has no failure: before which phase it ended."""
    prepare, *_ = tasks.others
    after = next((task for task in tasks.steps if task.status != "success" and not task.skipped_by), None)
    if prepare.status != "success":
        return "before it was prepared"
    if after is not None:
        return f"before step {after.step_number}, {after.name}, began"
    if any(task.id == "publish" and task.status != "success" for task in tasks.others):
        return "after its last step, before its results were published"
    return "after its results were published"


def _overall(steps: list[model.StepReport], others: list[model.StepReport], *, failed: bool) -> model.Status:
    """Return "success" if every step, preparing and publishing succeeded, or else what comes closest."""
    statuses = {"success" if task.skipped_by else task.status for task in (*steps, *others)}
    if failed:
        return "failed"
    if steps and statuses == {"success"}:
        return "success"
    if "skipped" in statuses and not {"pending", "running"} & statuses:
        return "skipped"
    return "pending" if statuses <= {"pending"} else "running"


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


def _artifacts(results: list[StepResult]) -> list[model.ArtifactReport]:
    """Return the accepted files with all that was proven of each; first those that are not checked, or not fully."""
    proofs: dict[str, list[model.StepProof]] = {}
    for result in results:
        for proof in result.outcome.proofs:
            proofs.setdefault(proof.artifact, []).append(model.StepProof(step=result.step, **dict(proof)))
    artifacts = []
    for result in results:
        for record in result.outputs:
            own = proofs.get(record.path, [])
            levels = proof_in_run(record, own, result.records)
            fields = dict(record) | {"step": result.step, "proof": levels, "proofs": own}
            artifacts.append(model.ArtifactReport(**fields))
    return unchecked_first(sorted(artifacts, key=lambda artifact: not artifact.doubts))


def _published(tasks: TaskStatuses) -> model.Published | None:
    succeeded = any(task.id == "publish" and task.status == "success" for task in tasks.others)
    result = tasks.results["publish"] if succeeded else None
    if result is None or not result.outcome.scalars():
        return None
    metrics = result.outcome.metrics_as(PublishMetrics)
    return model.Published(path=metrics.published, key=metrics.key)


def _mixed_versions(results: list[StepResult]) -> Iterator[model.StepFinding]:
    """Yield a warning where a step was cleared, and ran again, after the code or the definition had changed."""
    for name, title in (("groundtruth", "of the project's code"), ("definition", "of the pipeline's definition")):
        versions = {result.step: result.versions[name] for result in results if name in result.versions}
        newest = list(versions.values())[-1:]
        for step, version in versions.items():
            if [version] != newest:
                message = f"This step ran with another version {title} ({version}) than the last one ({newest[0]})."
                yield model.StepFinding(step=step, severity="warning", message=message)


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
    stored = {record.path: record for result in results for record in result.stored}
    return model.Provenance(
        versions={library: ", ".join(distinct) for library, distinct in versions.items()},
        isolation={result.step: result.isolation for result in results if result.isolation},
        images={result.step: result.image for result in results if result.image},
        definition=run.definition if run else None,
        sources=run.sources if run else [],
        stored=list(stored.values()),
        data=[part for part in statements if part.terms or part.synthetic is not None or part.stand_in is not None],
    )
