"""The step protocol as an Airflow task: what every runtime shares.

A runtime is an operator with two parents, `StepOperator` and the Airflow operator that executes the work. It states how
work is described, started, waited for, found again after its worker's death, collected, cancelled and released; the
protocol around it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import AssetAlias, BaseOperator
from airflow.sdk.observability import stats

from include.core.artifacts import sha256
from include.core.contracts import Step, StepParams, imported
from include.core.errors import GroundtruthError, StepSuspendedError, StoppedStepError
from include.core.pipeline import Pipeline, PipelineStep
from include.core.run_folder import STOPPED, RunFolder
from include.core.runner import Attempt, Execute, Ran, run_step
from include.core.work_folder import WorkFolder
from plugins.steps.context import TASK_DEFAULTS, attempt_of, folder_of, plain_errors

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

IsEnded = Callable[[str, str, str, int], bool]
"""Whether no attempt of a task runs or is to come: DAG, run, task, map index (-1 for a task that is not mapped)."""


@dataclass(frozen=True)
class Work:
    """One execution of a step, as a runtime sees it.

    Args:
        item: The step and how its definition runs it.
        folder: The run.
        attempt: Which attempt this is.
        context: Airflow's.
        params: What the step takes; known, like its work folder, once its inputs are verified.
        work_folder: Where this execution works.
        event: What a trigger sent, where the task was suspended before.
    """

    item: PipelineStep
    folder: RunFolder
    attempt: Attempt
    context: Context
    params: StepParams = field(default_factory=StepParams)
    work_folder: WorkFolder = field(default_factory=lambda: WorkFolder(Path()))
    event: Any = None


class StepOperator(BaseOperator):
    """Runs a step of a pipeline and proves it.

    Args:
        pipeline: The pipeline that the step belongs to.
        item: The step; of a mapped task that takes its step from an artifact, the one that stands for all.
        instance_name: Of a mapped task, the name of what it is for; the UI shows it.
        select: `module:function` of `(files, map index) -> step id`: the step of the pipeline that a mapped task runs.
        outlet: The asset that the step makes; its event carries the step's metrics.
        outlet_when: The metric that decides whether the step made it; without, it always does.
        kwargs: Of the Airflow operator.
    """

    runtime: ClassVar[str]
    survives_worker: ClassVar[bool] = False
    """Whether the work goes on when its worker dies, so that the next attempt can take it up."""
    template_fields: Sequence[str] = ()

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        item: PipelineStep,
        instance_name: str | None = None,
        select: str | None = None,
        outlet: Asset | None = None,
        outlet_when: str | None = None,
        **kwargs: Any,
    ) -> None:
        alias = AssetAlias(f"{outlet.name}_{outlet_when}") if outlet and outlet_when else None
        outlets = [alias or outlet] if outlet else []
        super().__init__(**self.parent_arguments(item), **TASK_DEFAULTS | {"outlets": outlets} | kwargs)
        self.pipeline, self.item, self.instance_name, self.select = pipeline, item, instance_name, select
        self.outlet, self.outlet_when, self._alias = outlet, outlet_when, alias
        self.work: Work | None = None
        self.stopped = False

    # ── what a runtime states ────────────────────────────────────────────────────────────────────────────────────────

    def parent_arguments(self, item: PipelineStep) -> dict[str, Any]:
        """Return the arguments of the Airflow operator that executes the work."""
        return {}

    def describe(self, item: PipelineStep) -> str:
        """Return what runs, for users: a function, or a command."""
        raise NotImplementedError

    def image_id(self, item: PipelineStep) -> str | None:
        """Return the id of the image, or the version of the service, that runs the step; None where there is none."""
        return None

    def find(self) -> bool:
        """Return whether work of this step and generation goes on, or ended unseen; `wait` then takes it up."""
        return False

    def start(self, work: Work) -> None:
        """Begin the work, unless `find` found it."""

    def wait(self, work: Work) -> None:
        """Wait for the end of the work.

        Raises:
            GroundtruthError: It failed; says why.
            StepSuspendedError: It goes on elsewhere and the task gives up its slot until a trigger fires.
        """
        raise NotImplementedError

    def collect(self, work: Work) -> Ran:
        """Bring the outputs into the work folder, where they are not written there; return what is known of the run."""
        return Ran()

    def cancel(self, work: Work) -> None:
        """Stop the work: the task was killed, marked or cleared."""

    def release(self, work: Work) -> None:
        """Free what the work held, once its outcome is recorded."""

    @classmethod
    def file_owner(cls) -> int | None:
        """Return the user who must own a step's work folder; None for the worker's own."""
        return None

    @classmethod
    def remove_orphans(cls, is_ended: IsEnded, log: Any) -> int:
        """Remove work whose task has ended or is unknown; returns how much was removed."""
        log.info("Nothing to remove: work of the runtime %s ends with its worker", cls.runtime)
        return 0

    # ── the protocol ─────────────────────────────────────────────────────────────────────────────────────────────────

    def execute(self, context: Context, event: Any = None) -> Any:
        """Run the step, or take up its work, and prove it.

        Args:
            context: Airflow's.
            event: What the trigger sent, where the task was suspended.
        """
        item, folder = self._item_of(context), folder_of(context)
        attempt = attempt_of(
            context,
            runtime=self.runtime,
            command=self.describe(item),
            image=lambda: self.image_id(item),
            definition=sha256(self.pipeline.definition.file),
            owner=self.file_owner(),
            resuming=self.find if self.survives_worker else None,
        )
        self.work = Work(item, folder, attempt, context, event=event)
        with plain_errors(self.log):
            try:
                metrics = measured_step(item.step, folder, attempt, self._perform)
            except StepSuspendedError as suspension:
                self.defer(trigger=suspension.trigger, method_name="execute")
            except BaseException:
                self.release(self.work)
                raise
            self.release(self.work)
        if self.outlet is not None:
            self._announce(self.outlet, {"files": str(folder.files), **metrics}, context["outlet_events"])
        return item.step.things(folder.files) if item.step.fans_out else metrics

    def on_kill(self) -> None:
        """Note that Airflow ends the task, and stop the work; Airflow kills this process 5 s later."""
        if self.work is not None:
            self.stopped = True
            with suppress(OSError):  # stopping the work matters more than the reason in the report
                note_stop(self.work)
            self.cancel(self.work)

    def _perform(self, params: StepParams, work_folder: WorkFolder) -> Ran:
        assert self.work is not None  # noqa: S101 - execute sets it
        self.work = replace(self.work, params=params, work_folder=work_folder)
        self.start(self.work)
        try:
            self.wait(self.work)
        except GroundtruthError as error:
            if self.stopped:
                raise StoppedStepError(STOPPED) from error
            raise
        return self.collect(self.work)

    def _item_of(self, context: Context) -> PipelineStep:
        """Return the step of this task; of a mapped one, its instance."""
        index = int(context["ti"].map_index or 0)
        item = self.item
        if self.select is not None:
            item = self.pipeline[imported(self.select)(folder_of(context).files, index)]
        return replace(item, step=item.step.instance(index)) if item.step.mapped else item

    def _announce(self, outlet: Asset, extra: dict[str, Any], events: Any) -> None:
        """Send the asset's event; through an alias where a metric decides whether there is one."""
        if self._alias is None:
            events[outlet].extra = extra
        elif extra.get(str(self.outlet_when)) is True:
            events[self._alias].add(outlet, extra=extra)


