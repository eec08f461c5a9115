"""Security headers of every response, and forms that only their own page can send."""

import asyncio

import pytest
from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import tests.airflow_env  # noqa: F401 - before Airflow is imported
from plugins.reports.web.guard import HEADERS, SecurityHeaders, check_form, form_token

pytestmark = pytest.mark.airflow
PURPOSE = "models rollback"


class User:
    """A user of Airflow with an id."""

    def __init__(self, number):
        self.number = number

    def get_id(self):
        return self.number


def request(**headers):
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": [(b"host", b"airflow.example"), *pairs]})


def sent_by(app):
    """The headers of what an app answers."""
    messages = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        messages.append(message)

    asyncio.run(SecurityHeaders(app)({"type": "http", "method": "GET", "headers": []}, receive, send))
    return {name.decode(): value.decode() for name, value in messages[0]["headers"]}


def test_a_response_gets_every_header():
    headers = sent_by(Response("text"))
    assert {name.lower(): value for name, value in HEADERS.items()}.items() <= headers.items()


def test_a_header_that_the_response_sets_itself_stays():
    assert sent_by(Response("text", headers={"Cache-Control": "max-age=300"}))["cache-control"] == "max-age=300"


def test_a_token_admits_its_user_for_its_purpose():
    check_form(request(), User(1), form_token(User(1), PURPOSE), PURPOSE)


@pytest.mark.parametrize(("user", "purpose"), [(2, PURPOSE), (1, "another purpose")])
def test_a_token_of_another_user_or_purpose_is_refused(user, purpose):
    with pytest.raises(HTTPException, match="not sent from its own page"):
        check_form(request(), User(1), form_token(User(user), purpose), PURPOSE)


def test_a_token_expires_after_an_hour(monkeypatch):
    import itsdangerous.timed

    token = form_token(User(1), PURPOSE)
    now = itsdangerous.timed.time.time()
    monkeypatch.setattr(itsdangerous.timed.time, "time", lambda: now + 3602)
    with pytest.raises(HTTPException):
        check_form(request(), User(1), token, PURPOSE)


@pytest.mark.parametrize(
    "headers", [{"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}]
)
def test_a_form_from_another_site_is_refused(headers):
    with pytest.raises(HTTPException):
        check_form(request(**headers), User(1), form_token(User(1), PURPOSE), PURPOSE)


@pytest.mark.parametrize("headers", [{"sec_fetch_site": "same-origin"}, {"origin": "https://airflow.example"}])
def test_a_form_from_our_own_page_is_accepted(headers):
    check_form(request(**headers), User(1), form_token(User(1), PURPOSE), PURPOSE)
