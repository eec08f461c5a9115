"""The stand-in of the Sentinel Hub API as a child process: the demo needs no credentials and no network."""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import IO

from include.core.errors import SetupError
from include.core.settings import ROOT
from include.satellite.imagery.schemas import FolderSource

DEMO = "demo"
URL_VARIABLE = "GROUNDTRUTH_SENTINEL_HUB_URL"
SCENES_URL_VARIABLE = "GROUNDTRUTH_SCENES_URL"
"""Address of the stand-in that serves the folder of scenes of this run alone; the command line sets it."""
READY = "listening on "
START_SECONDS = 60.0


_lock = Lock()
_running: dict[tuple[int, tuple[str, ...]], tuple[subprocess.Popen[str], str]] = {}
"""Stand-ins and their addresses, by their options and the process that started them: a fork starts its own."""


def demo_url(folder: FolderSource | None = None) -> str:
    """Return the address of the stand-in: the running one that the environment names, or one that this process starts.

    It is started once, and ends with this process: it watches its standard input, which closes then.

    Args:
        folder: The folder of scenes that it shall serve. Without its path, what is stated of it is another's to heed.

    Raises:
        SetupError: It did not start.
    """
    options = folder.options if folder and folder.path else ()
    named = os.environ.get(SCENES_URL_VARIABLE if options else URL_VARIABLE)
    if named:
        return named.rstrip("/")
    with _lock:
        key = os.getpid(), options
        if key not in _running or _running[key][0].poll() is not None:
            _running[key] = _start(*options)
        return _running[key][1]


@contextmanager
def stand_in(*options: str) -> Iterator[str]:
    """Run a separate stand-in for as long as the block lasts; yields its address.

    Args:
        options: Of `python -m include.standins.sentinel_hub`.

    Raises:
        SetupError: It did not start.
    """
    process, url = _start(*options)
    try:
        yield url
    finally:
        _stop(process)


def _start(*options: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(  # noqa: S603 - our own module, no shell
        [sys.executable, "-m", "include.standins.sentinel_hub", "--port", "0", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - pipes, as opened above
    errors: deque[str] = deque(maxlen=1)
    is_ready = Event()
    forwarding = Thread(target=_forward, args=(process.stderr, errors, is_ready), daemon=True)
    forwarding.start()
    ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if ready else ""
    Thread(target=_drain, args=(process.stdout,), daemon=True).start()
    if not line.startswith(READY):
        _stop(process)
        forwarding.join(timeout=5)
        output = line.strip() or "".join(errors).strip().removeprefix("error: ") or "it printed nothing"
        raise SetupError(
            f"the stand-in of the Sentinel Hub API did not start (python -m include.standins.sentinel_hub): {output}"
        )
    is_ready.set()
    atexit.register(_stop, process)
    return process, line.removeprefix(READY).strip()


def _forward(stream: IO[str], last: deque[str], is_ready: Event) -> None:
    """Pass the child's messages on, but for the error with which it does not start, and keep the last one."""
    with stream:
        for line in stream:
            last.append(line)
            if is_ready.is_set() or not line.startswith("error: "):
                sys.stderr.write(line)


def _drain(stream: IO[str]) -> None:
    """Read the child's output to its end, since a full pipe would stop the child."""
    with stream:
        stream.read()


def _stop(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
