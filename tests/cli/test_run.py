"""`./pipeline run` as a person and as a script meets it: output, exit codes, signals, full disks."""

import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from include.cli import run
from include.core.definitions.load import load_definition
from include.core.errors import SetupError
from include.core.leftovers import goes_on
from include.core.pipeline import Pipeline
from include.core.run_folder import INTERRUPTED_MARK, RunFolder
from include.energy.steps import ENERGY_STEPS
from include.reporting.archive import latest_report
from include.reporting.report import build_report, write_report
from tests.own_containers import own_containers
from tests.prerequisites import docker_engine, need
from tests.reporting import lost_runs
from tests.reporting.runs import NOW

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "python:3.11-slim-bookworm"
ENERGY = ROOT / "include/config/energy-pipeline.json"
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
        variables = {"GROUNDTRUTH_RUNTIME": "local"}
        stopping = lambda: go.said.append("stopping")  # noqa: E731
        return run.run_airflow(dag_id, {"seed": 1}, folder, variables, watch, stopping), folder

    go.said = []
    return go


def test_airflow_runs_on_a_database_of_the_run_that_is_removed_and_logs_to_its_folder(airflow, data_dir):
    ended, folder = airflow("quick", lambda: None)
    assert (ended, airflow.said) == ((0, False), [])
    assert (folder / "airflow.log").read_text() == 'Airflow says dags test quick --conf {"seed": 1}\n'
    variables = json.loads((folder / "environment.json").read_text())
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{folder}/.airflow.db"
    assert (variables["GROUNDTRUTH_DATA_DIR"], variables["GROUNDTRUTH_RUNTIME"]) == (str(data_dir), "local")
    assert not list(folder.glob(".airflow.db*"))


def test_a_signal_interrupts_airflow_and_marks_the_run(airflow, data_dir):
    ended, folder = airflow("patient")
    assert ended == (3, True)
    assert (folder / INTERRUPTED_MARK).exists()
    assert airflow.said == ["stopping"], "at once, and once"


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
    assert (data_dir / "published/energy/manual/2026-03-01/energy_report.csv").stat().st_size > 0


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
    assert "stopping: the steps under way are ended" in stderr
    [report] = reports(data_dir)
    assert report["overall_status"] == "failed"
    assert report["failure_point"]["kind"] == "interrupted"
    statuses = [each["status"] for each in report["steps"]]
    assert statuses.count("failed") <= 1
    assert all(each["attempt"] in (None, 1) for each in report["steps"])
    assert not (data_dir / "published").exists()
    assert airflow_processes(data_dir) == []
    [run] = data_dir.glob("runs/*/*")
    left = [path.name for folder in ("files", "work", "artifacts") for path in (run / folder).rglob(".*")]
    assert left == [], "nothing half-written stays behind"


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
    assert sorted(path.name for path in (data_dir / "published/energy/manual").iterdir()) == ["2026-03-01"]


# ── a run that died ──────────────────────────────────────────────────────────────────────────────────────────────────

