"""What Airflow's database records of runs: which ones are under way, and the states of one's tasks."""

from __future__ import annotations

from collections.abc import Collection

from airflow.models import DagRun, TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import select

from include.core.run_folder import safe_name
from include.reporting.task_status import worst_states

ACTIVE = (DagRunState.QUEUED, DagRunState.RUNNING)


def active_runs(dag_ids: Collection[str]) -> set[tuple[str, str]]:
    """Return DAG and folder name of the runs that Airflow is running or about to run."""
    with create_session(scoped=False) as session:
        runs = session.execute(
            select(DagRun.dag_id, DagRun.run_id).where(DagRun.state.in_(ACTIVE), DagRun.dag_id.in_(dag_ids))
        )
        return {(dag_id, safe_name(run_id)) for dag_id, run_id in runs}


def task_states(dag_id: str, run_id: str) -> dict[str, str]:
    """Return the state of each task of a run, of a mapped task the worst of its instances."""
    with create_session(scoped=False) as session:
        tasks = session.execute(
            select(TaskInstance.task_id, TaskInstance.state).where(
                TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
            )
        )
        return worst_states(
            (task_id, "scheduled" if state is None else str(getattr(state, "value", state))) for task_id, state in tasks
        )
