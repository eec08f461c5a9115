"""The maintenance DAG removes what nobody owns, and nothing else."""

from datetime import timedelta

import pytest

from include.core.settings import get_settings
from tests.airflow_runs import parse_dags, run_dag
from tests.plugins.steps.test_maintenance import runs  # noqa: F401 - a fixture
from tests.prerequisites import docker_engine

IMAGE = "python:3.11-slim-bookworm"
pytestmark = [pytest.mark.airflow]


def test_runs_older_than_the_setting_go(runs, monkeypatch):  # noqa: F811 - the fixture
    monkeypatch.setenv("GROUNDTRUTH_KEEP_RUNS_DAYS", "30")
    assert run_dag("maintenance").tasks == {
        "remove_orphans": "success",
        "sweep_leftovers": "success",
        "remove_expired": "success",
    }
    assert [path.name for path in runs.iterdir()] == ["new"]


def test_it_is_on_from_the_start_and_no_timeout_of_a_run_can_skip_its_tasks():
    dag = parse_dags().dags["maintenance"]
    assert dag.is_paused_upon_creation is False
    assert dag.dagrun_timeout is None
    assert {task.execution_timeout for task in dag.tasks} == {timedelta(hours=1)}


@pytest.fixture
def engine():
    with docker_engine(IMAGE) as client:
        yield client


@pytest.fixture
def left_behind(engine):
    """Start a container as a step of some deployment's task; all are removed at the end."""
    containers = []

    def start(data):
        labels = {"": "step", ".data": str(data), ".dag": "energy_pipeline", ".run": "gone", ".step": "analyze"}
        labels = {f"io.groundtruth{name}": value for name, value in labels.items()}
        containers.append(engine.containers.run(IMAGE, "sleep 300", labels=labels, detach=True, init=True))
        return containers[-1].id

    yield start
    for container in containers:
        container.remove(force=True) if engine.containers.list(all=True, filters={"id": container.id}) else None


@pytest.mark.docker
def test_a_container_whose_task_is_gone_is_removed_and_another_deployment_s_stays(
    data_dir, engine, left_behind, monkeypatch
):
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "docker")
    get_settings.cache_clear()
    ours, theirs = left_behind(data_dir.resolve()), left_behind("/srv/another/data")
    by_hand = left_behind(data_dir.resolve() / "runs" / "energy_pipeline" / "cli__1")
    assert run_dag("maintenance").state == "success"
    assert engine.containers.list(filters={"id": ours}), "too young: its task may not have said yet that it runs"
    monkeypatch.setattr("plugins.steps.runtimes.docker.YOUNG_SECONDS", 0)
    assert run_dag("maintenance").state == "success"
    assert not engine.containers.list(all=True, filters={"id": ours})
    assert engine.containers.list(filters={"id": theirs})
    assert engine.containers.list(filters={"id": by_hand}), "a run of the command line has an Airflow of its own"
