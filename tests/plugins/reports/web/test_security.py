"""Security of the pages: FAB roles of one DAG each, security headers, and forms that only their own page can send."""

import asyncio

import pytest
from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import Response

import tests.airflow_env  # noqa: F401 - before Airflow is imported
from include.core.settings import Basemap
from plugins.reports.web.security import (
    HEADERS,
    SecurityHeaders,
    check_form,
    edits_dag,
    form_token,
    map_headers,
    may_edit,
    readable_dags,
    reads_runs,
)
from tests.plugins.reports.conftest import ENERGY, RUN

pytestmark = pytest.mark.airflow
OTHER = "/groundtruth/dags/satellite_pipeline/runs/manual__2026-03-02"
EDITED = "/groundtruth/models/rollback"
PURPOSE = "models rollback"
PAGES = ["/groundtruth/runs", "/groundtruth/models", ENERGY, f"{ENERGY}/report", f"{ENERGY}/artifacts/energy_data.csv"]


@pytest.mark.parametrize("path", PAGES)
def test_who_is_not_logged_in_sees_nothing(client, energy_run, path):
    answer = client().get(path)
    assert answer.status_code == 401
    assert RUN not in answer.text


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("token", ["nonsense", "a.b.c", ""])
def test_an_invalid_token_opens_nothing(client, energy_run, path, token):
    assert client(token=token).get(path).status_code in (401, 403)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("user", ["nobody", "no_runs"])
def test_without_the_permission_to_read_runs_every_page_is_refused(client, energy_run, path, user):
    answer = client(user).get(path)
    assert answer.status_code == 403
    assert RUN not in answer.text


def test_a_role_of_one_dag_sees_that_dag_alone(client, energy_run, broken_run):
    browser = client("energy")
    listed = browser.get("/groundtruth/runs")
    assert listed.status_code == 200
    assert RUN in listed.text
    assert "satellite" not in listed.text
    assert browser.get("/groundtruth/runs?pipeline=satellite_pipeline").text.count("manual__") == 0
    assert browser.get(ENERGY).status_code == 200
    for path in (OTHER, f"{OTHER}/report", f"{OTHER}/artifacts/x", "/groundtruth/models"):
        assert browser.get(path).status_code == 403, path


def test_naming_another_dag_in_the_query_opens_nothing(client, energy_run, broken_run):
    """Airflow's check reads `dag_id` from the path, and only where there is none from the query."""
    browser = client("energy")
    assert browser.get(f"{OTHER}?dag_id=energy_pipeline").status_code == 403
    assert "satellite" not in browser.get("/groundtruth/runs?dag_id=energy_pipeline").text
    assert browser.get("/groundtruth/models?dag_id=energy_pipeline").status_code == 403


def test_who_may_see_every_dag_sees_every_run(client, energy_run, broken_run):
    text = client("admin").get("/groundtruth/runs").text
    assert RUN in text
    assert "manual__2026-03-02" in text


def test_a_run_of_a_dag_that_airflow_does_not_know_is_not_listed(client, energy_run, data_dir):
    (data_dir / "runs" / "removed_dag" / "manual__1").mkdir(parents=True)
    assert "removed_dag" not in client("admin").get("/groundtruth/runs").text


@pytest.mark.parametrize("user", ["energy", "models", "nobody"])
def test_rolling_back_needs_the_permission_to_edit(client, user):
    assert client(user).post(EDITED, data={"token": "x", "why": "y"}).status_code == 403


def test_a_user_who_may_edit_gets_as_far_as_the_form_s_token(client):
    answer = client("editor").post(EDITED, data={"token": "x", "why": "y"})
    assert answer.status_code == 403
    assert "This form was not sent from its own page" in answer.text


# the functions themselves


@pytest.fixture
def user(client):
    """A user by name."""
    from airflow.api_fastapi.app import get_auth_manager

    return lambda name: get_auth_manager().security_manager.find_user(username=name)


@pytest.mark.parametrize(
    ("name", "dag_id", "may"),
    [
        ("editor", "satellite_pipeline", True),
        ("editor", "energy_pipeline", False),
        ("models", "satellite_pipeline", False),
        ("admin", "energy_pipeline", True),
        ("nobody", "energy_pipeline", False),
    ],
)
def test_editing_is_a_permission_of_each_dag(user, name, dag_id, may):
    assert may_edit(user(name), dag_id) is may


def test_readable_dags_are_those_whose_runs_a_user_may_read(user):
    assert readable_dags(user("energy")) == {"energy_pipeline"}
    assert readable_dags(user("admin")) >= {"energy_pipeline", "satellite_pipeline", "crop_health_map"}
    for name in ("nobody", "no_runs"):
        with pytest.raises(HTTPException) as caught:
            readable_dags(user(name))
        assert caught.value.status_code == 403


def test_a_dependency_asks_for_the_runs_of_one_dag_or_for_its_edit(client, user):
    """What Airflow asks of a request without a DAG in its path."""
    request = Request({"type": "http", "query_string": b"", "path_params": {}, "headers": []})
    reads_runs("energy_pipeline").dependency(request, user("energy"))
    edits_dag("satellite_pipeline").dependency(request, user("editor"))
    for dependency, name in (
        (reads_runs("satellite_pipeline"), "energy"),
        (edits_dag("energy_pipeline"), "energy"),
        (edits_dag("satellite_pipeline"), "models"),
    ):
        with pytest.raises(HTTPException):
            dependency.dependency(request, user(name))


# headers and forms


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


def test_a_page_with_a_basemap_may_load_images_of_its_server_and_nothing_else():
    basemap = Basemap("https://tile.example.org/{z}/{x}/{y}.png", "© Example", "https://tile.example.org")
    policy = map_headers(basemap)["Content-Security-Policy"]
    assert "img-src 'self' data: https://tile.example.org;" in policy
    assert policy.replace(" https://tile.example.org", "") == HEADERS["Content-Security-Policy"]


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
