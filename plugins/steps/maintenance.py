"""Maintenance: removes work whose task has ended, and runs that are too old."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from include.core.retention import expired_runs, remove_run
from include.core.settings import get_settings
from plugins.steps.context import plain_errors
from plugins.steps.runtimes import runtime_class

ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
LOG = logging.getLogger(__name__)


def remove_orphans(ti: Any) -> int:
    """Remove work, such as containers, whose task has ended or is unknown, and return how much was removed.

    Args:
        ti: The task instance that runs this; it asks Airflow about others.
    """

    def is_ended(dag: str, run: str, task: str, map_index: int) -> bool:
        index = None if map_index < 0 else map_index
        states = ti.get_task_states(dag_id=dag, task_ids=[task], run_ids=[run], map_index=index)
        return all(state in ENDED for state in states.get(run, {}).values())

    with plain_errors(LOG):
        return runtime_class().remove_orphans(is_ended, LOG)


def prune_runs() -> int:
    """Remove runs older than `GROUNDTRUTH_KEEP_RUNS_DAYS`, oldest first, and return how many were removed."""
    settings = get_settings()
    if settings.keep_runs_days is None:
        LOG.info("All runs stay: GROUNDTRUTH_KEEP_RUNS_DAYS is not set")
        return 0
    old = expired_runs(settings.data_dir / "runs", datetime.now(UTC) - timedelta(days=settings.keep_runs_days))
    for run in old:
        size = remove_run(run)
        LOG.info("Removed %s/%s, %.1f MB", run.parent.name, run.name, size / 1e6)
    return len(old)
