"""Steps in services: inputs are pushed, the task waits without a worker slot, outputs are pulled and proven.

The id of a task follows from what it is to do (`include/control/task_ids.py`), and a service is asked before anything
is submitted, so that an attempt finds the work of one that died. A service writes nothing into the run.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from airflow.sdk import BaseOperator

from include.control.addresses import DEFAULT_SERVICE, address_of, default_address
from include.control.client import REQUEST_SECONDS, Client, client_for, fault_error
from include.control.models import ENDED, Execute, Health, Operation, Output, Status, TaskKeys, file_reference
from include.control.task_ids import task_id
from include.core.artifacts import sha256
from include.core.definitions.model import ServiceAddress
from include.core.errors import (
    ContractError,
    GroundtruthError,
    SetupError,
    StepSuspendedError,
    StepTimeoutError,
    TransientError,
)
from include.core.pipeline import PipelineStep
from include.core.run_folder import read_model
from include.core.runner import BEGUN, Begun, Ran
from include.core.settings import get_settings
from plugins.steps.context import within_deadline
from plugins.steps.runtimes.base import IsEnded, StepOperator, Work
from plugins.steps.services import CANCEL_SECONDS, ServiceTrigger, endpoint_of

SHORT_WAIT_SECONDS = 3.0
"""A task that ends within this time is waited for in the worker; deferring costs about as much."""
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 0.05, 1.0
YOUNG_SECONDS = 60
"""A younger task is kept: Airflow may not have recorded yet that its step runs."""
A = TypeVar("A", Status, Output)
ISOLATION = "a service that got copies of its inputs and writes nothing into the run"


class ServiceStep(StepOperator, BaseOperator):
    """Runs a step in a service."""

    runtime = "service"
    survives_worker = True
    operation: Operation
    request: Execute
    status: Status

    def describe(self, item: PipelineStep) -> str:
        """Return the operation and its service."""
        try:
            name, address = address_of(item)
        except SetupError:
            return item.step.id  # that no service does it is the fault of the attempt, which `image_id` raises
        return f"{item.step.id} of the service {name} at {address.url}"

    def image_id(self, item: PipelineStep) -> str:
        """Return name, version and address of the service.

        Raises:
            SetupError: It does not offer the step, or another version of it.
            TransientError: It does not answer, or is not healthy.
        """
        health = self.client.health()
        operation = next((one for one in health.operations if one.name == operation_name(item)), None)
        if operation is None:
            offered = ", ".join(sorted(one.name for one in health.operations)) or "nothing"
            raise SetupError(f"{self._who} offers no operation {operation_name(item)}, but {offered}")
        if item.step.function and operation.version != item.step.version:
            raise SetupError(
                f"{self._who} offers version {operation.version} of {item.step.id}, and version {item.step.version} is "
                "expected; update the service or this deployment"
            )
        self.operation = operation
        return self._made_by(health)

    def find(self) -> bool:
        """Return whether an attempt of this generation was suspended or died: its task is the one that is asked for."""
        work = self.work
        assert work is not None  # noqa: S101 - execute sets it
        begun = read_model(work.folder.step(work.item.step.id) / BEGUN, Begun)
        return begun is not None and (work.folder.path / begun.work).is_dir()

    def start(self, work: Work) -> None:
        """Ask for the task; push its inputs and submit it where the service does not know it."""
        self.request = _request(work, self.operation)
        status = self.client.status(self.request.task)
        if status is None or (status.state in ("failed", "cancelled") and status.attempt < work.attempt.number):
            for file in (*work.work_folder.inputs.values(), *work.work_folder.stored.values()):
                self.client.push(file, _checksum(file))
            status = self.client.execute(self.request)
            self.log.info("%s: %s", self._who_task, status.state)
        self.status = self._own(status)

    def wait(self, work: Work) -> None:
        """Wait a short time for the end of the task, then give up the worker slot.

        Raises:
            GroundtruthError: It failed or was cancelled; names service, task and cause.
            StepTimeoutError: It went on after its timeout, and was cancelled.
            StepSuspendedError: It goes on.
        """
        event: Mapping[str, Any] = work.event or {}
        if event.get("fault"):
            raise TransientError(str(event["fault"]))
        limit = work.item.spec.timeout_seconds
        if event.get("late") and self.status.state not in ENDED:
            self.client.cancel(self.request.task)
            raise StepTimeoutError(f"{self._who_task}: went on after its limit of {limit} s (timeout_seconds)")
        until, pause = time.monotonic() + SHORT_WAIT_SECONDS, FIRST_POLL_SECONDS
        while self.status.state not in ENDED:
            if time.monotonic() > until and self.client.resumable:
                name, address = address_of(work.item)
                self._close()
                raise StepSuspendedError(ServiceTrigger(name, address.model_dump(), self.request.task, limit))
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_POLL_SECONDS)
            status = self.client.status(self.request.task)
            if status is None:
                raise TransientError(f"{self._who_task}: the service no longer knows it")
            self.status = self._own(status)
        if self.status.state == "cancelled":
            raise TransientError(f"{self._who_task}: was cancelled")
        if self.status.error is not None and self.status.state == "failed":
            error = fault_error(self.status.error)
            raise type(error)(f"{self._who_task}: {error}")

    def collect(self, work: Work) -> Ran:
        """Pull the declared outputs into the work folder.

        Raises:
            ContractError: An output is missing, undeclared, of another task, or not what the service states.
        """
        output = self._own(self.client.output(self.request.task))
        offered = {reference.path: reference for reference in output.outputs}
        declared = {artifact.path: artifact for artifact in work.item.step.writes}
        for name in offered.keys() - declared.keys():
            raise ContractError(name, f"must not be written: the step did not declare it ({self._who_task})")
        with within_deadline(work.item.spec.timeout_seconds):
            for name, artifact in declared.items():
                if name in offered:
                    place = artifact.at(work.work_folder.files)
                    self.client.pull(self.request.task, offered[name], place, artifact.max_bytes)
                elif not artifact.optional:
                    raise ContractError(name, f"must be among the outputs ({self._who_task})", "no such output")
        missing = {name: file for name, file in work.work_folder.inputs.items() if not _shown(work, name)}
        replace(work.work_folder, inputs=missing, scratch={}).link_inputs()
        return Ran(self._made_by(output), ISOLATION)

    def cancel(self, work: Work) -> None:
        """Stop the task, unless a later attempt has taken it up."""
        started = work.folder.started(work.item.step.id)
        if started is not None and started.attempt == work.attempt.number and hasattr(self, "request"):
            if not self.client.resumable:  # this client alone knows the task
                self.client.cancel(self.request.task)
                return
            with suppress(GroundtruthError), client_of(work.item, CANCEL_SECONDS) as client:
                client.cancel(self.request.task)

    def release(self, work: Work) -> None:
        """Forget what the attempt began with, once its outcome is recorded: the next one does not resume it."""
        (work.folder.step(work.item.step.id) / BEGUN).unlink(missing_ok=True)
        self._close()

    @classmethod
    def remove_orphans(cls, is_ended: IsEnded, log: Any) -> int:
        """Cancel this deployment's tasks whose step has ended or is unknown, at every service of a definition."""
        cancelled = 0
        for name, address in _addresses():
            try:
                with client_for(endpoint_of(name, address)) as client:
                    for status in client.tasks(deployment()):
                        keys, age = status.keys, status.queued_seconds + status.running_seconds
                        if age > YOUNG_SECONDS and is_ended(keys.dag, keys.run, keys.step, keys.map_index):
                            client.cancel(status.task)
                            log.info(
                                "Cancelled task %s of %s, %s in %s", status.task[:12], keys.step, keys.run, keys.dag
                            )
                            cancelled += 1
            except GroundtruthError as error:  # the other services are looked after all the same
                log.info("%s", error)
        return cancelled

    @cached_property
    def client(self) -> Client:
        """The client of the step's service."""
        assert self.work is not None  # noqa: S101 - execute sets it
        return client_of(self.work.item)

    def _made_by(self, answer: Health | Output) -> str:
        """Return what is recorded of the service, and decides with the rest whether a result is reused."""
        return f"{answer.service} {answer.version} at {self.client.endpoint.url}"

    def _close(self) -> None:
        if "client" in vars(self):
            self.client.close()
            del self.client

    @property
    def _who(self) -> str:
        return f"service {self.client.endpoint.name} ({self.client.endpoint.url})"

    @property
    def _who_task(self) -> str:
        return f"{self._who}, task {self.request.task[:12]}"

    def _own(self, answer: A) -> A:
        """Return an answer that is about this generation of the step.

        Raises:
            ContractError: It is about another.
        """
        if answer.keys != self.request.keys:
            rule = f"must be of generation {self.request.keys.generation} of {self.request.keys.step}"
            found = f"generation {answer.keys.generation} of {answer.keys.step}"
            raise ContractError(answer.keys.step, f"{rule} ({self._who_task})", found)
        return answer


