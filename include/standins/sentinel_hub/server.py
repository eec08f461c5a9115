"""The HTTP side: token, catalog and process under both path styles, and the control of faults; in a thread or not."""

from __future__ import annotations

import json
import math
import os
import secrets
import socket
import stat
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any

import jwt
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from include.standins.sentinel_hub import catalog
from include.standins.sentinel_hub.errors import ApiError, forbidden, rate_limited, unauthorized
from include.standins.sentinel_hub.faults import Fault, Faults, Operation, Target, spoilt
from include.standins.sentinel_hub.process import packed, process, read_request
from include.standins.sentinel_hub.scenes import Scenes

HOST = "127.0.0.1"
CLIENT_ID = SECRET = "demo"  # noqa: S105 - the one client; the stand-in guards nothing
PATHS: dict[str, Operation] = {
    "/auth/realms/main/protocol/openid-connect/token": "token",
    "/auth/realms/CDSE/protocol/openid-connect/token": "token",
    "/oauth/token": "token",
    "/api/v1/catalog/1.0.0/search": "catalog",
    "/catalog/v1/search": "catalog",
    "/api/v1/process": "process",
    "/process/v1": "process",
}
AT_ONCE = 2
_ALGORITHM = "HS256"
_BUSY_MS = 200
_LOOPBACK = ("127.0.0.1", "::1")
_REMEMBERED = 10_000
_BACKLOG = 128  # requests that come before the server runs wait instead of being refused
Details = dict[str, Any]


@dataclass(frozen=True)
class ServerSettings:
    """How a server behaves.

    Args:
        token_seconds: How long a token is valid.
        rate_limit: Requests a minute (then also two at once); 0: no limit.
        latency: Seconds that each answer of catalog and process takes longer.
    """

    token_seconds: int = 3600
    rate_limit: int = 0
    latency: float = 0.0


class Tokens:
    """Issues JSON Web Tokens and checks them; the key is that of this process.

    Args:
        seconds: How long a token is valid.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._key = secrets.token_bytes(32)

    def issue(self, client: str) -> str:
        """Return a token for a client; its payload names it as `azp`."""
        now = int(time.time())
        claims = {"azp": client, "iat": now, "exp": now + self.seconds, "jti": secrets.token_hex(8)}
        return jwt.encode(claims, self._key, _ALGORITHM)

    def check(self, authorization: str) -> None:
        """Check that this process issued a token and that it has not expired.

        Args:
            authorization: The header, `Bearer` and the token.

        Raises:
            ApiError: 401: it did not, or it has.
        """
        scheme, _, token = authorization.partition(" ")
        try:
            jwt.decode(token if scheme == "Bearer" else "", self._key, algorithms=[_ALGORITHM])
        except jwt.InvalidTokenError as error:
            raise unauthorized() from error


class Limits:
    """A bucket of requests that fills continuously, and at most two requests at once; no limits if it has size 0.

    Args:
        per_minute: Requests a minute, also the bucket's size.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._full_at = time.monotonic()
        self._running = 0
        self._lock = Lock()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Hold the place of one request.

        Raises:
            ApiError: 429, with the time until it would be served.
        """
        with self._lock:
            if self.per_minute:
                self._take()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def _take(self) -> None:
        """Take one request out of the bucket, which is full again that much later: 60 s after it was empty."""
        if self._running >= AT_ONCE:
            raise rate_limited(_BUSY_MS, json.dumps({"concurrentRequests": AT_ONCE}))
        now = time.monotonic()
        full_at = max(self._full_at, now) + 60 / self.per_minute
        if full_at - now > 60:
            policy = {"samplingPeriod": "PT1M", "limit": self.per_minute}
            raise rate_limited(math.ceil((full_at - now - 60) * 1000), json.dumps(policy))
        self._full_at = full_at


class Hub:
    """What a server holds while it runs: scenes, settings, tokens, limits, faults, and what it answered last."""

    def __init__(self, scenes: Scenes, settings: ServerSettings) -> None:
        self.scenes, self.settings, self.faults = scenes, settings, Faults()
        self.tokens = Tokens(settings.token_seconds)
        self.limits = Limits(settings.rate_limit)
        self.served: deque[Details] = deque(maxlen=_REMEMBERED)

    def answers(self) -> list[Details]:
        """Return a line about each answer, for those who test against the server."""
        return list(self.served)

    def forget(self) -> list[Details]:
        """Remove the lines about answers; returns what is left."""
        self.served.clear()
        return []


class Dropped(Response):
    """An answer that ends before its body: the connection closes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the answer, and end without completing it."""
        headers = [(b"content-type", b"image/tiff"), (b"content-length", b"1000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"II*\x00", "more_body": True})


def make_app(scenes: Scenes, settings: ServerSettings | None = None) -> FastAPI:
    """Return the server's application.

    Args:
        scenes: What it serves.
        settings: How it behaves.
    """
    hub = Hub(scenes, settings or ServerSettings())
    app = FastAPI(title="Sentinel Hub stand-in", docs_url=None, redoc_url=None, openapi_url=None)

    async def respond(request: Request) -> Response:
        operation = PATHS[request.url.path]
        content = await (request.form() if operation == "token" else _json(request))
        return await run_in_threadpool(_answer, hub, operation, request, content)

    for path in PATHS:
        app.add_api_route(path, respond, methods=["POST"])
    app.add_exception_handler(ApiError, lambda _, error: _refused(error))
    app.include_router(_control(hub))
    return app


@contextmanager
def running(scenes: Scenes, settings: ServerSettings | None = None) -> Iterator[str]:
    """Serve from a thread, on a free port; yields the base URL.

    Args:
        scenes: What to serve.
        settings: How the server behaves.
    """
    with socket.create_server((HOST, 0), backlog=_BACKLOG) as listening:
        server = _server(scenes, settings)
        thread = Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield _url(listening)
        finally:
            server.should_exit = True
            thread.join()


def serve(scenes: Scenes, settings: ServerSettings, port: int, host: str = HOST) -> None:
    """Serve until interrupted, or until standard input closes where that is a pipe; prints where it listens."""
    with socket.create_server((host, port), backlog=_BACKLOG) as listening:
        server = _server(scenes, settings)
        with suppress(OSError):  # a standard input that is closed is not watched
            if stat.S_ISFIFO(os.fstat(0).st_mode):
                Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
        print(f"listening on {_url(listening)}", flush=True)  # noqa: T201 - what the parent waits for
        server.run([listening])


def _stop_at_end_of_input(server: uvicorn.Server) -> None:
    """Stop when the parent closes the pipe, as it does when it dies."""
    while os.read(0, 4096):
        pass
    server.should_exit = True


def _server(scenes: Scenes, settings: ServerSettings | None) -> uvicorn.Server:
    options: Details = {"log_level": "error", "access_log": False, "lifespan": "off"}
    return uvicorn.Server(uvicorn.Config(make_app(scenes, settings), timeout_graceful_shutdown=2, **options))


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()
    return f"http://{host}:{port}"


async def _json(request: Request) -> Any:
    with suppress(ValueError):
        return await request.json()


def _answer(hub: Hub, operation: Operation, request: Request, content: Any) -> Response:
    """Return an operation's answer, or its error in the form of the API; either is remembered with its details."""
    details: Details = {}
    try:
        if operation == "token":
            response = _token(hub, content)
        else:
            with hub.limits.request():
                hub.tokens.check(request.headers.get("authorization", ""))
                response = (_search if operation == "catalog" else _process)(hub, request, content, details)
    except ApiError as error:
        response = _refused(error, operation)
    hub.served.append({"operation": operation, "status": response.status_code, **details})
    return response


