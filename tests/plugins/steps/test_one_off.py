"""One-off runs: a database and a run folder apart from the deployment's, and no success without a report."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import os
import re
import stat
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.models import DagRun
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy import delete, select

from include.core.leftovers import goes_on
from include.core.settings import get_settings
from include.reporting.archive import read_entry
from plugins.steps.one_off import fail_without_report, one_off_run
from plugins.steps.runtimes.docker import deployment
from tests.airflow_runs import each_schema_checked_once, only_dag, parse_dags
from tests.plugins.reports.conftest import add_run
from tests.reporting.runs import NOW, good_run

pytestmark = pytest.mark.airflow
ENCRYPTED = "of the service"
CONNECTION = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"}


def database():
    """The file of the database that Airflow uses now."""
    from airflow import settings

    return settings.get_engine().url.database


@pytest.fixture
def content():
    """A connection, a variable and a run in the deployment's database."""
    with create_session() as session:
        session.add(Connection(conn_id="imagery", conn_type="generic", login="me", password=ENCRYPTED))
    Variable.set("place", "north")
    add_run("energy_pipeline", "scheduled__1")
    yield
    with create_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == "imagery"))
        session.execute(delete(DagRun).where(DagRun.run_id == "scheduled__1"))
    Variable.delete("place")


def test_the_database_holds_what_tasks_read_and_no_run(data_dir, content):
    with one_off_run("energy_pipeline"), create_session() as session:
        connection = session.scalar(select(Connection).where(Connection.conn_id == "imagery"))
        assert (connection.login, connection.password) == ("me", ENCRYPTED)
        assert session.scalars(select(Variable.key)).all() == ["place"]
        assert session.scalars(select(DagRun)).all() == []


def test_the_database_is_the_runs_alone_and_is_gone_afterwards(data_dir):
    before, environment = database(), dict(os.environ)
    with one_off_run("energy_pipeline"):
        folder = get_settings().run_folder
        assert folder.parent == data_dir / "runs" / "energy_pipeline"
        assert folder.name.startswith("test__")
        assert database() == str(folder / ".airflow.db")
        assert stat.S_IMODE((folder / ".airflow.db").stat().st_mode) == 0o600, "it holds connections"
        assert {name for name in os.environ if os.environ[name] != environment.get(name)} == CONNECTION | {
            "AIRFLOW__CORE__AUTH_MANAGER",
            "GROUNDTRUTH_RUN_FOLDER",
        }
        assert goes_on(folder), "the maintenance of a deployment sees that"
        (folder / "run.json").write_text("{}")
    assert not goes_on(folder)
    assert (database(), dict(os.environ), get_settings().run_folder) == (before, environment, None)
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_the_folder_of_a_run_that_never_began_is_removed_also_after_an_error(data_dir):
    before = database()
    with pytest.raises(ZeroDivisionError), one_off_run("energy_pipeline"):
        1 / 0  # noqa: B018
    assert database() == before
    assert list((data_dir / "runs" / "energy_pipeline").iterdir()) == []


def test_a_run_of_the_command_line_keeps_its_database_and_folder(data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(tmp_path / "cli__1"))
    get_settings.cache_clear()
    before = database()
    with one_off_run("energy_pipeline"):
        assert (database(), get_settings().run_folder) == (before, tmp_path / "cli__1")


def test_its_containers_belong_to_no_deployment_whose_maintenance_would_remove_them(data_dir):
    ours = deployment()
    with one_off_run("energy_pipeline"):
        assert deployment() != ours


@pytest.mark.parametrize(
    ("state", "report", "expected"),
    [
        ("success", "success", "success"),
        ("success", "failed", "failed"),
        ("success", "no report", "failed"),
        ("success", "damaged", "failed"),
        ("failed", "success", "failed"),
    ],
)
def test_a_run_succeeds_only_if_its_report_states_so(data_dir, state, report, expected):
    run = Run(state)
    folder = good_run(data_dir)
    if report != "no report":
        text = "{" if report == "damaged" else with_status(folder, report)
        (folder.path / "pipeline_report_20260101_000000.json").write_text(text)
    fail_without_report(run)
    assert run.state == expected


class Run(SimpleNamespace):
    """A run of Airflow that has ended."""

    def __init__(self, state):
        super().__init__(dag_id="energy_pipeline", run_id="manual__2026-03-01", state=state)

    def set_state(self, state):
        self.state = state


def with_status(folder, status):
    """The JSON of a run's report with another status."""
    from include.reporting.report import build_report

    return build_report(folder, now=NOW).model_copy(update={"overall_status": status}).model_dump_json()


# the pipeline itself


def dags_test(**options):
    """What `airflow dags test` does with the energy pipeline."""
    bag = parse_dags()
    with only_dag(bag, "energy_pipeline"), each_schema_checked_once():
        return bag.dags["energy_pipeline"].test(**options)


def runs_of(data_dir):
    return sorted((data_dir / "runs" / "energy_pipeline").iterdir())


def test_a_run_of_a_date_leaves_the_deployments_run_of_that_date(data_dir, quick_plots):
    day = datetime(2026, 2, 3, tzinfo=UTC)
    add_run("energy_pipeline", "scheduled__2026-02-03", "success")
    with create_session() as session:
        theirs = session.scalar(select(DagRun).where(DagRun.run_id == "scheduled__2026-02-03"))
        theirs.logical_date = day
    try:
        run = dags_test(logical_date=day, run_conf={"households": 2})
        assert run.state == "success"
        [folder] = runs_of(data_dir)
        assert read_entry(folder).outcome == "success"
        assert (data_dir / "published" / "energy" / "manual" / "2026-02-02").is_dir()
        with create_session() as session:
            of_that_day = select(DagRun.run_id, DagRun.state).where(DagRun.logical_date == day)
            assert session.execute(of_that_day).all() == [("scheduled__2026-02-03", "success")]
    finally:
        with create_session() as session:
            session.execute(delete(DagRun).where(DagRun.run_id == "scheduled__2026-02-03"))


def test_tasks_that_are_marked_and_not_run_end_red(data_dir, monkeypatch):
    """Also in a deployment whose users have tables of their own, as in the full stack."""
    manager = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", manager)
    run = dags_test(mark_success_pattern=re.compile(".*"))
    assert run.state == "failed"
    assert not (data_dir / "published").exists()
