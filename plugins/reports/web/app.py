"""The FastAPI app behind the pages: routes, errors that tell nothing of the machine, security headers."""

from __future__ import annotations

import logging
from functools import cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from jinja2 import Environment
from starlette.exceptions import HTTPException as StarletteHTTPException

from include.core.domain import Page
from include.core.errors import GroundtruthError
from include.domains import DOMAINS
from include.reporting.html import column, template_environment
from plugins.reports.web.guard import HEADERS, SecurityHeaders

LOG = logging.getLogger(__name__)
HERE = Path(__file__).parent
STATIC = {
    "pages.css": "text/css",
    "pages.js": "text/javascript",
    "reports.svg": "image/svg+xml",
}
SAID = {
    400: "The request cannot be understood.",
    401: "You are not logged in, or your session is over. Log in to Airflow, then open this page again.",
    403: "You do not have the permission to see this. Whoever looks after Airflow's roles can grant it.",
    404: "There is no such page, run or file.",
    405: "This page cannot be used that way.",
    422: "Something in the address or the form has a value that it cannot have.",
    500: "Something broke. The log of Airflow's API server says what.",
    503: "The data of this page cannot be read now. The log of Airflow's API server says why.",
}


def create_app() -> FastAPI:
    """The app, to be mounted into Airflow's API server; its own documentation and schema stay closed."""
    from plugins.reports.web import models, runs

    app = FastAPI(title="Groundtruth pages", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(runs.router)
    app.include_router(models.router)
    app.include_router(_static)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _refused)
    app.add_exception_handler(GroundtruthError, _unreadable)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(SecurityHeaders)
    return app


def page(request: Request, template: str, *, status: int = 200, **shown: Any) -> Response:
    """Render a page.

    Args:
        request: Gives the path below which the app is mounted.
        template: Its file.
        status: Of the answer.
        shown: What the template shows.
    """
    base = request.scope.get("root_path", "")
    text = _environment().get_template(template).render(base=base, **shown)
    return Response(text, status, media_type="text/html")


def domain_pages() -> list[Page]:
    """Return the pages of all domains."""
    return [page for domain in DOMAINS for page in domain.pages]


_static = APIRouter()


@_static.get("/static/{name}")
def static(name: str) -> Response:
    """Stylesheet, script and icons: open to anyone, as Airflow's own are, for a refusal has a page too."""
    icons = {f"{page.name}.svg": page.templates / f"{page.name}.svg" for page in domain_pages()}
    if name not in STATIC and name not in icons:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    path, media_type = icons.get(name, HERE / "static" / name), STATIC.get(name, "image/svg+xml")
    return FileResponse(path, media_type=media_type, headers={"Cache-Control": "max-age=300"})


def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, StarletteHTTPException) else 422
    said = error.detail if isinstance(error, StarletteHTTPException) and error.detail[-1:] == "." else None
    return _error(request, status, said)


def _unreadable(request: Request, error: Exception) -> Response:
    LOG.error("%s %s: %s", request.method, request.url.path, error)
    return _error(request, 503)


def _broken(request: Request, error: Exception) -> Response:
    LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    answer = _error(request, 500)
    answer.headers.update(HEADERS)  # made outside the middleware that adds them
    return answer


def _error(request: Request, status: int, said: str | None = None) -> Response:
    title = HTTPStatus(status).phrase
    return page(request, "error.html.j2", status=status, title=title, code=status, said=said or SAID.get(status, title))


@cache
def _environment() -> Environment:
    environment = template_environment(HERE / "templates", *(page.templates for page in domain_pages()))
    environment.filters |= {"column": column, "segment": partial(quote, safe=""), "path": partial(quote, safe="/")}
    return environment
