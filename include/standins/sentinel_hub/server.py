"""The HTTP side: token, catalog and process under both path styles, and the control of faults; in a thread or not."""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock, Thread
from typing import Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from include.standins.sentinel_hub import catalog
from include.standins.sentinel_hub.access import Limits, Tokens
from include.standins.sentinel_hub.errors import ApiError, forbidden, rate_limited, unauthorized
from include.standins.sentinel_hub.faults import SPOILING, Fault, Faults, Operation, Target, spoilt
from include.standins.sentinel_hub.process import ProcessRequest, packed, process, read_request
from include.standins.sentinel_hub.scenes import Scenes

HOST = "127.0.0.1"
TOKEN_PATHS = (
    "/auth/realms/main/protocol/openid-connect/token",
    "/auth/realms/CDSE/protocol/openid-connect/token",
    "/oauth/token",
)
SEARCH_PATHS = ("/api/v1/catalog/1.0.0/search", "/catalog/v1/search")
PROCESS_PATHS = ("/api/v1/process", "/process/v1")
_LOOPBACK = ("127.0.0.1", "::1")
_REMEMBERED = 10_000
Details = dict[str, Any]


@dataclass(frozen=True)
class ServerSettings:
    """How a server behaves.

    Args:
        client_id: The one client it knows, and …
        secret: … its secret.
        token_seconds: How long a token is valid.
        rate_limit: Requests a minute (then also two at once); 0: no limit.
        retry_after_unit: `ms` as Sentinel Hub's client reads Retry-After, or `s`.
        latency: Seconds that each answer of catalog and process takes longer.
    """

    client_id: str = "demo"
    secret: str = "demo"  # noqa: S105 - the stand-in guards nothing
    token_seconds: int = 3600
    rate_limit: int = 0
    retry_after_unit: str = "ms"
    latency: float = 0.0


@dataclass
class Hub:
    """What a server holds while it runs."""

    scenes: Scenes
    settings: ServerSettings
    faults: Faults = field(default_factory=Faults)
    served: list[Details] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.settings.token_seconds)
        self.limits = Limits(self.settings.rate_limit, self.settings.retry_after_unit)

    def remember(self, operation: Operation, status: int, details: Details) -> None:
        """Keep a line about an answer, for those who test against the server."""
        with self.lock:
            self.served.append({"operation": operation, "status": status, **details})
            del self.served[:-_REMEMBERED]


