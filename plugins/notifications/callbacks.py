"""When people are told, as callbacks of Airflow.

A run's failure is told by the DAG's own callback, in the DAG processor: it comes whatever ended the run, be it a step,
a report that was killed or `dagrun_timeout`. What went wrong stands in the run's folder by then. A missed deadline is
told by the triggerer, which works when no worker does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk.configuration import conf

from include.core.contracts import imported
from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from plugins.notifications.sending import claim, give_up, send, send_from_trigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.core.contracts import Notice
    from include.reporting.model import FailurePoint, PipelineReport

LOG = logging.getLogger(__name__)
BACKFILL, TIMED_OUT = "backfill", "timed_out"


def notify_of_failure(context: Context) -> None:
    """Of a DAG: the run has failed."""
    from include.reporting.notices import failure_notice

    dag_id, run_id = context["dag"].dag_id, context["run_id"]
    folder = _folder(dag_id, run_id)

    def notice() -> Notice:
        report = _report(folder, goes_on=context.get("reason") == TIMED_OUT)
        return failure_notice(report, run_url=run_url(dag_id, run_id), instead=_no_step(context, report))

    _notify(folder.path / "notices" / "failure", notice)


def notify_of_step(context: Context) -> None:
    """Send the notice that a step's contract declares, after its success; the step may decide that there is none."""
    run, step = context["dag_run"], getattr(context["task"], "item").step  # noqa: B009 - a StepOperator
    folder = _folder(run.dag_id, run.run_id)
    result = folder.result(step.id)
    notice = imported(step.notice)(result.outcome) if result is not None else None
    if notice is not None:
        facts = {"Run": run.run_id, **notice.facts, "In Airflow": run_url(run.dag_id, run.run_id) or ""}
        complete = replace(notice, subject=f"{run.dag_id} {notice.subject}", facts=facts)
        _notify(folder.path / "notices" / step.id, lambda: complete)


async def notify_of_deadline(minutes: float, context: dict[str, Any]) -> None:
    """Of a DAG's deadline: the run has not ended in time.

    One that has failed is known already, and the days of a backfill wait for each other.

    Args:
        minutes: Between queueing and deadline.
        context: Airflow's, with the run as its API describes it.
    """
    from include.reporting.notices import deadline_notice

    run = context["dag_run"]
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    if run["state"] not in ("queued", "running") or run["run_type"] == BACKFILL:
        return
    LOG.warning("%s, run %s, has not ended %g minutes after it was queued", dag_id, run_id, minutes)
    folder = _folder(dag_id, run_id)
    mark = folder.path / "notices" / "deadline"
    if not claim(mark):
        return
    report = _report(folder, goes_on=True)
    told = deadline_notice(report, state=run["state"], minutes=minutes, run_url=run_url(dag_id, run_id))
    if not await send_from_trigger(told):
        give_up(mark)


def run_url(dag_id: str, run_id: str) -> str | None:
    """Where Airflow shows a run; None for one of the command line, or where `[api] base_url` says no address."""
    base = "" if get_settings().run_folder else conf.get("api", "base_url", fallback="")
    return f"{base.rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}" if base else None


def _notify(mark: Path, notice: Callable[[], Notice]) -> None:
    try:
        if claim(mark) and not send(notice()):
            give_up(mark)
    except Exception:
        LOG.warning("notice: %s cannot be told of", mark.parent.parent.name, exc_info=True)


def _folder(dag_id: str, run_id: str) -> RunFolder:
    settings = get_settings()
    return RunFolder(settings.run_folder) if settings.run_folder else RunFolder.of(settings.data_dir, dag_id, run_id)


def _report(folder: RunFolder, *, goes_on: bool = False) -> PipelineReport:
    """What the run's folder says; of a run that goes on, work without a verdict is under way and not lost."""
    from include.reporting.report import build_report

    run = folder.run() if goes_on else None
    tasks = [task for info in (run.steps if run else []) for task in (info.parts or [info.id])]
    return build_report(folder, task_states=dict.fromkeys(tasks, "running") if goes_on else None, now=datetime.now(UTC))


def _no_step(context: Context, report: PipelineReport) -> FailurePoint | None:
    """Why a run failed where its steps do not say."""
    from include.reporting.model import FailurePoint

    reason, limit = context.get("reason"), context["dag"].dagrun_timeout
    if reason == TIMED_OUT:
        under_way = next((step for step in report.steps if step.status == "running"), None)
        message = f"The run took longer than its limit of {limit} (dagrun_timeout) and was ended."
        return FailurePoint(
            step=under_way.name if under_way else None,
            task=under_way.id if under_way else None,
            kind="stuck_run",
            message=message,
        )
    if report.failure_point is not None:
        return None
    task = context.get("ti")
    name = task.task_id if task else None
    message = (
        f"{name}: the task failed and left no verdict; its log says why." if name else f"The run failed: {reason}."
    )
    return FailurePoint(step=None, task=name, kind="error", message=message)