def operation_name(item: PipelineStep) -> str:
    """Return what the service calls a step; the tasks of a mapped step are one operation."""
    return item.spec.id


def deployment() -> str:
    """Return what tells this deployment's tasks from those of another at the same service."""
    settings = get_settings()
    place = str((settings.run_folder or settings.data_dir).resolve())
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def client_of(item: PipelineStep, seconds: float = REQUEST_SECONDS) -> Client:
    """Return a client of the service that does a step's work.

    Raises:
        SetupError: No service is named, or the exchange folder of ContainerExecutor cannot be used.
    """
    endpoint = endpoint_of(*address_of(item))
    if endpoint.protocol != "container-executor":
        return client_for(endpoint, seconds)
    from include.control.executor_client import Work, executor_for
    from include.control.service import operation_of

    assert item.spec.passed is not None  # noqa: S101 - the definition demands an output
    return executor_for(endpoint, Work(operation_of(item.step), *item.spec.passed), seconds)


def _addresses() -> Iterator[tuple[str, ServiceAddress]]:
    """Yield name and address of each service whose tasks can be found again, once."""
    from include.pipelines import load_pipelines

    items = [item for pipeline in load_pipelines()[0] for item in pipeline.steps if item.spec.address]
    known = [address_of(item) for item in items]
    known = [(name, address) for name, address in known if address.protocol != "container-executor"]
    if default := default_address():
        known.append((DEFAULT_SERVICE, default))
    yield from {(address.url, address.connection): (name, address) for name, address in reversed(known)}.values()