class Dropped(Response):
    """An answer that ends before its body: the connection closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the answer, and end without completing it."""
        headers = [(b"content-type", b"image/tiff"), (b"content-length", b"1000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"II*\x00", "more_body": True})


class _DroppedError(Exception):
    """A fault asks for the connection to close within the answer."""


def make_app(scenes: Scenes, settings: ServerSettings | None = None) -> FastAPI:
    """Return the server's application.

    Args:
        scenes: What it serves.
        settings: How it behaves.
    """
    hub = Hub(scenes, settings or ServerSettings())
    app = FastAPI(title="Sentinel Hub stand-in", docs_url=None, redoc_url=None, openapi_url=None)

    async def token(request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        return await run_in_threadpool(_answer, hub, "token", lambda _: _token(hub, form))

    async def search(request: Request) -> Response:
        body, base_url = await _json(request), str(request.base_url).rstrip("/")
        authorization = request.headers.get("authorization", "")

        def find(details: Details) -> Response:
            with _admitted(hub, authorization):
                _strike(hub, Target("catalog"))
                time.sleep(hub.settings.latency)
                page = catalog.search(body, hub.scenes, base_url)
            details["returned"] = page["context"]["returned"]
            return JSONResponse(page)

        return await run_in_threadpool(_answer, hub, "catalog", find)

    async def render(request: Request) -> Response:
        body, authorization = await _json(request), request.headers.get("authorization", "")

        def compute(details: Details) -> Response:
            with _admitted(hub, authorization):
                return _process(hub, read_request(body, hub.scenes.collections), details)

        return await run_in_threadpool(_answer, hub, "process", compute)

    for paths, endpoint in ((TOKEN_PATHS, token), (SEARCH_PATHS, search), (PROCESS_PATHS, render)):
        for path in paths:
            app.add_api_route(path, endpoint, methods=["POST"])
    app.add_exception_handler(ApiError, lambda _, error: _refused(error))
    app.include_router(_control(hub))
    return app


@contextmanager
def running(scenes: Scenes, settings: ServerSettings | None = None, port: int = 0) -> Iterator[str]:
    """Serve from a thread; yields the base URL.

    Args:
        scenes: What to serve.
        settings: How the server behaves.
        port: 0 for a free one.
    """
    listening, server = _prepared(scenes, settings, port, HOST)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    with listening:
        try:
            yield _url(listening)
        finally:
            server.should_exit = True
            thread.join()


def serve(scenes: Scenes, settings: ServerSettings, port: int, host: str = HOST) -> None:
    """Serve until interrupted, or until standard input closes where that is a pipe; prints where it listens."""
    listening, server = _prepared(scenes, settings, port, host)

    def stop() -> None:
        server.should_exit = True

    _watch_standard_input(stop)
    print(f"listening on {_url(listening)}", flush=True)  # noqa: T201 - what the parent waits for
    with listening:
        server.run(sockets=[listening])


def _prepared(
    scenes: Scenes, settings: ServerSettings | None, port: int, host: str
) -> tuple[socket.socket, uvicorn.Server]:
    listening = socket.create_server((host, port), backlog=128)  # from here on requests wait instead of being refused
    config = uvicorn.Config(
        make_app(scenes, settings), log_level="error", access_log=False, timeout_graceful_shutdown=2, lifespan="off"
    )
    return listening, uvicorn.Server(config)


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()
    return f"http://{host}:{port}"


def _watch_standard_input(stop: Callable[[], None]) -> None:
    """Stop when the parent closes the pipe, as it does when it dies; a terminal or /dev/null is not watched."""
    try:
        if not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
            return
    except (OSError, ValueError, AttributeError):
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        stop()

    Thread(target=watch, daemon=True).start()


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        return None


def _answer(hub: Hub, operation: Operation, work: Callable[[Details], Response]) -> Response:
    """Return an operation's answer, or its error in the form of the API; either is remembered with its details."""
    details: Details = {}
    try:
        response = work(details)
        hub.remember(operation, response.status_code, details)
    except _DroppedError:
        response = Dropped()
        hub.remember(operation, 0, details)
    except ApiError as error:
        response = _refused(error, operation)
        hub.remember(operation, error.status, details)
    return response


def _refused(error: ApiError, operation: Operation | None = None) -> Response:
    is_catalogs_own = operation == "catalog" and error.status not in (401, 403, 429)
    return JSONResponse(error.catalog_body() if is_catalogs_own else error.body(), error.status, error.headers)


def _token(hub: Hub, form: dict[str, str]) -> Response:
    faults = _strike(hub, Target("token"))
    client = (form.get("client_id"), form.get("client_secret"), form.get("grant_type"))
    if faults or client != (hub.settings.client_id, hub.settings.secret, "client_credentials"):
        wrong = {"error": "invalid_client", "error_description": "Invalid client or Invalid client credentials"}
        return JSONResponse(wrong, 401)
    token = hub.tokens.issue(hub.settings.client_id)
    return JSONResponse({"access_token": token, "expires_in": hub.tokens.seconds, "token_type": "Bearer"})


def _process(hub: Hub, request: ProcessRequest, details: Details) -> Response:
    days, bands = request.filter.time_range, request.script.bands
    details |= {"date": days.start.date().isoformat(), "bands": bands}
    faults = _strike(hub, Target("process", days.start.date(), days.end.date(), bands))
    time.sleep(hub.settings.latency)
    spoiling = next((fault for fault in faults if fault.kind in SPOILING), None)
    if spoiling and spoiling.kind == "wrong_size":
        request = replace(request, grid=replace(request.grid, width=max(1, request.grid.width // 2)))
    files = process(request, hub.scenes)
    if spoiling:
        files = {name: spoilt(content, spoiling.kind, spoiling.seed) for name, content in files.items()}
    content, media_type = packed(files)
    details["units"] = request.units
    return Response(content, media_type=media_type, headers={"x-processingunits-spent": str(request.units)})


@contextmanager
def _admitted(hub: Hub, authorization: str) -> Iterator[None]:
    """Hold a place within the request limits for a client whose token is valid."""
    with hub.limits.request():
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer" or not hub.tokens.is_valid(token):
            raise unauthorized()
        yield


def _strike(hub: Hub, target: Target) -> list[Fault]:
    """Return the faults that change an answer; those that are an error are raised, a latency has passed."""
    changing = []
    for fault in hub.faults.strike(target):
        match fault.kind:
            case "latency":
                time.sleep(fault.seconds)
            case "dropped":
                raise _DroppedError
            case "rate_limit":
                milliseconds = fault.retry_after * (1 if fault.unit == "ms" else 1000)
                raise rate_limited(milliseconds, fault.unit, '{"samplingPeriod": "PT1M", "limit": 1}')
            case "server_error":
                raise ApiError(fault.status, "An injected fault of the server.", "RENDERER_EXCEPTION")
            case "expired_token":
                raise unauthorized()
            case "quota":
                raise forbidden()
            case _:
                changing.append(fault)
    return changing


def _control(hub: Hub) -> APIRouter:
    """Return `/control/faults` and `/control/requests`, which are open to this machine alone."""

    def local_only(request: Request) -> None:
        if request.client is None or request.client.host not in _LOOPBACK:
            raise forbidden()

    router = APIRouter(prefix="/control", dependencies=[Depends(local_only)])

    @router.get("/faults")
    def listed() -> list[dict[str, object]]:
        return hub.faults.listed()

    @router.post("/faults")
    def add(fault: Fault) -> list[dict[str, object]]:
        hub.faults.add(fault)
        return hub.faults.listed()

    @router.delete("/faults")
    def clear() -> list[dict[str, object]]:
        hub.faults.clear()
        return []

    @router.get("/requests")
    def served() -> list[Details]:
        with hub.lock:
            return list(hub.served)

    @router.delete("/requests")
    def forget() -> list[Details]:
        with hub.lock:
            hub.served.clear()
        return []

    return router
