"""`./pipeline run` as a person and as a script meets it: output, exit codes, signals, full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from include.cli import run
from include.core.run_folder import INTERRUPTED_MARK
from tests.own_containers import own_containers
from tests.prerequisites import docker_engine, need

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "python:3.11-slim-bookworm"
BIG = ("--set", "households=500", "--start", "2026-01-01", "--end", "2026-02-15")


def wait_for(process, data_dir, pattern, seconds=240):
    """Wait until a file of the run appears; Airflow begins late on a busy machine."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        matches = list(data_dir.glob(f"runs/*/*/{pattern}"))
        if matches:
            return matches[0]
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    raise AssertionError(f"{pattern} did not appear within {seconds} s")


def reports(data_dir):
    return [json.loads(path.read_bytes()) for path in data_dir.glob("runs/*/*/pipeline_report_*.json")]


def airflow_processes(data_dir):
    """What still runs of the runs in this data folder."""
    mine = f"GROUNDTRUTH_DATA_DIR={data_dir}".encode()
    commands = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (process / "environ").read_bytes():
                commands.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return [command for command in commands if b"airflow" in command or b"include" in command]


AIRFLOW = """#!{python} -S
import json, os, signal, sys, time
from pathlib import Path

folder = Path(os.environ["GROUNDTRUTH_RUN_FOLDER"])
print("Airflow says", *sys.argv[1:])
(folder / "environment.json").write_text(json.dumps(dict(os.environ)))
if sys.argv[3] == "stubborn":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
(folder / "begun").touch()
try:
    time.sleep(0 if sys.argv[3] == "quick" else 60)
except KeyboardInterrupt:
    sys.exit(3)
"""


