"""The disk that holds the data folder fills up while a step writes: said in words, nothing accepted, mended by a clear.

Airflow's own records lie on another disk here, so that what is tested is ours.
"""

import json
import shutil
import subprocess
from contextlib import suppress

import pytest

from tests.e2e.running_airflow import running_airflow, until
from tests.prerequisites import docker_engine, need

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.docker,
    pytest.mark.timeout(600),
    pytest.mark.e2e,
]

IMAGE = "python:3.11-slim-bookworm"
DISK_MB, BIG_MB = 24, 4
WRITE = f"""
row = b"2026-03-01T00:00:00Z,A,1.0\\n"
with open("/data/big.csv", "wb", buffering=0) as file:
    file.write(b"timestamp,household_id,power_consumption\\n")
    for _ in range({BIG_MB} * 4):
        rows = row * (256 * 1024 // len(row))
        assert file.write(rows) == len(rows) or file.write(rows)
print("written")
"""
FILL = f"""
with open("/data/fill.txt", "wb", buffering=0) as file:
    try:
        for _ in range({BIG_MB} * 256):
            file.write(b"x" * 4096)
    except OSError:
        pass
"""


def definition(name, command, output):
    step = {"id": "write", "name": "Write", "image": IMAGE, "command": ["python", "-c", command]}
    return {"workflow_name": name, "containers": [step | {"input_file": [], "output_file": [output]}]}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A folder whose data folder is a disk of its own; `ballast` in it takes what a test does not leave free."""
    folder = tmp_path_factory.mktemp("full")
    data = folder / "data"
    data.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", data]
    mounted = subprocess.run(command, capture_output=True, check=False)
    need(mounted.returncode == 0, "the right to mount a small file system", "run the tests as root")
    yield data
    subprocess.run(["umount", "-l", data], check=True)


@pytest.fixture(scope="module")
def airflow(disk):
    with docker_engine(IMAGE):
        definitions = disk.parent / "definitions"
        definitions.mkdir()
        for name, command, output in (("write", WRITE, "big.csv"), ("fill", FILL, "fill.txt")):
            document = definition(f"{name}-pipeline", command, output)
            (definitions / f"{name}.json").write_text(json.dumps(document))
        settings = {"GROUNDTRUTH_RUNTIME": "docker", "GROUNDTRUTH_DEFINITIONS_DIR": str(definitions)}
        with running_airflow(disk.parent, "write_pipeline", 8340, **settings) as running:
            for name in ("write_pipeline", "fill_pipeline"):
                running.of(name).unpause()
            yield running


@pytest.fixture
def ballast(disk):
    """Takes all of the disk but 2 MB; removed at the end."""
    file = disk / "ballast"
    file.write_bytes(b"\0" * (shutil.disk_usage(disk).free - BIG_MB // 2 * 1024 * 1024))
    yield file
    file.unlink(missing_ok=True)


def log_of(airflow, run, *tasks):
    """What the first attempts of tasks said."""
    told = [airflow.dag("GET", f"/dagRuns/{run}/taskInstances/{task}/logs/1")["content"] for task in tasks]
    return [each["event"] for content in told for each in content]


def cleared(airflow, run):
    """A run's state after its step was cleared."""
    tries = airflow.tries(run)["write"]
    airflow.clear(run, "write")
    until(lambda: airflow.tries(run)["write"] > tries, seconds=60, every=0.3)
    return airflow.wait(run)


def test_a_step_that_fills_the_disk_says_so_and_is_green_once_there_is_room(airflow, ballast):
    airflow.trigger("full")
    assert airflow.wait("full") == "failed"
    assert {each["task_id"]: each["state"] for each in airflow.tasks("full")}["write"] == "failed", log_of(
        airflow, "full", "prepare"
    )
    error = airflow.result("full", "write")["error"]
    assert error["kind"] == "setup"
    assert error["message"].startswith("the disk is full: free some space and run again (")
    assert "No space left on device" in error["message"]
    assert f"MB free at {airflow.folder('full')})" in error["message"]
    assert airflow.result("full", "write")["outputs"] == [], "half a file is no result"
    ballast.unlink()
    assert cleared(airflow, "full") == "success"
    rows = (airflow.folder("full") / "files" / "big.csv").read_bytes().splitlines()
    assert len(rows) > 100_000
    assert airflow.report("full")["overall_status"] == "success"


def test_an_output_that_leaves_no_room_to_be_sealed_is_no_success_and_makes_room_for_the_result(airflow, ballast):
    """The step itself succeeds here, and leaves no room for its copy, nor for a word about it."""
    fill = airflow.of("fill_pipeline")
    fill.trigger("untold")
    assert fill.wait("untold") == "failed"
    told = fill.result("untold", "write")
    assert (told["status"], told["error"]["kind"]) == ("failed", "setup")
    assert told["error"]["message"].endswith("fill.txt: cannot be sealed: No space left on device")
    left = [path.name for path in fill.folder("untold").rglob("fill.txt")]
    assert left == [], "what it wrote has made room for the verdict"
    assert fill.report("untold")["failure_point"]["task"] == "write"
    ballast.unlink()
    assert cleared(fill, "untold") == "success"
    assert fill.result("untold", "write")["outputs"][0]["bytes"] == BIG_MB * 1024 * 1024


def test_a_run_that_finds_no_room_at_all_is_red_and_green_once_there_is_some(airflow, ballast, disk):
    """Nothing can be written, no verdict and no report: Airflow's own state and log say so."""
    with ballast.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    airflow.trigger("no-room")
    assert airflow.wait("no-room") == "failed"
    assert not list(airflow.folder("no-room").rglob("*.*"))
    said = log_of(airflow, "no-room", "prepare", "report")
    assert len([each for each in said if "cannot be written: No space left on device" in each]) >= 2
    ballast.unlink()
    airflow.clear("no-room", "prepare")
    until(lambda: airflow.wait("no-room") == "success", every=0.3)
