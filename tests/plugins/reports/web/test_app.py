"""The app behind the pages: links, static files, error pages, headers, and generated input that must not break it."""

import re
from types import SimpleNamespace

import pytest
import schemathesis
from fastapi.openapi.utils import get_openapi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from plugins.reports.web import live
from tests.plugins.reports.conftest import ENERGY

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(300)]
EXAMPLES = 25


@pytest.fixture
def admin(client):
    return client("admin")


def test_only_the_routes_of_the_pages_are_open():
    from plugins.reports.web.app import create_app

    app = create_app()
    assert (app.docs_url, app.redoc_url, app.openapi_url) == (None, None, None)
    paths = {route.path for route in app.routes}
    assert paths == {
        "/runs",
        "/feeds",
        "/live",
        "/live/events",
        "/dags/{dag_id}/runs/{run_id}/live",
        "/dags/{dag_id}/runs/{run_id}/events",
        "/dags/{dag_id}/runs/{run_id}/socket",
        "/dags/{dag_id}/runs/{run_id}",
        "/dags/{dag_id}/runs/{run_id}/approval",
        "/dags/{dag_id}/runs/{run_id}/report",
        "/dags/{dag_id}/runs/{run_id}/artifacts/{path:path}",
        "/dags/{dag_id}/runs/{run_id}/files/{path:path}",
        "/models",
        "/models/rollback",
        "/fields",
        "/static/{name}",
    }


def test_a_template_is_rendered_below_the_apps_path_with_its_status():
    from plugins.reports.web.app import render

    request = SimpleNamespace(scope={"root_path": "/airflow/groundtruth"})
    response = render(request, "no_run.html.j2", status=404, dag_id="a_dag", run_id="<b>")
    assert response.status_code == 404
    assert response.media_type == "text/html"
    assert b'href="/airflow/groundtruth/runs"' in response.body
    assert b"<code>&lt;b&gt;</code>" in response.body


def test_the_pages_of_every_domain_are_listed():
    from plugins.reports.web.app import domain_pages

    assert [(page.name, page.dag_id) for page in domain_pages()] == [
        ("models", "satellite_pipeline"),
        ("fields", "field_monitoring"),
    ]


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("pages.css", "text/css"),
        ("pages.js", "text/javascript"),
        ("figures.css", "text/css"),
        ("figures.js", "text/javascript"),
        ("reports.svg", "image/svg+xml"),
        ("feeds.svg", "image/svg+xml"),
        ("live.svg", "image/svg+xml"),
        ("live.js", "text/javascript"),
        ("models.svg", "image/svg+xml"),
        ("fields.svg", "image/svg+xml"),
    ],
)
def test_static_files_and_the_icons_of_domains_need_no_login(client, name, media_type):
    answer = client().get(f"/groundtruth/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media_type)
    assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["..%2Fapp.py", "app.py", "models.html.j2", "energy.svg"])
def test_nothing_else_is_a_static_file(client, name):
    assert client().get(f"/groundtruth/static/{name}").status_code == 404


def test_links_work_below_a_path(client, energy_run):
    """Airflow passes the path of `[api] base_url` as root path."""
    from starlette.testclient import TestClient

    browser = client("admin")
    below = TestClient(browser.app, base_url="http://localhost", root_path="/airflow", cookies=browser.cookies)
    text = below.get("/airflow/groundtruth/runs").text
    links = re.findall(r'(?:href|src|action)="([^"?d][^"]*)"', text)
    assert len(links) > 4
    assert [link for link in links if not link.startswith("/airflow/groundtruth/")] == []


@pytest.mark.parametrize(
    "path", ["/groundtruth/runs", "/groundtruth/feeds", "/groundtruth/models", "/groundtruth/nothing", ENERGY]
)
def test_every_answer_has_its_security_headers(admin, energy_run, path):
    headers = admin.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_an_unexpected_error_reveals_nothing_of_the_machine(client, energy_run, monkeypatch, tmp_path):
    from starlette.testclient import TestClient

    from plugins.reports.web import runs

    def broken(*_):
        raise RuntimeError(f"a secret in {tmp_path}")

    browser = client("admin")
    monkeypatch.setattr(runs, "list_runs", broken)
    quiet = TestClient(browser.app, base_url="http://localhost", cookies=browser.cookies, raise_server_exceptions=False)
    answer = quiet.get("/groundtruth/runs")
    assert answer.status_code == 500
    assert "Something broke" in answer.text
    assert "secret" not in answer.text
    assert str(tmp_path) not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_reading_pages_change_nothing(admin, energy_run, method):
    for path in ("/groundtruth/runs", "/groundtruth/feeds", "/groundtruth/models", ENERGY):
        assert admin.request(method, path).status_code == 405


@pytest.fixture
def schema(airflow_app, monkeypatch):
    """The schema of the mounted app, as FastAPI would publish it; streams of events end at once."""
    monkeypatch.setattr(live, "STREAM_SECONDS", 0)
    (mount,) = [route for route in airflow_app.routes if getattr(route, "path", "") == "/groundtruth"]
    document = get_openapi(title="pages", version="1", routes=mount.app.routes)
    return schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("user", ["admin", "energy"])
def test_no_input_breaks_a_page(client, schema, energy_run, switched, user):
    browser = client(user)
    statuses = set()

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(operation, data):
        case = data.draw(operation.as_strategy(generation_mode=data.draw(st.sampled_from(list(GenerationMode)))))
        sent = case.as_transport_kwargs(base_url="http://localhost/groundtruth")
        sent.pop("cookies")  # the browser has its own
        answer = browser.request(**sent)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, case.as_curl_command()

    for operation in schema.get_all_operations():
        check(operation.ok())
    assert statuses >= ({200, 404, 422} if user == "admin" else {200, 403})
