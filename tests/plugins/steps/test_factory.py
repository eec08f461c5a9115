"""DAGs of pipelines: order, limits, trigger form, deadline, the tasks around the steps, mapped and approved steps."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Literal

import pytest
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable
from pydantic import Field

from include.core.contracts import Approval, StepParams
from include.core.settings import get_settings
from plugins.notifications.callbacks import notify_of_failure, notify_of_step
from plugins.notifications.deadline import RunQueued
from plugins.steps.context import RETRIES
from plugins.steps.factory import PipelineDag, build_dag, new_dag, outer_tasks, step_task
from tests.core.small_pipeline import ANALYZE, MEASURE, pipeline, spec

pytestmark = pytest.mark.airflow


def order(dag):
    """The tasks that come directly after each task."""
    return {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}


def test_steps_run_between_preparing_and_publishing_in_the_order_of_their_dependencies():
    dag = build_dag(pipeline(spec("measure"), spec("analyze", depends_on=("measure",))), doc_md="# Manual")
    assert order(dag) == {
        "prepare": ["measure"],
        "measure": ["analyze", "publish"],
        "analyze": ["publish"],
        "publish": ["report"],
        "report": [],
    }
    report = dag.get_task("report")
    assert (report.is_teardown, report.on_failure_fail_dagrun) == (True, True)


def test_the_runtime_of_a_dag_is_that_of_its_tasks():
    dag = build_dag(pipeline(spec("measure", image="own/image:1")), doc_md="", runtime="docker")
    assert dag.get_task("prepare").runtime == "docker"
    assert dag.get_task("measure").image == "own/image:1"


@pytest.mark.parametrize(
    ("publish", "asset", "outlets"),
    [((), None, []), (("out.csv",), None, ["test_results"]), (("out.csv",), Asset("a_map"), ["a_map"])],
)
def test_publishing_updates_the_asset_of_the_pipeline_or_the_one_that_its_dag_names(publish, asset, outlets):
    dag = build_dag(pipeline(publish=publish), doc_md="", asset=asset)
    assert [outlet.name for outlet in dag.get_task("publish").outlets] == outlets


def test_a_dag_has_the_limits_the_schedule_and_the_texts_of_its_definition():
    of = pipeline(
        spec("measure", timeout_seconds=120), spec("analyze", timeout_seconds=30), schedule="@daily", description="All."
    )
    dag = new_dag(of, doc_md="# Manual")
    assert (dag.dag_id, dag.description, dag.doc_md) == ("test_pipeline", "All.", "# Manual")
    assert dag.dagrun_timeout == timedelta(seconds=120 + 30) + timedelta(minutes=10)
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "0 0 * * *"
    assert (dag.catchup, dag.max_active_runs, dag.tags) == (False, 4, {"test", "groundtruth"})
    assert dag.on_failure_callback == [notify_of_failure] or dag.on_failure_callback is notify_of_failure
    assert dag.tasks == []


def test_a_schedule_counts_days_of_its_zone_and_assets_may_take_its_place():
    local = new_dag(pipeline(schedule="@daily", timezone="Europe/Berlin"), doc_md="")
    assert str(local.timetable.timezone) == "Europe/Berlin"
    dag = new_dag(pipeline(triggers=("energy_results", "grid_results")), doc_md="")
    assert {asset.name for asset in dag.timetable.asset_condition.objects} == {
        "energy_results",
        "grid_results",
    }


def test_a_further_schedule_is_switched_on_and_its_form_shows_its_parameters():
    of = replace(pipeline(workflow_name="test-pipeline-north", variant="north"), defaults={"factor": 7.0})
    dag = new_dag(of, doc_md="")
    assert (dag.dag_id, dag.is_paused_upon_creation) == ("test_pipeline_north", False)
    assert dag.params["factor"] == 7.0
    assert new_dag(pipeline(), doc_md="").is_paused_upon_creation is None


def test_a_task_has_the_retries_and_the_pool_of_its_definition():
    [stated, plain] = [
        step_task(of, of["measure"], "local")
        for of in (pipeline(spec("measure", retries=7, pool="crm")), pipeline(spec("measure")))
    ]
    assert (stated.retries, stated.pool, stated.retry_policy.retries) == (7, "crm", 7)
    assert (plain.retries, plain.pool, plain.retry_policy.retries) == (RETRIES, "default_pool", RETRIES)


def test_assets_may_start_a_dag_instead_of_its_schedule():
    dag = new_dag(pipeline(schedule="@daily"), doc_md="", schedule=Asset("imagery") | Asset("model"))
    assert not isinstance(dag.timetable, CronDataIntervalTimetable)


@pytest.fixture
def tested(monkeypatch):
    """What `airflow dags test` of a DAG had at hand when it began: the DAG's deadline, its options, its run folder."""

    def test(self, **options):
        return SimpleNamespace(
            dag_id=self.dag_id,
            run_id="manual__1",
            state="failed",
            deadline=self.deadline,
            options=options,
            folder=get_settings().run_folder,
        )

    monkeypatch.setattr(DAG, "test", test)


def test_a_deadline_notifies_users_and_airflow_dags_test_runs_without_it(tested, data_dir):
    dag = new_dag(pipeline(deadline_minutes=90), doc_md="")
    [alert] = dag.deadline
    assert (alert.interval, alert.callback.kwargs) == (timedelta(minutes=90), {"minutes": 90})
    assert alert.reference == RunQueued()
    assert not new_dag(pipeline(), doc_md="").deadline
    assert isinstance(dag, PipelineDag)
    assert dag.test(run_conf={}).deadline == []


