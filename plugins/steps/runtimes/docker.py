"""Steps in containers that outlive the worker that started them. Images are never pulled at task time.

A container continues when its worker dies. The next attempt finds it by its labels, follows its log from the first
line, and judges its end. A step that a user cleared starts anew, and so does one whose container was killed while no
attempt was watching it, as when an engine stops.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import docker
from airflow.providers.docker.operators.docker import DockerOperator
from docker.errors import APIError, ImageNotFound, NotFound

from include.core.errors import GroundtruthError, SetupError, StepTimeoutError, TransientError
from include.core.output import Line, OutputLines
from include.core.pipeline import PipelineStep
from include.core.process import exit_error, without_secrets
from include.core.runner import Ran
from include.core.settings import get_settings
from plugins.steps.context import log_line, log_progress, task_keys, within_deadline
from plugins.steps.runtimes.base import IsEnded, StepOperator, Work
from plugins.steps.runtimes.container import (
    ENGINE_FAULTS,
    create_request,
    engine_faults,
    engine_url,
    host_path,
    own_path,
    step_image,
    work_source,
)
from plugins.steps.secrets import hidden_values, read_secrets

LABEL = "io.groundtruth"
STOP_SECONDS = 10
KILL_SECONDS = 3
"""Airflow kills a task 5 s after asking it to end."""
LAST_SECONDS = 30
"""A container may take this long to end after its log has ended; otherwise the log was cut off on its way."""
KILLED = {137, 143}
LOST = 255
"""What the engine reports of a container that ended while the engine itself was down, as when the machine restarted."""
YOUNG_SECONDS = 60
"""A younger container is kept: Airflow may not have recorded yet that its task runs."""
ALREADY_REMOVED = {404, 409}
"""The engine's answers where a container was removed already, or is being removed."""