def _refused(error: ApiError, operation: Operation | None = None) -> Response:
    if error.status == 0:
        return Dropped(status_code=0)
    is_catalogs_own = operation == "catalog" and error.status not in (401, 403, 429)
    return JSONResponse(error.catalog_body() if is_catalogs_own else error.body(), error.status, error.headers)


def _token(hub: Hub, form: Any) -> Response:
    faults = _strike(hub, Target("token"))
    client = (form.get("client_id"), form.get("client_secret"), form.get("grant_type"))
    if faults or client != (CLIENT_ID, SECRET, "client_credentials"):
        wrong = {"error": "invalid_client", "error_description": "Invalid client or Invalid client credentials"}
        return JSONResponse(wrong, 401)
    token = hub.tokens.issue(CLIENT_ID)
    return JSONResponse({"access_token": token, "expires_in": hub.tokens.seconds, "token_type": "Bearer"})


def _search(hub: Hub, request: Request, body: Any, details: Details) -> Response:
    _strike(hub, Target("catalog"))
    page = catalog.search(body, hub.scenes, str(request.base_url).rstrip("/"))
    details["returned"] = page["context"]["returned"]
    return JSONResponse(page)


def _process(hub: Hub, _: Request, body: Any, details: Details) -> Response:
    request = read_request(body, hub.scenes.collections)
    days, bands = request.source.data_filter.time_range, request.script.bands
    details |= {"date": days.start.date().isoformat(), "bands": bands}
    faults = _strike(hub, Target("process", days.start.date(), days.end.date(), bands))
    files = process(request, hub.scenes)
    for fault in faults:
        files = {name: spoilt(content, fault.kind, fault.seed) for name, content in files.items()}
    content, media_type = packed(files)
    details["units"] = request.units
    return Response(content, media_type=media_type, headers={"x-processingunits-spent": str(request.units)})


def _strike(hub: Hub, target: Target) -> list[Fault]:
    """Return the faults that change an answer; those that are an error are raised, a latency has passed."""
    changing = []
    for fault in hub.faults.strike(target):
        match fault.kind:
            case "latency":
                time.sleep(fault.seconds)
            case "dropped":
                raise ApiError(0, "An injected fault: the connection closes within the answer.", "DROPPED")
            case "rate_limit":
                raise rate_limited(fault.retry_after, '{"samplingPeriod": "PT1M", "limit": 1}')
            case "server_error":
                raise ApiError(fault.status, "An injected fault of the server.", "RENDERER_EXCEPTION")
            case "expired_token":
                raise unauthorized()
            case "quota":
                raise forbidden()
            case _:
                changing.append(fault)
    if target.operation != "token":
        time.sleep(hub.settings.latency)
    return changing


def _control(hub: Hub) -> APIRouter:
    """Return `/control/faults` and `/control/requests`, which are open to this machine alone."""

    def local_only(request: Request) -> None:
        if request.client is None or request.client.host not in _LOOPBACK:
            raise forbidden()

    router = APIRouter(prefix="/control", dependencies=[Depends(local_only)])
    router.add_api_route("/faults", hub.faults.listed)
    router.add_api_route("/faults", hub.faults.add, methods=["POST"])
    router.add_api_route("/faults", hub.faults.clear, methods=["DELETE"])
    router.add_api_route("/requests", hub.answers)
    router.add_api_route("/requests", hub.forget, methods=["DELETE"])
    return router
