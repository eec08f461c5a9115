"""What nobody owns any more is removed: containers whose task has ended, and runs whose time is over."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include.core.retention import expired_runs, remove_run
from include.core.settings import get_settings
from plugins.steps.context import TASK_DEFAULTS, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Context

ENDED = {"success", "failed", "skipped", "upstream_failed", "removed"}
YOUNG_SECONDS = 60
"""So long a container is left alone: its task may not have told Airflow yet that it runs."""
ALREADY_GOING = {404, 409}
"""The engine's answers where somebody else has removed a container, or is about to."""


class RemoveOrphansOperator(BaseOperator):
    """Removes this deployment's containers whose task has ended or is gone; returns how many."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**TASK_DEFAULTS, **kwargs)

    def execute(self, context: Context) -> int:
        """Look at each container, ask Airflow about its task."""
        if get_settings().runtime != "docker":
            self.log.info("No containers here: GROUNDTRUTH_RUNTIME is local")
            return 0
        import docker
        from docker.errors import APIError

        from plugins.steps.engine import LABEL, deployment, engine_faults, engine_url

        removed = 0
        with plain_errors(self.log), engine_faults(engine_url()), closing(docker.APIClient(engine_url())) as engine:
            for found in engine.containers(all=True, filters={"label": [f"{LABEL}.data={deployment()}"]}):
                labels = found["Labels"]
                dag, run, step = (labels[f"{LABEL}.{name}"] for name in ("dag", "run", "step"))
                if time.time() - found["Created"] < YOUNG_SECONDS or not self._ended(context, dag, run, step):
                    continue
                try:
                    engine.remove_container(found["Id"], force=True, v=True)
                except APIError as error:
                    if error.status_code not in ALREADY_GOING:
                        raise
                    continue
                self.log.info("Removed the container %s of %s, %s in %s", found["Id"][:12], step, run, dag)
                removed += 1
        return removed

    def _ended(self, context: Context, dag: str, run: str, step: str) -> bool:
        """Whether no attempt of a task runs or is to come; true for one that Airflow does not know any more."""
        states = context["ti"].get_task_states(dag_id=dag, task_ids=[step], run_ids=[run]).get(run, {})
        return all(state in ENDED for state in states.values())


class PruneRunsOperator(BaseOperator):
    """Removes runs whose time is over (`GROUNDTRUTH_KEEP_RUNS_DAYS`); returns how many."""

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
