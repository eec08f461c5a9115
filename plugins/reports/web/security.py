"""Security of the pages: Airflow's permissions on every route, security headers, and forms that only our pages send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from airflow.models import DagModel
from fastapi import Depends, HTTPException, Request, status
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection

from include.reporting.assets import script_source

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from include.core.settings import Basemap

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
REPORT_POLICY = (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {script_source()}; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox allow-same-origin allow-scripts allow-downloads"
)
"""A report runs the script of this version alone, by its hash; one of another version shows its plots without."""
LIVE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
"""Of the live pages, whose script asks the server for events: it may connect to no other, and there are no forms."""
DOWNLOAD_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FORM_SECONDS = 3600


def map_headers(basemap: Basemap) -> dict[str, str]:
    """Return the headers of a page with a basemap: images may come from its server too, which learns ours alone."""
    images = "img-src 'self' data:"
    return {
        "Content-Security-Policy": PAGE_POLICY.replace(images, f"{images} {basemap.origin}"),
        "Referrer-Policy": "strict-origin-when-cross-origin",  # tile servers refuse browsers that name no site
    }


def reads_runs(dag_id: str | None = None) -> Any:
    """Return the dependency that admits users who may read the runs of a DAG; None: the one that the path names."""
    return Depends(requires_access_dag("GET", DagAccessEntity.RUN, dag_id))


def edits_dag(dag_id: str) -> Any:
    """Return the dependency that admits users who may edit a DAG."""
    return Depends(requires_access_dag("PUT", None, dag_id))


def may_edit(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may edit a DAG."""
    return _may(user, "PUT", dag_id, None)


def may_read_runs(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may read the runs of a DAG."""
    return _may(user, "GET", dag_id, DagAccessEntity.RUN)


def readable_dags(user: GetUserDep) -> set[str]:
    """Return the DAGs whose runs a user may read.

    Raises:
        HTTPException: 403 where the user may read no DAG's runs, whichever there are.
    """
    manager = get_auth_manager()
    listed = manager.get_authorized_dag_ids(user=user, method="GET")
    readable = {dag_id for dag_id in listed if may_read_runs(user, dag_id)}
    if not readable and not manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.RUN, user=user):
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return readable


ReadableDags = Annotated[set[str], Depends(readable_dags)]


class SecurityHeaders:
    """Adds the headers to every response that does not set them itself.

    Args:
        app: The app that responds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond, with the headers."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_guarded)


def form_token(user: BaseUser, purpose: str) -> str:
    """Return a token for a form: of one user and purpose, for an hour."""
    return _serializer().dumps([user.get_id(), purpose])


def check_form(request: Request, user: BaseUser, token: str, purpose: str) -> None:
    """Refuse a form that another site sent, or that was not made for this user and purpose.

    Raises:
        HTTPException: 403.
    """
    try:
        content = _serializer().loads(token, max_age=FORM_SECONDS)
    except BadSignature:
        content = None
    if content != [user.get_id(), purpose] or not is_from_our_page(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This form was not sent from its own page, or is too old.")


def is_from_our_page(request: HTTPConnection) -> bool:
    """Return whether the browser states so; other clients state nothing, and have shown their token."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    if origin is None:
        return True
    sent_by = urlsplit(origin).netloc
    ours = (request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="")).netloc)
    return bool(sent_by) and sent_by in ours


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(get_signing_key("api", "secret_key"), salt="groundtruth-pages")


def _may(user: BaseUser, method: str, dag_id: str, entity: DagAccessEntity | None) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return bool(
        get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)  # type: ignore[arg-type]
    )
