"""The tasks around the steps of a pipeline: preparing the run, and publishing its results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from include.core.contracts import imported
from include.core.outcome import StepOutcome
from include.core.pipeline import Pipeline
from include.core.preparation import prepare_run
from include.core.publish import PublishMetrics, publish_run
from include.core.recording import recorded
from include.core.settings import get_settings
from plugins.steps.context import TASK_DEFAULTS, attempt_of, folder_of, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context


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
            if self.pipeline.defaults is not None:
                defaults = imported(self.pipeline.defaults)(_triggering_files(context), settings.data_dir)
                params |= {name: value for name, value in defaults.items() if not params.get(name)}
            prepare_run(
                self.pipeline,
                folder,
                params,
                run_id=folder.path.name if settings.run_folder else run.run_id,
                runtime=self.runtime,
                interval=_interval(context),
                allowed_inputs=(*settings.allowed_inputs, (settings.data_dir / "runs").resolve()),
            )
        return str(folder.path)


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
            published = publish_run(folder, self.pipeline, get_settings().data_dir)
            if published is None:
                return None
            draft.outcome = StepOutcome(metrics=PublishMetrics(published=str(published.path), key=published.key))
        if self.asset is not None:
            context["outlet_events"][self.asset].extra = {"path": str(published.path), **published.metrics}
        return str(published.path)


def _triggering_files(context: Context) -> list[Path]:
    """Return the `files/` folders of the runs whose asset events triggered this run, newest first."""
    triggers: Mapping[Any, Any] = context.get("triggering_asset_events") or {}
    events = sorted((event for events in triggers.values() for event in events), key=lambda event: event.timestamp)
    return [Path(event.extra["files"]) for event in reversed(events) if "files" in event.extra]


def _interval(context: Context) -> tuple[datetime, datetime]:
    """Return the run's data interval; for a run without one, the last complete day in UTC."""
    run = context["dag_run"]
    if run.data_interval_start and run.data_interval_end and run.data_interval_start < run.data_interval_end:
        return run.data_interval_start, run.data_interval_end
    end = run.run_after.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return end - timedelta(days=1), end
