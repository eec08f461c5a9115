"""Maintenance: removes work whose task has ended, and runs that are too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include.core.run_folder import expired_runs, remove_run
from include.core.settings import get_settings
from plugins.steps.context import TASK_DEFAULTS, plain_errors
from plugins.steps.runtimes import runtime_class

if TYPE_CHECKING:
    from airflow.sdk import Context

ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}


def _is_ended(task_instance: Any, dag: str, run: str, task: str, map_index: int) -> bool:
    """Return whether no attempt of a task runs or is to come; true for one that Airflow does not know any more."""
    index = None if map_index < 0 else map_index
    states = task_instance.get_task_states(dag_id=dag, task_ids=[task], run_ids=[run], map_index=index)
    return all(state in ENDED for state in states.get(run, {}).values())


class RemoveOrphansOperator(BaseOperator):
    """Removes work, such as containers, whose task has ended or is unknown; returns how much."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**TASK_DEFAULTS, **kwargs)

    def execute(self, context: Context) -> int:
        """Ask Airflow about the task of each piece of work that the runtime still holds."""
        with plain_errors(self.log):
            return runtime_class().remove_orphans(partial(_is_ended, context["ti"]), self.log)


class PruneRunsOperator(BaseOperator):
    """Removes runs older than `GROUNDTRUTH_KEEP_RUNS_DAYS`; returns how many."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**TASK_DEFAULTS, **kwargs)

    def execute(self, context: Context) -> int:
        """Remove them, oldest first."""
        settings = get_settings()
        if settings.keep_runs_days is None:
            self.log.info("All runs stay: GROUNDTRUTH_KEEP_RUNS_DAYS is not set")
            return 0
        old = expired_runs(settings.data_dir / "runs", datetime.now(UTC) - timedelta(days=settings.keep_runs_days))
        for run in old:
            size = remove_run(run)
            self.log.info("Removed %s/%s, %.1f MB", run.parent.name, run.name, size / 1e6)
        return len(old)
