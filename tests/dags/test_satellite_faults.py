"""A satellite run that is killed, again and again: what is started anew in its folder ends as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import requests

from include.core.artifacts import sha256
from include.satellite.imagery.demo import URL_VARIABLE, stand_in
from tests.airflow_runs import ROOT, run_dag
from tests.satellite.tiny import END, TINY

pytestmark = [pytest.mark.airflow, pytest.mark.e2e, pytest.mark.timeout(600)]

PARAMS = TINY | {"end": END, "lstm_epochs": 20, "lstm_patience": 20}
MOMENTS = ("download.004", "validate", "prepare_cnn", "train_cnn", "compare", "configure")
AT_ONCE = ("train_cnn", "compare")
"""The training is known to be under way by its checkpoint; the calm comparison's time is that of the baseline. The
download waits for an answer that is late."""
SAME = (
    "cube.npy", "lstm_series.npy", "cnn_model.safetensors", "lstm_model.safetensors", "cnn_metrics.json",
    "lstm_metrics.json", "validation_report.json", "approval.json",
)  # fmt: skip


@pytest.fixture
def api(monkeypatch):
    with stand_in() as url:
        monkeypatch.setenv(URL_VARIABLE, url)
        yield url


def scenes_served(api):
    """How often each date's bands were served."""
    found = requests.get(f"{api}/control/requests", timeout=5).json()
    return Counter(each["date"] for each in found if each["status"] == 200 and "B08" in each.get("bands", ()))


class Run:
    """A run in a process of its own, as `./pipeline run` starts it: in a folder that the next attempt finds again."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True)

    def start(self):
        command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", "satellite_pipeline"]
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [*command, "--conf", json.dumps(PARAMS)],
                cwd=ROOT,
                env=os.environ | {"GROUNDTRUTH_RUN_FOLDER": str(self.folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self, step):
        return (self.folder / "steps" / step / "result.json").exists()

    def under_way(self, step):
        if step == "train_cnn":
            return any(self.folder.glob("scratch/train_cnn.*/checkpoints/cnn/[!.]*"))
        return (self.folder / "steps" / step / "started.json").exists()

    def kill_in(self, step, after):
        """Start it, and kill it some seconds after a step has begun."""
        process = self.start()
        while not self.under_way(step) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(after)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not self.ended(step), f"{step} was to be killed, and has ended"


def test_killed_once_in_each_step_a_run_ends_with_the_bits_of_an_undisturbed_one(api, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    calm = run_dag("satellite_pipeline", PARAMS)
    assert calm.state == "success", calm.report["failure_point"]
    requests.delete(f"{api}/control/requests", timeout=5)
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path / "other"))
    run = Run(tmp_path / "other" / "runs" / "satellite_pipeline" / "killed")
    (tmp_path / "other" / "models").symlink_to(data_dir / "models")  # with the baseline, which takes long
    late = {"kind": "latency", "operation": "process", "band": "B08", "skip": 4, "times": 1, "seconds": 5}
    requests.post(f"{api}/control/faults", json=late, timeout=5).raise_for_status()
    for step in MOMENTS:
        took = calm.folder.result(step).duration_seconds
        run.kill_in(step, 0 if step in AT_ONCE else min(0.15 * took, 0.5))
    assert run.start().wait() == 0
    for name in SAME:
        assert sha256(run.folder / "files" / name) == sha256(calm.folder.files / name), name
    log = (run.folder / "output.txt").read_text()
    assert log.count("Resuming after epoch") == 1
    served = scenes_served(api)
    assert len(served) == 10
    assert sum(served.values()) <= 11, "only the scene whose download was killed may be fetched twice"
