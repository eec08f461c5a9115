"""Steps in containers outlive the process that began them: run once, with a whole log and a result that counts.

Airflow notices a dead supervisor after its heartbeat time-out, here 10 s instead of 300. Killed are the task, its
supervisor, or both at once, as where a worker or its machine dies; workers of Celery are killed in
`test_stack_faults.py`.
"""

import json
import random
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest

from include.energy.domain import ENERGY
from tests.e2e.running_airflow import ROOT, running_airflow, until
from tests.own_containers import own_containers
from tests.prerequisites import docker_engine

pytestmark = [pytest.mark.airflow, pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(900)]

IMAGE = "python:3.11-slim-bookworm"
LINES, MOMENTS, AT_ONCE = 30, 20, 4
VICTIMS = ("task", "supervisor", "both")
HOUSEHOLDS, KILLS = 100, 5
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


LATE = definition("late-pipeline", timeout_seconds=8)
LATE["containers"][0]["command"] = ["sleep", "120"]


@pytest.fixture
def tell(capsys):
    """Say what held, once all of it was asserted."""

    def say(what):
        with capsys.disabled():
            print(f"\n{what}; steps run twice 0, orphans 0, lost results 0 (heartbeat time-out 10 s)")  # noqa: T201

    return say


@pytest.fixture(scope="module")
def engine():
    with docker_engine(IMAGE, ENERGY.step_image) as client:
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
        (definitions / "late-pipeline.json").write_text(json.dumps(LATE))
        shutil.copy(ROOT / "include" / "config" / "energy-pipeline.json", definitions)
        for number in range(MOMENTS):  # while nothing runs: SQLite refuses a second writer
            running.trigger(f"killed-{number}")
        for name in ("deaf_pipeline", "late_pipeline", "energy_pipeline"):
            until(lambda name=name: running.of(name).is_there(), every=0.3)
            running.of(name).unpause()
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
    return own_containers(engine, airflow.data, run=run)


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
    run, who, after = f"killed-{number}", VICTIMS[number % len(VICTIMS)], chance.uniform(0, 5)
    with suppress(psutil.NoSuchProcess):  # the task was quicker
        kill(process_of(airflow, run), who, after)
    return run, who, after, airflow.wait(run)


def kill(process, who, after=0.0):
    """Kill a task's process, its supervisor, or both, the supervisor first: it must not tell of the task's death."""
    victims = {"task": [process], "supervisor": [process.parent()], "both": [process.parent(), process]}[who]
    time.sleep(after)
    for victim in victims:
        victim.send_signal(signal.SIGKILL)


def test_killed_at_random_moments_each_step_runs_once_and_its_result_counts(airflow, engine, created, tell):
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
    tell(f"{MOMENTS} kills of task, supervisor or both")


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


def test_killed_past_its_deadline_the_step_is_stopped_by_the_next_attempt(airflow, engine, created):
    late = airflow.of("late_pipeline")
    late.trigger("late")
    process = process_of(late, "late")
    until(lambda: [each for each in containers(engine, airflow, "late") if each.status == "running"], every=0.3)
    kill(process, "both")
    assert late.wait("late") == "failed"
    error = late.result("late", "talk")["error"]
    assert (error["kind"], error["message"]) == (
        "timeout",
        "took longer than its limit of 8 s (timeout_seconds) and was stopped",
    )
    assert late.tries("late")["talk"] == 2
    assert len(created("late")) == 1
    assert containers(engine, airflow, "late") == [], "orphans"


def test_two_runs_at_once_under_random_kills_are_as_those_that_nobody_hurt(airflow, engine, created, tell):
    energy = airflow.of("energy_pipeline")
    weeks = {  # of their own: of two runs that publish the same, the one whose results are older is refused
        1: {"start": "2026-03-01T00:00:00Z", "end": "2026-03-08T00:00:00Z"},
        2: {"start": "2026-03-08T00:00:00Z", "end": "2026-03-15T00:00:00Z"},
    }
    runs = {
        f"{kind}-{seed}": week | {"households": HOUSEHOLDS, "seed": seed}
        for kind in ("hurt", "calm")
        for seed, week in weeks.items()
    }
    for run in ("hurt-1", "hurt-2"):
        energy.trigger(run, **runs[run])
    killed = kill_at_random(energy, ("hurt-1", "hurt-2"))
    for run in ("hurt-1", "hurt-2"):
        assert energy.wait(run) == "success", f"{run}: {killed}"
    assert len(killed) >= KILLS // 2, killed
    for run in ("calm-1", "calm-2"):
        energy.trigger(run, **runs[run])
    assert [energy.wait(run) for run in ("calm-1", "calm-2")] == ["success"] * 2
    for seed in (1, 2):
        hurt, calm = (energy.folder(f"{kind}-{seed}") / "files" for kind in ("hurt", "calm"))
        for name in ("energy_data.csv", "output1.json", "rejected.csv", "output2.json", "energy_report.csv"):
            assert (hurt / name).read_bytes() == (calm / name).read_bytes(), f"{name}: {killed}"
        assert len(created(f"hurt-{seed}")) == 3, f"each of the three steps runs once: {killed}"
        assert containers(engine, airflow, f"hurt-{seed}") == [], killed
        assert energy.report(f"hurt-{seed}")["overall_status"] == "success"
    tell(f"two runs at once, {len(killed)} kills")


def kill_at_random(airflow, runs):
    """Kill whatever task of some runs is at work, again and again at random moments; returns what was killed.

    No task is killed twice: it has four attempts in all, and shall not need them here; and one that has lost its
    supervisor has a parent that is not ours to kill.
    """
    chance, killed = random.Random(4), []  # noqa: S311 - no secret
    while len(killed) < KILLS and any(airflow.dag("GET", f"/dagRuns/{run}")["state"] != "success" for run in runs):
        time.sleep(chance.uniform(0.2, 2))
        found = [
            (run, task) for run in runs for task in airflow.tasks(run) if task["state"] == "running" and task["pid"]
        ]
        before = {(run, name) for run, name, _ in killed}
        fresh = [(run, task) for run, task in found if (run, task["task_id"]) not in before]
        for run, task in chance.sample(fresh, min(1, len(fresh))):
            who = chance.choice(VICTIMS)
            with suppress(psutil.NoSuchProcess):
                kill(psutil.Process(task["pid"]), who)
                killed.append((run, task["task_id"], who))
    return killed
