"""Callbacks of Airflow that notify users of failed and late runs, and of steps that declare a notice.

The DAG's own callback reports a run's failure, in the DAG processor: it is called whatever ended the run, be it a step,
a report that was killed or `dagrun_timeout`, and the run's folder holds the reason by then. The triggerer reports a
missed deadline; it works when no worker does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk.configuration import conf
from pydantic import ValidationError

from include.core.contracts import imported
from include.core.events import Notified
from include.core.settings import get_settings
from include.core.sink import FileSink
from plugins.notifications.sending import claim, give_up, send, send_from_trigger
from plugins.steps.context import folder_of, run_folder

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.core.contracts import Notice
    from include.core.run_folder import RunFolder
    from include.reporting.model import FailurePoint, PipelineReport

LOG = logging.getLogger(__name__)
BACKFILL, TIMED_OUT = "backfill", "timed_out"


def notify_of_failure(context: Context) -> None:
    """Send the notice of a run that has failed; called by the DAG."""
    from include.reporting.notices import failure_notice

    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    folder = run_folder(dag_id, run_id)

    def notice() -> Notice:
        report = _report(folder, continues=context.get("reason") == TIMED_OUT)
        return failure_notice(report, _failure_point(context, report), run_url=run_url(dag_id, run_id))

    _notify(folder.path / "notices" / f"failure{_clears(folder) or ''}", notice)


def notify_of_step(context: Context) -> None:
    """Send the notice that a step's contract declares, after its success; the step may decide that there is none."""
    run, step = context["dag_run"], getattr(context["task"], "item").step  # noqa: B009 - a StepOperator
    folder = folder_of(context)
    result = folder.result(step.id)
    notice = imported(step.notice)(result.outcome) if result is not None else None
    if notice is not None:
        facts = {"Run": run.run_id, **notice.facts, "In Airflow": run_url(run.dag_id, run.run_id) or ""}
        complete = replace(notice, subject=f"{run.dag_id} {notice.subject}", facts=facts)
        _notify(folder.path / "notices" / step.id, lambda: complete)


async def notify_of_deadline(minutes: float, context: dict[str, Any]) -> None:
    """Send the notice of a run that has not ended in time; called by the DAG's deadline.

    A run that has failed has a notice of its own, and the runs of a backfill wait for each other.

    Args:
        minutes: Between queueing and deadline.
        context: Airflow's, with the run as its API describes it.
    """
    from include.reporting.notices import deadline_notice

    run = context["dag_run"]
    dag_id, run_id, state = run["dag_id"], run["dag_run_id"], run["state"]
    if state not in ("queued", "running") or run["run_type"] == BACKFILL:
        return
    LOG.warning("%s, run %s, has not ended %g minutes after it was queued", dag_id, run_id, minutes)
    folder = run_folder(dag_id, run_id)
    mark = folder.path / "notices" / "deadline"
    if claim(mark):
        report, url = _report(folder, continues=True), run_url(dag_id, run_id)
        notice = deadline_notice(report, state=state, minutes=minutes, run_url=url)
        if await send_from_trigger(notice):
            folder.sink.emit(Notified(subject=notice.subject))
        else:
            give_up(mark)


def run_url(dag_id: str, run_id: str) -> str | None:
    """Return where Airflow shows a run; None on the command line, or where `[api] base_url` states no address."""
    base = "" if get_settings().run_folder else conf.get("api", "base_url", fallback="")
    return f"{base.rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}" if base else None


def _clears(folder: RunFolder) -> int:
    """Return how often tasks of a run were cleared: users are notified once of each failure."""
    with suppress(ValidationError):
        names = [path.parent.name for path in folder.path.glob("steps/*/started.json")]
        return sum(started.generation for started in map(folder.started, names) if started)
    return 0


def _notify(mark: Path, notice: Callable[[], Notice]) -> None:
    try:
        if claim(mark):
            composed = notice()
            if send(composed):
                FileSink(mark.parents[1]).emit(Notified(subject=composed.subject))
            else:
                give_up(mark)
    except Exception:
        LOG.warning("notice: %s: could not be composed", mark.parent.parent.name, exc_info=True)


def _report(folder: RunFolder, *, continues: bool) -> PipelineReport:
    """Return the report of a run; of one that continues, steps without a result are running and not lost."""
    from include.reporting.report import build_report

    run = folder.run() if continues else None
    tasks = [task for info in (run.steps if run else []) for task in (info.parts or [info.id])]
    states = dict.fromkeys(tasks, "running") if continues else None
    return build_report(folder, task_states=states, now=datetime.now(UTC))


def _failure_point(context: Context, report: PipelineReport) -> FailurePoint:
    """Return why a run failed: as its steps state it, or else as Airflow does."""
    from include.reporting.model import FailurePoint

    reason, limit = context.get("reason"), context["dag"].dagrun_timeout
    if reason == TIMED_OUT:
        message = f"The run took longer than its limit of {limit} (dagrun_timeout) and was ended."
        name, task_id = next(((step.name, step.id) for step in report.steps if step.status == "running"), (None, None))
        return FailurePoint(step=name, task=task_id, kind="stuck_run", message=message)
    if report.failure_point is not None:
        return report.failure_point
    task = context.get("ti")
    if task is None:
        return FailurePoint(step=None, task=None, kind="error", message=f"The run failed: {reason}.")
    message = f"{task.task_id}: the task failed and left no result; its log says why."
    return FailurePoint(step=None, task=task.task_id, kind="error", message=message)
