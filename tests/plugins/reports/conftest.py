"""Airflow's real API app with the FAB auth manager, users whose roles see one DAG each, and runs to look at."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.airflow_env  # noqa: F401 - before Airflow is imported
from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from tests.reporting.runs import NOW, artifact, broke, ended, good_run, plan, started

FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
DAGS = (
    "energy_pipeline",
    "satellite_pipeline",
    "crop_health_map",
    "field_monitoring",
    "ndvi_forecast_map",
    "crop_classification",
    "crop_map",
    "inbox",
)
ROLES = {
    "nobody": [],
    "energy": [("can_read", "DAG:energy_pipeline"), ("can_read", "DAG Runs")],
    "inbox": [("can_read", "DAG:inbox"), ("can_read", "DAG Runs")],
    "no_runs": [("can_read", "DAG:energy_pipeline")],
    "models": [("can_read", "DAG:satellite_pipeline"), ("can_read", "DAG Runs")],
    "editor": [
        ("can_read", "DAG:satellite_pipeline"),
        ("can_edit", "DAG:satellite_pipeline"),
        ("can_read", "DAG Runs"),
    ],
}
AIRFLOWS_ROLES = ("Viewer", "User", "Op", "Admin")
RUN = "manual__2026-03-01"
ENERGY = f"/groundtruth/dags/energy_pipeline/runs/{RUN}"

Client = Callable[..., Any]


@pytest.fixture(scope="session")
def airflow_app() -> Iterator[Any]:
    """Airflow's API app as the full stack configures it, with one user a role.

    It has no UI, and of the REST API only what is asked about plugins: building the other 600 routes takes most of the
    time, and no test here calls them.
    """
    import airflow.api_fastapi.app
    from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
    from airflow.api_fastapi.core_api.routes.public.plugins import plugins_router

    purge_cached_app()
    with pytest.MonkeyPatch.context() as environment, warnings.catch_warnings():
        environment.setenv("AIRFLOW__CORE__AUTH_MANAGER", FAB)
        environment.setattr(
            airflow.api_fastapi.app, "init_views", lambda app: app.include_router(plugins_router, prefix="/api/v2")
        )
        warnings.simplefilter("ignore")  # of FAB's libraries about each other
        app = create_app(apps="core")
        _add_dags()
        with get_auth_manager().flask_app.app_context():
            _add_users()
    yield app
    purge_cached_app()


@pytest.fixture
def client(airflow_app: Any, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Makes a browser of a user: `client("energy").get(…)`; without a name, of nobody who is logged in."""
    from airflow.api_fastapi.app import get_auth_manager
    from starlette.testclient import TestClient

    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", FAB)
    monkeypatch.setenv("GROUNDTRUTH_ENV_FILE", str(tmp_path / "pipeline.env"))
    get_settings.cache_clear()

    def make(user: str | None = None, token: str | None = None) -> TestClient:
        browser = TestClient(airflow_app, base_url="http://localhost", follow_redirects=False)
        if user is not None:
            token = get_auth_manager().generate_jwt(_manager().find_user(username=user))
        if token is not None:
            browser.cookies.set("_token", token)
        return browser

    return make


@pytest.fixture
def energy_run(data_dir: Path) -> RunFolder:
    """A good run of the energy pipeline with its report."""
    from include.reporting.report import build_report, write_report

    folder = good_run(data_dir)
    write_report(folder, build_report(folder, now=NOW))
    return folder


@pytest.fixture
def broken_run(data_dir: Path) -> RunFolder:
    """A failed run of the satellite pipeline with its report."""
    from include.reporting.report import build_report, write_report

    folder = RunFolder(data_dir / "runs" / "satellite_pipeline" / "manual__2026-03-02")
    plan(folder, dag_id="satellite_pipeline", pipeline="satellite", run_id="manual__2026-03-02")
    ended(folder, "prepare", (0, 0.1))
    broke(folder, "collect", (0.5, 1), "bad_input", "late.csv: no such <b>file</b>")
    write_report(folder, build_report(folder, now=NOW))
    return folder


@pytest.fixture
def running(added: Any, data_dir: Path) -> RunFolder:
    """A run that Airflow is running: its first step is done, its second under way, no report yet."""
    run_id = "manual__2026-03-03T00:00:00+00:00"
    folder = RunFolder.of(data_dir, "energy_pipeline", run_id)
    plan(folder, run_id=run_id)
    ended(folder, "prepare", (0, 0.1))
    ended(folder, "collect", (0.5, 1), outputs=[artifact(folder, "energy_data.csv", b"a,b\n1,2\n", 1)])
    started(folder, "analyze", 1)
    added("energy_pipeline", run_id)
    return folder


@pytest.fixture
def added(airflow_app: Any) -> Iterator[Any]:
    """Adds runs to Airflow's database for the time of a test: `added("energy_pipeline", "manual__1", "running")`."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    run_ids = []

    def add(dag_id: str, run_id: str, state: str = "running") -> None:
        run_ids.append(run_id)
        add_run(dag_id, run_id, state)

    yield add
    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.run_id.in_(run_ids)))


def add_run(dag_id: str, run_id: str, state: str = "running") -> None:
    """Add a run to Airflow's database."""
    from airflow.models import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with create_session() as session:
        run = DagRun(
            dag_id=dag_id,
            run_id=run_id,
            run_after=NOW,
            run_type=DagRunType.MANUAL,
            state=state,
            triggered_by=DagRunTriggeredByType.TEST,
        )
        session.add(run)


def _add_dags() -> None:
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="pages"))
        session.flush()
        for dag_id in DAGS:
            session.merge(DagModel(dag_id=dag_id, bundle_name="pages", fileloc=f"{dag_id}.py", relative_fileloc=dag_id))


def _add_users() -> None:
    manager = _manager()
    for name, permissions in ROLES.items():
        role = manager.add_role(name)
        for action, resource in permissions:
            manager.add_permission_to_role(role, manager.create_permission(action, resource))
        assert manager.add_user(name, name, "", f"{name}@example.org", role, "secret")
    for role in AIRFLOWS_ROLES:
        name = role.lower()
        assert manager.add_user(name, name, "", f"{name}@example.org", manager.find_role(role), "secret")


def _manager() -> Any:
    from airflow.api_fastapi.app import get_auth_manager

    return get_auth_manager().security_manager


@pytest.fixture
def switched(client: Client, tmp_path: Path) -> Any:
    """An env file that two promotions have changed."""
    from include.env_file import EnvFile, Reason

    (tmp_path / "pipeline.env").write_text("# ours\nSECRET=hunter2\n")
    env_file = EnvFile(tmp_path / "pipeline.env")
    for version in ("20260701T120000Z-aaaaaaaa", "20260702T120000Z-bbbbbbbb"):
        env_file.update(
            {"USE_AI_MODELS": "true", "AI_MODEL_VERSION": version},
            Reason(by="tester", why="every gate passed", run="satellite_pipeline/manual__1", version=version),
        )
    return env_file
