"""The process of a task leaves an outcome; what it keeps of a step are its declared outputs."""

import os
import signal
import subprocess
import sys
import time

from include.control.worker import FILES, LOCK, ORDER, OUTCOME, Order, Outcome, main, perform
from include.core.run_folder import read_model, write_json
from include.core.settings import ROOT


def order(folder, step="measure", **changes):
    """Write an order for one of the small steps."""
    values = {
        "command": [sys.executable, "-m", "tests.control.small_steps", step], "parameters": {}, "inputs": {},
        "stored": {}, "outputs": ["in.csv", "optional.csv"], "scratch": {}, "timeout_seconds": 60, "memory_mb": 4096,
        "log_keys": {"dag_id": "d"}, "content": str(folder / "content"),
    }  # fmt: skip
    (folder / "content").mkdir(parents=True)
    write_json(folder / ORDER, Order(**values | changes))
    return folder


def test_declared_outputs_become_content_and_the_log_is_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    lines = []
    (output,) = perform(order(tmp_path), lines.append)
    assert (output.path, output.bytes) == ("in.csv", 10)
    assert (tmp_path / "content" / output.sha256).read_text() == "value\n1\n1\n"
    assert (tmp_path / FILES / "in.csv").exists()
    assert lines == []


def test_files_of_stores_are_shown_below_a_data_folder_of_the_task(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", "/nowhere")
    (tmp_path / "stored").write_text("kept")
    code = "import os, pathlib; print(pathlib.Path(os.environ['GROUNDTRUTH_DATA_DIR'], 'imagery/a.txt').read_text())"
    lines = []
    folder = order(
        tmp_path / "task",
        command=[sys.executable, "-c", code],
        stored={"imagery/a.txt": str(tmp_path / "stored")},
        outputs=[],
    )
    assert perform(folder, lines.append) == []
    assert lines == ["kept"]


def test_a_process_that_is_told_to_stop_leaves_its_outcome(tmp_path):
    order(tmp_path, "copy", parameters={"seconds": 60}, command=["sleep", "60"])
    with (tmp_path / LOCK).open("w") as lock:
        process = subprocess.Popen(
            [sys.executable, "-m", "include.control.worker", str(tmp_path), str(lock.fileno())],
            cwd=ROOT,
            pass_fds=(lock.fileno(),),
        )
    while not (tmp_path / FILES).exists():
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 1
    outcome = read_model(tmp_path / OUTCOME, Outcome)
    assert (outcome.fault.kind, outcome.fault.message) == ("interrupted", "was cancelled")
    assert callable(main)