def note_stop(work: Work) -> None:
    """Record that Airflow asked this attempt to end, for the report of a run in which it leaves no result.

    Args:
        work: The execution of the attempt.
    """
    step_id, attempt = work.item.step.id, work.attempt
    started = work.folder.started(step_id)
    if started is not None and (started.attempt, started.generation) == (attempt.number, attempt.generation):
        work.folder.keep(step_id, "started.json", started.model_copy(update={"stopped": True}))


def measured_step(step: Step, folder: RunFolder, attempt: Attempt, execute: Execute) -> dict[str, Any]:
    """Run a step under its contract, and return what goes through XCom: status and single metrics, never data.

    Monitoring receives the same through Airflow's own metrics (OpenTelemetry or StatsD, off unless configured). Every
    metric has the tags `dag` and `step`; `run` is left out, because each value of a tag is a separate series.

    | metric | type | |
    |---|---|---|
    | `groundtruth.step.duration` | timer | of a proven step, ms |
    | `groundtruth.step.failed` | counter | also by `kind` of fault |
    | `groundtruth.records.read`, `.accepted`, `.rejected`, `.outside` | counters | of steps that account for records |
    | `groundtruth.figure.<name>` | gauge | each number among a step's metrics |

    Raises:
        GroundtruthError: As `run_step`.
    """
    tags = {"dag": folder.path.parent.name, "step": step.id}
    try:
        result = run_step(step, folder, attempt, execute)
    except GroundtruthError as error:
        stats.incr("groundtruth.step.failed", tags=tags | {"kind": error.kind})
        raise
    metrics = result.outcome.scalars()
    if not result.reused:
        stats.timing("groundtruth.step.duration", timedelta(seconds=result.duration_seconds), tags=tags)
        if result.records is not None:
            for name in ("read", "accepted", "rejected", "outside"):
                stats.incr(f"groundtruth.records.{name}", getattr(result.records, name), tags=tags)
        for name, value in metrics.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                stats.gauge(f"groundtruth.figure.{name}", value, tags=tags)
    return {"status": result.status, "reused": result.reused, "seconds": result.duration_seconds} | metrics
