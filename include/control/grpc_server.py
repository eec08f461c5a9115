"""The control protocol over gRPC: a server in front of a service, beside the one over HTTP."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import grpc
from pydantic import ValidationError

from include.control.models import Execute, Tasks
from include.control.proto import control_pb2 as pb
from include.control.rpc import (
    FAULT_KIND,
    PIECE_BYTES,
    REQUEST_BYTES,
    SERVICE,
    handlers,
    message_of,
    model_of,
)
from include.control.service import ConflictError, Service, UnknownTaskError
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError, TransientError, explain

LOG = logging.getLogger("service")
THREADS = 32
STOP_SECONDS = 5.0
OPEN_METHODS = (f"/{SERVICE.full_name}/GetHealth", "/grpc.health.v1.Health/")
"""Answered without a token: what watches a service needs none."""
CODES: tuple[tuple[type[GroundtruthError], grpc.StatusCode], ...] = (
    (UnknownTaskError, grpc.StatusCode.NOT_FOUND),
    (ConflictError, grpc.StatusCode.FAILED_PRECONDITION),
    (SetupError, grpc.StatusCode.FAILED_PRECONDITION),
    (TransientError, grpc.StatusCode.UNAVAILABLE),
    (BadInputError, grpc.StatusCode.INVALID_ARGUMENT),
    (ContractError, grpc.StatusCode.INVALID_ARGUMENT),
    (GroundtruthError, grpc.StatusCode.INTERNAL),
)
DETAIL_BYTES = 4000
"""How long the text of a status may be, percent-encoded: all metadata of an answer share 8 KiB."""


@contextmanager
def serving(
    service: Service,
    host: str,
    port: int,
    token: str | None = None,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    more: Sequence[Any] = (),
) -> Iterator[int]:
    """Serve a service, which was started, until the context is left.

    Args:
        service: What it serves.
        host: Where it listens.
        port: Likewise; 0 for a free one.
        token: Bearer token that every call needs, except those that ask for health; None for none.
        certificate: PEM file; switches TLS on, together with `key`.
        key: PEM file of its private key.
        more: Handlers of other protocols.

    Yields:
        The port.

    Raises:
        SetupError: It cannot listen there, or certificate or key cannot be read.
    """
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    options = (("grpc.max_receive_message_length", REQUEST_BYTES), ("grpc.so_reuseport", 0))
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="grpc")
    server = grpc.server(threads, [handlers(behaviours(service)), *more], [_Guard(token)], options)
    watched = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(watched, server)
    for name in ("", SERVICE.full_name):
        watched.set(name, health_pb2.HealthCheckResponse.SERVING)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if certificate and key:
            pair = (key.read_bytes(), certificate.read_bytes())
            bound = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        else:
            bound = server.add_insecure_port(address)
    except (OSError, RuntimeError) as error:
        raise SetupError(f"--grpc-port {port}: cannot be served on {address}: {error}") from error
    server.start()
    try:
        yield bound
    finally:
        watched.enter_graceful_shutdown()
        server.stop(STOP_SECONDS).wait()
        threads.shutdown(wait=False)


def behaviours(service: Service) -> dict[str, Callable[..., Any]]:
    """Return what a service does for each method of the protocol."""

    def execute(message: Any) -> Any:
        try:
            request = model_of(Execute, message)
        except ValidationError as error:
            raise BadInputError(explain(error)) from error
        return message_of(service.execute(request))

    def has(message: Any) -> Any:
        try:
            service.file(_checksum(message.sha256))
        except UnknownTaskError:
            return pb.DataState(exists=False)
        return pb.DataState(exists=True)

    def put(pieces: Iterator[Any]) -> Any:
        first = next(pieces, None)
        if first is None or first.bytes < 0:
            raise BadInputError("the first piece of a file states its checksum and size")
        with service.incoming(_checksum(first.sha256), first.bytes) as incoming:
            for piece in chain([first], pieces):
                incoming.write(piece.content)
            incoming.finish()
        return pb.DataState(exists=True)

    def get(message: Any) -> Iterator[Any]:
        with service.file(_checksum(message.sha256)).open("rb") as content:
            while piece := content.read(PIECE_BYTES):
                yield pb.Piece(content=piece)

    single: dict[str, Callable[[Any], Any]] = {
        "GetHealth": lambda _: message_of(service.health()),
        "Execute": execute,
        "GetStatus": lambda message: message_of(service.status(message.task)),
        "GetOutput": lambda message: message_of(service.output(message.task)),
        "Cancel": lambda message: message_of(service.cancel(message.task)),
        "ListTasks": lambda message: message_of(Tasks(tasks=service.tasks(message.deployment))),
        "HasData": has,
        "PutData": put,
    }
    return {name: _answering(call) for name, call in single.items()} | {"GetData": _streaming(get)}


def _answering(call: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def answer(message: Any, context: Any) -> Any:
        try:
            return call(message)
        except Exception as error:
            refuse(context, error)

    return answer


def _streaming(call: Callable[[Any], Iterator[Any]]) -> Callable[[Any, Any], Iterator[Any]]:
    def answer(message: Any, context: Any) -> Iterator[Any]:
        try:
            yield from call(message)
        except Exception as error:
            refuse(context, error)

    return answer


def refuse(context: Any, error: Exception) -> NoReturn:
    """End a call with the status that stands for an error."""
    if not context.is_active():
        raise error
    if not isinstance(error, GroundtruthError):
        LOG.error("A call failed", exc_info=error)
        error = GroundtruthError("the service failed; its log says why")
    context.set_trailing_metadata(((FAULT_KIND, error.kind),))
    context.abort(*status_of(error))
    raise AssertionError  # abort raises


def status_of(error: GroundtruthError) -> tuple[grpc.StatusCode, str]:
    """Return the status that stands for a fault, with a text that fits into its metadata.

    >>> status_of(UnknownTaskError("there is no task 12"))[1]
    'there is no task 12'
    """
    text = str(error)
    if len(quote(text)) > DETAIL_BYTES:
        text = f"{text[: DETAIL_BYTES // 12]}…"
    return next(code for kind, code in CODES if isinstance(error, kind)), text


def _checksum(text: str) -> str:
    """Return a checksum; it names a file, so nothing else is taken for one."""
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise BadInputError("sha256: must be 64 hexadecimal digits")
    return text


class _Guard(grpc.ServerInterceptor):  # type: ignore[misc]
    """Refuses calls without the token."""

    def __init__(self, token: str | None) -> None:
        self._wanted = f"Bearer {token}".encode() if token else None

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Return the handler of a call."""
        stated = dict(details.invocation_metadata or ()).get("authorization", "")
        if self._wanted is None or details.method.startswith(OPEN_METHODS):
            return continuation(details)
        if hmac.compare_digest(stated.encode(), self._wanted):
            return continuation(details)
        return grpc.unary_unary_rpc_method_handler(_deny)


def _deny(_: Any, context: Any) -> None:
    context.set_trailing_metadata(((FAULT_KIND, SetupError.kind),))
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "the bearer token is missing, wrong or expired")
