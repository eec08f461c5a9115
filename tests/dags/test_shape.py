"""The wiring that safety depends on, without running anything."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.airflow_runs import ROOT, file_of, parse_dags  # isort: skip - sets Airflow's home first

from airflow.sdk import CronDataIntervalTimetable

pytestmark = pytest.mark.airflow


@pytest.fixture
def dag():
    return parse_dags(file_of("energy_pipeline")).dags["energy_pipeline"]


def test_every_dag_of_the_folder_is_listed_here():
    bag = parse_dags()
    assert bag.import_errors == {}
    assert set(bag.dags) == {
        "energy_pipeline",
        "energy_services",
        "satellite_pipeline",
        "crop_health_map",
        "field_monitoring",
        "ndvi_forecast_map",
        "crop_classification",
        "crop_map",
        "inbox",
        "maintenance",
    }


def test_steps_run_between_preparing_and_publishing(dag):
    order = {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}
    assert order == {
        "prepare": ["energy-generator"],
        "energy-generator": ["energy-analyzer", "publish", "report-generator"],
        "energy-analyzer": ["publish", "report-generator"],
        "report-generator": ["publish"],
        "publish": ["report"],
        "report": [],
    }


def test_the_report_is_a_teardown_that_decides_the_run(dag):
    report = dag.get_task("report")
    assert report.is_teardown
    assert report.on_failure_fail_dagrun


def test_days_are_run_once_each_without_catching_up(dag):
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "0 0 * * *"
    assert dag.catchup is False
    assert dag.max_active_runs == 4
    assert dag.dagrun_timeout > timedelta(hours=1)
    assert "energy" in dag.tags
    assert {task.owner for task in dag.tasks} == {"groundtruth"}
    assert "Your own files" in dag.doc_md


def test_every_param_has_a_section_and_a_description_for_the_trigger_form(dag):
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        assert param.schema["section"], name
        assert param.schema["title"], name
        param.resolve()


def test_every_task_keeps_an_attempt_for_a_worker_that_dies(dag):
    assert all(task.retries >= 1 for task in dag.tasks)


@pytest.mark.parametrize("runtime", ["local", "docker"])
def test_shape_and_params_are_the_same_in_both_runtimes(monkeypatch, runtime, dag):
    from include.core.settings import get_settings

    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", runtime)
    get_settings.cache_clear()
    other = parse_dags().dags["energy_pipeline"]
    assert {t.task_id: t.downstream_task_ids for t in other.tasks} == {
        t.task_id: t.downstream_task_ids for t in dag.tasks
    }
    assert other.params.dump() == dag.params.dump()
    operator = type(other.get_task("energy-analyzer")).__name__
    assert operator == {"local": "LocalStep", "docker": "DockerStep"}[runtime]


def test_parsing_imports_nothing_heavy():
    domains = {"pandas", "matplotlib", "demandlib", "torch", "rasterio", "sentinelhub", "sklearn", "mlflow", "pyproj"}
    heavy = {"duckdb", "docker", *domains}
    files = ", ".join(f"dags.{path.stem}" for path in (ROOT / "dags").glob("*.py"))
    code = f"import sys, json; import {files}; print(json.dumps(sorted({heavy} & set(sys.modules))))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_a_broken_definition_shows_every_fault_while_good_ones_live(definitions):
    good = json.loads((ROOT / "include/config/energy-pipeline.json").read_text())
    definitions(good=good, broken={"workflow_name": "", "containers": [{"id": "a b", "comand": "x"}]}, torn="{")
    bag = parse_dags()
    assert set(bag.dags) == {
        "energy_pipeline",
        "satellite_pipeline",
        "crop_health_map",
        "field_monitoring",
        "ndvi_forecast_map",
        "crop_classification",
        "crop_map",
        "inbox",
        "maintenance",
    }
    [(file, error)] = bag.import_errors.items()
    assert Path(file).name == "faulty_definitions.py"
    assert "broken.json" in error
    assert "torn.json" in error
    assert "$.containers[0].id" in error
    assert "$.workflow_name" in error
    assert "comand" in error
