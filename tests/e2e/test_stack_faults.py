"""Celery workers of the full stack are killed at twenty random moments while runs go on; `make e2e` runs it.

A killed worker takes its supervisors and tasks along. What it leaves are containers, tasks that Airflow believes to run
until its heartbeat time-out, here 15 s instead of 300, and tasks that it believes to be queued though the message
died with the worker, here for 30 s instead of 600 (`[scheduler] task_queued_timeout`).
"""

import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest
import yaml

from tests.docker_proxy.stack import docker
from tools import stack as tool
from tools.own_stack import override

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.e2e,
]

WORKERS, RUNS, KILLS, LINES = 2, 40, 20, 60
LABEL = "label=io.groundtruth"
TALK = f"""
import json, time
for number in range({LINES}):
    print(f"line {{number}}", flush=True)
    time.sleep(0.2)
json.dump([{LINES}], open("/data/said.json", "w"))
"""
STEP = {"id": "talk", "name": "Talk", "image": "groundtruth-energy:latest", "command": ["python", "-c", TALK]}
DEFINITION = {"workflow_name": "talk-pipeline", "containers": [STEP | {"input_file": [], "output_file": ["said.json"]}]}
QUEUED = {
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
}


@pytest.fixture(scope="module")
def talking(stack):
    """The stack with two workers and a pipeline whose step talks for a while; its runs wait to be let go."""
    (stack.definitions / "talk.json").write_text(json.dumps(DEFINITION))
    changed = override(dead_after=15)
    changed["services"]["scheduler"]["environment"] |= QUEUED
    (stack.folder / "docker-compose.override.yaml").write_text(yaml.safe_dump(changed))
    stack.compose("up", "-d", "--scale", f"worker={WORKERS}")
    assert tool.wait(*stack.containers()) == 0
    deadline = time.monotonic() + 120
    while "talk_pipeline" not in {each["dag_id"] for each in stack.call("GET", "/api/v2/dags")["dags"]}:
        assert time.monotonic() < deadline, "the DAG did not appear"
        time.sleep(1)
    for number in range(RUNS):
        body = {"dag_run_id": f"talk-{number}", "logical_date": None, "conf": {}}
        stack.dag("POST", "/dagRuns", body, dag="talk_pipeline")
    return stack


@pytest.fixture(scope="module")
def created(talking):
    """Runs whose containers were created, one line each time."""
    command = ["docker", "events", "--filter", "event=create", "--filter", f"{LABEL}.dag=talk_pipeline", "--format"]
    chosen = '{{index .Actor.Attributes "io.groundtruth.data"}} {{index .Actor.Attributes "io.groundtruth.run"}}'
    events = subprocess.Popen([*command, chosen], stdout=subprocess.PIPE, text=True)
    lines = []
    listener = threading.Thread(target=lambda: lines.extend(events.stdout))
    listener.start()
    data = str(talking.data)
    yield lambda: [line.split()[1] for line in lines if line.startswith(f"{data} ")]
    events.terminate()
    events.wait()
    listener.join()
    events.stdout.close()


def states(stack):
    found = stack.dag("GET", "/dagRuns?limit=100", dag="talk_pipeline")["dag_runs"]
    return [each["state"] for each in found if each["dag_run_id"].startswith("talk-")]  # not a scheduled one


def steps_at_work(stack, *options):
    """Return the ids of the containers of this stack's steps, one a line."""
    return docker("ps", "-q", *options, "--filter", f"{LABEL}.data={stack.data}")


def kill_a_worker(stack, chance):
    """Kill one of the workers with all that runs in it; a kill from outside, so that it is started again."""
    worker = chance.choice(stack.containers("worker"))
    process = int(docker("inspect", "-f", "{{.State.Pid}}", worker))
    if process:  # else it is just being started again
        os.kill(process, signal.SIGKILL)
    return bool(process)


def test_workers_killed_at_twenty_random_moments_each_step_runs_once_and_its_result_counts(talking, created, capsys):
    chance, killed = random.Random(20), 0  # noqa: S311 - no secret
    talking.dag("PATCH", "", {"is_paused": False}, dag="talk_pipeline")
    while killed < KILLS and set(states(talking)) & {"queued", "running"}:
        time.sleep(chance.uniform(3, 20))
        while killed % 2 and not steps_at_work(talking) and "running" in states(talking):
            time.sleep(0.2)  # every second kill waits for a step at work: on a slow machine most moments have none
        killed += kill_a_worker(talking, chance)
    while set(states(talking)) & {"queued", "running"}:
        time.sleep(1)
    assert killed == KILLS, "the runs were to last longer than the kills"
    assert states(talking) == ["success"] * RUNS
    began = sorted(run for run in created() if run.startswith("talk-"))
    assert began == sorted(f"talk-{number}" for number in range(RUNS)), "each step runs once"
    assert not steps_at_work(talking, "-a"), "orphans"
    runs = talking.data / "runs" / "talk_pipeline"
    assert [json.loads((runs / f"talk-{n}/files/said.json").read_text()) for n in range(RUNS)] == [[LINES]] * RUNS
    verdicts = [json.loads((runs / f"talk-{n}/steps/talk/result.json").read_bytes()) for n in range(RUNS)]
    again = sum(verdict["attempt"] > 1 for verdict in verdicts)
    assert again >= KILLS // 4, "many of the kills must have hit a step at work"
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{killed} kills of a Celery worker, {RUNS} runs, {again} taken up: steps run twice 0, orphans 0, "
            "lost results 0 (heartbeat time-out 15 s)"
        )
