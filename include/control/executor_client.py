"""A client of services that speak the ContainerExecutor dialect: one call does the work, and only paths are passed.

What a service says is a claim. Each attempt has a folder of its own in the exchange folder, made anew, and its outputs
are read from there as a regular file reached without a link, hashed, and copied.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from include.control.client import REQUEST_SECONDS, Client, Endpoint
from include.control.executor_paths import PARAMETERS, ExchangeFolder, method_path
from include.control.grpc_client import channel_of, rpc_fault
from include.control.models import Execute, Fault, Health, HttpData, Operation, Output, State, Status, file_reference
from include.control.proto import control_pb2 as pb
from include.control.transfer import Incoming
from include.core.artifact_store import CHUNK_BYTES, Sealed, step_output
from include.core.errors import ContractError, GroundtruthError, SetupError
from include.core.files import setup_errors
from include.core.settings import get_settings

UNSTATED = "not stated"
"""The version of a service in this dialect, which states none."""
KEEP_SECONDS = 3 * 86_400
"""How long the folder of an attempt stays that nobody removed."""


@dataclass(frozen=True)
class Work:
    """What the definition states of the work that a service does.

    Args:
        operation: The step, its version, and all files that it reads and writes.
        input_file: The input whose path is passed; None for none.
        output_file: The output whose path is passed; it must be written.
    """

    operation: Operation
    input_file: str | None
    output_file: str


@dataclass
class _Call:
    """One attempt.

    Args:
        request: What was asked for.
        folder: Of the attempt.
        future: The call.
        begun: When it began, on the clock of the exchange folder (ns).
        at: Likewise, on the monotonic clock.
        sealed: What it left, once that was read.
    """

    request: Execute
    folder: Path
    future: Any
    begun: int
    at: float
    sealed: Mapping[str, Sealed] | None = None


class ExecutorClient(Client):
    """Requests to one service of the dialect. It knows no tasks, so they are lost with this client.

    Args:
        endpoint: The service.
        exchange: The folder that it shares with this process.
        work: What it does.
        package: Of the dialect's service.
        seconds: How long a question for its health may take.
    """

    resumable = False

    def __init__(
        self,
        endpoint: Endpoint,
        exchange: ExchangeFolder,
        work: Work,
        package: str = "",
        seconds: float = REQUEST_SECONDS,
    ) -> None:
        super().__init__(endpoint, seconds)
        self.exchange, self.work, self.path = exchange, work, method_path(package)
        self._channel = channel_of(endpoint, self._who())
        self._metadata = (("authorization", f"Bearer {endpoint.token}"),) if endpoint.token else ()
        self._execute = self._channel.unary_unary(
            self.path,
            request_serializer=pb.ContainerRequest.SerializeToString,
            response_deserializer=pb.ContainerResponse.FromString,
        )
        self._files: dict[str, Path] = {}
        self._calls: dict[str, _Call] = {}

    def close(self) -> None:
        """Give up calls that go on, remove the folders of the attempts, and close the connection."""
        for call in self._calls.values():
            call.future.cancel()
            shutil.rmtree(call.folder, ignore_errors=True)
        self._channel.close()

    def execute(self, request: Execute) -> Status:
        """Begin a call; for one that goes on or has succeeded nothing changes.

        Raises:
            SetupError: The exchange folder cannot be written, or the step reads files of stores.
        """
        if request.stored:
            names = ", ".join(reference.path for reference in request.stored)
            raise SetupError(f"{self._who(request.task)}: ContainerExecutor cannot pass files of stores ({names})")
        known = self._calls.get(request.task)
        if known is None or (
            self._state(known)[0] in ("failed", "cancelled") and request.attempt > known.request.attempt
        ):
            with self._faults(request.task):
                self._calls[request.task] = self._begin(request)
        return self._status(self._calls[request.task])

    def status(self, task: str) -> Status | None:
        """Return how a call is doing; None for one that this client did not begin."""
        call = self._calls.get(task)
        return self._status(call) if call else None

    def output(self, task: str) -> Output:
        """Return what a call left, read from its folder.

        Raises:
            ContractError: The output that was asked for is missing, empty, older than the attempt, or not a file of
                its folder.
        """
        call = self._calls[task]
        with self._faults(task):
            if call.sealed is None:
                call.sealed = self._sealed(call)
        outputs = [file_reference(name, sealed.sha256, sealed.bytes) for name, sealed in call.sealed.items()]
        version = f"{UNSTATED}, attempt {call.folder.name}"  # no later attempt takes it for its own
        return Output(
            task=task, keys=call.request.keys, outputs=list(outputs), service=self.endpoint.name, version=version
        )

    def cancel(self, task: str) -> Status | None:
        """Give up a call; a service that watches its calls stops working."""
        call = self._calls.get(task)
        if call is not None:
            call.future.cancel()
        return self._status(call) if call else None

    def tasks(self, deployment: str) -> list[Status]:
        """Return the calls of this client that go on."""
        statuses = [self._status(call) for call in self._calls.values()]
        return [one for one in statuses if one.state == "running" and one.keys.deployment == deployment]

    def push(self, file: Path, checksum: str) -> bool:
        """Remember a file; it is copied into the folder of each attempt that reads it."""
        return self._files.setdefault(checksum, file) is file

    def _health(self) -> Health:
        """Ask `grpc.health.v1`; a service without it answers that it has none, so it is reached at least."""
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        state = "healthy"
        with self._faults(None):
            try:
                stub = health_pb2_grpc.HealthStub(self._channel)
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=self.seconds, metadata=self._metadata)
                if answer.status != health_pb2.HealthCheckResponse.SERVING:
                    state = "unhealthy"
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND):
                    raise
        return Health.model_validate(
            {
                "status": state,
                "service": self.endpoint.name,
                "version": UNSTATED,
                "operations": [self.work.operation],
                "running": 0,
                "capacity": 1,
            }
        )

    def _fetch(self, task: str, reference: HttpData, incoming: Incoming) -> None:
        with step_output(self._calls[task].folder, reference.path) as source:
            while source is not None and (piece := source.read(CHUNK_BYTES)):
                incoming.write(piece)

    def _fault_of(self, error: Exception, task: str | None) -> GroundtruthError | None:
        return rpc_fault(error, self.seconds, known=False) if isinstance(error, grpc.RpcError) else None

    # ── one attempt ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, request: Execute) -> _Call:
        self._prune()
        with setup_errors(self.exchange.folder, "written (the exchange folder)"):
            folder = Path(tempfile.mkdtemp(prefix=f"{request.task[:12]}-{request.attempt}-", dir=self.exchange.folder))
            folder.chmod(0o777)
            for reference in request.inputs:
                place = folder / reference.path
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self._files[reference.sha256], place)
            (folder / PARAMETERS).write_text(json.dumps(request.parameters, ensure_ascii=False))
            begun = (folder / PARAMETERS).stat().st_mtime_ns
        names = (self.work.input_file, self.work.output_file)
        given, written = (self.exchange.outside(folder / name) if name else "" for name in names)
        future = self._execute.future(
            pb.ContainerRequest(input_file=given, output_file=written),
            timeout=request.timeout_seconds,
            metadata=self._metadata,
        )
        return _Call(request, folder, future, begun, time.monotonic())

    def _prune(self) -> None:
        """Remove folders that were left by processes that died."""
        before = time.time() - KEEP_SECONDS
        for place in self.exchange.folder.glob("[0-9a-f]" * 12 + "-*-*"):
            with suppress(OSError):
                if place.is_dir() and place.stat().st_mtime < before:
                    shutil.rmtree(place, ignore_errors=True)

    def _state(self, call: _Call) -> tuple[State, Fault | None]:
        if not call.future.done():
            return "running", None
        if call.future.cancelled():
            return "cancelled", Fault(kind="interrupted", message="was cancelled")
        error = call.future.exception()
        if error is None:
            answer = call.future.result()
            if answer.success:
                return "complete", None
            return "failed", Fault(message=(answer.message or "the service states no reason")[:4000])
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            limit = f"took longer than its limit of {call.request.timeout_seconds:g} s (timeout_seconds)"
            return "failed", Fault(kind="timeout", message=limit)
        fault = rpc_fault(error, self.seconds, known=False)
        if isinstance(fault, SetupError) and error.code() == grpc.StatusCode.UNIMPLEMENTED:
            fault = SetupError(f"offers no {self.path}; set GROUNDTRUTH_EXECUTOR_PACKAGE to the package of its service")
        return "failed", Fault.model_validate({"kind": fault.kind, "message": str(fault)[:4000]})

    def _status(self, call: _Call) -> Status:
        state, fault = self._state(call)
        return Status(
            task=call.request.task,
            operation=call.request.operation,
            state=state,
            keys=call.request.keys,
            attempt=call.request.attempt,
            running_seconds=time.monotonic() - call.at,
            error=fault,
            service=self.endpoint.name,
            version=UNSTATED,
        )

    def _sealed(self, call: _Call) -> dict[str, Sealed]:
        """Return size and checksum of each declared output in an attempt's folder."""
        claim = "for the service said success=true"
        sealed = {}
        for name in self.work.operation.writes:
            with step_output(call.folder, name) as source:
                if source is None:
                    continue
                state = os.fstat(source.fileno())
                if state.st_mtime_ns < call.begun:
                    age = f"a file that is {(call.begun - state.st_mtime_ns) / 1e9:.0f} s older"
                    raise ContractError(name, f"must be written by this attempt, {claim}", age)
                if not state.st_size and name == self.work.output_file:
                    raise ContractError(name, f"must not be empty, {claim}", "0 bytes")
                sealed[name] = _checksum(source)
        if self.work.output_file not in sealed:
            raise ContractError(self.work.output_file, f"must be written, {claim}", "no such file in its folder")
        return sealed


def executor_for(endpoint: Endpoint, work: Work, seconds: float = REQUEST_SECONDS) -> ExecutorClient:
    """Return a client with the exchange folder and the package of this deployment's settings."""
    settings = get_settings()
    exchange = ExchangeFolder.of(settings.exchange or str(settings.data_dir / "exchange"))
    if not settings.exchange:
        exchange.folder.mkdir(parents=True, exist_ok=True)
    return ExecutorClient(endpoint, exchange, work, settings.executor_package, seconds)


def _checksum(source: Any) -> Sealed:
    import hashlib

    return Sealed(hashlib.file_digest(source, "sha256").hexdigest(), source.tell())
