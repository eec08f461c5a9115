"""The ContainerExecutor dialect in front of a service: a call is one task, whose inputs and outputs lie in a folder."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from include.control.executor_paths import PARAMETERS, ExchangeFolder, base_of, method_path
from include.control.models import ENDED, Execute, HttpData, Status, TaskKeys, file_reference
from include.control.proto import control_pb2 as pb
from include.control.service import Service
from include.control.task_ids import task_id
from include.core.artifact_store import step_output
from include.core.contracts import Step
from include.core.errors import BadInputError, GroundtruthError
from include.core.files import atomic_file

LOG = logging.getLogger("service")
CALLS = 16
"""How many calls may wait for their tasks; each keeps one of the server's threads."""
POLL_SECONDS = 0.05
MOST_SECONDS = 7 * 86_400.0
DEPLOYMENT = "container-executor"


def executor_handler(service: Service, exchange: ExchangeFolder, package: str = "") -> Any:
    """Return the handler of the dialect, for a server.

    Whatever goes wrong is answered as `success=False` with the sentence that explains it: callers know nothing else.

    Args:
        service: What does the work.
        exchange: The folder that callers share with it.
        package: Of the dialect's service; empty for none.
    """
    places = threading.BoundedSemaphore(CALLS)

    def answer(request: Any, context: Any) -> Any:
        admitted = places.acquire(blocking=False)
        try:
            if not admitted:
                return _failure(f"{CALLS} calls wait for their tasks already; try again later")
            message = execute(service, exchange, request.input_file, request.output_file, context)
        except GroundtruthError as error:
            return _failure(str(error))
        except Exception:
            LOG.exception("A call failed")
            return _failure("the service failed; its log says why")
        finally:
            if admitted:
                places.release()
        return pb.ContainerResponse(success=True, message=message)

    path = method_path(package)
    method = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=pb.ContainerRequest.FromString,
        response_serializer=pb.ContainerResponse.SerializeToString,
    )
    name, _, called = path[1:].rpartition("/")
    return grpc.method_handlers_generic_handler(name, {called: method})


def execute(service: Service, exchange: ExchangeFolder, input_file: str, output_file: str, context: Any) -> str:
    """Do one step on the files of a folder, as long as the caller waits.

    Args:
        service: What does the work.
        exchange: The folder that the caller shares with it.
        input_file: One of the step's inputs, as the caller names it; empty for a step without.
        output_file: One of its outputs; the others are written beside it, at their documented paths.
        context: Of the call; its deadline becomes the limit of the task.

    Returns:
        A sentence about the work.

    Raises:
        GroundtruthError: It cannot be done, failed, or was given up by the caller.
    """
    step, base = chosen_step(service, exchange, input_file, output_file)
    inputs = [_taken_in(service, base, name) for name in _present(step, base)]
    missing = sorted({artifact.path for artifact in step.reads if not artifact.optional} - {one.path for one in inputs})
    if missing:
        raise BadInputError(f"{step.id} reads {', '.join(missing)}, which must lie in {exchange.outside(base)}")
    status = _awaited(service, _request(step, base, inputs, context.time_remaining()), context)
    if status.error is not None:
        raise GroundtruthError(f"{step.id}: {status.error.message}")
    outputs = service.output(status.task).outputs
    for reference in outputs:
        assert isinstance(reference, HttpData)  # noqa: S101 - the service names its own content
        place = base / reference.path
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(place) as part:
            shutil.copyfile(service.file(reference.sha256), part)
    return f"{step.id} wrote {', '.join(sorted(one.path for one in outputs))}"


def chosen_step(service: Service, exchange: ExchangeFolder, input_file: str, output_file: str) -> tuple[Step, Path]:
    """Return the step that writes a file of this name, and reads one of that name, and the folder of both.

    Raises:
        BadInputError: A path lies outside the exchange folder, or the paths stand for no step, or for several.
    """
    written = exchange.inside(output_file)
    given = exchange.inside(input_file) if input_file else None
    matches = [
        (step, base)
        for step in service.steps.values()
        for base in base_of(written, step.outputs).values()
        if not step.mapped
        and base.is_relative_to(exchange.folder)
        and (given is None or base in base_of(given, step.inputs).values())
    ]
    if len(matches) == 1:
        return matches[0]
    offers = "; ".join(
        f"{step.id} reads {', '.join(step.inputs) or 'nothing'} and writes {', '.join(step.outputs)}"
        for step in service.steps.values()
    )
    count = "no step" if not matches else " and ".join(step.id for step, _ in matches)
    raise BadInputError(f"{input_file or 'no input'}, {output_file}: {count} here has files of these names ({offers})")


def _failure(message: str) -> Any:
    return pb.ContainerResponse(success=False, message=message)


def _present(step: Step, base: Path) -> Iterator[str]:
    """Yield the inputs of a step that lie in a folder."""
    for artifact in step.reads:
        if "*" in artifact.path:
            yield from sorted(place.relative_to(base).as_posix() for place in base.glob(artifact.path))
        elif (base / artifact.path).exists():
            yield artifact.path


def _taken_in(service: Service, base: Path, name: str) -> HttpData:
    """Copy an input into the content of the service while its checksum is taken."""
    with step_output(base, name) as source:
        if source is None:
            raise BadInputError(f"{name}: is no longer there")
        sealed = service.content.put(source, name, service.settings.max_bytes)
    return file_reference(name, sealed.sha256, sealed.bytes)


def _request(step: Step, base: Path, inputs: list[HttpData], seconds: float | None) -> Execute:
    """Return a request that no other call shares: the dialect knows no tasks that could be asked for again."""
    keys = TaskKeys(deployment=DEPLOYMENT, dag=base.name, run=uuid.uuid4().hex, step=step.id)
    parameters = _parameters(base)
    checksums = {reference.path: reference.sha256 for reference in inputs}
    return Execute(
        task=task_id(keys, operation=step.id, inputs=checksums, params=parameters, definition=None),
        operation=step.id,
        version=step.version,
        keys=keys,
        inputs=list(inputs),
        parameters=parameters,
        timeout_seconds=min(max(seconds or 3600.0, 0.001), MOST_SECONDS),
    )


def _parameters(base: Path) -> dict[str, Any]:
    with step_output(base, PARAMETERS) as source:
        if source is None:
            return {}
        try:
            parameters = json.load(source)
        except ValueError as error:
            raise BadInputError(f"{PARAMETERS}: is not JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise BadInputError(f"{PARAMETERS}: must hold an object")
    return parameters


def _awaited(service: Service, request: Execute, context: Any) -> Status:
    """Return how a task ended; it is cancelled when its caller no longer waits."""
    status = service.execute(request)
    while status.state not in ENDED:
        if not context.is_active():
            service.cancel(request.task)
            raise GroundtruthError(f"{request.operation}: the caller no longer waits; its task was cancelled")
        time.sleep(POLL_SECONDS)
        status = service.status(request.task)
    return status
