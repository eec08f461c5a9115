"""The FastAPI app behind the pages: routes, error pages that reveal nothing of the machine, security headers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from include.core.domain import Page
from include.core.errors import GroundtruthError
from include.core.text import printable
from include.domains import DOMAINS
from include.reporting.assets import figure_styles, script
from include.reporting.html import TEMPLATES, template_environment
from plugins.reports.web.security import HEADERS, SecurityHeaders

LOG = logging.getLogger(__name__)
HERE = Path(__file__).parent
STATIC = {
    "pages.css": "text/css",
    "pages.js": "text/javascript",
    "live.js": "text/javascript",
    "feeds.svg": "image/svg+xml",
    "live.svg": "image/svg+xml",
    "reports.svg": "image/svg+xml",
}
SHARED: dict[str, Callable[[], str]] = {"figures.css": figure_styles, "figures.js": script}
"""Styles and script of charts, maps and tables, which reports hold too."""
MESSAGES = {
    400: "The request cannot be understood.",
    401: "You are not logged in, or your session is over. Log in to Airflow, then open this page again.",
    403: "You do not have the permission to see this. An administrator of Airflow can grant it.",
    404: "There is no such page, run or file.",
    405: "This page cannot be used that way.",
    422: "Something in the address or the form has a value that it cannot have.",
    500: "Something broke. The log of Airflow's API server says what.",
    503: "The data of this page cannot be read now. The log of Airflow's API server says why.",
}


def create_app() -> FastAPI:
    """Create the app that Airflow's API server mounts; its own documentation and schema stay closed."""
    from plugins.reports.web import approvals, feeds, live, pages, runs

    app = FastAPI(title="Groundtruth pages", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(runs.router)
    app.include_router(approvals.router)
    app.include_router(feeds.router)
    app.include_router(live.router)
    for domain in DOMAINS:
        for page in domain.pages:
            app.include_router(pages.page_router(domain, page))
    app.get("/static/{name}")(static)
    for error in (StarletteHTTPException, RequestValidationError, GroundtruthError, Exception):
        app.add_exception_handler(error, _error_page)
    app.add_middleware(SecurityHeaders)
    return app


def render(
    request: Request, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **variables: Any
) -> Response:
    """Render a page.

    Args:
        request: States the path below which the app is mounted.
        template: Its file.
        status: Of the response.
        headers: Of the response, in place of those of every page.
        variables: Of the template.
    """
    base = request.scope.get("root_path", "")
    folders = (HERE / "templates", *(page.templates for page in domain_pages()), TEMPLATES)
    environment = template_environment(*folders)
    text = environment.get_template(template).render(base=base, **variables)
    return Response(text, status, headers, media_type="text/html")


def static(name: str) -> Response:
    """Return a stylesheet, script or icon: without a login, as Airflow's own, for a refusal has a page too."""
    cached = {"Cache-Control": "max-age=300"}
    if name in SHARED:
        return Response(
            SHARED[name](), headers=cached, media_type=f"text/{'css' if name.endswith('css') else 'javascript'}"
        )
    icons = {f"{page.name}.svg": page.templates for page in domain_pages()}
    folder = icons.get(name, HERE / "static")
    if name not in (*STATIC, *icons):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    media_type = STATIC.get(name, "image/svg+xml")
    return FileResponse(folder / name, media_type=media_type, headers=cached)


def domain_pages() -> list[Page]:
    """Return the pages of all domains."""
    return [page for domain in DOMAINS for page in domain.pages]


def _error_page(request: Request, error: Exception) -> Response:
    """Render the page of an error; what it reveals of the machine goes into the log alone."""
    message = None
    match error:
        case StarletteHTTPException():
            status, message = error.status_code, error.detail if error.detail[-1:] == "." else None
        case RequestValidationError():
            status = 422
        case GroundtruthError():
            status = 503
            LOG.error("%s %s: %s", request.method, printable(request.url.path), error)
        case _:
            status = 500
            LOG.error("%s %s", request.method, printable(request.url.path), exc_info=error)
    title = HTTPStatus(status).phrase
    message = message or MESSAGES.get(status, title)
    response = render(request, "error.html.j2", status=status, title=title, code=status, message=message)
    response.headers.update(HEADERS)  # the page of an unexpected error bypasses the middleware that adds them
    return response
