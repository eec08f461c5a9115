"""The HTTP side: token, catalog and process under both path styles, and the control of faults."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from include.standins.sentinel_hub import catalog
from include.standins.sentinel_hub.errors import ApiError, forbidden, rate_limited, unauthorized
from include.standins.sentinel_hub.faults import SPOILING, Asked, Fault, Faults, spoilt
from include.standins.sentinel_hub.limits import Limits
from include.standins.sentinel_hub.process import packed, process
from include.standins.sentinel_hub.request import ProcessRequest, read_request
from include.standins.sentinel_hub.scenes import Scenes
from include.standins.sentinel_hub.tokens import Tokens

TOKEN_PATHS = (
    "/auth/realms/main/protocol/openid-connect/token",
    "/auth/realms/CDSE/protocol/openid-connect/token",
    "/oauth/token",
)
SEARCH_PATHS = ("/api/v1/catalog/1.0.0/search", "/catalog/v1/search")
PROCESS_PATHS = ("/api/v1/process", "/process/v1")
_LOOPBACK = ("127.0.0.1", "::1")
_REMEMBERED = 10_000


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
    served: list[dict[str, Any]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.tokens = Tokens(self.settings.token_seconds)
        self.limits = Limits(self.settings.rate_limit, self.settings.retry_after_unit)

    def remember(self, operation: str, status: int, **details: Any) -> None:
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


def make_app(scenes: Scenes, settings: ServerSettings | None = None) -> FastAPI:
    """The server's application.

    Args:
        scenes: What it serves.
        settings: How it behaves.
    """
    hub = Hub(scenes, settings or ServerSettings())
    app = FastAPI(title="Sentinel Hub stand-in", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.hub = hub

    async def token(request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        return _token(hub, form)

    async def search(request: Request) -> Response:
        body, base = await _json(request), str(request.base_url).rstrip("/")
        return await run_in_threadpool(_search, hub, request.headers.get("authorization", ""), body, base)

    async def render(request: Request) -> Response:
        body = await _json(request)
        return await run_in_threadpool(_process, hub, request.headers.get("authorization", ""), body)

    for paths, endpoint in ((TOKEN_PATHS, token), (SEARCH_PATHS, search), (PROCESS_PATHS, render)):
        for path in paths:
            app.add_api_route(path, endpoint, methods=["POST"])
    _add_control(app, hub)
    return app


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        return None


def _token(hub: Hub, form: dict[str, str]) -> Response:
    known = (form.get("client_id"), form.get("client_secret")) == (hub.settings.client_id, hub.settings.secret)
    try:
        faults = _strike(hub, Asked(operation="token"))
    except ApiError as error:
        hub.remember("token", error.status)
        return JSONResponse(error.body(), error.status, error.headers)
    kinds = [fault.kind for fault in faults]
    if "dropped" in kinds:
        hub.remember("token", 0)
        return Dropped()
    if not known or "wrong_credentials" in kinds or form.get("grant_type") != "client_credentials":
        hub.remember("token", 401)
        wrong = {"error": "invalid_client", "error_description": "Invalid client or Invalid client credentials"}
        return JSONResponse(wrong, 401)
    hub.remember("token", 200)
    return JSONResponse(
        {
            "access_token": hub.tokens.issue(hub.settings.client_id),
            "expires_in": hub.tokens.seconds,
            "token_type": "Bearer",
        }
    )


def _search(hub: Hub, authorization: str, body: Any, base_url: str) -> Response:
    try:
        with hub.limits.request():
            _authorize(hub, authorization)
            faults = _strike(hub, Asked(operation="catalog"))
            time.sleep(hub.settings.latency)
            if any(fault.kind == "dropped" for fault in faults):
                hub.remember("catalog", 0)
                return Dropped()
            found = catalog.search(body, hub.scenes, base_url)
    except ApiError as error:
        hub.remember("catalog", error.status)
        worded = error.body() if error.status in (401, 403, 429) else error.catalog_body()
        return JSONResponse(worded, error.status, error.headers)
    hub.remember("catalog", 200, returned=found["context"]["returned"])
    return JSONResponse(found)


def _process(hub: Hub, authorization: str, body: Any) -> Response:
    details: dict[str, Any] = {}
    try:
        with hub.limits.request():
            _authorize(hub, authorization)
            asked = read_request(body, hub.scenes.collections)
            days = asked.start.date(), asked.end.date()
            details = {"date": days[0].isoformat(), "bands": asked.script.bands}
            faults = _strike(hub, Asked(operation="process", start=days[0], end=days[1], bands=asked.script.bands))
            time.sleep(hub.settings.latency)
            if any(fault.kind == "dropped" for fault in faults):
                hub.remember("process", 0, **details)
                return Dropped()
            content, kind = _rendered(hub, asked, faults)
    except ApiError as error:
        hub.remember("process", error.status, **details)
        return JSONResponse(error.body(), error.status, error.headers)
    hub.remember("process", 200, units=asked.units, **details)
    return Response(content, media_type=kind, headers={"x-processingunits-spent": str(asked.units)})


def _rendered(hub: Hub, asked: ProcessRequest, faults: list[Fault]) -> tuple[bytes, str]:
    """Body and content type, spoilt where a fault says so."""
    spoiling = next((fault for fault in faults if fault.kind in SPOILING), None)
    if spoiling is None:
        return packed(process(asked, hub.scenes))
    if spoiling.kind == "wrong_size":
        smaller = max(1, asked.grid.width // 2)
        return packed(process(replace(asked, grid=replace(asked.grid, width=smaller)), hub.scenes))
    files = process(asked, hub.scenes)
    return packed({name: spoilt(content, spoiling.kind, spoiling.seed) for name, content in files.items()})


def _authorize(hub: Hub, authorization: str) -> None:
    kind, _, token = authorization.partition(" ")
    if kind != "Bearer" or not hub.tokens.is_valid(token):
        raise unauthorized()


def _strike(hub: Hub, asked: Asked) -> list[Fault]:
    """The faults of a request; those that are an error are raised, a latency has passed."""
    faults = hub.faults.strike(asked)
    for fault in faults:
        if fault.kind == "latency":
            time.sleep(fault.seconds)
        elif fault.kind == "rate_limit":
            milliseconds = fault.retry_after * (1 if fault.unit == "ms" else 1000)
            raise rate_limited(milliseconds, fault.unit, '{"samplingPeriod": "PT1M", "limit": 1}')
        elif fault.kind == "server_error":
            raise ApiError(fault.status, "An injected fault of the server.", "RENDERER_EXCEPTION")
        elif fault.kind == "expired_token":
            raise unauthorized()
        elif fault.kind == "quota":
            raise forbidden()
    return faults


def _add_control(app: FastAPI, hub: Hub) -> None:
    """`/control/faults` and `/control/requests`, for this machine alone."""

    def local(request: Request) -> None:
        if request.client is None or request.client.host not in _LOOPBACK:
            raise forbidden()

    @app.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> Response:
        return JSONResponse(error.body(), error.status, error.headers)

    @app.get("/control/faults")
    def listed(request: Request) -> list[dict[str, object]]:
        local(request)
        return hub.faults.listed()

    @app.post("/control/faults")
    def add(request: Request, fault: Fault) -> list[dict[str, object]]:
        local(request)
        hub.faults.add(fault)
        return hub.faults.listed()

    @app.delete("/control/faults")
    def clear(request: Request) -> list[dict[str, object]]:
        local(request)
        hub.faults.clear()
        return []

    @app.get("/control/requests")
    def served(request: Request) -> list[dict[str, Any]]:
        local(request)
        with hub.lock:
            return list(hub.served)

    @app.delete("/control/requests")
    def forget(request: Request) -> list[dict[str, Any]]:
        local(request)
        with hub.lock:
            hub.served.clear()
        return []
