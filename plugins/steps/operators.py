"""Tasks of a pipeline that run in the Airflow worker itself: preparing, the steps of the local runtime, publishing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import AssetAlias, BaseOperator

from include.core.contracts import StepParams
from include.core.outcome import StepOutcome
from include.core.pipeline import INPUT_FILES, Pipeline, PipelineStep
from include.core.preparation import prepare_run
from include.core.process import run_command
from include.core.publish import PublishMetrics, publish_run
from include.core.recording import recorded
from include.core.run_folder import Started
from include.core.settings import get_settings
from plugins.steps.account import account
from plugins.steps.context import (
    RETRIES,
    TASK_DEFAULTS,
    attempt_of,
    folder_of,
    log_line,
    log_url_of,
    plain_errors,
    task_keys,
    within_deadline,
)
from plugins.steps.metrics import measured_step

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


class LocalStepOperator(PythonOperator):
    """Runs a step in the Airflow worker: our function in this process, or the definition's command as a child of it.

    Args:
        pipeline: The pipeline that the step belongs to.
        each: The step.
        thing: Of a mapped step, the name of what this task is for; the UI shows it.
        outlet: The asset that the step makes; its event carries the step's key figures.
        outlet_when: The key figure that says whether the step made it; without, it always does.
    """

    template_fields = ()

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        each: PipelineStep,
        thing: str | None = None,
        outlet: Asset | None = None,
        outlet_when: str | None = None,
        **kwargs: Any,
    ) -> None:
        alias = AssetAlias(f"{outlet.name}_{outlet_when}") if outlet and outlet_when else None
        outlets = [alias or outlet] if outlet else []
        options = TASK_DEFAULTS | {"outlets": outlets} | kwargs
        super().__init__(python_callable=run_local, show_return_value_in_logs=False, **options)
        self.pipeline, self.each, self.thing = pipeline, each, thing
        self.outlet, self.outlet_when, self.alias = outlet, outlet_when, alias

    def execute(self, context: Context) -> Any:
        """Run the step and prove it."""
        each = self.each
        if each.step.mapped:
            each = replace(each, step=each.step.instance(int(context["ti"].map_index or 0)))
        self.op_kwargs = {"pipeline": self.pipeline, "each": each, "log": self.log}
        with plain_errors(self.log):
            figures = super().execute(context)
        folder = folder_of(context)
        if self.outlet is not None:
            self._announce(self.outlet, {"files": str(folder.files), **figures}, context["outlet_events"])
        return each.step.things(folder.files) if each.step.fans_out else figures

    def _announce(self, outlet: Asset, extra: dict[str, Any], events: Any) -> None:
        """Say that the asset was made; through an alias where that depends on what the step found."""
        if self.alias is None:
            events[outlet].extra = extra
        elif extra.get(str(self.outlet_when)) is True:
            events[self.alias].add(outlet, extra=extra)


def run_local(pipeline: Pipeline, each: PipelineStep, log: Any, **context: Any) -> dict[str, Any]:
    """Run a step in this process under its contract; returns its key figures."""
    folder = folder_of(context)
    command = each.spec.command

    def execute(params: StepParams) -> None:
        with within_deadline(each.spec.timeout_seconds), account(each.step.credentials, params):
            if command is None:
                each.step.load()(folder.files, params)
            else:
                run_command(command, folder.files, params, partial(log_line, log), task_keys(context))

    return measured_step(each.step, folder, attempt_of(context, pipeline, each), execute)


class PrepareOperator(BaseOperator):
    """The first task of a run: refuses unknown params, makes the run folder, stages people's files.

    Args:
        pipeline: What is to run.
        runtime: `local` or `docker`; default `GROUNDTRUTH_RUNTIME`.
        found: Finds files of earlier runs for parameters that nobody gave.
    """

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        runtime: str | None = None,
        found: Callable[[Context], Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**TASK_DEFAULTS, **kwargs)
        self.pipeline, self.runtime, self.found = pipeline, runtime or get_settings().runtime, found

    def execute(self, context: Context) -> str:
        """Prepare the run; returns its folder."""
        settings, folder, run = get_settings(), folder_of(context), context["dag_run"]
        given = {
            name: value
            for name, value in context["params"].items()
            if name in self.pipeline.params or name == INPUT_FILES
        }
        given |= dict(run.conf or {})
        with (
            plain_errors(self.log),
            recorded(
                folder,
                _started(self, context),
                "Prepare the run",
                "Checks parameters, stages files.",
                log_url_of(context),
            ),
        ):
            if self.found is not None:
                given |= {name: value for name, value in self.found(context).items() if not given.get(name)}
            prepare_run(
                self.pipeline,
                folder,
                given,
                run_id=folder.path.name if settings.run_folder else run.run_id,
                runtime=self.runtime,
                interval=_interval(context),
                allowed_inputs=(*settings.allowed_inputs, (settings.data_dir / "runs").resolve()),
                owner=settings.step_uid if self.runtime == "docker" else None,
            )
        return str(folder.path)


class PublishOperator(BaseOperator):
    """The last task before the report: every artifact is verified once more, then results are promoted atomically."""

    def __init__(self, *, pipeline: Pipeline, asset: Asset | None, **kwargs: Any) -> None:
        super().__init__(outlets=[asset] if asset else [], **TASK_DEFAULTS, **kwargs)
        self.pipeline, self.asset = pipeline, asset

    def execute(self, context: Context) -> str | None:
        """Publish; returns the folder, or None for a pipeline that publishes nothing."""
        folder = folder_of(context)
        with (
            plain_errors(self.log),
            recorded(
                folder,
                _started(self, context),
                "Publish",
                "Verifies every artifact, promotes the results.",
                log_url_of(context),
            ) as draft,
        ):
            published = publish_run(folder, self.pipeline, get_settings().data_dir)
            if published is not None:
                draft.outcome = StepOutcome(metrics=PublishMetrics(published=str(published.path), key=published.key))
        if published is None:
            return None
        if self.asset is not None:
            context["outlet_events"][self.asset].extra = {"path": str(published.path), **published.metrics}
        return str(published.path)


def _started(operator: BaseOperator, context: Context) -> Started:
    task_instance = context["ti"]
    return Started(
        step=operator.task_id,
        started_at=datetime.now(UTC),
        attempt=task_instance.try_number,
        generation=task_instance.max_tries - RETRIES,
    )


def _interval(context: Context) -> tuple[datetime, datetime]:
    """The run's data interval; for a run without one, the last whole day in UTC."""
    run = context["dag_run"]
    if run.data_interval_start and run.data_interval_end and run.data_interval_start < run.data_interval_end:
        return run.data_interval_start, run.data_interval_end
    end = run.run_after.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return end - timedelta(days=1), end
