"""From when on a run's deadline counts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineReference, deadline_reference

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@deadline_reference(DeadlineReference.TYPES.DAGRUN_QUEUED)
class RunQueued(BaseDeadlineReference):
    """The moment at which a run was queued first.

    Airflow's own `DAGRUN_QUEUED_AT` moves along when a run is cleared; in 3.3.2 it fails at that, and the clear with it
    (apache/airflow#70368).
    """

    __module__ = "plugins.notices.deadline"  # DAGs that v0.1.0 stored name the class so

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Session, **run: Any) -> datetime | None:
        from airflow.models import DagRun
        from sqlalchemy import select

        return session.scalar(select(DagRun.queued_at).filter_by(**run))
