"""A step in a container, and how it outlives the worker that began it. Images are never pulled at task time.

A container goes on when its worker dies. The next attempt finds it by the id that Airflow keeps for the task, or by its
labels where the worker died before the id was kept, follows it from its first line, and judges what it did. A step that
somebody cleared starts anew, and so does one whose container was killed while nobody watched, as when an engine stops.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk.bases.resumablejobmixin import ResumableJobMixin
from airflow.sdk.execution_time.timeout import timeout
from docker.errors import APIError, ImageNotFound, NotFound

from include.core.contracts import StepParams
from include.core.errors import GroundtruthError, SetupError, StepTimeoutError, TransientError
from include.core.pipeline import Pipeline, PipelineStep
from include.core.process import exit_error
from plugins.steps.context import (
    TASK_DEFAULTS,
    attempt_of,
    folder_of,
    log_line,
    plain_errors,
    task_keys,
    within_deadline,
)
from plugins.steps.engine import ENGINE_FAULTS, LABEL, deployment, engine_faults
from plugins.steps.metrics import measured_step
from plugins.steps.policy import create_request, step_image

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

STOP_SECONDS = 10
KILL_SECONDS = 3
"""Airflow kills a task 5 s after asking it to end."""
LAST_SECONDS = 30
"""So long after its log has ended a container may take to end; after that, the log was cut off on its way."""
KILLED = {137, 143}
LOST = 255
"""What the engine says of a container that ended while the engine itself was down, as when the machine restarted."""
GONE = "gone"


class ContainerStepOperator(ResumableJobMixin, DockerOperator):
    """Runs a step in a container under our policy, and proves it like any other step.

    Args:
        pipeline: The pipeline that the step belongs to.
        each: The step.
        outlet: The asset that the step makes; its event carries the step's key figures.
    """

    template_fields = ()

    def __init__(self, *, pipeline: Pipeline, each: PipelineStep, outlet: Asset | None = None, **kwargs: Any) -> None:
        options = TASK_DEFAULTS | {"outlets": [outlet] if outlet else []} | kwargs
        super().__init__(image=step_image(each), auto_remove="never", **options)
        self.pipeline, self.each, self.outlet = pipeline, each, outlet
        self.found: str | None = None
        self.log_keys: dict[str, Any] = {}

    def execute(self, context: Context) -> Any:
        """Run the container, or take up one that runs already, and prove its step."""
        folder = folder_of(context)
        attempt = attempt_of(context, self.pipeline, self.each, image=self._image_id, resuming=self._find)
        self.step_labels = {
            LABEL: "step",
            f"{LABEL}.data": deployment(),
            f"{LABEL}.dag": context["dag_run"].dag_id,
            f"{LABEL}.run": context["dag_run"].run_id,
            f"{LABEL}.step": self.each.step.id,
        }
        self.generation = {f"{LABEL}.generation": str(attempt.generation)}
        self.all_labels = self.step_labels | self.generation | {f"{LABEL}.try": str(attempt.number)}
        self.external_id_key = f"container.{attempt.generation}"
        self.folder, self.number, self.log_keys = folder, attempt.number, task_keys(context)

        def execute(params: StepParams) -> None:
            self.params_given = params
            with engine_faults(self.docker_url):
                self._remove(each for each in self._containers(self.step_labels) if each != self.found)
                self.execute_resumable(context)

        with plain_errors(self.log):
            try:
                figures = measured_step(self.each.step, folder, attempt, execute)
            finally:
                self._clean_up()
        if self.outlet is not None:
            context["outlet_events"][self.outlet].extra = {"files": str(folder.files), **figures}
        return figures

    def submit_job(self, context: Context) -> str:
        """Create the container, unless one was found; returns its id."""
        if self.found is None:
            request = create_request(
                self.cli, self.each, self.folder.files, self.params_given, self.all_labels, self.log_keys
            )
            self.found = str(self.cli.create_container(**request)["Id"])
        return self.found

    def get_job_status(self, external_id: Any, context: Context) -> str:
        """What the engine says of a container, or that it is gone."""
        try:
            return str(self.cli.inspect_container(external_id)["State"]["Status"])
        except NotFound:
            return GONE

    def is_job_active(self, status: str) -> bool:
        """A container that ended while nobody watched is still to be judged."""
        return status != GONE

    def is_job_succeeded(self, status: str) -> bool:
        """Only the verdict on a step says so."""
        return False

    def get_job_result(self, external_id: Any, context: Context) -> None:
        """A step's results are files."""

    def poll_until_complete(self, external_id: Any, context: Context) -> None:
        """Start the container unless it was started, log what it says from its first line on, judge how it ended."""
        self.container = {"Id": external_id}
        limit = self.each.spec.timeout_seconds
        try:
            status = self.get_job_status(external_id, context)
            left = limit if status == "exited" else max(1, limit - self._spent())  # its log is to be read in any case
            with within_deadline(limit), timeout(left):  # type: ignore[no-untyped-call]
                if status == "created":
                    self.cli.start(external_id)
                last = self._follow(external_id)
                self.cli.wait(external_id, timeout=LAST_SECONDS)
                state = self.cli.inspect_container(external_id)["State"]
        except (StepTimeoutError, KeyboardInterrupt):
            self._stop(STOP_SECONDS)
            raise
        except NotFound as error:
            raise TransientError("its container was removed from outside") from error
        except BaseException as error:
            if not (isinstance(error, APIError) and error.is_client_error()):  # then it never began
                self.container = {}  # the engine or our supervisor is gone: the next attempt takes it up
            raise
        self._judge(state, last)

    def on_kill(self) -> None:
        """Stop the container, unless a later attempt has taken it up."""
        if self.container and self._is_ours():
            self.log.info("Stopping the container: the task is to end")
            self._stop(KILL_SECONDS)

    def _is_ours(self) -> bool:
        """Whether no later attempt has taken the step up: a task may outlive its supervisor without knowing."""
        began = self.folder.started(self.each.step.id)
        return began is not None and began.attempt == self.number

    def _image_id(self) -> str:
        with engine_faults(self.docker_url):
            try:
                return str(self.cli.inspect_image(self.image)["Id"])  # type: ignore[no-untyped-call]
            except ImageNotFound as error:
                ours = self.each.spec.image is None
                how = "build it with `make images`" if ours else f"build or pull it first: docker pull {self.image}"
                raise SetupError(f"the image {self.image} is not on the Docker engine; {how}") from error

    def _find(self) -> bool:
        """Whether a container of this step and clear generation is there already, and was not killed unwatched."""
        with engine_faults(self.docker_url):
            known = self._containers(self.step_labels | self.generation)
            self.found = next((each for each in known if not self._was_killed(each)), None)
        return self.found is not None

    def _was_killed(self, container: str) -> bool:
        try:
            state = self.cli.inspect_container(container)["State"]
        except NotFound:
            return True
        return state["ExitCode"] in KILLED | {LOST} and not (state["Running"] or state["OOMKilled"])

    def _containers(self, labels: dict[str, str]) -> list[str]:
        """Ids, those that began before those that did not."""
        wanted = [f"{name}={value}" for name, value in labels.items()]
        found = self.cli.containers(all=True, filters={"label": wanted})
        return [each["Id"] for each in sorted(found, key=lambda each: str(each["State"]) == "created")]

    def _spent(self) -> float:
        """Seconds since the step began, in an attempt before this one where it began there."""
        began = self.folder.started(self.each.step.id)
        return (datetime.now(UTC) - began.started_at).total_seconds() if began else 0

    def _follow(self, container: str) -> str:
        """Log each line as it comes; returns the last one that says something."""
        last, rest = "", b""
        log: Any = self.cli.logs(container, stream=True, follow=True)
        for chunk in log._stream:  # the log itself takes a connection that breaks for the end
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                log_line(self.log, text)
                last = text.strip() or last
        if rest:
            log_line(self.log, rest.decode(errors="replace"))
        return rest.decode(errors="replace").strip() or last

    def _judge(self, state: dict[str, Any], last: str) -> None:
        if state["OOMKilled"]:
            raise GroundtruthError(
                f"ran out of memory: its limit is {self.each.spec.memory_mb} MB (memory_mb in the pipeline definition)"
            )
        if state["ExitCode"] in KILLED:
            raise TransientError(f"its container was killed from outside (exit code {state['ExitCode']})")
        if state["ExitCode"]:
            raise exit_error(state["ExitCode"], last)

    def _stop(self, seconds: int) -> None:
        container = str(self.container["Id"]) if self.container else ""
        try:
            self.cli.stop(container, timeout=seconds)
        except ENGINE_FAULTS as error:
            self.log.warning("could not stop the container %s: %s", container[:12], error)

    def _clean_up(self) -> None:
        """Remove the step's containers once its verdict stands; what cannot be reached now is left to the janitor.

        There can be two: an engine may make the first of them long after the connection broke that asked for it.
        """
        if not self.hook.client_created:
            return
        with suppress(*ENGINE_FAULTS):
            self._remove(self._containers(self.step_labels) if self.container and self._is_ours() else [])
        self.cli.close()

    def _remove(self, containers: Iterable[str]) -> None:
        for container in containers:
            with suppress(NotFound):
                self.cli.remove_container(container, force=True, v=True)
