"""Runs a DAG with `dag.test()` in this process and hands back what a person would look at."""

from __future__ import annotations

import copy
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


DAGS = ROOT / "dags"


def parse_dags(what: Path = DAGS) -> Any:
    """The project's DAG folder, or one file of it, as Airflow sees it now."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(what), bundle_path=DAGS, bundle_name="dags-folder")


def file_of(dag_id: str) -> Path:
    """The file of a DAG: one of its name, else that which makes DAGs of definitions."""
    own = DAGS / f"{dag_id}.py"
    return own if own.is_file() else DAGS / "pipelines.py"


@contextmanager
def only_dag(bag: Any, dag_id: str) -> Iterator[None]:
    """Let `dag.test()` write one parsed DAG to the database.

    It would parse the folder again, and write all DAGs of it, on each call: a third of the time of a small run.
    """
    bag.dags = {dag_id: bag.dags[dag_id]}
    with patch("airflow.dag_processing.dagbag.BundleDagBag", lambda **_: bag):
        yield


VALID: set[str] = set()
"""JSON schemas of params that Airflow found valid, as JSON."""


@contextmanager
def each_schema_checked_once() -> Iterator[None]:
    """Let Airflow check the JSON schema of a param once, and share it among copies of the param.

    It would check and copy the schemas of all params for each task, and whenever it compares params.
    """
    from airflow.sdk import Param
    from jsonschema import Draft202012Validator

    check = Draft202012Validator.check_schema

    def check_once(schema: Any, *arguments: Any, **options: Any) -> None:
        text = json.dumps(schema, sort_keys=True)
        if text not in VALID:
            check(schema, *arguments, **options)
            VALID.add(text)

    def copied(param: Any, memo: dict[int, Any]) -> Any:
        value = copy.deepcopy(param.value, memo)
        return type(param)(value, param.description, schema=param.schema, source=param.source)

    with (
        patch.object(Draft202012Validator, "check_schema", check_once),
        patch.object(Param, "__deepcopy__", copied, create=True),
    ):
        yield


@contextmanager
def in_this_database() -> Iterator[None]:
    """Let `dag.test()` use the database of the test process, which nobody else uses, and name the folder by the run."""
    with patch("plugins.steps.factory.one_off_run", nullcontext):
        yield


def run_dag(dag_id: str, conf: dict[str, Any] | None = None) -> Outcome:
    """Run a DAG of the project's folder under the settings of the environment."""
    get_settings.cache_clear()
    with each_schema_checked_once(), in_this_database():
        bag = parse_dags(file_of(dag_id))
        with only_dag(bag, dag_id):
            run = bag.dags[dag_id].test(run_conf=conf or {})
    folder = RunFolder.of(get_settings().data_dir, dag_id, run.run_id)
    reports = sorted(folder.path.glob("pipeline_report_*.json"))
    return Outcome(
        state=str(run.state.value if hasattr(run.state, "value") else run.state),
        tasks={ti.task_id: str(ti.state) for ti in run.get_task_instances()},
        folder=folder,
        report=json.loads(reports[-1].read_bytes()) if reports else None,
    )
