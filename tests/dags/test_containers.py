"""The docker runtime on a real engine: the policy seen from inside, foreign images, lies, kills, limits."""

import gc
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from include.core.settings import get_settings
from include.energy.domain import ENERGY
from tests.airflow_runs import ROOT, run_dag
from tests.own_containers import own_containers
from tests.prerequisites import docker_engine

pytestmark = [pytest.mark.airflow, pytest.mark.docker]

IMAGE = "python:3.11-slim-bookworm"
DAY = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}


@pytest.fixture(scope="module")
def engine():
    with docker_engine(IMAGE, ENERGY.step_image) as client:
        yield client


@pytest.fixture(autouse=True)
def docker_runtime(engine, monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "docker")
    get_settings.cache_clear()


@pytest.fixture
def containers(engine, data_dir):
    """This test's own containers now, also those that have ended; others may use the same engine."""

    def find(**options):
        return own_containers(engine, data_dir, **options)

    return find


@pytest.fixture
def no_leftovers(containers):
    yield
    assert [container.name for container in containers()] == []


def pipeline(*containers):
    return {"workflow_name": "test-pipeline", "containers": list(containers)}


def container(name, command, reads=(), writes=(), **more):
    files = {"input_file": list(reads), "output_file": list(writes)}
    return {"id": name, "name": name, "image": IMAGE, "command": command, **files, **more}


LOOK_AROUND = """
import json, os, pathlib
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
def writable(path):
    try:
        (pathlib.Path(path) / "probe").write_text("x")
    except OSError as error:
        return error.strerror
    (pathlib.Path(path) / "probe").unlink()
    return "writable"
json.dump({
    "uid": os.getuid(),
    "network": sorted(os.listdir("/sys/class/net")),
    "capabilities": [status[name].strip() for name in ("CapPrm", "CapEff", "CapBnd")],
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "first_process": open("/proc/1/comm").read().strip(),
    "places": {path: writable(path) for path in ("/", "/etc", "/usr", "/var/tmp", "/tmp", "/data")},
    "mounts": sorted({line.split()[1] for line in open("/proc/mounts") if line.startswith("/dev/")}),
    "environment": sorted(os.environ),
}, open("/data/seen.json", "w"))
"""


def test_the_policy_as_a_step_sees_it(definitions, no_leftovers):
    definitions(look=pipeline(container("look", ["python", "-c", LOOK_AROUND], writes=["seen.json"])))
    outcome = run_dag("test_pipeline")
    assert outcome.state == "success"
    seen = json.loads((outcome.folder.files / "seen.json").read_text())
    assert seen["uid"] == get_settings().step_uid != 0
    assert seen["network"] == ["lo"]
    assert set(seen["capabilities"]) == {"0" * 16}
    assert seen["no_new_privileges"] == "1"
    assert seen["first_process"] in ("docker-init", "tini")
    refused = {path for path, answer in seen["places"].items() if answer != "writable"}
    assert refused == {"/", "/etc", "/usr", "/var/tmp"}  # noqa: S108
    assert "/data" in seen["mounts"]
    engines_own = {"/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/usr/sbin/docker-init", "/sbin/docker-init"}
    assert set(seen["mounts"]) <= {"/data", *engines_own}
    assert not [name for name in seen["environment"] if "AIRFLOW" in name or "GROUNDTRUTH" in name]


def test_limits_and_labels_as_the_engine_sees_them(definitions, containers, no_leftovers):
    definitions(
        limits=pipeline(
            container("nap", "sleep 3; echo '[1]' > $DATA_DIR/a.json", writes=["a.json"], memory_mb=128, cpus=0.5)
        )
    )
    found = {}

    def look():
        for _ in range(200):
            for each in containers(running=True):
                found.update(each.attrs)
                return
            time.sleep(0.1)

    watcher = threading.Thread(target=look)
    watcher.start()
    outcome = run_dag("test_pipeline")
    watcher.join()
    assert outcome.state == "success"
    host = found["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 128 * 1024 * 1024
    assert host["NanoCpus"] == 500_000_000
    assert host["PidsLimit"] == 256
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    labels = found["Config"]["Labels"]
    assert labels["io.groundtruth.dag"] == "test_pipeline"
    assert labels["io.groundtruth.step"] == "nap"
    assert labels["io.groundtruth.try"] == "1"


def test_the_report_is_byte_equal_in_both_runtimes(monkeypatch, data_dir, no_leftovers):
    in_containers = run_dag("energy_pipeline", DAY)
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "local")
    in_process = run_dag("energy_pipeline", DAY)
    assert in_containers.state == in_process.state == "success"
    for name in ("energy_data.csv", "output1.json", "rejected.csv", "output2.json", "energy_report.csv"):
        assert (in_containers.folder.files / name).read_bytes() == (in_process.folder.files / name).read_bytes(), name
    assert [step["runtime"] for step in in_containers.report["steps"]] == ["docker"] * 3
    assert in_containers.report["steps"][1]["image"].startswith("sha256:")
    assert (data_dir / "published/energy/manual/2026-03-01/energy_report.csv").exists()


