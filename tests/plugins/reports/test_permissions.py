"""Who sees which page: Airflow's own permissions, with FAB roles of one DAG each."""

import pytest

from tests.plugins.reports.conftest import ENERGY, RUN

pytestmark = pytest.mark.airflow
OTHER = "/groundtruth/dags/satellite_pipeline/runs/manual__2026-03-02"
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
    answer = client(user).post("/groundtruth/models/rollback", data={"token": "x", "why": "y"})
    assert answer.status_code == 403


def test_the_form_is_shown_to_editors_alone(client, switched):
    assert "Undo the last change" in client("editor").get("/groundtruth/models").text
    text = client("models").get("/groundtruth/models").text
    assert "Undo the last change" not in text
    assert "needs the permission to edit" in text


@pytest.mark.parametrize("path", ["/groundtruth/docs", "/groundtruth/openapi.json", "/groundtruth/redoc"])
def test_the_apps_own_documentation_is_closed(client, path):
    assert client().get(path).status_code == 404
