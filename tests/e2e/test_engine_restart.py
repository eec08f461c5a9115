"""The engine goes and comes back amid a step: never two containers, none left behind, and the right result.

An engine that goes takes its containers along, unless it runs with `--live-restore`. A step that was ended so begins
anew; one that ran on is taken up.
"""

import gc
import json
import threading
import time

import pytest

from include.core.settings import get_settings
from tests.airflow_runs import run_dag
from tests.e2e.own_engine import own_engine
from tests.e2e.running_airflow import until
from tests.prerequisites import docker_engine

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.docker,
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets of broken connections
]

IMAGE = "python:3.11-slim-bookworm"
LINES = 60
TALK = f"""
import json, time
for number in range({LINES}):
    print(f"line {{number}}", flush=True)
    time.sleep(0.1)
json.dump([{LINES}], open("/data/said.json", "w"))
"""


@pytest.fixture(scope="module")
def own():
    with docker_engine(IMAGE), own_engine(IMAGE) as engine:
        yield engine


@pytest.fixture(params=[[], ["--live-restore"]], ids=["plain", "live-restore"])
def engine(own, request):
    own.stop()
    own.start(*request.param)
    own.options = request.param
    return own


class Watch:
    """Every container of an engine that could be seen, and how many ran at once."""

    def __init__(self, engine):
        self.engine, self.seen, self.at_once, self.over = engine, set(), 0, threading.Event()
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while not self.over.wait(0.1):
            found = self.engine.containers() or {}
            self.seen |= set(found)
            self.at_once = max(self.at_once, list(found.values()).count("running"))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


@pytest.fixture
def run_amid(tmp_path, data_dir, monkeypatch):
    """Run a step, and do something to the engine while it is at work."""
    step = {"id": "talk", "name": "Talk", "image": IMAGE, "command": ["python", "-c", TALK]}
    step |= {"input_file": [], "output_file": ["said.json"]}
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "talk.json").write_text(json.dumps({"workflow_name": "test-pipeline", "containers": [step]}))
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "docker")
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(folder))

    def run(engine, *deeds):
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        get_settings.cache_clear()
        with Watch(engine) as watch:

            def meddle():
                until(lambda: watch.at_once, seconds=60)
                time.sleep(1.5)
                for deed in deeds:
                    deed()

            meddler = threading.Thread(target=meddle)
            meddler.start()
            outcome = run_dag("test_pipeline")
            meddler.join()
        return outcome, watch

    yield run
    gc.collect()  # what failed clients left open, while it is not yet another test's


def restart(engine, seconds_away=1):
    engine.stop()
    time.sleep(seconds_away)
    engine.start(*engine.options)


def test_a_restart_amid_a_step(engine, run_amid, capsys):
    outcome, watch = run_amid(engine, lambda: restart(engine))
    assert outcome.state == "success"
    assert json.loads((outcome.folder.files / "said.json").read_text()) == [LINES]
    assert outcome.folder.result("talk").attempt > 1, "the restart must have hit the step"
    assert len(watch.seen) == (1 if engine.options else 2), "only a step that the engine ended begins anew"
    assert watch.at_once == 1, "never two at once"
    assert engine.containers() == {}, "orphans"
    with capsys.disabled():
        print(f"\nengine restart {engine.options}: steps run twice at once 0, orphans 0, lost results 0")  # noqa: T201


def test_the_power_fails_amid_a_step(own, run_amid):
    own.options = []
    own.stop()
    own.start()
    outcome, watch = run_amid(own, own.lose_power, own.start)
    assert outcome.state == "success"
    assert json.loads((outcome.folder.files / "said.json").read_text()) == [LINES]
    assert len(watch.seen) == 2
    assert watch.at_once == 1, "never two at once"
    assert own.containers() == {}, "orphans"


def test_an_engine_that_stays_away_is_named_and_what_runs_on_is_the_janitors(own, run_amid, monkeypatch):
    own.options = ["--live-restore"]
    own.stop()
    own.start(*own.options)
    outcome, _ = run_amid(own, own.stop)
    assert outcome.state == "failed"
    assert outcome.error("talk") == (
        f"the Docker engine at {own.url} does not answer: start it, or run with --runtime local"
    )
    assert outcome.folder.result("talk").attempt == 4
    own.start(*own.options)
    assert len(own.containers()) == 1
    monkeypatch.setattr("plugins.steps.runtimes.docker.YOUNG_SECONDS", 0)
    assert run_dag("maintenance").state == "success"
    assert own.containers() == {}, "orphans"