def test_a_foreign_image_that_honours_the_file_contract_is_a_step(definitions, no_leftovers):
    rows = "\\n".join(f"2026-03-01T{hour:02}:00:00Z,A,{hour / 10},230,5" for hour in range(24))
    good = json.loads((ROOT / "include/config/energy-pipeline.json").read_text())
    header = "timestamp,household_id,power_consumption,voltage,current"
    good["containers"][0] |= {"image": IMAGE, "command": f"printf '{header}\\n{rows}\\n' > /data/energy_data.csv"}
    good["containers"][0]["output_file"] = "/data/energy_data.csv"
    definitions(energy=good)
    outcome = run_dag("energy_pipeline", DAY)
    assert outcome.state == "success"
    assert outcome.report["steps"][1]["output_summary"]["records_out"] == 24
    assert outcome.report["steps"][0]["script"].startswith("sh -c printf")


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ("true", "output1.json: must exist"),
        (": > /data/output1.json", "output1.json: must not be empty"),
        ("echo '{\"records_in\": 1' > /data/output1.json", "output1.json: must be valid JSON"),
        ("echo '{\"records_in\": 1}' > /data/output1.json", "must keep to its schema"),
        ("echo '{}' > /tmp/output1.json", "output1.json: must exist"),
        ("ln -s /etc/passwd /data/output1.json", "must be a regular file, reached without a link"),
        ("echo '{}' > /data/output1.json; echo x > /data/more.txt", "more.txt: must not be written"),
        ('mkdir -p /data/steps/a && echo \'{"status": "success"}\' > /data/steps/a/result.json', "did not declare it"),
    ],
)
def test_a_container_that_lies_for_the_analyzer_fails_with_the_rule_it_broke(definitions, command, rule, no_leftovers):
    lying = json.loads((ROOT / "include/config/energy-pipeline.json").read_text())
    lying["containers"][1] |= {"image": IMAGE, "command": command}
    definitions(energy=lying)
    outcome = run_dag("energy_pipeline", DAY | {"households": 2})
    assert outcome.state == "failed"
    assert rule in outcome.error("energy-analyzer")
    assert outcome.folder.result("energy-analyzer").error.kind == "contract"
    assert outcome.tasks["report-generator"] == "upstream_failed"
    assert outcome.report["failure_point"]["task"] == "energy-analyzer"


def test_a_container_can_neither_remove_nor_change_its_inputs(definitions, no_leftovers):
    lying = json.loads((ROOT / "include/config/energy-pipeline.json").read_text())
    command = "rm /data/energy_data.csv; echo x > /data/energy_data.csv"
    lying["containers"][1] |= {"image": IMAGE, "command": command}
    definitions(energy=lying)
    outcome = run_dag("energy_pipeline", DAY | {"households": 2})
    assert outcome.state == "failed"
    assert outcome.error("energy-analyzer").endswith("cannot create /data/energy_data.csv: Read-only file system")
    assert (outcome.folder.files / "energy_data.csv").stat().st_size > 10


def test_a_run_survives_every_container_being_killed_once(containers, no_leftovers):
    killed, done = set(), threading.Event()

    def kill_each_once():
        while not done.wait(0.05):
            for each in containers(running=True):
                step = each.labels["io.groundtruth.step"]
                if step not in killed:
                    each.kill()
                    killed.add(step)

    killer = threading.Thread(target=kill_each_once)
    killer.start()
    try:
        outcome = run_dag("energy_pipeline", DAY)
    finally:
        done.set()
        killer.join()
    assert killed == {"energy-generator", "energy-analyzer", "report-generator"}
    assert outcome.state == "success"
    assert [step["attempt"] for step in outcome.report["steps"]] == [2, 2, 2]


def test_a_step_without_enough_memory_says_so(definitions, no_leftovers):
    definitions(
        hungry=pipeline(
            container("hungry", ["python", "-c", "b'x' * (1 << 30)"], writes=["never.csv"], memory_mb=64),
        )
    )
    outcome = run_dag("test_pipeline")
    assert outcome.state == "failed"
    assert outcome.error("hungry") == ("ran out of memory: its limit is 64 MB (memory_mb in the pipeline definition)")
    assert outcome.folder.result("hungry").attempt == 1


