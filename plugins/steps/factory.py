"""Makes a DAG of a pipeline: prepare → its steps, by their dependencies → publish, and the report as teardown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, BaseOperator, CronDataIntervalTimetable, Param
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from include.core.pipeline import INPUT_FILES, Pipeline, PipelineStep
from include.core.settings import get_settings
from plugins.notices.callbacks import tell_of_deadline, tell_of_failure
from plugins.notices.deadline import RunQueued
from plugins.reports.operator import PipelineReportOperator
from plugins.steps.context import TASK_DEFAULTS
from plugins.steps.operators import LocalStepOperator, PrepareOperator, PublishOperator

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
        tasks = {each.step.id: step_task(pipeline, each, runtime) for each in pipeline.steps}
        asset = Asset(f"{definition.pipeline}_results") if definition.publish else None
        publish = PublishOperator(task_id="publish", pipeline=pipeline, asset=asset)
        report = PipelineReportOperator(task_id="report")
        for each in pipeline.steps:
            upstream = [tasks[name] for name in each.spec.depends_on] or [prepare]
            upstream >> tasks[each.step.id] >> publish
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
    longest = sum(each.spec.timeout_seconds for each in pipeline.steps)
    schedule = definition.schedule and CronDataIntervalTimetable(definition.schedule, timezone="UTC")
    arguments: dict[str, Any] = {
        "description": definition.description,
        "doc_md": doc_md,
        "start_date": datetime(2024, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 4,
        "dagrun_timeout": timedelta(seconds=longest) + SLACK,
        "on_failure_callback": tell_of_failure,
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
        callback=AsyncCallback(tell_of_deadline, {"minutes": minutes}),
    )


def step_task(pipeline: Pipeline, each: PipelineStep, runtime: str | None = None, **options: Any) -> BaseOperator:
    """The task of a step.

    Args:
        pipeline: The pipeline that the step belongs to.
        each: The step.
        runtime: `local` or `docker`; default `GROUNDTRUTH_RUNTIME`.
        options: Other arguments of the task.
    """
    common = task_arguments(pipeline, each) | options
    if each.step.in_worker or (runtime or get_settings().runtime) == "local":
        return LocalStepOperator(**common)
    from plugins.steps.containers import ContainerStepOperator

    return ContainerStepOperator(**common)


def mapped_task(pipeline: Pipeline, each: PipelineStep, things: Any, **options: Any) -> Any:
    """The tasks of a mapped step, one for each of the things that another task names; the UI shows their names.

    Mapped steps run in the worker.

    Args:
        pipeline: The pipeline that the step belongs to.
        each: The step.
        things: Output of the task that names them.
        options: Other arguments of each task.
    """
    arguments = task_arguments(pipeline, each) | TASK_DEFAULTS | {"map_index_template": "{{ task.thing }}"}
    return LocalStepOperator.partial(**(arguments | options)).expand(thing=things)


def task_arguments(pipeline: Pipeline, each: PipelineStep) -> dict[str, Any]:
    """What every task of a step is given, a mapped one too."""
    return {
        "task_id": each.step.id,
        "pipeline": pipeline,
        "each": each,
        "doc_md": each.step.description,
        "execution_timeout": timedelta(seconds=each.spec.timeout_seconds),
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
