"""The demo's stand-in as a child process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from include.core.errors import SetupError
from include.satellite.imagery import demo
from include.satellite.imagery.demo import URL_VARIABLE, demo_url


def test_it_is_started_once_and_answers(monkeypatch):
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    url = demo_url()
    assert demo_url() == url
    assert requests.get(f"{url}/control/requests", timeout=5).json() == []
    demo._stop(demo._running.pop((os.getpid(), ()))[0])
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_the_running_one_is_taken_where_it_is_named(monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:4711/")
    assert demo_url() == "http://127.0.0.1:4711"


def test_it_ends_with_its_parent():
    program = "import os, include.satellite.imagery.demo as d; print(d.demo_url(), flush=True); os._exit(1)"
    environment = {name: value for name, value in os.environ.items() if name != URL_VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[3], check=False,
    )  # fmt: skip
    url = done.stdout.strip()
    assert url.startswith("http://127.0.0.1:")
    for _ in range(100):
        try:
            requests.get(f"{url}/control/requests", timeout=5)
        except requests.ConnectionError:
            return
        time.sleep(0.1)
    pytest.fail("the stand-in outlived its parent")


def test_one_that_does_not_start_says_why_once(capsys):
    with pytest.raises(SetupError, match=r"did not start .*there are no scenes"), demo.stand_in("--scenes", "/nowhere"):
        pass
    assert "there are no scenes" not in capsys.readouterr().err
