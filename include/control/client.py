"""The orchestrator's side of the control protocol: what clients have in common, and the one over HTTP.

Every fault becomes one sentence that names the service, the task and the cause. Nothing is retried here: the class of
the error says whether the caller may try again, and where a service fails again and again the circuit breaker answers
in its place for a while.
"""

from __future__ import annotations

import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from include.control.models import (
    DataReference,
    Execute,
    Fault,
    FileData,
    Health,
    HttpData,
    InlineData,
    Output,
    Status,
    Tasks,
)
from include.control.transfer import Incoming
from include.core.errors import (
    BadInputError,
    ContractError,
    GroundtruthError,
    InterruptedStepError,
    SetupError,
    StepTimeoutError,
    TransientError,
    explain,
)

M = TypeVar("M", bound=BaseModel)
A = TypeVar("A", Status, Output)
Protocol = Literal["http", "grpc", "container-executor"]
REQUEST_SECONDS = 10.0
"""How long a request and its answer may take, without the transfer of files."""
PIECE_SECONDS = 30.0
"""How long a transfer may stand still."""
ANSWER_BYTES = 4 << 20
PIECE_BYTES = 1 << 18
OPEN_AFTER, OPEN_SECONDS = 3, 10.0
OWN_ORIGIN = "must be on the service's own origin"
TRANSIENT_CODES = {408, 425, 429, 500, 502, 503, 504}
BY_KIND: dict[str, type[GroundtruthError]] = {
    error.kind: error
    for error in (BadInputError, SetupError, TransientError, InterruptedStepError, StepTimeoutError, GroundtruthError)
}