class DockerStep(StepOperator, DockerOperator):
    """Runs a step in a container under our policy."""

    runtime = "docker"
    survives_worker = True
    container_id: str = ""
    """Of the container that this attempt found or created; empty before."""
    watched: bool = False
    """Whether this attempt answers for the container: it stops it on a kill, and removes it at the end."""

    def parent_arguments(self, item: PipelineStep) -> dict[str, Any]:
        """Return the image; removal is ours."""
        return {"image": step_image(item), "auto_remove": "never"}

    def describe(self, item: PipelineStep) -> str:
        """Return the command or the function of the definition, else the step as a program."""
        return item.spec.function or " ".join(item.spec.command or item.step.program)

    def image_id(self, item: PipelineStep) -> str | None:
        """Return the id of the image.

        Raises:
            SetupError: The engine does not have the image.
        """
        image = step_image(item)
        with engine_faults(self.docker_url):
            try:
                return str(self.cli.inspect_image(image)["Id"])  # type: ignore[no-untyped-call]
            except ImageNotFound as error:
                ours = item.spec.image is None
                how = "build it with `make images`" if ours else f"build or pull it first: docker pull {image}"
                raise SetupError(f"the image {image} is not on the Docker engine; {how}") from error

    def find(self) -> bool:
        """Return whether a container of this step and clear generation is there, and was not killed unwatched."""
        work = self.work
        assert work is not None  # noqa: S101 - execute sets it
        with engine_faults(self.docker_url):
            matches = self._containers(_labels(work) | _generation_label(work))
            self.container_id = next((match for match in matches if not self._was_killed(match)), "")
        return bool(self.container_id)

    def start(self, work: Work) -> None:
        """Create the container, unless one was found; remove what earlier generations left."""
        with engine_faults(self.docker_url):
            others = [match for match in self._containers(_labels(work)) if match != self.container_id]
            _remove(self.cli, others)
            if not self.container_id:
                labels = _labels(work) | _generation_label(work) | {f"{LABEL}.try": str(work.attempt.number)}
                work.work_folder.mount_points()
                secrets = read_secrets(work.item.spec.secrets)
                request = create_request(
                    self.cli, work.item, work.work_folder, work.params, labels, task_keys(work.context), secrets
                )
                self.container_id = str(self.cli.create_container(**request)["Id"])
                if work_source(self.cli.inspect_container(self.container_id)) == host_path(work.work_folder.files):
                    self._check_owner(work)

    def _check_owner(self, work: Work) -> None:
        try:
            work.work_folder.check_owner()
        except SetupError:
            _remove(self.cli, [self.container_id])
            raise

    def wait(self, work: Work) -> None:
        """Start the container unless it was started, log its output from the first line on, judge its end."""
        self.watched = True
        limit = work.item.spec.timeout_seconds
        with engine_faults(self.docker_url):
            try:
                status = self._state()["Status"]
                left = limit if status == "exited" else max(1, limit - _seconds_spent(work))  # an ended log is read
                with within_deadline(limit, left):
                    if status == "created":
                        self.cli.start(self.container_id)
                    last_line = self._follow_log()
                    self.cli.wait(self.container_id, timeout=LAST_SECONDS)
                    state = self._state()
            except (StepTimeoutError, KeyboardInterrupt):
                self._stop(STOP_SECONDS)
                raise
            except NotFound as error:
                raise TransientError("its container was removed from outside") from error
            except BaseException as error:
                if not (isinstance(error, APIError) and error.is_client_error()):  # then it never started
                    self.watched = False  # the engine or our supervisor has died: the next attempt takes it up
                raise
        _judge(work, state, last_line)

    def collect(self, work: Work) -> Ran:
        """Return what the engine says of the ended container: the image, whose tag may lead to another one by now.

        And its work folder: behind the Docker proxy that is another one than was asked for, and closed until now.
        """
        with engine_faults(self.docker_url):
            container = self.cli.inspect_container(self.container_id)
        isolation = "a container that sees its inputs read-only and nothing else of the run"
        return Ran(str(container["Image"]), isolation, own_path(work_source(container)))

    def cancel(self, work: Work) -> None:
        """Stop the container, unless a later attempt has taken it up."""
        if self.watched and _is_latest(work):
            self.log.info("Stopping the container: the task is to end")
            self._stop(KILL_SECONDS)

    def release(self, work: Work) -> None:
        """Remove the step's containers once its outcome is recorded.

        The DAG `maintenance` removes what cannot be reached now. There can be two containers: an engine may create
        the first long after the connection broke that asked for it.
        """
        if not self.hook.client_created:
            return
        with suppress(*ENGINE_FAULTS):
            if self.watched and _is_latest(work):
                _remove(self.cli, self._containers(_labels(work)))
        self.cli.close()

    @classmethod
    def file_owner(cls) -> int | None:
        """Return the user that containers run as."""
        return get_settings().step_uid

    @classmethod
    def remove_orphans(cls, is_ended: IsEnded, log: Any) -> int:
        """Remove this deployment's containers whose task has ended or is unknown, and return how many they were."""
        removed = 0
        with engine_faults(engine_url()), closing(docker.APIClient(engine_url())) as engine:
            for container in engine.containers(all=True, filters={"label": [f"{LABEL}.data={deployment()}"]}):
                labels = container["Labels"]
                dag, run, step = (labels[f"{LABEL}.{name}"] for name in ("dag", "run", "step"))
                task, index = labels.get(f"{LABEL}.task", step), int(labels.get(f"{LABEL}.index", -1))
                young = time.time() - container["Created"] < YOUNG_SECONDS
                if not young and is_ended(dag, run, task, index) and _remove(engine, [container["Id"]]):
                    log.info("Removed the container %s of %s, %s in %s", container["Id"][:12], step, run, dag)
                    removed += 1
        return removed

    def _state(self, container_id: str = "") -> dict[str, Any]:
        state: dict[str, Any] = self.cli.inspect_container(container_id or self.container_id)["State"]
        return state

    def _was_killed(self, container_id: str) -> bool:
        try:
            state = self._state(container_id)
        except NotFound:
            return True
        return state["ExitCode"] in KILLED | {LOST} and not (state["Running"] or state["OOMKilled"])

    def _containers(self, labels: dict[str, str]) -> list[str]:
        """Return ids, those that were started before those that were not."""
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        matches = self.cli.containers(all=True, filters=filters)
        return [match["Id"] for match in sorted(matches, key=lambda match: str(match["State"]) == "created")]

    def _follow_log(self) -> str:
        """Log every line as it comes, and return the last one that is not blank."""
        assert self.work is not None  # noqa: S101 - execute sets it
        places, records = self.work.item.spec.secrets, self.work.folder.step(self.work.item.step.id)
        hidden = hidden_values(places, read_secrets(places))
        last, lines = "", OutputLines()
        log: Any = self.cli.logs(self.container_id, stream=True, follow=True)
        for line in chain.from_iterable(map(lines.feed, log._stream)):  # the log takes a lost connection for its end
            last = self._log(line, hidden, records) or last
        for line in lines.end():
            last = self._log(line, hidden, records) or last
        return last

    def _log(self, line: Line, hidden: Collection[str], records: Path) -> str:
        """Log a line, and return it as its log shows it."""
        text = without_secrets(line.text.rstrip(), hidden)
        if line.overwritten:
            log_progress(self.log, text, records)
        else:
            log_line(self.log, text, records)
        return text.strip()

    def _stop(self, seconds: int) -> None:
        try:
            self.cli.stop(self.container_id, timeout=seconds)
        except ENGINE_FAULTS as error:
            self.log.warning("could not stop the container %s: %s", self.container_id[:12], error)


