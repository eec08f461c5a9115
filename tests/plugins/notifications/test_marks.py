"""Who marked a task as failed is recorded, and nothing else is."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.models.log import Log
from airflow.utils.session import create_session

from include.core.run_folder import RunFolder
from include.core.sink import last_event
from plugins.groundtruth import Groundtruth
from plugins.notifications import marks
from plugins.notifications.marks import on_task_instance_failed, step_of, user_of

pytestmark = pytest.mark.airflow
BY_USER = "TaskInstance's state was manually set to `failed`."
TASK = SimpleNamespace(dag_id="energy_pipeline", run_id="manual__1", task_id="analyze", map_index=-1, try_number=1)


@pytest.fixture
def run(data_dir):
    folder = RunFolder.of(data_dir, "energy_pipeline", "manual__1")
    folder.path.mkdir(parents=True)
    return folder


@pytest.fixture
def audit():
    """Airflow's audit log of the run: users and how long ago they changed it."""

    def add(*entries, event="patch_task_instance"):
        with create_session() as session:
            for owner, minutes in entries:
                entry = Log(event=event, owner=owner, dag_id="energy_pipeline", run_id="manual__1")
                entry.dttm = datetime.now(UTC) - timedelta(minutes=minutes)
                session.add(entry)

    yield add
    with create_session() as session:
        session.query(Log).filter(Log.run_id == "manual__1").delete()


def test_the_latest_user_who_changed_the_run_is_recorded(run, audit):
    audit(("alice", 5), ("bob", 0))
    audit(("carol", 0), event="trigger_dag_run")
    on_task_instance_failed(None, TASK, BY_USER)
    mark = run.mark("analyze")
    assert (mark.by, mark.state) == ("bob", "failed")
    event = last_event(run.path)
    assert (event.step, event.words) == ("analyze", "failed: a user (bob) marked the task as failed")


def test_a_user_of_long_ago_is_not_named(audit):
    audit(("alice", 5))
    assert user_of("energy_pipeline", "manual__1", datetime.now(UTC)) == "unknown"


@pytest.mark.parametrize("error", [ValueError("the task's own"), None, "killed"])
def test_any_other_failure_leaves_no_mark(run, error):
    on_task_instance_failed(None, TASK, error)
    assert run.mark("analyze") is None


def test_a_mapped_task_has_the_index_of_its_instance():
    assert step_of(TASK) == "analyze"
    assert step_of(SimpleNamespace(task_id="download", map_index=3)) == "download.3"


def test_a_fault_harms_no_request(run, monkeypatch, caplog):
    monkeypatch.setattr(marks, "user_of", lambda *_: 1 / 0)
    on_task_instance_failed(None, TASK, BY_USER)
    assert "could not be recorded" in caplog.text


def test_airflow_loads_the_listener():
    assert Groundtruth.listeners == [marks]
