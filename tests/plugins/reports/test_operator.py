"""The operator that writes the report: after success and failure, and never green over a red run."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import tests.airflow_env  # noqa: F401 - before Airflow is imported
from include.core.run_folder import RunFolder
from tests.reporting.runs import broke, good_run

pytestmark = pytest.mark.airflow
RUN = SimpleNamespace(dag_id="energy_pipeline", run_id="manual__2026-03-01")


def context(*crumbs):
    """What Airflow hands to a task, with the states of the run's finished tasks."""
    listed = [{"task_id": task, "state": state} for task, state in crumbs]
    instance = SimpleNamespace(get_task_breadcrumbs=lambda dag_id, run_id: listed if run_id == RUN.run_id else [])
    return {"dag_run": RUN, "ti": instance}


@pytest.fixture
def report():
    """Execute the operator; return the report that it wrote."""
    from plugins.reports.operator import PipelineReportOperator

    operator = PipelineReportOperator(task_id="report")
    return lambda *crumbs: json.loads(Path(operator.execute(context(*crumbs))).read_bytes())


def test_a_good_run_gets_its_report(report, data_dir):
    folder = good_run(data_dir)
    document = report(("collect", "success"))
    assert document["overall_status"] == "success"
    assert [path.suffix for path in sorted(folder.path.glob("pipeline_report_*"))] == [".html", ".json"]


def test_a_failed_run_gets_its_report_and_the_task_fails(report, data_dir):
    from airflow.sdk.exceptions import AirflowFailException

    folder = good_run(data_dir)
    broke(folder, "analyze", (1, 3), "contract", "output1.json: must not be empty")
    with pytest.raises(AirflowFailException, match=r"The run failed: analyze: output1\.json: must not be empty"):
        report()
    assert list(folder.path.glob("pipeline_report_*.json"))


def test_airflows_task_states_are_part_of_the_report(report, data_dir):
    from airflow.sdk.exceptions import AirflowFailException

    good_run(data_dir)
    with pytest.raises(AirflowFailException, match="describe"):
        report(("describe", "failed"))


def test_a_report_that_cannot_be_written_fails_the_task(report, data_dir, monkeypatch):
    import include.reporting.report
    from include.core.errors import SetupError

    def full(*_):
        raise SetupError("the disk is full")

    good_run(data_dir)
    monkeypatch.setattr(include.reporting.report, "write_report", full)
    with pytest.raises(Exception, match="the disk is full"):
        report()


def test_a_mapped_task_has_the_worst_state_of_its_instances():
    from plugins.reports.operator import task_states

    states = task_states(context(("one", "success"), ("two", "success"), ("two", "failed"), ("two", "skipped")))
    assert states == {"one": "success", "two": "failed"}


def test_the_folder_is_that_of_the_run(data_dir):
    assert good_run(data_dir).path == RunFolder.of(data_dir, RUN.dag_id, RUN.run_id).path
