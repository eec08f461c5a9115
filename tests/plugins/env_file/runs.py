"""Contexts of tasks, and DAGs that stand in a file of their own."""

from types import SimpleNamespace

RUN_ID = "manual__2026-01-01T00:00:00+00:00"


def context(user=None, **params):
    run = SimpleNamespace(dag_id="a_dag", run_id=RUN_ID, triggering_user_name=user)
    return {"dag_run": run, "params": params, "run_id": RUN_ID, "task_instance": SimpleNamespace(id="ti")}


def dag_of(folder, text):
    """The DAG of a file, as `airflow dags test` finds it."""
    from airflow.dag_processing.dagbag import DagBag

    (folder / "a_dag.py").write_text(HEAD + text)
    bag = DagBag(dag_folder=str(folder), bundle_path=folder, bundle_name="dags-folder")
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    return dag


HEAD = """
from datetime import UTC, datetime
from pathlib import Path
from airflow.sdk import DAG
from plugins.env_file.approval import ApprovalOperator
from plugins.env_file.operator import EnvFileOperator
START = {"schedule": None, "start_date": datetime(2026, 1, 1, tzinfo=UTC)}
"""