@dataclass(frozen=True)
class Endpoint:
    """Where a service is and how it is addressed.

    Args:
        name: What the definition calls it.
        url: Its base URL.
        token: Bearer token; never written down.
        ca_file: Certificates of the authority that signed its own; None for those of the system.
        protocol: `http`; `grpc`, for a URL whose scheme says whether TLS is used (`https`); `container-executor`, its
            dialect, whose client is `ExecutorClient`.
    """

    name: str
    url: str
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    protocol: Protocol = "http"

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port."""
        return _origin(self.url)


class Breaker:
    """Refuses requests for a while once a service has failed several times in a row.

    Args:
        open_after: Faults in a row that open it.
        open_seconds: How long it stays open before the next request is let through.
    """

    def __init__(self, open_after: int = OPEN_AFTER, open_seconds: float = OPEN_SECONDS) -> None:
        self.open_after, self.open_seconds = open_after, open_seconds
        self.faults, self.until, self.cause = 0, 0.0, ""

    def check(self) -> None:
        """Refuse a request while it is open.

        Raises:
            TransientError: It is open; says why.
        """
        if time.monotonic() < self.until:
            raise TransientError(f"was not asked: it failed {self.faults} times in a row ({self.cause})")

    def close(self) -> None:
        """Let the next request through."""
        self.until = 0.0

    def note(self, fault: TransientError | None) -> None:
        """Take note of how a request ended; None for an answer."""
        self.faults = self.faults + 1 if fault else 0
        if fault and self.faults >= self.open_after:
            self.until, self.cause = time.monotonic() + self.open_seconds, str(fault)


_BREAKERS: dict[str, Breaker] = {}


class Client(ABC):
    """Requests to one service.

    Args:
        endpoint: The service.
        seconds: How long a request may take.
    """

    resumable: ClassVar[bool] = True
    """Whether another client of the service finds the tasks that this one asked for."""

    def __init__(self, endpoint: Endpoint, seconds: float = REQUEST_SECONDS) -> None:
        self.endpoint, self.seconds = endpoint, seconds
        self.breaker = _BREAKERS.setdefault(endpoint.url, Breaker())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close its connections."""

    def health(self) -> Health:
        """Return what the service is and can do.

        Raises:
            TransientError: It does not answer, or is not healthy.
        """
        health = self._health()
        if health.status != "healthy":
            fault = TransientError(f"{self._who()}: says that it is {health.status}")
            self.breaker.note(fault)
            raise fault
        return health

    @abstractmethod
    def execute(self, request: Execute) -> Status:
        """Ask for a task; for one that the service already knows nothing changes."""

    @abstractmethod
    def status(self, task: str) -> Status | None:
        """Return how a task is doing; None for one that the service does not know."""

    @abstractmethod
    def output(self, task: str) -> Output:
        """Return what a complete task left."""

    @abstractmethod
    def cancel(self, task: str) -> Status | None:
        """Stop a task; None for one that the service does not know."""

    @abstractmethod
    def tasks(self, deployment: str) -> list[Status]:
        """Return the tasks of a deployment that have not ended."""

    @abstractmethod
    def push(self, file: Path, checksum: str) -> bool:
        """Give the service a file, unless it has it.

        Args:
            file: What to send.
            checksum: Its checksum.

        Returns:
            Whether it was sent.
        """

    def pull(self, task: str, reference: DataReference, place: Path, max_bytes: int) -> None:
        """Fetch an output of a task.

        Args:
            task: Whose output it is.
            reference: What the service states of it.
            place: Where it will lie, once its size and checksum are right.
            max_bytes: How large it may be.

        Raises:
            ContractError: It is not what the service states, is too large, or lies elsewhere.
            TransientError: The transfer broke off.
        """
        name, checksum, length = reference.path, reference.sha256, reference.bytes
        with self._faults(task), Incoming(place, name, checksum, length=length, max_bytes=max_bytes) as incoming:
            match reference:
                case InlineData():
                    incoming.write(reference.content)
                case HttpData():
                    self._fetch(task, reference, incoming)
                case FileData():
                    raise ContractError(name, OWN_ORIGIN, f"a file of the mount {reference.mount}")
            incoming.finish()

    @abstractmethod
    def _health(self) -> Health:
        """Return what the service states."""

    @abstractmethod
    def _fetch(self, task: str, reference: HttpData, incoming: Incoming) -> None:
        """Write a file of the service's content."""

    @abstractmethod
    def _fault_of(self, error: Exception, task: str | None) -> GroundtruthError | None:
        """Return the fault that an error of the transport stands for; None for an error of another kind."""

    @contextmanager
    def _faults(self, task: str | None) -> Iterator[None]:
        """Name the service and the task in whatever goes wrong, and tell the breaker."""
        try:
            self.breaker.check()
        except TransientError as error:
            raise TransientError(f"{self._who(task)}: {error}") from None
        try:
            try:
                yield
            except Exception as error:
                fault = self._fault_of(error, task)
                if fault is None:
                    raise
                raise fault from error
        except TransientError as error:
            self.breaker.note(error)
            raise TransientError(f"{self._who(task)}: {error}") from error
        except ContractError as error:
            self.breaker.note(None)
            raise self._broken(error.artifact, error.rule, error.value, task) from error
        except GroundtruthError as error:
            self.breaker.note(None)
            raise type(error)(f"{self._who(task)}: {error}") from error
        self.breaker.note(None)

    def _of_task(self, task: str, answer: A) -> A:
        if answer.task != task:
            raise self._broken(f"task {task[:12]}", "must be answered for this task", f"task {answer.task[:12]}", task)
        return answer

    def _broken(self, artifact: str, rule: str, value: object, task: str | None = None) -> ContractError:
        return ContractError(artifact, f"{rule} ({self._who(task)})", value)

    def _who(self, task: str | None = None) -> str:
        of_task = f", task {task[:12]}" if task else ""
        return f"service {self.endpoint.name} ({self.endpoint.url}){of_task}"


