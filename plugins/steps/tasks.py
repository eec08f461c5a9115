"""The tasks around the steps of a pipeline: preparing the run, and publishing its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from include.core.contracts import imported
from include.core.definitions.load import SCHEDULES_FILE
from include.core.errors import BadInputError
from include.core.exchange import check_handed, handed_over, refuse_runs
from include.core.outcome import StepOutcome
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.preparation import prepare_run
from include.core.publications import by_hand
from include.core.publish import PublishMetrics, publish_run
from include.core.recording import recorded
from include.core.run_folder import RunFolder, StartedBy
from include.core.settings import get_settings
from include.pipelines import domain_of_pipeline
from plugins.steps.context import TASK_DEFAULTS, attempt_of, folder_of, plain_errors, report_page

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


STARTED_BY: dict[str, StartedBy] = {"scheduled": "schedule", "backfill": "backfill", "asset_triggered": "asset"}
"""By Airflow's type of a run; a user starts all others."""


class PrepareOperator(BaseOperator):
    """The first task of a run: checks parameters, makes the run folder, stages input files.

    Args:
        pipeline: What is to run.
        runtime: A key of `RUNTIMES`; default `GROUNDTRUTH_RUNTIME`.
    """

    def __init__(self, *, pipeline: Pipeline, runtime: str | None = None, **kwargs: Any) -> None:
        super().__init__(**TASK_DEFAULTS, **kwargs)
        self.pipeline, self.runtime = pipeline, runtime or get_settings().runtime

    def execute(self, context: Context) -> str:
        """Prepare the run, and return its folder."""
        settings, folder, run = get_settings(), folder_of(context), context["dag_run"]
        params = {name: value for name, value in context["params"].items() if name in self.pipeline.params}
        params |= dict(run.conf or {})
        attempt = attempt_of(context)
        started = attempt.start(self.task_id)
        title, description = "Prepare the run", "Checks parameters, stages files."
        with plain_errors(self.log), recorded(folder, started, title, description, attempt.log_url):
            _check_text(params)
            params = self.pipeline.complete_params(params)
            handed = handed_over(self.pipeline.producers, params, _triggering_runs(context), settings.data_dir)
            refuse_runs(self._files(params), settings.allowed_inputs, settings.data_dir / "runs")
            for name, file in handed.items():
                self.log.info("%s: %s of the run %s", name, file.path.name, file.run)
            params |= {name: str(file.path) for name, file in handed.items()}
            prepared = prepare_run(
                self.pipeline,
                folder,
                params,
                run_id=folder.path.name if settings.run_folder else run.run_id,
                runtime=self.runtime,
                interval=_interval(context),
                allowed_inputs=(*settings.allowed_inputs, *(file.path for file in handed.values())),
                started_by=_started_by(context, self.pipeline),
            )
            if run.run_type == "scheduled":
                _refuse_invented(self.pipeline, prepared.params)
            check_handed(prepared, handed)
        return str(folder.path)

    def _files(self, params: Mapping[str, Any]) -> list[object]:
        """Return the input files that the user named."""
        files = params.get(INPUT_FILES)
        return [*(files if isinstance(files, list | tuple) else []), *map(params.get, self.pipeline.file_params)]


class PublishOperator(BaseOperator):
    """The last task before the report: verifies every artifact once more, then publishes the results atomically.

    Args:
        pipeline: What has run.
        asset: What a publication updates; None for none.
    """

    def __init__(self, *, pipeline: Pipeline, asset: Asset | None, **kwargs: Any) -> None:
        super().__init__(outlets=[asset] if asset else [], **TASK_DEFAULTS, **kwargs)
        self.pipeline, self.asset = pipeline, asset

    def execute(self, context: Context) -> str | None:
        """Publish, and return the folder; None for a pipeline that publishes nothing."""
        folder = folder_of(context)
        attempt = attempt_of(context)
        started = attempt.start(self.task_id)
        title, description = "Publish", "Verifies every artifact, promotes the results."
        with plain_errors(self.log), recorded(folder, started, title, description, attempt.log_url) as draft:
            domain = domain_of_pipeline(self.pipeline)
            published = publish_run(
                folder,
                self.pipeline,
                get_settings().data_dir,
                domain=domain.name if domain else None,
                report=report_page(context),
            )
            if published is None:
                return None
            metrics = PublishMetrics(published=str(published.path), key=published.key)
            draft.outcome = StepOutcome(metrics=metrics, findings=(published.finding,) if published.finding else ())
        if not published.is_new:
            raise AirflowSkipException("The published readings are the same: nothing was published, no asset updated.")
        if self.asset is not None:
            context["outlet_events"][self.asset].extra = {
                "path": str(published.path),
                "key": published.key,
                **published.metrics,
            }
        return str(published.path)


def _refuse_invented(pipeline: Pipeline, params: Mapping[str, Any]) -> None:
    """Refuse the run of a schedule that would work on data of its own invention, unless its schedule asks for that."""
    invented = imported(pipeline.invents)(params, pipeline.defaults.keys()) if pipeline.invents else None
    if invented:
        file = get_settings().definitions_dir / SCHEDULES_FILE
        raise BadInputError(f"the schedule of {pipeline.definition.pipeline} states no data: {invented} ({file})")


def _check_text(params: Mapping[str, Any]) -> None:
    """Refuse parameters that no record could hold, such as a file name that is not UTF-8."""
    for name, value in params.items():
        try:
            json.dumps({name: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BadInputError(f"{name}: is not UTF-8 text (got {value!r}); rename the file, or fix it") from error


def _triggering_runs(context: Context) -> list[tuple[str, str]]:
    """Return DAG and id of the runs whose asset events triggered this run, newest first.

    Airflow states them; what an event says of itself is not used, for any user who may create events writes it.
    """
    triggers: Mapping[Any, Any] = context.get("triggering_asset_events") or {}
    events = sorted((event for events in triggers.values() for event in events), key=lambda event: event.timestamp)
    sources = ((event.source_dag_id, event.source_run_id) for event in reversed(events))
    return [(dag_id, run_id) for dag_id, run_id in sources if dag_id and run_id]


def _started_by(context: Context, pipeline: Pipeline) -> StartedBy:
    """Return what started a run.

    Parameters that its schedule does not have make a backfill a user's, and so does a user's run that updated an asset.
    """
    run = context["dag_run"]
    defaults = {name: field.get_default(call_default_factory=True) for name, field in pipeline.params.items()}
    usual = json.loads(json.dumps(defaults, default=str))  # as a form states them
    if any(usual.get(name) != value for name, value in dict(run.conf or {}).items()):
        return "user"
    started_by = STARTED_BY.get(str(getattr(run.run_type, "value", run.run_type)), "user")
    for dag_id, run_id in _triggering_runs(context)[:1]:
        source = RunFolder.of(get_settings().data_dir, dag_id, run_id).run()
        started_by = "user" if source and by_hand(source) and not source.params.get("publish") else started_by
    return started_by


def _interval(context: Context) -> tuple[datetime, datetime]:
    """Return the run's data interval; for a run without one, the last complete day in UTC."""
    run = context["dag_run"]
    if run.data_interval_start and run.data_interval_end and run.data_interval_start < run.data_interval_end:
        return run.data_interval_start, run.data_interval_end
    end = run.run_after.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return end - timedelta(days=1), end