@pytest.fixture
def airflow(tmp_path, monkeypatch):
    """A program in place of `airflow` that ends at once, can be interrupted, or ignores it; call it with its DAG."""
    program = tmp_path / "bin" / "airflow"
    program.parent.mkdir()
    program.write_text(AIRFLOW.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(run, "sys", SimpleNamespace(executable=str(program.with_name("python")), stdout=sys.stdout))
    folder = tmp_path / "run"
    begun = []

    def interrupt():
        if (folder / "begun").exists() and not begun:
            begun.append(os.kill(os.getpid(), signal.SIGTERM))

    def go(dag_id, watch=interrupt):
        return run.run_airflow(dag_id, {"seed": 1}, folder, {"GROUNDTRUTH_RUNTIME": "local"}, watch), folder

    return go


def test_airflow_runs_on_a_database_of_the_run_that_is_removed_and_logs_to_its_folder(airflow, data_dir):
    ended, folder = airflow("quick", lambda: None)
    assert ended == (0, False)
    assert (folder / "airflow.log").read_text() == 'Airflow says dags test quick --conf {"seed": 1}\n'
    variables = json.loads((folder / "environment.json").read_text())
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{folder}/.airflow.db"
    assert (variables["GROUNDTRUTH_DATA_DIR"], variables["GROUNDTRUTH_RUNTIME"]) == (str(data_dir), "local")
    assert not list(folder.glob(".airflow.db*"))


def test_a_signal_interrupts_airflow_and_marks_the_run(airflow, data_dir):
    ended, folder = airflow("patient")
    assert ended == (3, True)
    assert (folder / INTERRUPTED_MARK).exists()


def test_an_airflow_that_ignores_the_signal_is_killed_in_the_end(airflow, data_dir, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE_SECONDS", 0.3)
    ended, _ = airflow("stubborn")
    assert ended == (-signal.SIGKILL, True)


def test_airflow_is_interrupted_when_the_progress_can_no_longer_be_shown(airflow, data_dir, tmp_path):
    def closed_terminal():
        if (tmp_path / "run" / "begun").exists():
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        airflow("patient", closed_terminal)
    assert (tmp_path / "run" / INTERRUPTED_MARK).exists()


def test_json_on_stdout_is_exactly_the_report(call, data_dir):
    ended = call("run", "energy", "--date", "2026-03-01", "--set", "households=3", "--json")
    assert ended.code == 0, ended.stderr
    [report] = reports(data_dir)
    assert json.loads(ended.stdout) == report
    assert report["overall_status"] == "success"
    assert report["interval"] == {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
    summary = {step["id"]: step["output_summary"] for step in report["steps"]}["energy-analyzer"]
    assert summary["records_in"] == summary["records_out"] + summary["records_rejected"]
    assert summary["records_outside_window"] == 0
    for line in (
        "Step 1/3: Collect meter data …",
        "Step 2/3: Analyze meter data …",
        "Step 3/3: Report on meter data …",
    ):
        assert line in ended.stderr
    assert "✓ Step 3 completed successfully (" in ended.stderr
    assert (data_dir / "published/energy/2026-03-01/energy_report.csv").stat().st_size > 0


def test_the_last_line_of_stdout_is_the_reports_path_and_a_failed_step_ends_1(call, data_dir, tmp_path):
    meters = tmp_path / "meters.csv"
    lines = [f"2026-01-01T{hour:02}:00:00Z,A,x,230,1" for hour in range(24)]
    meters.write_text("\n".join(["timestamp,household_id,power_consumption,voltage,current", *lines, ""]))
    ended = call("run", "energy", "--csv", meters)
    assert ended.code == 1
    path = ended.stdout.splitlines()[-1].removeprefix("report: ")
    assert json.loads(Path(path).read_bytes())["overall_status"] == "failed"
    assert "✗ Step" in ended.stderr
    assert "unparsable_power_consumption" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (data_dir / "published").exists()


@pytest.mark.filterwarnings("ignore:Could not import graphviz")
def test_bare_airflow_dags_test_ends_1_on_failure_with_the_report(data_dir):
    import tests.airflow_runs  # noqa: F401 - sets Airflow's home

    # isort: split
    from airflow.cli.cli_parser import get_parser

    command = get_parser().parse_args(["dags", "test", "energy_pipeline", "--conf", '{"housholds": 3}'])
    with pytest.raises(SystemExit) as ended:
        command.func(command)
    assert ended.value.code == "DagRun failed"  # a text makes Python end with 1
    [report] = reports(data_dir)
    assert report["failure_point"]["message"] == "housholds: no such parameter; did you mean households?"


@pytest.mark.parametrize(
    ("step", "number"),
    [
        pytest.param("energy-generator", signal.SIGINT, marks=pytest.mark.e2e),
        pytest.param("energy-analyzer", signal.SIGINT, marks=pytest.mark.e2e),
        pytest.param("report-generator", signal.SIGINT, marks=pytest.mark.e2e),
        pytest.param("energy-analyzer", signal.SIGTERM, marks=pytest.mark.e2e),
    ],
)
def test_an_interrupt_in_each_step_ends_130_with_a_report_and_no_retry(start, data_dir, step, number):
    process = start("run", "energy", *BIG)
    wait_for(process, data_dir, f"steps/{step}/started.json")
    process.send_signal(number)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 130, stderr
    [report] = reports(data_dir)
    assert report["overall_status"] == "failed"
    assert report["failure_point"]["kind"] == "interrupted"
    statuses = [each["status"] for each in report["steps"]]
    assert statuses.count("failed") <= 1
    assert all(each["attempt"] in (None, 1) for each in report["steps"])
    assert not (data_dir / "published").exists()
    assert airflow_processes(data_dir) == []
    [files] = data_dir.glob("runs/*/*/files")
    assert [path.name for path in files.rglob(".*")] == [], "nothing half-written stays behind"


@pytest.mark.e2e
def test_an_interrupt_before_airflow_began_still_leaves_a_report(start, data_dir):
    process = start("run", "energy")
    wait_for(process, data_dir, "airflow.log")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 130, stderr
    [report] = reports(data_dir)
    assert report["overall_status"] != "success"
    assert airflow_processes(data_dir) == []


@pytest.mark.docker
def test_an_interrupt_stops_the_container(start, data_dir, definitions):
    nap = {"id": "nap", "name": "Nap", "image": IMAGE, "command": "sleep 60"}
    definitions(nap={"workflow_name": "nap-pipeline", "containers": [nap | {"output_file": "a.json"}]})
    with docker_engine(IMAGE) as engine:
        process = start("run", "nap", "--runtime", "docker")
        wait_for(process, data_dir, "steps/nap/started.json")
        while not own_containers(engine, data_dir, running=True):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=240)
        assert process.returncode == 130
        assert own_containers(engine, data_dir) == []


def test_an_unwritable_data_folder_is_named(start):
    process = start("run", "energy", GROUNDTRUTH_DATA_DIR="/proc/nowhere")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "/proc/nowhere" in stderr
    assert "cannot be written" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True, check=False
    )
    need(mounted.returncode == 0, "the right to mount a small file system", "run the tests as root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_said_in_words_and_leaves_nothing_half_published(call, small_disk, monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(small_disk))
    ended = call("run", "energy", *BIG)
    assert ended.code == 1
    assert "disk is full" in ended.stderr or "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (small_disk / "published").exists()


def test_a_second_run_of_the_same_day_replaces_what_was_published_at_once(call, data_dir):
    for seed in (1, 2):
        day = ("--date", "2026-03-01", "--set", f"seed={seed}", "--set", "households=2")
        assert call("run", "energy", *day).code == 0
    assert len(list(data_dir.glob("runs/energy_pipeline/*"))) == 2
    assert sorted(path.name for path in (data_dir / "published/energy").iterdir()) == ["2026-03-01"]
