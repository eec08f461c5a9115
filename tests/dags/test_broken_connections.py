"""A connection to the engine that breaks is no second container: the next attempt finds what the broken one began."""

import json

import pytest

from tests.airflow_runs import run_dag
from tests.dags.cutting_proxy import cutting_proxy
from tests.own_containers import own_containers
from tests.prerequisites import docker_engine

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.docker,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets of broken connections
]

IMAGE = "python:3.11-slim-bookworm"
TALK = "for line in 1 2 3 4 5; do echo line $line; sleep {seconds}; done; echo '[5]' > /data/said.json"


@pytest.fixture(scope="module")
def engine():
    with docker_engine(IMAGE) as client:
        yield client


@pytest.fixture
def talk(engine, definitions, data_dir, monkeypatch):
    """Run a step that talks; its connection breaks at one moment. Returns the outcome and the proxy."""
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "docker")

    def run(call, moment, seconds=0.1, limit=3600, **more):
        step = {"id": "talk", "name": "Talk", "image": IMAGE, "command": TALK.format(seconds=seconds)}
        step |= {"timeout_seconds": limit, "input_file": [], "output_file": ["said.json"]}
        definitions(talk={"workflow_name": "test-pipeline", "containers": [step]})
        with cutting_proxy(call, moment, **more) as proxy:
            monkeypatch.setenv("DOCKER_HOST", proxy.url)
            return run_dag("test_pipeline"), proxy

    yield run
    for left in own_containers(engine, data_dir):
        left.remove(force=True)


@pytest.mark.parametrize(
    ("call", "moment"),
    [
        ("image", "before"),
        ("create", "before"),
        ("create", "after"),
        ("start", "before"),
        ("start", "after"),
        ("logs", "before"),
        ("logs", "amid"),
        ("wait", "before"),
        ("wait", "after"),
        ("inspect", "before"),
        ("inspect", "after"),
    ],
)
def test_a_connection_that_breaks_is_tried_again_without_a_second_container(talk, engine, data_dir, call, moment):
    outcome, proxy = talk(call, moment)
    assert proxy.cuts == 1, "the connection must have been broken"
    assert outcome.state == "success"
    assert outcome.folder.result("talk").attempt == 2
    assert (proxy.answered("create", 201), proxy.answered("start", 204)) == (1, 1), "the step runs once"
    assert json.loads((outcome.folder.files / "said.json").read_text()) == [5]
    assert own_containers(engine, data_dir) == [], "orphans"


def test_a_step_that_ended_in_time_counts_though_nobody_could_see_it_until_its_deadline_had_passed(talk):
    outcome, proxy = talk("wait", "before", times=2, slow="logs", limit=5)
    assert outcome.state == "success"
    assert outcome.folder.result("talk").attempt == 3
    assert proxy.answered("create", 201) == 1


def test_a_request_that_arrives_after_its_attempt_gave_up_makes_no_container(talk, engine, data_dir):
    """It names a work folder that the next attempt has removed."""
    outcome, proxy = talk("create", "late", seconds=0.4)
    assert outcome.state == "success"
    assert [proxy.answered("create", status) for status in (201, 400)] == [1, 1]
    assert proxy.answered("start", 204) == 1
    assert own_containers(engine, data_dir) == [], "orphans"


def test_a_container_that_could_not_be_removed_is_left_to_the_janitor(talk, engine, data_dir, monkeypatch):
    outcome, _ = talk("remove", "before")
    assert (outcome.state, outcome.folder.result("talk").attempt) == ("success", 1), "the result counts all the same"
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setattr("plugins.steps.runtimes.docker.YOUNG_SECONDS", 0)
    assert len(own_containers(engine, data_dir)) == 1
    assert run_dag("maintenance").state == "success"
    assert own_containers(engine, data_dir) == []
