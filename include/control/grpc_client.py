"""The orchestrator's side of the control protocol over gRPC: the same requests, checks and sentences as over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from pydantic import BaseModel, ValidationError

from include.control.client import BY_KIND, PIECE_SECONDS, REQUEST_SECONDS, Client, Endpoint, UnknownError
from include.control.models import Execute, Health, HttpData, Output, Status, Tasks
from include.control.proto import control_pb2 as pb
from include.control.rpc import ANSWER_BYTES, FAULT_KIND, PIECE_BYTES, REQUEST_BYTES, message_of, model_of, stubs
from include.control.transfer import Incoming
from include.core.errors import ContractError, GroundtruthError, SetupError, TransientError, explain

M = TypeVar("M", bound=BaseModel)
CODE = grpc.StatusCode
FAULTS: tuple[tuple[set[grpc.StatusCode], type[GroundtruthError], str], ...] = (
    (
        {CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED},
        SetupError,
        "refuses access ({code}): check the token of its connection; {text}",
    ),
    ({CODE.DEADLINE_EXCEEDED}, TransientError, "did not answer within {seconds:g} s"),
    ({CODE.UNIMPLEMENTED}, SetupError, "does not speak this protocol ({text})"),
)
TRANSIENT_CODES = {CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED, CODE.ABORTED, CODE.CANCELLED}
OPTIONS = (
    ("grpc.max_receive_message_length", ANSWER_BYTES),
    ("grpc.max_send_message_length", REQUEST_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a new client asks at once, however long another one has waited
)


class GrpcClient(Client):
    """Requests to one service over gRPC. The deadline of each goes along with it.

    Args:
        endpoint: The service; with the scheme `https` its URL asks for TLS.
        seconds: How long a request may take.
    """

    def __init__(self, endpoint: Endpoint, seconds: float = REQUEST_SECONDS) -> None:
        super().__init__(endpoint, seconds)
        self._channel = channel_of(endpoint, self._who())
        self._calls = stubs(self._channel)
        self._metadata = (("authorization", f"Bearer {endpoint.token}"),) if endpoint.token else ()

    def close(self) -> None:
        """Close its connection."""
        self._channel.close()

    def execute(self, request: Execute) -> Status:
        """Ask for a task; for one that the service already knows nothing changes."""
        return self._of_task(request.task, self._ask("Execute", message_of(request), Status, request.task))

    def status(self, task: str) -> Status | None:
        """Return how a task is doing; None for one that the service does not know."""
        status = self._find("GetStatus", task)
        return status and self._of_task(task, status)

    def output(self, task: str) -> Output:
        """Return what a complete task left."""
        return self._of_task(task, self._ask("GetOutput", pb.TaskRequest(task=task), Output, task))

    def cancel(self, task: str) -> Status | None:
        """Stop a task; None for one that the service does not know."""
        return self._find("Cancel", task)

    def tasks(self, deployment: str) -> list[Status]:
        """Return the tasks of a deployment that have not ended."""
        return self._ask("ListTasks", pb.TasksRequest(deployment=deployment), Tasks).tasks

    def push(self, file: Path, checksum: str) -> bool:
        """Give the service a file, as `Client` says."""
        with self._faults(None):
            if self._call("HasData", pb.DataRequest(sha256=checksum)).exists:
                return False
        with self._faults(None), file.open("rb") as content:
            moved = _Moved()

            def pieces() -> Iterator[Any]:
                yield pb.Piece(sha256=checksum, bytes=file.stat().st_size)
                while piece := content.read(PIECE_BYTES):
                    moved()
                    yield pb.Piece(content=piece)

            call = self._calls["PutData"].future(pieces(), metadata=self._metadata)
            with _moving(call, moved):
                call.result()
        return True

    def _health(self) -> Health:
        return self._ask("GetHealth", pb.HealthRequest(), Health)

    def _fetch(self, task: str, reference: HttpData, incoming: Incoming) -> None:
        call, moved = self._calls["GetData"](pb.DataRequest(sha256=reference.sha256), metadata=self._metadata), _Moved()
        with _moving(call, moved):
            for piece in call:
                moved()
                incoming.write(piece.content)

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _find(self, method: str, task: str) -> Status | None:
        try:
            return self._ask(method, pb.TaskRequest(task=task), Status, task)
        except UnknownError:
            return None

    def _ask(self, method: str, message: Any, model: type[M], task: str | None = None) -> M:
        with self._faults(task):
            try:
                return model_of(model, self._call(method, message))
            except ValidationError as error:
                raise ContractError(method, "must be answered as the protocol says", explain(error)) from error

    def _call(self, method: str, message: Any) -> Any:
        return self._calls[method](message, timeout=self.seconds, metadata=self._metadata)

    def _fault_of(self, error: Exception, task: str | None) -> GroundtruthError | None:
        return rpc_fault(error, self.seconds, known=task is not None) if isinstance(error, grpc.RpcError) else None


def channel_of(endpoint: Endpoint, who: str) -> grpc.Channel:
    """Return a channel to a service; it connects with the first request.

    Args:
        endpoint: The service.
        who: What errors call it.

    Raises:
        SetupError: The certificates of its authority cannot be read.
    """
    parts = urlsplit(endpoint.url)
    target = parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"
    if parts.scheme != "https":
        return grpc.insecure_channel(target, OPTIONS)
    try:
        authority = Path(endpoint.ca_file).read_bytes() if endpoint.ca_file else None
    except OSError as error:
        raise SetupError(f"{who}: {endpoint.ca_file}: no certificates can be read: {error}") from error
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(authority), OPTIONS)


def rpc_fault(error: Any, seconds: float, *, known: bool) -> GroundtruthError:
    """Return the fault that a status stands for.

    Args:
        error: What the call raised.
        seconds: Its deadline.
        known: Whether it was about a task.
    """
    code, text = error.code(), error.details() or error.code().name
    kind = dict(error.trailing_metadata() or ()).get(FAULT_KIND)
    if code == grpc.StatusCode.NOT_FOUND and known:
        return UnknownError(f"is not known ({text})")
    for kinds, fault, sentence in FAULTS:
        if code in kinds:
            return fault(sentence.format(code=code.name, text=text, seconds=seconds))
    if kind is None and "message larger than max" in text:
        return ContractError("the answer", f"must have at most {ANSWER_BYTES:,} bytes", "more")
    if kind is None and text.startswith("Exception deserializing"):
        return ContractError("the answer", "must be a message of the protocol", "other bytes")
    if code in TRANSIENT_CODES:
        return TransientError(text if kind else f"cannot be reached: {text}")
    return BY_KIND.get(kind or "error", GroundtruthError)(text)


class _Moved:
    """When a transfer last made progress; called whenever it does."""

    def __init__(self) -> None:
        self()

    def __call__(self) -> None:
        self.at = time.monotonic()


@contextmanager
def _moving(call: Any, moved: _Moved) -> Iterator[None]:
    """Cancel a transfer that stands still, and one that is left before its end."""
    done, stood = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(max(0.0, moved.at + PIECE_SECONDS - time.monotonic())):
            if time.monotonic() - moved.at >= PIECE_SECONDS:
                stood.set()
                call.cancel()
                return

    threading.Thread(target=watch, daemon=True, name="transfer").start()
    try:
        yield
    except (grpc.RpcError, grpc.FutureCancelledError):
        if stood.is_set():
            raise TransientError(f"the transfer stood still for {PIECE_SECONDS:g} s") from None
        raise
    finally:
        done.set()
        call.cancel()