class ServiceClient(Client):
    """Requests to one service over HTTP.

    Args:
        endpoint: The service.
        seconds: How long a request may take.
    """

    def __init__(self, endpoint: Endpoint, seconds: float = REQUEST_SECONDS) -> None:
        super().__init__(endpoint, seconds)
        headers = {"Authorization": f"Bearer {endpoint.token}"} if endpoint.token else {}
        self._http = httpx.Client(
            base_url=endpoint.url,
            headers=headers | {"Accept-Encoding": "identity"},
            verify=self._certificates(),
            timeout=seconds,
            trust_env=False,
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _health(self) -> Health:
        return self._ask("GET", "/health", Health)

    def execute(self, request: Execute) -> Status:
        """Ask for a task; for one that the service already knows nothing changes."""
        content = request.model_dump_json()
        return self._of_task(request.task, self._ask("POST", "/control/execute", Status, request.task, content))

    def status(self, task: str) -> Status | None:
        """Return how a task is doing; None for one that the service does not know."""
        status = self._find("GET", f"/control/status/{task}", task)
        return status and self._of_task(task, status)

    def output(self, task: str) -> Output:
        """Return what a complete task left."""
        return self._of_task(task, self._ask("GET", f"/control/output/{task}", Output, task))

    def cancel(self, task: str) -> Status | None:
        """Stop a task; None for one that the service does not know."""
        return self._find("POST", f"/control/cancel/{task}", task)

    def tasks(self, deployment: str) -> list[Status]:
        """Return the tasks of a deployment that have not ended."""
        return self._ask("GET", "/control/tasks", Tasks, params={"deployment": deployment}).tasks

    def push(self, file: Path, checksum: str) -> bool:
        """Give the service a file, as `Client` says."""
        place = f"/data/{checksum}"
        with self._faults(None):
            if self._http.head(place).status_code == httpx.codes.OK:
                return False
        with self._faults(None), file.open("rb") as content:
            pieces = iter(lambda: content.read(PIECE_BYTES), b"")
            headers = {"Content-Length": str(file.stat().st_size)}
            with self._http.stream("PUT", place, content=pieces, headers=headers, timeout=PIECE_SECONDS) as response:
                self._read(response, None)
        return True

    def _fetch(self, task: str, reference: HttpData, incoming: Incoming) -> None:
        url = urljoin(f"{self.endpoint.url.rstrip('/')}/", reference.uri)
        if _origin(url) != self.endpoint.origin:
            raise ContractError(reference.path, OWN_ORIGIN, url)
        with self._http.stream("GET", url, timeout=PIECE_SECONDS) as response:
            if response.status_code != httpx.codes.OK:
                self._read(response, task)
                raise ContractError(reference.path, "must be served with the status 200", response.status_code)
            for piece in response.iter_bytes(PIECE_BYTES):
                incoming.write(piece)

    # ── one request ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _find(self, method: str, path: str, task: str) -> Status | None:
        try:
            return self._ask(method, path, Status, task)
        except UnknownError:
            return None

    def _ask(
        self,
        method: str,
        path: str,
        model: type[M],
        task: str | None = None,
        content: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> M:
        headers = {"Content-Type": "application/json"} if content else {}
        with self._faults(task):
            with self._http.stream(method, path, content=content, headers=headers, params=params) as response:
                answer = self._read(response, task)
            try:
                return model.model_validate_json(answer)
            except ValidationError as error:
                raise ContractError(path, "must be answered as the protocol says", explain(error)) from error

    def _read(self, response: httpx.Response, task: str | None) -> bytes:
        """Return the content of a successful answer; it has a limit in size and in time."""
        if response.is_redirect:
            raise SetupError(f"redirects to {response.headers.get('Location')}, which is refused; name its own address")
        content, until = b"", time.monotonic() + self.seconds
        for piece in response.iter_bytes(PIECE_BYTES):
            content += piece
            if len(content) > ANSWER_BYTES:
                raise ContractError(response.url.path, f"must be answered with at most {ANSWER_BYTES:,} bytes", "more")
            if time.monotonic() > until:
                raise TransientError(f"did not end its answer within {self.seconds:g} s")
        if response.is_success:
            return content
        raise _refusal(response.status_code, content, known=task is not None)

    def _fault_of(self, error: Exception, task: str | None) -> GroundtruthError | None:
        if isinstance(error, httpx.TimeoutException):
            return TransientError(f"did not answer within {self.seconds:g} s ({type(error).__name__})")
        if isinstance(error, httpx.HTTPError):
            return TransientError(f"cannot be reached: {error or type(error).__name__}")
        return None

    def _certificates(self) -> ssl.SSLContext | bool:
        if self.endpoint.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.endpoint.ca_file)
        except OSError as error:
            raise SetupError(f"{self._who()}: {self.endpoint.ca_file}: no certificates can be read: {error}") from error


def client_for(endpoint: Endpoint, seconds: float = REQUEST_SECONDS) -> Client:
    """Return a client that speaks the protocol of an endpoint, of those that address any operation of a service."""
    if endpoint.protocol == "http":
        return ServiceClient(endpoint, seconds)
    from include.control.grpc_client import GrpcClient

    return GrpcClient(endpoint, seconds)


class UnknownError(GroundtruthError):
    """The service does not know a task."""


def fault_error(fault: Fault) -> GroundtruthError:
    """Return the error that a service's fault stands for."""
    return BY_KIND.get(fault.kind, GroundtruthError)(fault.message)


def _refusal(code: int, content: bytes, *, known: bool) -> GroundtruthError:
    """Return the error of an answer that is not a success."""
    try:
        fault = Fault.model_validate_json(content)
    except ValidationError:
        fault = Fault(message=f"answered {code}")
    if code in (401, 403):
        return SetupError(f"refuses access ({code}): check the token of its connection; {fault.message}")
    if code == httpx.codes.NOT_FOUND and known:
        return UnknownError(f"is not known ({fault.message})")
    if code in TRANSIENT_CODES:
        return TransientError(fault.message)
    return fault_error(fault)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
