"""Runs a DAG with `dag.test()` in this process and hands back what a person would look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tests.airflow_env  # noqa: F401 - before Airflow is imported
from include.core.run_folder import RunFolder
from include.core.settings import get_settings

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: str
    tasks: dict[str, str]
    folder: RunFolder
    report: dict[str, Any] | None

    def error(self, step: str) -> str:
        result = self.folder.result(step)
        assert result is not None, f"{step} left no verdict"
        assert result.error is not None, f"{step} did not fail"
        return result.error.message


def parse_dags() -> Any:
    """The project's DAG folder as Airflow sees it now."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(ROOT / "dags"), bundle_path=ROOT / "dags", bundle_name="dags-folder")


def run_dag(dag_id: str, conf: dict[str, Any] | None = None) -> Outcome:
    """Run a DAG of the project's folder under the settings of the environment."""
    get_settings.cache_clear()
    from airflow.sdk import DAG

    bag = parse_dags()
    dag: DAG = bag.dags[dag_id]
    run = dag.test(run_conf=conf or {})
    folder = RunFolder.of(get_settings().data_dir, dag_id, run.run_id)
    reports = sorted(folder.path.glob("pipeline_report_*.json"))
    return Outcome(
        state=str(run.state.value if hasattr(run.state, "value") else run.state),
        tasks={ti.task_id: str(ti.state) for ti in run.get_task_instances()},
        folder=folder,
        report=json.loads(reports[-1].read_bytes()) if reports else None,
    )