def deployment() -> str:
    """Return what tells this deployment's containers from those of another on the same engine: its data folder.

    A run of the command line is a separate deployment, because no other Airflow knows whether its tasks are running.
    """
    settings = get_settings()
    return host_path(settings.run_folder or settings.data_dir)


def _remove(engine: docker.APIClient, container_ids: Iterable[str]) -> int:
    """Remove containers, and return how many of them were still there."""
    removed = 0
    for container_id in container_ids:
        try:
            engine.remove_container(container_id, force=True, v=True)
            removed += 1
        except APIError as error:
            if error.status_code not in ALREADY_REMOVED:
                raise
    return removed


def _labels(work: Work) -> dict[str, str]:
    """Return the labels that all containers of a task have."""
    run, task = work.context["dag_run"], work.context["ti"]
    return {
        LABEL: "step",
        f"{LABEL}.data": deployment(),
        f"{LABEL}.dag": run.dag_id,
        f"{LABEL}.run": run.run_id,
        f"{LABEL}.step": work.item.step.id,
        f"{LABEL}.task": task.task_id,
        f"{LABEL}.index": str(-1 if task.map_index is None else task.map_index),
    }


def _generation_label(work: Work) -> dict[str, str]:
    return {f"{LABEL}.generation": str(work.attempt.generation)}


def _seconds_spent(work: Work) -> float:
    """Return the seconds since the step began, in an earlier attempt where it began there."""
    started = work.folder.started(work.item.step.id)
    return (datetime.now(UTC) - started.started_at).total_seconds() if started else 0


def _is_latest(work: Work) -> bool:
    """Return whether no later attempt has taken the step up: a task may outlive its supervisor without knowing."""
    started = work.folder.started(work.item.step.id)
    return started is not None and started.attempt == work.attempt.number


def _judge(work: Work, state: dict[str, Any], last_line: str) -> None:
    if state["OOMKilled"]:
        raise GroundtruthError(
            f"ran out of memory: its limit is {work.item.spec.memory_mb} MB (memory_mb in the pipeline definition)"
        )
    if state["ExitCode"] in KILLED:
        raise TransientError(f"its container was killed from outside (exit code {state['ExitCode']})")
    if state["ExitCode"]:
        raise exit_error(state["ExitCode"], last_line)