def test_a_program_that_its_image_lacks_is_named_and_leaves_no_container(definitions, no_leftovers):
    definitions(lost=pipeline(container("lost", ["/nowhere/program"], writes=["never.csv"])))
    outcome = run_dag("test_pipeline")
    assert outcome.state == "failed"
    assert "/nowhere/program" in outcome.error("lost")


def test_a_container_that_somebody_removed_is_made_anew(definitions, containers, no_leftovers):
    removed = threading.Event()

    def remove_the_first():
        while not removed.wait(0.05):
            for each in containers(running=True):
                time.sleep(1)
                each.remove(force=True)
                removed.set()

    definitions(nap=pipeline(container("nap", "sleep 3; echo '[1]' > $DATA_DIR/a.json", writes=["a.json"])))
    remover = threading.Thread(target=remove_the_first)
    remover.start()
    outcome = run_dag("test_pipeline")
    removed.set()
    remover.join()
    assert outcome.state == "success"
    assert outcome.folder.result("nap").attempt == 2


def test_a_container_past_its_deadline_is_stopped_even_if_it_ignores_sigterm(definitions, no_leftovers):
    definitions(
        stubborn=pipeline(
            container("stubborn", "trap '' TERM; sleep 60 & wait; sleep 60", writes=["never.csv"], timeout_seconds=3)
        )
    )
    outcome = run_dag("test_pipeline")
    assert outcome.state == "failed"
    assert "took longer than its limit of 3 s" in outcome.error("stubborn")


def test_a_missing_image_names_the_command_that_builds_it(monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_ENERGY_IMAGE", "groundtruth-energy:nowhere")
    outcome = run_dag("energy_pipeline", DAY)
    assert outcome.state == "failed"
    assert outcome.error("energy-generator") == (
        "the image groundtruth-energy:nowhere is not on the Docker engine; build it with `make images`"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of the provider's failed hook
def test_a_stopped_engine_is_waited_for_and_then_named(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    outcome = run_dag("energy_pipeline", DAY)
    assert outcome.state == "failed"
    assert outcome.error("energy-generator") == (
        "the Docker engine at unix:///nowhere/docker.sock does not answer: start it, or run with --runtime local"
    )
    assert outcome.folder.result("energy-generator").attempt == 4
    gc.collect()  # or the sockets are found in a later test


def test_lines_arrive_in_the_log_while_the_step_runs(definitions, tmp_path, data_dir):
    folder = definitions(
        talk=pipeline(container("talk", "echo first; sleep 4; echo '[1]' > $DATA_DIR/a.json", writes=["a.json"]))
    )
    command = [sys.executable, "-m", "include.cli", "run", "test"]
    environment = os.environ | {"GROUNDTRUTH_DATA_DIR": str(data_dir), "GROUNDTRUTH_DEFINITIONS_DIR": str(folder)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen_while_running = False
    while process.poll() is None:
        logs = list(data_dir.glob("runs/*/*/airflow.log"))
        if logs and "first" in logs[0].read_text() and not list(data_dir.glob("runs/*/*/steps/talk/result.json")):
            seen_while_running = True
        time.sleep(0.1)
    assert process.returncode == 0
    assert seen_while_running


TALK = """
import json, os, sys
task = json.loads(os.environ["STEP_LOG"])
line = {"timestamp": "2026-01-01T00:00:00Z", "level": "warning", "event": "one meter is silent", "meters": 1}
print(json.dumps(line | task), flush=True)
print("a plain line", flush=True)
print(json.dumps(line | task | {"level": "error", "event": "error: no meter answers"}), flush=True)
sys.exit(65)
"""


def test_a_container_s_json_reads_well_and_its_last_error_is_the_task_s(definitions, no_leftovers, capsys):
    definitions(small=pipeline(container("talk", ["python", "-c", TALK], writes=["out.json"])))
    outcome = run_dag("test_pipeline")
    assert outcome.error("talk") == "no meter answers"
    lines = capsys.readouterr().out.splitlines()
    [silent] = [line for line in lines if "one meter is silent" in line]
    assert "[warning" in silent
    assert "step={" in silent
    assert "'meters': 1" in silent
    assert not [line for line in lines if '"event"' in line], "no JSON inside the log"
    assert [line for line in lines if "a plain line" in line and "[info" in line]


def test_our_image_logs_json_with_the_task_s_keys(engine):
    task = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 2}
    made = engine.containers.create(
        ENERGY.step_image,
        "python -m include.energy energy-analyzer",
        environment={"STEP_LOG": json.dumps(task)},
    )
    try:
        made.start()
        assert made.wait()["StatusCode"] == 65
        lines = [json.loads(line) for line in made.logs().splitlines()]
    finally:
        made.remove(force=True)
    assert [line["event"] for line in lines] == ["error: energy_data.csv: there is no such file"]
    assert all(task.items() <= line.items() for line in lines)
