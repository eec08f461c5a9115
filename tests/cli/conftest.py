import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from include.cli.app import app
from include.core.settings import get_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_data_dir(data_dir, monkeypatch):
    """Runs of a test lie in its own folder."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def start():
    """Start `./pipeline` with some arguments, as a person does."""
    started = []

    def go(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "include.cli", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield go
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def call(monkeypatch, quick_plots):
    """Call `./pipeline` in this process, and let it run Airflow in this process too.

    Airflow takes many seconds to start as a command. Tests of processes, signals and folders use `start`.
    """
    import tests.airflow_runs  # noqa: F401 - Airflow's log handlers keep the streams that they begin with

    monkeypatch.setattr("include.cli.run.run_airflow", run_airflow_here)

    def go(*arguments):
        get_settings.cache_clear()
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return Ended(result.exit_code, result.stdout, result.stderr)

    return go


def run_airflow_here(dag_id, params, folder, environment, watch):
    """What `include.cli.run.run_airflow` does, without a process; Airflow's log is that of the test."""
    from tests.airflow_runs import run_dag

    folder.mkdir(parents=True)
    settings = {"GROUNDTRUTH_RUN_FOLDER": str(folder), "GROUNDTRUTH_INPUT_DIRS": "/"}
    with (
        patch.dict(os.environ, {**environment, **settings}),
        contextlib.redirect_stdout(sys.__stdout__),
        contextlib.redirect_stderr(sys.__stderr__),
    ):
        outcome = run_dag(dag_id, params)
    get_settings.cache_clear()
    watch()
    return int(outcome.state != "success"), False


@pytest.fixture
def definitions(tmp_path, monkeypatch):
    """A folder of pipeline definitions; call it with `name=document` to put one there."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(folder))

    def put(**documents):
        for name, document in documents.items():
            (folder / f"{name}.json").write_text(json.dumps(document))
        get_settings.cache_clear()

    return put