def _request(work: Work, operation: Operation) -> Execute:
    """Return the request for a step's task; its id follows from it."""
    instance, run, spec = work.context["ti"], work.context["dag_run"], work.item.spec
    index = instance.map_index
    keys = TaskKeys(
        deployment=deployment(),
        dag=run.dag_id,
        run=run.run_id,
        step=instance.task_id,
        map_index=-1 if index is None else index,
        generation=max(0, work.attempt.generation),
    )
    inputs, stored = (
        [file_reference(name, _checksum(file), file.stat().st_size) for name, file in sorted(files.items())]
        for files in (work.work_folder.inputs, work.work_folder.stored)
    )
    params = work.params.model_dump(mode="json")
    if not work.item.step.function:  # a step of others takes what the definition states, and the window if it knows it
        known = operation.parameters.get("properties", {})
        params = {name: value for name, value in params.items() if name in known} | dict(spec.parameters)
    name = task_id(
        keys,
        operation=f"{operation.name} {operation.version}",
        inputs={reference.path: reference.sha256 for reference in (*inputs, *stored)},
        params=params,
        definition=work.attempt.definition,
    )
    return Execute(
        task=name,
        operation=operation.name,
        version=operation.version,
        keys=keys,
        attempt=work.attempt.number,
        inputs=list(inputs),
        stored=list(stored),
        parameters=params,
        priority=spec.priority,
        timeout_seconds=spec.timeout_seconds,
        memory_mb=spec.memory_mb,
    )


def _checksum(file: Path) -> str:
    """Return the checksum of an input: a sealed file, verified a moment ago, is named by it."""
    return file.name if re.fullmatch(r"[0-9a-f]{64}", file.name) else sha256(file)


def _shown(work: Work, name: str) -> bool:
    place = work.work_folder.files / name
    return place.is_symlink() or place.exists()
