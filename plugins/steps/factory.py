"""Build the DAG of a pipeline: prepare → its steps, by their dependencies → publish, and the report as teardown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from include.core.pipeline import Pipeline, PipelineStep
from plugins.env_file.approval import approval_task
from plugins.notifications.callbacks import notify_of_deadline, notify_of_failure, notify_of_step
from plugins.notifications.deadline import RunQueued
from plugins.reports.operator import PipelineReportOperator
from plugins.steps.context import RETRIES, TASK_DEFAULTS, StepRetryPolicy
from plugins.steps.one_off import fail_without_report, one_off_run
from plugins.steps.runtimes import runtime_class
from plugins.steps.tasks import PrepareOperator, PublishOperator

SLACK = timedelta(minutes=10)


class PipelineDag(DAG):
    """A DAG that `airflow dags test` runs apart from the deployment, and only to a report that states success."""

    def test(self, *args: Any, **options: Any) -> Any:
        """Run once, here, without a scheduler and without the deadline.

        No triggerer could notify users of a deadline, and Airflow 3.3.2 breaks on one that was met.

        Args:
            args: Those of Airflow's method.
            options: Those of Airflow's method, without `use_executor`.

        Returns:
            The run. It failed unless its report states success.

        Raises:
            SystemExit: `use_executor` is set. An executor's workers ask the deployment's API server for their tasks.
        """
        if options.get("use_executor"):
            raise SystemExit(
                f"{self.dag_id}: `airflow dags test --use-executor` is not supported, because the run has a separate "
                f"database that workers do not see; leave the option out, or use `airflow dags trigger {self.dag_id}`"
            )
        self.deadline = []
        with one_off_run(self.dag_id):
            run = super().test(*args, **options)
            fail_without_report(run)
        return run


def build_dag(
    pipeline: Pipeline, *, doc_md: str, runtime: str | None = None, asset: Asset | None = None, schedule: Any = None
) -> DAG:
    """Wire a pipeline into a DAG.

    The shape, task ids, params and artifacts are the same in every runtime.

    Args:
        pipeline: What to run.
        doc_md: The DAG's manual, as the UI shows it.
        runtime: A key of `RUNTIMES`; default `GROUNDTRUTH_RUNTIME`.
        asset: What publishing updates; default `<pipeline>_results`, where the pipeline publishes something.
        schedule: The assets that start a run, instead of the definition's schedule.
    """
    definition = pipeline.definition
    if asset is None and definition.publish:
        asset = Asset(f"{definition.pipeline}_results")
    with new_dag(pipeline, doc_md=doc_md, schedule=schedule) as dag:
        prepare, publish = outer_tasks(pipeline, runtime, asset=asset)
        tasks = {item.step.id: step_task(pipeline, item, runtime) for item in pipeline.steps}
        for item in pipeline.steps:
            upstream = [tasks[name] for name in item.spec.depends_on] or [prepare]
            upstream >> tasks[item.step.id] >> publish
    return dag


def new_dag(pipeline: Pipeline, *, doc_md: str, schedule: Any = None) -> DAG:
    """Return a DAG with a pipeline's schedule, form and limits, and no task yet.

    Args:
        pipeline: What to run.
        doc_md: The DAG's manual, as the UI shows it.
        schedule: The assets that start a run, instead of the definition's schedule.
    """
    definition = pipeline.definition
    if definition.schedule and schedule is None:
        schedule = CronDataIntervalTimetable(definition.schedule, timezone=definition.timezone)
    elif definition.triggers and schedule is None:
        schedule = reduce(or_, map(Asset, definition.triggers))
    return PipelineDag(
        definition.dag_id,
        description=definition.description,
        doc_md=doc_md,
        schedule=schedule,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=4,
        dagrun_timeout=timedelta(seconds=sum(item.spec.timeout_seconds for item in pipeline.steps)) + SLACK,
        on_failure_callback=notify_of_failure,
        deadline=_deadline(definition.deadline_minutes),
        tags=[definition.pipeline, "groundtruth"],
        default_args={"owner": "groundtruth"},
        params={name: _param(name, field, pipeline.defaults) for name, field in pipeline.params.items()},
        is_paused_upon_creation=False if definition.variant else None,
    )


def outer_tasks(
    pipeline: Pipeline, runtime: str | None = None, *, asset: Asset | None = None
) -> tuple[PrepareOperator, PublishOperator]:
    """Return the tasks before and after a pipeline's steps; the report follows as teardown.

    Args:
        pipeline: What to run.
        runtime: A key of `RUNTIMES`; default `GROUNDTRUTH_RUNTIME`.
        asset: What publishing updates.
    """
    prepare = PrepareOperator(task_id="prepare", pipeline=pipeline, runtime=runtime)
    publish = PublishOperator(task_id="publish", pipeline=pipeline, asset=asset)
    publish >> PipelineReportOperator(task_id="report").as_teardown(on_failure_fail_dagrun=True)
    return prepare, publish


def _deadline(minutes: float | None) -> DeadlineAlert | None:
    if minutes is None:
        return None
    return DeadlineAlert(
        reference=RunQueued(),
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(notify_of_deadline, {"minutes": minutes}),
    )


def step_task(
    pipeline: Pipeline, item: PipelineStep, runtime: str | None = None, *, names: Any = None, **options: Any
) -> Any:
    """Return the task of a step: in the worker where the step needs it, in the service that its definition names.

    Args:
        pipeline: The pipeline that the step belongs to.
        item: The step; with the option `select`, the one that stands for all.
        runtime: A key of `RUNTIMES`; default `GROUNDTRUTH_RUNTIME`.
        names: Of a mapped step, the output of the task that lists the names of its items; the UI shows them.
        options: Other arguments of the task.
    """
    step = item.step
    if step.approval is not None:
        return approval_task(pipeline, item)
    operator = runtime_class("local" if step.in_worker else "service" if item.spec.service else runtime)
    arguments: dict[str, Any] = {
        "task_id": step.id,
        "pipeline": pipeline,
        "item": item,
        "doc_md": step.description,
        "on_success_callback": notify_of_step if step.notice else None,
    }
    if item.spec.pool:
        arguments["pool"] = item.spec.pool
    if item.spec.retries != RETRIES:
        arguments |= {"retries": item.spec.retries, "retry_policy": StepRetryPolicy(item.spec.retries)}
    if names is None:
        return operator(**arguments | options)
    arguments |= TASK_DEFAULTS | {"map_index_template": "{{ task.instance_name }}"} | options
    return operator.partial(**arguments).expand(instance_name=names)


def _param(name: str, field: FieldInfo, defaults: Mapping[str, Any]) -> Param:
    """Return the field of the trigger form for a parameter: type, bounds and description come from the model."""
    schema = TypeAdapter(field.rebuild_annotation()).json_schema()
    schema = {key: value for key, value in schema.items() if key not in ("default", "$defs")}
    if "anyOf" in schema:
        options = schema.pop("anyOf")
        schema |= {key: value for option in options for key, value in option.items() if key != "type"}
        schema["type"] = [option["type"] for option in options]
        if "enum" in schema and "null" in schema["type"]:
            schema["enum"] = [*schema["enum"], None]  # else Airflow refuses the default, and with it the DAG
    if "prefixItems" in schema:
        schema["items"] = schema["prefixItems"][0]  # the form reads `items` alone: without it, it sends numbers as text
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = defaults.get(name, field.get_default(call_default_factory=True))
    return Param(
        list(default) if isinstance(default, tuple) else default,
        title=name.replace("_", " "),
        description=field.description,
        section=str(extra.get("section", "Interval" if name in ("start", "end") else "Run")),
        **schema,
    )
