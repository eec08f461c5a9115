"""Runs a DAG with `dag.test()` in this process and hands back what a person would look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

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


@contextmanager
def only_dag(bag: Any, dag_id: str) -> Iterator[None]:
    """Let `dag.test()` write one parsed DAG to the database.

    It would parse the folder again, and write all DAGs of it, on each call: a third of the time of a small run.
    """
    bag.dags = {dag_id: bag.dags[dag_id]}
    with patch("airflow.dag_processing.dagbag.BundleDagBag", lambda **_: bag):
        yield


@contextmanager
def each_schema_checked_once() -> Iterator[None]:
    """Let Airflow check the JSON schema of a param once; it would for each task, and whenever it compares params."""
    from jsonschema import Draft202012Validator

    check, valid = Draft202012Validator.check_schema, set[str]()

    def check_once(schema: Any, *arguments: Any, **options: Any) -> None:
        text = json.dumps(schema, sort_keys=True)
        if text not in valid:
            check(schema, *arguments, **options)
            valid.add(text)

    with patch.object(Draft202012Validator, "check_schema", check_once):
        yield


@contextmanager
def in_this_database() -> Iterator[None]:
    """Let `dag.test()` use the database of the test process, which nobody else uses, and name the folder by the run."""
    with patch("plugins.steps.factory.one_off_run", nullcontext):
        yield


def run_dag(dag_id: str, conf: dict[str, Any] | None = None) -> Outcome:
    """Run a DAG of the project's folder under the settings of the environment."""
    get_settings.cache_clear()
    bag = parse_dags()
    with only_dag(bag, dag_id), each_schema_checked_once(), in_this_database():
        run = bag.dags[dag_id].test(run_conf=conf or {})
    folder = RunFolder.of(get_settings().data_dir, dag_id, run.run_id)
    reports = sorted(folder.path.glob("pipeline_report_*.json"))
    return Outcome(
        state=str(run.state.value if hasattr(run.state, "value") else run.state),
        tasks={ti.task_id: str(ti.state) for ti in run.get_task_instances()},
        folder=folder,
        report=json.loads(reports[-1].read_bytes()) if reports else None,
    )
