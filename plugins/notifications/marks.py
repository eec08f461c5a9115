"""A listener in the API server: records which user marked a task as failed, for the run's report and notification.

Airflow tells listeners of a state that a user set, though not the user; its audit log names that one, and is written
before. The report runs afterwards, for it is the teardown.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.listeners import hookimpl

from include.core.events import Failed
from include.core.run_folder import Mark
from plugins.steps.context import run_folder

LOG = logging.getLogger(__name__)
SET_BY_USER = "state was manually set"
"""In what Airflow passes as the error; any other failure is the task's own, and happens in a worker."""
RECENT = timedelta(minutes=1)
UNKNOWN = "unknown"


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:
    """Record who marked a task as failed; whatever goes wrong here must not harm the request."""
    if not isinstance(error, str) or SET_BY_USER not in error:
        return
    try:
        folder, now = run_folder(task_instance.dag_id, task_instance.run_id), datetime.now(UTC)
        if folder.path.is_dir():
            step = step_of(task_instance)
            mark = Mark(by=user_of(task_instance.dag_id, task_instance.run_id, now), at=now, state="failed")
            folder.keep(step, "mark.json", mark)
            message = f"a user ({mark.by}) marked the task as failed"
            folder.sink.emit(Failed(step=step, attempt=task_instance.try_number, cause="marked", message=message))
    except Exception:
        LOG.warning("%s: who marked it as failed could not be recorded", task_instance, exc_info=True)


def step_of(task_instance: Any) -> str:
    """Return the id under which the records of a task lie; an instance of a mapped one has its index."""
    index = getattr(task_instance, "map_index", -1)
    return str(task_instance.task_id) if index < 0 else f"{task_instance.task_id}.{index}"


def user_of(dag_id: str, run_id: str, now: datetime) -> str:
    """Return the user of the latest change of a run in Airflow's audit log."""
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        changes = select(Log.owner).where(Log.dag_id == dag_id, Log.run_id == run_id, Log.event.like("patch_%"))
        recent = changes.where(Log.dttm > now - RECENT).order_by(Log.id.desc()).limit(1)
        return session.scalar(recent) or UNKNOWN