def test_airflow_dags_test_is_a_one_off_run(tested, data_dir):
    run = new_dag(pipeline(), doc_md="").test(run_conf={"factor": 3})
    assert run.options == {"run_conf": {"factor": 3}}
    assert run.folder.parent == data_dir / "runs" / "test_pipeline"


def test_an_executor_is_refused_because_its_workers_would_not_see_the_run(tested):
    with pytest.raises(SystemExit, match=r"--use-executor` is not supported.*airflow dags trigger test_pipeline"):
        new_dag(pipeline(), doc_md="").test(use_executor=True)


class FormParams(StepParams):
    """Parameters of every shape that a form has."""

    factor: float = Field(2.0, gt=0, description="Multiplies.")
    area: tuple[float, float] | None = Field(None, description="Where.", json_schema_extra={"section": "Area"})
    corner: tuple[float, float] = Field((1.0, 2.0), description="Where it begins.")
    start: str | None = Field(None, max_length=40, description="From when.")
    order: Literal["up", "down"] | None = Field(None, description="Which first.")


def test_the_trigger_form_takes_types_bounds_and_sections_from_the_model():
    dag = new_dag(pipeline(spec("measure"), known=(replace(MEASURE, params=FormParams),)), doc_md="")
    forms = {name: dag.params.get_param(name) for name in dag.params}
    assert forms["factor"].schema["exclusiveMinimum"] == 0
    assert (forms["factor"].value, forms["factor"].description) == (2.0, "Multiplies.")
    assert forms["corner"].value == [1.0, 2.0]
    assert forms["corner"].schema["items"] == {"type": "number"}
    assert forms["area"].schema["type"] == ["array", "null"]
    assert (forms["start"].schema["type"], forms["start"].schema["maxLength"]) == (["string", "null"], 40)
    assert (forms["order"].value, forms["order"].schema["enum"]) == (None, ["up", "down", None])
    sections = {name: form.schema["section"] for name, form in forms.items()}
    assert sections == {
        "factor": "Run", "area": "Area", "corner": "Run", "start": "Interval", "order": "Run", "audit": "Run",
        "publish": "Run",
    }  # fmt: skip
    assert forms["corner"].schema["title"] == "corner"


def test_every_trigger_form_offers_an_audit():
    audit = new_dag(pipeline(spec("foreign", image="debian", command=("true",))), doc_md="").params.get_param("audit")
    assert (audit.value, audit.schema["type"]) == (False, "boolean")
    assert audit.description.startswith("Recompute everything")


def test_a_pipeline_that_takes_files_has_a_field_for_them():
    dag = new_dag(pipeline(sources=("readings.csv",)), doc_md="")
    assert dag.params.get_param("files").value == []
    assert "files" not in new_dag(pipeline(), doc_md="").params


def test_the_outer_tasks_are_preparing_and_publishing_with_the_report_as_teardown():
    with DAG("d", schedule=None) as dag:
        prepare, publish = outer_tasks(pipeline(), "docker", asset=Asset("results"))
    assert (prepare.task_id, prepare.runtime, publish.task_id) == ("prepare", "docker", "publish")
    assert [outlet.name for outlet in publish.outlets] == ["results"]
    assert order(dag) == {"prepare": [], "publish": ["report"], "report": []}


def test_a_task_has_the_id_the_timeout_and_the_texts_of_its_step():
    of = pipeline(spec("measure", timeout_seconds=120, description="Measures a lot."))
    with DAG("d", schedule=None):
        task = step_task(of, of["measure"], "local", pool="few")
    assert (task.task_id, task.doc_md, task.pool) == ("measure", "Measures a lot.", "few")
    assert task.item.spec.timeout_seconds == 120
    assert task.execution_timeout is None, "it would count the proof too"
    assert not task.on_success_callback


def test_a_step_that_declares_a_notice_sends_it_after_its_success():
    of = pipeline(spec("measure"), known=(replace(MEASURE, notice="a:b"),))
    with DAG("d", schedule=None):
        task = step_task(of, of["measure"])
    assert task.on_success_callback in (notify_of_step, [notify_of_step])


def test_a_step_that_needs_the_worker_is_local_in_every_runtime():
    of = pipeline(spec("measure"), spec("analyze"), known=(replace(MEASURE, in_worker=True), ANALYZE))
    with DAG("d", schedule=None):
        assert type(step_task(of, of["measure"], "docker")).__name__ == "LocalStep"


def test_a_mapped_step_has_a_task_for_each_name_and_keeps_our_retries():
    of = pipeline(spec("measure"))
    with DAG("d", schedule=None):
        mapped = step_task(of, of["measure"], "local", names=["one", "two"], pool="few")
    assert mapped.operator_class.__name__ == "LocalStep"
    arguments = mapped.partial_kwargs
    assert (arguments["retries"], arguments["pool"]) == (3, "few")
    assert arguments["map_index_template"] == "{{ task.instance_name }}"
    assert mapped.expand_input.value == {"instance_name": ["one", "two"]}


def test_a_step_that_asks_a_user_is_an_approval():
    approval = Approval(param="require_approval", question="a:b", evidence="a:c", record="c:d")
    of = pipeline(spec("measure"), known=(replace(MEASURE, approval=approval),))
    with DAG("d", schedule=None):
        task = step_task(of, of["measure"])
    assert (type(task).__name__, task.task_id, task.param) == ("ApprovalOperator", "measure", "require_approval")
