"""Clumsy and unlucky use: terminals that close, runs side by side, folders that vanish, odd places."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_run import BIG, airflow_processes, reports, wait_for

pytestmark = [pytest.mark.airflow, pytest.mark.e2e]

ROOT = Path(__file__).resolve().parents[2]


def test_a_reader_that_leaves_stops_the_run(start, data_dir):
    """`./pipeline run energy 2>&1 | head -1` leaves no Airflow behind."""
    process = start("run", "energy", *BIG)
    wait_for(process, data_dir, "steps/energy-generator/started.json")
    process.stderr.close()
    process.stdout.close()
    assert process.wait(240) != 0
    assert airflow_processes(data_dir) == []
    [report] = reports(data_dir)
    assert report["failure_point"]["kind"] == "interrupted"
    assert not (data_dir / "published").exists()


def test_a_terminal_that_closes_interrupts_the_run(start, data_dir):
    process = start("run", "energy", *BIG)
    wait_for(process, data_dir, "steps/energy-analyzer/started.json")
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=240)
    assert process.returncode == 130
    assert airflow_processes(data_dir) == []


def test_a_run_folder_that_vanishes_is_a_failure_with_a_report(start, data_dir, tmp_path):
    process = start("run", "energy", *BIG)
    wait_for(process, data_dir, "files/energy_data.csv").parents[1].rename(tmp_path / "elsewhere")
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 1, stderr
    path = Path(stdout.splitlines()[-1].removeprefix("report: "))
    assert json.loads(path.read_bytes())["overall_status"] == "failed"
    assert "Traceback" not in stderr
    assert not (data_dir / "published").exists()


def test_two_runs_at_the_same_moment_do_not_meet(start, data_dir):
    """The same day for two numbers of households: each has its own folder; the last one to publish counts, whole."""
    both = [start("run", "energy", "--json", "--date", "2026-01-05", "--set", f"households={n}") for n in (2, 3)]
    done = [json.loads(process.communicate(timeout=240)[0]) for process in both]
    assert [report["overall_status"] for report in done] == ["success", "success"]
    assert [report["steps"][0]["output_summary"]["households"] for report in done] == [2, 3]
    folder = data_dir / "published/energy/manual/2026-01-05"
    households = json.loads((folder / "output2.json").read_text())["key_figures"]["households"]
    lines = (folder / "energy_report.csv").read_text().splitlines()[1:]
    assert len({line.split(",")[1] for line in lines}) == households


def test_a_relative_data_folder_is_that_of_the_caller(tmp_path):
    environment = os.environ | {"GROUNDTRUTH_DATA_DIR": "my [own] data*", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "include.cli", "run", "energy", "--date", "2026-01-05", "--set", "households=2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = tmp_path / "my [own] data*"
    assert done.stdout.splitlines()[-1].startswith(f"report: {data}/runs/")
    assert (data / "published/energy/manual/2026-01-05/energy_report.csv").exists()