DYING = """#!{python} -S
import os, shutil, sys
from pathlib import Path

folder = Path(os.environ["GROUNDTRUTH_RUN_FOLDER"])
shutil.copytree(os.environ["TREE"], folder, dirs_exist_ok=True)
print(os.environ["LAST_WORDS"], flush=True)
code = int(os.environ["CODE"])
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""
KILL = -int(signal.SIGKILL)


@pytest.fixture
def dying(tmp_path, data_dir, monkeypatch):
    """A program in place of Airflow that leaves records and dies; call it with what writes them, and its end."""
    program = tmp_path / "bin" / "airflow"
    program.parent.mkdir()
    program.write_text(DYING.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(run, "sys", SimpleNamespace(executable=str(program.with_name("python")), stdout=io.StringIO()))

    def go(phase, code, last_words=""):
        tree = RunFolder(tmp_path / "tree")
        tree.path.mkdir()
        phase(tree)
        environment = {"TREE": str(tree.path), "CODE": str(code), "LAST_WORDS": last_words}
        printed = io.StringIO()
        console = Console(file=printed, width=200)
        energy = Pipeline(load_definition(ENERGY, ENERGY_STEPS), ENERGY_STEPS)
        ended = run.run_pipeline(energy, {}, nullcontext(environment), as_json=False, console=console)
        latest = latest_report(data_dir / "runs", "*/*")
        return ended, json.loads(latest.read_bytes()), printed.getvalue()

    return go


def written(status):
    """A run whose report Airflow wrote itself."""

    def phase(folder):
        lost_runs.published(folder)
        report = build_report(folder, now=NOW).model_copy(update={"overall_status": status})
        write_report(folder, report)

    return phase


REASON = "It ended without a reason that could be found."
SIGNAL = "Airflow was killed by signal 9 (SIGKILL)."
DIED = "the worker died while it ran, so nothing of this attempt was accepted."
UNPUBLISHED = "after its last step, before its results were published"
BETWEEN = "The run ended before step 2, Analyze meter data, began."
FULL = f"{BETWEEN} Airflow ended with exit code 1. Its log says that the disk is full; "


@pytest.mark.parametrize(
    ("phase", "code", "words", "message"),
    [
        (lambda folder: None, KILL, "", f"The run ended before it was prepared. {SIGNAL}"),
        (lost_runs.preparing, KILL, "", f"Prepare the run: {DIED} {SIGNAL}"),
        (lost_runs.prepared, KILL, "", f"The run ended before step 1, Collect meter data, began. {SIGNAL}"),
        (lost_runs.first_step_done, KILL, "", f"{BETWEEN} {SIGNAL}"),
        (lost_runs.in_a_step, KILL, "", f"Analyze meter data: {DIED} {SIGNAL}"),
        (lost_runs.all_steps_done, KILL, "", f"The run ended {UNPUBLISHED}. {SIGNAL}"),
        (lost_runs.published, KILL, "", f"The run ended after its results were published. {SIGNAL}"),
        (written("success"), KILL, "", f"The run ended after its results were published. {SIGNAL}"),
        (lost_runs.first_step_done, 1, "", f"{BETWEEN} Airflow ended with exit code 1. {REASON}"),
        (lost_runs.first_step_done, 0, "", f"{BETWEEN} Airflow ended with exit code 0. {REASON}"),
        (lost_runs.first_step_done, 1, "OSError: [Errno 28] No space left on device", FULL),
        (lost_runs.first_step_done, 1, "sqlite3.OperationalError: database or disk is full", FULL),
    ],
)  # fmt: skip
def test_a_run_whose_airflow_died_is_never_running_nor_a_success(dying, phase, code, words, message):
    ended, report, printed = dying(phase, code, words)
    assert ended == 1
    assert report["overall_status"] == "failed"
    assert report["failure_point"]["kind"] == "lost"
    assert report["failure_point"]["message"].startswith(message)
    assert not {step["status"] for step in report["steps"]} & {"running", "pending"}
    assert message in printed.replace("\n", " ")
    assert "Traceback" not in printed


def test_a_report_that_airflow_wrote_stays_as_it_is(dying, data_dir):
    ended, report, _ = dying(written("failed"), 1)
    assert ended == 1
    assert len(reports(data_dir)) == 1
    assert report["failure_point"] is None


def test_the_last_words_of_airflow_cannot_steer_the_terminal(dying):
    _, _, printed = dying(lambda folder: None, 1, "\x1b[2J\x1b[Hall green")
    assert "\\x1b[2J\\x1b[Hall green" in printed
    assert "\x1b" not in printed


def test_a_nearly_full_disk_is_named_where_even_the_log_holds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run.shutil, "disk_usage", lambda folder: SimpleNamespace(free=300_000))
    words = f"Airflow ended with exit code 1. The disk is nearly full: 0.3 MB are free at {tmp_path}."
    assert run.describe_end(1, tmp_path) == words


def test_the_database_and_the_log_of_a_run_are_for_its_owner_alone(airflow, data_dir):
    modes = {}

    def look():
        for path in (data_dir.parent / "run").glob("*airflow*"):
            modes[path.name] = stat.S_IMODE(path.stat().st_mode)

    before = os.umask(0)
    try:
        airflow("patient", lambda: look() or (modes and os.kill(os.getpid(), signal.SIGTERM)))
    finally:
        os.umask(before)
    assert modes["airflow.log"] == 0o600
    assert modes[".airflow.db"] == 0o600


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_a_missing_or_damaged_template_is_a_sentence(airflow, data_dir, tmp_path, monkeypatch, content):
    monkeypatch.setattr(run, "AIRFLOW_HOME", tmp_path)
    if content is not None:
        (tmp_path / "template.db").write_bytes(content)
    with pytest.raises(SetupError, match=rf"^{tmp_path}/template\.db: .*; run tools/setup$"):
        airflow("quick", lambda: None)


def test_the_next_run_sweeps_what_a_killed_one_left_and_writes_its_report(data_dir):
    killed = RunFolder.of(data_dir, "energy_pipeline", "cli__killed")
    lost_runs.first_step_done(killed)
    for name in ("airflow.log", ".airflow.db", ".airflow.db-journal"):
        (killed.path / name).touch()
    half = data_dir / "published" / "energy" / ".2026-01-01.abcd1234"
    half.mkdir(parents=True)
    os.utime(half, (1, 1))
    printed = io.StringIO()
    run.sweep(data_dir, Console(file=printed, width=200))
    assert "the run cli__killed was killed; ./pipeline report cli__killed" in printed.getvalue()
    [report] = reports(data_dir)
    assert report["failure_point"]["message"].startswith("The run ended before step 2, Analyze meter data, began.")
    assert not list(killed.path.glob(".airflow.db*"))
    assert not half.exists()
    run.sweep(data_dir, Console(file=printed))
    assert len(reports(data_dir)) == 1


def airflow_below(process):
    """The Airflow that a command line has started."""
    [child] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


@pytest.mark.e2e
@pytest.mark.parametrize(
    "phase", ["airflow.log", "steps/prepare", "steps/energy-analyzer", "steps/publish/result.json"]
)
def test_a_killed_airflow_leaves_a_report_that_says_so(start, data_dir, phase):
    process = start("run", "energy", *BIG)
    wait_for(process, data_dir, phase)
    os.killpg(airflow_below(process), signal.SIGKILL)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 1
    [report] = reports(data_dir)
    assert report["overall_status"] == "failed"
    assert report["failure_point"]["message"].endswith(SIGNAL)
    assert "Traceback" not in stderr
    assert not list(data_dir.glob("runs/*/*/.airflow.db*"))


@pytest.mark.e2e
def test_a_command_line_that_is_killed_with_its_airflow_is_swept_by_the_next_one(start, call, data_dir):
    process = start("run", "energy", *BIG)
    folder = wait_for(process, data_dir, "steps/energy-analyzer").parents[1]
    airflow = airflow_below(process)
    process.kill()
    os.killpg(airflow, signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 10
    while goes_on(folder):  # a killed process ends when the system has freed its memory
        assert time.monotonic() < deadline, "something still holds the run's log"
        time.sleep(0.01)
    assert (folder / ".airflow.db").exists()
    assert call("run", "energy", "--set", "households=2").code == 0
    assert not list(data_dir.glob("runs/*/*/.airflow.db*"))
    statuses = sorted(report["overall_status"] for report in reports(data_dir))
    assert statuses == ["failed", "success"]
