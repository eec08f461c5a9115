"""What keeps a page from being misused: security headers, and the proof that a form was sent from our own page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.configuration import conf
from fastapi import HTTPException, Request, status
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-same-origin"
)
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


class SecurityHeaders:
    """Adds the headers to every answer that does not set its own.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with headers."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_guarded)


def form_token(user: BaseUser, purpose: str) -> str:
    """A token for a form: of one user and purpose, for an hour."""
    return _serializer().dumps([user.get_id(), purpose])


def check_form(request: Request, user: BaseUser, token: str, purpose: str) -> None:
    """Refuse a form that another site sent, or that was not made for this user and purpose.

    Raises:
        HTTPException: 403.
    """
    try:
        made_for = _serializer().loads(token, max_age=FORM_SECONDS)
    except BadSignature:
        made_for = None
    if made_for != [user.get_id(), purpose] or not _from_our_page(request):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This form was not sent from its own page, or is too old.")


def _from_our_page(request: Request) -> bool:
    """Whether a browser says so; what is no browser says nothing, and has shown its token."""
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
