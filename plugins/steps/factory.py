"""Makes a DAG of a pipeline: prepare → its steps, by their dependencies → publish, and the report as teardown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, BaseOperator, CronDataIntervalTimetable, Param
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from include.core.pipeline import INPUT_FILES, Pipeline, PipelineStep
from include.core.settings import get_settings
from plugins.env_file.approval import approval_task
from plugins.notifications.callbacks import notify_of_deadline, notify_of_failure, notify_of_step
from plugins.notifications.deadline import RunQueued
from plugins.reports.operator import PipelineReportOperator
from plugins.steps.context import TASK_DEFAULTS
from plugins.steps.runtimes import runtime_class
from plugins.steps.tasks import PrepareOperator, PublishOperator

if TYPE_CHECKING:
    from plugins.steps.runtimes.base import StepOperator

SLACK = timedelta(minutes=10)


class PipelineDag(DAG):
    """A DAG whose deadline is Airflow's services' to watch.

    `airflow dags test` has no triggerer that could tell anyone, and in Airflow 3.3.2 breaks on a deadline that was met.
    """

    def test(self, *args: Any, **options: Any) -> Any:
        """Run without the deadline."""
        self.deadline = []
        return super().test(*args, **options)


def build_dag(pipeline: Pipeline, *, doc_md: str, runtime: str | None = None) -> DAG:
    """Wire a pipeline into a DAG.

    The shape, task ids, params and artifacts are the same in every runtime.

    Args:
        pipeline: What to run.
        doc_md: The DAG's manual, as the UI shows it.
        runtime: `local` or `docker`; default `GROUNDTRUTH_RUNTIME`.
    """
    runtime = runtime or get_settings().runtime
    definition = pipeline.definition
    with new_dag(pipeline, doc_md=doc_md) as dag:
        prepare = PrepareOperator(task_id="prepare", pipeline=pipeline, runtime=runtime)
        tasks = {item.step.id: step_task(pipeline, item, runtime) for item in pipeline.steps}
        asset = Asset(f"{definition.pipeline}_results") if definition.publish else None
        publish = PublishOperator(task_id="publish", pipeline=pipeline, asset=asset)
        report = PipelineReportOperator(task_id="report")
        for item in pipeline.steps:
            upstream = [tasks[name] for name in item.spec.depends_on] or [prepare]
            upstream >> tasks[item.step.id] >> publish
        publish >> report.as_teardown(on_failure_fail_dagrun=True)
    return dag


def new_dag(pipeline: Pipeline, *, doc_md: str, **options: Any) -> DAG:
    """A DAG with a pipeline's schedule, form and limits, and no task yet.

    Args:
        pipeline: What to run.
        doc_md: The DAG's manual, as the UI shows it.
        options: Other arguments of the DAG, or the same with other values.
    """
    definition = pipeline.definition
    longest = sum(item.spec.timeout_seconds for item in pipeline.steps)
    schedule = definition.schedule and CronDataIntervalTimetable(definition.schedule, timezone="UTC")
    arguments: dict[str, Any] = {
        "description": definition.description,
        "doc_md": doc_md,
        "start_date": datetime(2024, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 4,
        "dagrun_timeout": timedelta(seconds=longest) + SLACK,
        "on_failure_callback": notify_of_failure,
        "deadline": _deadline(definition.deadline_minutes),
        "tags": [definition.pipeline, "groundtruth"],
        "default_args": {"owner": "groundtruth"},
        "params": {name: _param(name, field) for name, field in _form(pipeline).items()},
        "render_template_as_native_obj": False,
    }
    return PipelineDag(definition.dag_id, schedule=options.pop("schedule", schedule or None), **(arguments | options))


def _deadline(minutes: float | None) -> DeadlineAlert | None:
    if minutes is None:
        return None
    return DeadlineAlert(
        reference=RunQueued(),
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(notify_of_deadline, {"minutes": minutes}),
    )


def step_task(pipeline: Pipeline, item: PipelineStep, runtime: str | None = None, **options: Any) -> BaseOperator:
    """Return the task of a step.

    Args:
        pipeline: The pipeline that the step belongs to.
        item: The step.
        runtime: A key of `RUNTIMES`; default `GROUNDTRUTH_RUNTIME`.
        options: Other arguments of the task.
    """
    if item.step.approval is not None:
        return approval_task(pipeline, item)
    return _operator(item, runtime)(**_task_arguments(pipeline, item) | options)


def mapped_task(pipeline: Pipeline, item: PipelineStep, names: Any, runtime: str | None = None, **options: Any) -> Any:
    """Return the tasks of a mapped step, one for each name that another task returns; the UI shows the names.

    Args:
        pipeline: The pipeline that the step belongs to.
        item: The step; with the option `select`, the one that stands for all.
        names: Output of the task that returns the names.
        runtime: A key of `RUNTIMES`; default `GROUNDTRUTH_RUNTIME`.
        options: Other arguments of each task.
    """
    arguments = _task_arguments(pipeline, item) | TASK_DEFAULTS | {"map_index_template": "{{ task.instance_name }}"}
    return _operator(item, runtime).partial(**(arguments | options)).expand(instance_name=names)


def _operator(item: PipelineStep, runtime: str | None) -> type[StepOperator]:
    """Return the operator of a step: that of the runtime, or the local one for a step that needs the worker."""
    return runtime_class("local" if item.step.in_worker else runtime)


def _task_arguments(pipeline: Pipeline, item: PipelineStep) -> dict[str, Any]:
    return {
        "task_id": item.step.id,
        "pipeline": pipeline,
        "item": item,
        "doc_md": item.step.description,
        "execution_timeout": timedelta(seconds=item.spec.timeout_seconds),
        "on_success_callback": notify_of_step if item.step.notice else None,
    }


def _form(pipeline: Pipeline) -> dict[str, FieldInfo]:
    fields = dict(pipeline.params)
    if pipeline.takes_files and INPUT_FILES not in fields:
        fields[INPUT_FILES] = FieldInfo(annotation=tuple[str, ...], default=(), description="Files for this run.")
    return fields


def _param(name: str, field: FieldInfo) -> Param:
    """A step's parameter as a field of the trigger form: its type, bounds and description come from the model."""
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    schema = {key: value for key, value in schema.items() if key not in ("default", "$defs")}
    if "anyOf" in schema:
        options = schema.pop("anyOf")
        schema |= {key: value for option in options for key, value in option.items() if key != "type"}
        schema["type"] = [option["type"] for option in options]
    if each := schema.get("prefixItems"):
        schema["items"] = each[0]  # the form looks at `items` alone: without it, it sends numbers as text
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = field.get_default(call_default_factory=True)
    if isinstance(default, tuple):
        default = list(default)
    return Param(
        default,
        title=name.replace("_", " "),
        description=field.description,
        section=str(extra.get("section", "Interval" if name in ("start", "end") else "Run")),
        **schema,
    )
