"""What Airflow's database knows of runs: which are under way, and how the tasks of one ended."""

from __future__ import annotations

from collections.abc import Collection

from airflow.models import DagRun, TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import select

ACTIVE = (DagRunState.QUEUED, DagRunState.RUNNING)
WORST_FIRST = ("failed", "upstream_failed", "skipped")


def active_runs(dag_ids: Collection[str]) -> set[tuple[str, str]]:
    """DAG and run id of what is running or about to run."""
    with create_session(scoped=False) as session:
        found = session.execute(
            select(DagRun.dag_id, DagRun.run_id).where(DagRun.state.in_(ACTIVE), DagRun.dag_id.in_(dag_ids))
        )
        return {(dag_id, run_id) for dag_id, run_id in found}


def task_states(dag_id: str, run_id: str) -> dict[str, str]:
    """How each task of a run stands, by task id (a mapped task has the worst state of its instances)."""
    states: dict[str, str] = {}
    with create_session(scoped=False) as session:
        tasks = select(TaskInstance.task_id, TaskInstance.state).where(
            TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
        )
        for task_id, state in session.execute(tasks):
            told = "scheduled" if state is None else str(getattr(state, "value", state))
            if task_id not in states or _badness(told) < _badness(states[task_id]):
                states[task_id] = told
    return states


def _badness(state: str) -> int:
    """0 for the worst; success is the least bad."""
    if state == "success":
        return len(WORST_FIRST) + 1
    return WORST_FIRST.index(state) if state in WORST_FIRST else len(WORST_FIRST)
