"""Steps in containers outlive the process that began them: run once, with a whole log and a result that counts.

Airflow notices a dead supervisor after its heartbeat time-out, here 10 s instead of 300.
"""

import json
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest

from tests.e2e.running_airflow import running_airflow, until
from tests.prerequisites import docker_engine

pytestmark = [pytest.mark.airflow, pytest.mark.docker, pytest.mark.timeout(900)]

IMAGE = "python:3.11-slim-bookworm"
LINES, MOMENTS, AT_ONCE = 30, 20, 4
TALK = f"""
import json, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN if "--deaf" in sys.argv else signal.SIG_DFL)
for number in range({LINES}):
    print(f"line {{number}}", flush=True)
    time.sleep(0.1)
json.dump([{LINES}], open("/data/said.json", "w"))
"""


def definition(name, *flags, **limits):
    step = {"id": "talk", "name": "Talk", "image": IMAGE, "command": ["python", "-c", TALK, *flags]}
    files = {"input_file": [], "output_file": ["said.json"]}
    return {"workflow_name": name, "containers": [step | files | limits]}


@pytest.fixture(scope="module")
def engine():
    with docker_engine(IMAGE) as client:
        yield client


@pytest.fixture(scope="module")
def airflow(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    definitions = folder / "definitions"
    definitions.mkdir()
    for name, flags in (("survival-pipeline", ()), ("deaf-pipeline", ("--deaf",))):
        (definitions / f"{name}.json").write_text(json.dumps(definition(name, *flags)))
    settings = {
        "GROUNDTRUTH_RUNTIME": "docker",
        "GROUNDTRUTH_DEFINITIONS_DIR": str(definitions),
        "AIRFLOW__CORE__PARALLELISM": str(AT_ONCE + 2),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    }
    with running_airflow(folder, "survival_pipeline", 8320, **settings) as running:
        for number in range(MOMENTS):  # while nothing runs: SQLite refuses a second writer
            running.trigger(f"killed-{number}")
        running.of("deaf_pipeline").unpause()
        running.unpause()
        yield running


@pytest.fixture(scope="module")
def created(engine, airflow):
    """Ids of the containers that were created for a run; the engine itself remembers few events."""
    wanted = {"type": "container", "event": "create", "label": f"io.groundtruth.data={airflow.data}"}
    stream, events = engine.events(filters=wanted, decode=True), []

    def listen():
        for event in stream:
            events.append(event)  # noqa: PERF402 - each is wanted as it comes

    listener = threading.Thread(target=listen)
    listener.start()
    yield lambda run: [each["id"] for each in events if each["Actor"]["Attributes"]["io.groundtruth.run"] == run]
    stream.close()
    listener.join()


def containers(engine, airflow, run):
    labels = [f"io.groundtruth.data={airflow.data}", f"io.groundtruth.run={run}"]
    return engine.containers.list(all=True, filters={"label": labels}, ignore_removed=True)


def process_of(airflow, run):
    """The task's process, once it is at work."""

    def find():
        task = next((each for each in airflow.tasks(run) if each["task_id"] == "talk"), {})
        return task.get("pid") if task.get("state") == "running" else None

    return psutil.Process(until(find, seconds=600, every=0.3))


def log_of(airflow, run, attempt):
    found = airflow.dag("GET", f"/dagRuns/{run}/taskInstances/talk/logs/{attempt}")
    return [each["event"] for each in found["content"]]


def kill_at_a_random_moment(airflow, number):
    """Kill a run's task or the task's supervisor at some moment, and wait for the run's end."""
    chance = random.Random(number)  # noqa: S311 - no secret
    run, who, after = f"killed-{number}", ("task", "supervisor")[number % 2], chance.uniform(0, 5)
    with suppress(psutil.NoSuchProcess):  # the task was quicker
        process = process_of(airflow, run)
        victim = process if who == "task" else process.parent()
        time.sleep(after)
        victim.send_signal(signal.SIGKILL)
    return run, who, after, airflow.wait(run)


def test_killed_at_random_moments_each_step_runs_once_and_its_result_counts(airflow, engine, created):
    with ThreadPoolExecutor(MOMENTS) as pool:
        ended = list(pool.map(lambda number: kill_at_a_random_moment(airflow, number), range(MOMENTS)))
    again = 0
    for run, who, after, state in ended:
        story = f"{run}: {who} killed after {after:.2f} s"
        assert state == "success", story
        assert len(created(run)) == 1, f"{story}: the step ran {len(created(run))} times"
        assert containers(engine, airflow, run) == [], story
        assert json.loads((airflow.folder(run) / "files" / "said.json").read_text()) == [LINES], story
        last = airflow.tries(run)["talk"]
        said = [line for line in log_of(airflow, run, last) if line.startswith("line ")]
        if last == 1 or airflow.result(run, "talk")["attempt"] == last:
            assert said == [f"line {number}" for number in range(LINES)], story
        again += last > 1
    assert again >= MOMENTS // 2, "most of the kills must have hit a task at work"


def test_a_step_that_somebody_cleared_runs_again(airflow, created):
    airflow.trigger("cleared")
    assert airflow.wait("cleared") == "success"
    airflow.clear("cleared", "talk")
    until(lambda: airflow.wait("cleared") == "success" and len(created("cleared")) == 2, every=0.3)


def test_marked_as_failed_the_container_stops_though_it_does_not_listen(airflow, engine):
    deaf = airflow.of("deaf_pipeline")
    deaf.trigger("unwanted")
    until(lambda: [each for each in containers(engine, airflow, "unwanted") if each.status == "running"], every=0.3)
    deaf.dag("PATCH", "/dagRuns/unwanted/taskInstances/talk", {"new_state": "failed"})
    until(lambda: not [each for each in containers(engine, airflow, "unwanted") if each.status == "running"], 30)
    assert deaf.wait("unwanted") == "failed"
