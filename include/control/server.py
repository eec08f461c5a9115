"""The control protocol over HTTP: a FastAPI application in front of a service."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from pydantic import ValidationError

from include.control.models import PROTOCOL_VERSION, Execute, Fault, Health, Output, Status, Tasks
from include.control.service import ConflictError, Service, UnknownTaskError
from include.core.errors import BadInputError, ContractError, GroundtruthError, TransientError, explain

REQUEST_BYTES = 8 << 20
OPEN_PATHS = {"/health", "/openapi.json"}
"""Answered without a token: what watches a service needs none."""
CODES: tuple[tuple[type[GroundtruthError], int], ...] = (
    (UnknownTaskError, 404),
    (ConflictError, 409),
    (TransientError, 503),
    (BadInputError, 422),
    (ContractError, 422),
    (GroundtruthError, 500),
)
TaskPath = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
Sha256Path = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
REFUSALS: dict[int | str, dict[str, Any]] = {"default": {"model": Fault, "description": "Refused or failed; says why."}}


def create_app(service: Service | None, token: str | None = None) -> FastAPI:
    """Return the application of a service.

    Args:
        service: What it serves; None only to describe it.
        token: Bearer token that every request needs, except those for `/health`; None for none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        assert service is not None  # noqa: S101 - only the description has none
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="Groundtruth control protocol",
        version=PROTOCOL_VERSION,
        summary="Runs steps as tasks. Inputs are pushed, outputs are pulled, and every file is named by its checksum.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=REFUSALS,
    )
    kit: Any = service

    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        stated = request.headers.get("authorization", "")
        if token and request.url.path not in OPEN_PATHS and not _same(stated, f"Bearer {token}"):
            return _answer(401, Fault(kind="setup", message="the bearer token is missing, wrong or expired"))
        if request.method == "POST" and int(request.headers.get("content-length") or 0) > REQUEST_BYTES:
            return _answer(413, Fault(kind="bad_input", message=f"a request has at most {REQUEST_BYTES:,} bytes"))
        return await proceed(request)

    @app.exception_handler(GroundtruthError)
    async def refused(_: Request, error: GroundtruthError) -> Response:
        code = next(code for kind, code in CODES if isinstance(error, kind))
        return _answer(code, Fault.model_validate({"kind": error.kind, "message": str(error)[:4000]}))

    @app.exception_handler(RequestValidationError)
    async def not_understood(_: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        return _answer(422, Fault(kind="bad_input", message=faults[:4000]))

    @app.get("/health")
    def health() -> Health:
        """Return what the service is, what it can do and how busy it is."""
        return kit.health()  # type: ignore[no-any-return]

    schema = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Execute"}}}, "required": True}

    @app.post("/control/execute", openapi_extra={"requestBody": schema})
    async def execute(request: Request) -> Status:
        """Take a task. Repeated, it changes nothing; with a higher attempt it starts a failed task again."""
        from starlette.concurrency import run_in_threadpool

        try:
            asked = Execute.model_validate_json(await request.body())
        except ValidationError as error:
            raise BadInputError(explain(error)) from error
        return await run_in_threadpool(kit.execute, asked)

    @app.get("/control/status/{task}")
    def status(task: TaskPath) -> Status:
        """Return how a task is doing."""
        return kit.status(task)  # type: ignore[no-any-return]

    @app.get("/control/output/{task}")
    def output(task: TaskPath) -> Output:
        """Return the files that a complete task left; 409 for one that is not complete."""
        return kit.output(task)  # type: ignore[no-any-return]

    @app.post("/control/cancel/{task}")
    def cancel(task: TaskPath) -> Status:
        """Stop a task. It is cancelled once nothing of it runs any more."""
        return kit.cancel(task)  # type: ignore[no-any-return]

    @app.get("/control/tasks")
    def tasks(deployment: str) -> Tasks:
        """Return the tasks of a deployment that have not ended."""
        return Tasks(tasks=kit.tasks(deployment))

    @app.put("/data/{sha256}", status_code=201)
    async def push(sha256: Sha256Path, request: Request) -> Response:
        """Take a file; its checksum must be the one in the path."""
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return _answer(411, Fault(kind="bad_input", message="a file is sent with its Content-Length"))
        with kit.incoming(sha256, int(length)) as incoming:
            async for piece in request.stream():
                incoming.write(piece)
            incoming.finish()
        return Response(status_code=201)

    @app.head("/data/{sha256}")
    @app.get("/data/{sha256}")
    def pull(sha256: Sha256Path) -> FileResponse:
        """Return a file; `HEAD` says whether it is there."""
        return FileResponse(kit.file(sha256), media_type="application/octet-stream")

    @app.get("/metrics")
    def metrics() -> PlainTextResponse:
        """Return counts of tasks in Prometheus's text format."""
        return PlainTextResponse(metrics_text(kit), media_type="text/plain; version=0.0.4")

    return app


def metrics_text(service: Service) -> str:
    """Return the metrics of a service: its tasks by operation and state, and its capacity."""
    lines = ["# HELP groundtruth_tasks Tasks that the service remembers.", "# TYPE groundtruth_tasks gauge"]
    for (operation, state), count in sorted(service.table.counts().items()):
        lines.append(f'groundtruth_tasks{{operation="{operation}",state="{state}"}} {count}')
    lines += ["# HELP groundtruth_capacity Tasks that run at once.", "# TYPE groundtruth_capacity gauge"]
    return "\n".join([*lines, f"groundtruth_capacity {service.settings.capacity}", ""])


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of the protocol."""
    document: dict[str, Any] = create_app(None).openapi()
    schema = Execute.model_json_schema(ref_template="#/components/schemas/{model}")
    document["components"]["schemas"] |= schema.pop("$defs") | {"Execute": schema}
    return document


def _answer(code: int, fault: Fault) -> JSONResponse:
    return JSONResponse(fault.model_dump(), status_code=code)


def _same(stated: str, wanted: str) -> bool:
    return hmac.compare_digest(stated.encode(), wanted.encode())
