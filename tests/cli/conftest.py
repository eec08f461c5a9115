import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.core.settings import get_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_data_dir(data_dir, monkeypatch):
    """Runs of a test lie in its own folder."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def start():
    """Start `./pipeline` with some arguments, as a person does."""
    processes = []

    def go(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-m", "include.cli", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield go
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def call(quick_plots):
    """Call `./pipeline` in this process; tests of processes, signals and folders use `start`."""
    from tests.in_process import call_pipeline

    return call_pipeline


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
