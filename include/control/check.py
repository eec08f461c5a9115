"""Whether a service keeps to the control protocol: a check that anyone can run against their own service."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from include.control.client import Client
from include.control.models import ENDED, Execute, Status, TaskKeys, file_reference
from include.control.task_ids import task_id
from include.core.errors import GroundtruthError

CONTENT = b"groundtruth\n"
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()
UNKNOWN = "0" * 64
TASK_SECONDS = 60.0
MAX_BYTES = 1 << 30


def check_service(
    client: Client, operation: str | None = None, parameters: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, str | None]]:
    """Check a service, rule by rule.

    Args:
        client: Asks it.
        operation: One that needs no input, to be run; without it no task is started.
        parameters: What it takes.

    Yields:
        A rule, and how the service breaks it (None where it keeps to it).
    """
    broken = _fault(_health, client)
    yield "GET /health states name, version, operations and capacity", broken
    if broken is not None:
        return  # it would break every other rule too
    for rule, check in (
        ("an operation that does not exist is refused", _refuses_unknown_operation),
        ("a task that was never asked for is unknown", _knows_no_task),
        ("PUT /data takes a file once, and GET returns its bytes", _keeps_content),
        ("PUT /data refuses a file of another checksum", _refuses_other_content),
    ):
        yield rule, _fault(check, client)
    if operation is not None:
        request = _request(client, operation, parameters or {})
        yield f"{operation} runs once, however often it is asked for", _fault(_runs_once, client, request)
        yield "its outputs have the size and checksum that are stated", _fault(_outputs, client, request)


def _fault(check: Callable[..., None], *arguments: Any) -> str | None:
    try:
        check(*arguments)
    except GroundtruthError as error:
        return str(error)
    return None


def _health(client: Client) -> None:
    client.health()


def _refuses_unknown_operation(client: Client) -> None:
    keys = TaskKeys(deployment="check", dag="check", run="check", step="check")
    request = Execute(task=UNKNOWN, operation="no-such-operation", version="1", keys=keys)
    try:
        status = client.execute(request)
    except GroundtruthError as error:
        if error.kind == "transient":
            raise
        return
    raise GroundtruthError(f"it was accepted, and is {status.state}")


def _knows_no_task(client: Client) -> None:
    status = client.status(hashlib.sha256(str(time.time()).encode()).hexdigest())
    if status is not None:
        raise GroundtruthError(f"it is {status.state}; answer 404")


def _keeps_content(client: Client) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sent.txt")
        file.write_bytes(CONTENT)
        client.push(file, CHECKSUM)
        if client.push(file, CHECKSUM):
            raise GroundtruthError("HEAD does not say that the file is there")
        client.pull(UNKNOWN, file_reference("sent.txt", CHECKSUM, len(CONTENT)), Path(folder, "got.txt"), MAX_BYTES)


def _refuses_other_content(client: Client) -> None:
    other = hashlib.sha256(str(time.time()).encode()).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "other.txt")
        file.write_bytes(CONTENT)
        try:
            client.push(file, other)
        except GroundtruthError as error:
            if error.kind == "transient":
                raise
            return
    raise GroundtruthError("it was accepted; compare its SHA-256 with the path")


def _request(client: Client, operation: str, parameters: Mapping[str, Any]) -> Execute:
    versions = {offered.name: offered.version for offered in client.health().operations}
    keys = TaskKeys(deployment="check", dag="check", run=str(time.time()), step=operation)
    name = task_id(keys, operation=operation, inputs={}, params=parameters, definition=None)
    version = versions.get(operation, "1")
    return Execute(task=name, operation=operation, version=version, keys=keys, parameters=dict(parameters))


def _runs_once(client: Client, request: Execute) -> None:
    client.execute(request)
    client.execute(request)
    status = _ended(client, request)
    if status.state != "complete":
        raise GroundtruthError(status.error.message if status.error else f"it is {status.state}")
    if client.execute(request).state != "complete":
        raise GroundtruthError("asked for again, it is no longer complete")


def _ended(client: Client, request: Execute) -> Status:
    until = time.monotonic() + TASK_SECONDS
    while time.monotonic() < until:
        status = client.status(request.task)
        if status is not None and status.state in ENDED:
            return status
        time.sleep(0.1)
    raise GroundtruthError(f"it did not end within {TASK_SECONDS:g} s")


def _outputs(client: Client, request: Execute) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, reference in enumerate(client.output(request.task).outputs):
            client.pull(request.task, reference, Path(folder, str(number)), MAX_BYTES)
