"""Runs a definition's command on this machine, under the same file contract as in a container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from include.core.contracts import StepParams
from include.core.errors import BY_EXIT_CODE, GroundtruthError, SetupError
from include.core.step_log import VARIABLE, said

STOP_SECONDS = 10


def run_command(
    command: Sequence[str],
    files: Path,
    params: StepParams,
    log: Callable[[str], None],
    task: Mapping[str, object] | None = None,
) -> None:
    """Run a command with `DATA_DIR` and `STEP_PARAMS` set, streaming its output line by line.

    When it ends, whatever it started ends with it, as in a container.

    Args:
        command: Program and arguments.
        files: The run's `files/` folder, also the working directory.
        params: What the step takes; given as JSON.
        log: Receives each line of its output.
        task: Keys of the task that runs it, for its log.

    Raises:
        SetupError: It cannot be started.
        GroundtruthError: It ended with another exit code than 0; carries its last line.
    """
    environment = os.environ | step_environment(str(files), params, task)
    try:
        process = subprocess.Popen(  # noqa: S603 - what the definition says is what shall run
            command,
            cwd=files,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise SetupError(f"{command[0]}: cannot be run on this machine: {error.strerror}") from error
    reaper = threading.Thread(target=_reap, args=(process,))
    last = ""
    try:
        reaper.start()
        for line in process.stdout or ():
            log(line.rstrip("\n"))
            last = line.strip() or last
        process.wait()
    finally:
        _stop(process)
        if reaper.is_alive():
            reaper.join()
        if process.stdout:
            process.stdout.close()
    if code := process.returncode:
        raise exit_error(code, last)


def step_environment(files: str, params: StepParams, task: Mapping[str, object] | None = None) -> dict[str, str]:
    """What every step finds in its environment; a step of a task also that task's keys, for its log."""
    variables = {"DATA_DIR": files, "STEP_PARAMS": json.dumps(params.model_dump(mode="json"))}
    return variables | ({VARIABLE: json.dumps(task)} if task else {})


def exit_error(code: int, last_line: str) -> GroundtruthError:
    """The error that an exit code and the last line of a log stand for."""
    kind, last_line = BY_EXIT_CODE.get(code, GroundtruthError), said(last_line)
    if last_line.startswith("error: "):
        return kind(last_line.removeprefix("error: "))
    last = f"; its last line: {last_line[:300]}" if last_line else "; it printed nothing"
    return kind(f"ended with exit code {code}{last}")


def _reap(process: subprocess.Popen[str]) -> None:
    """Wait for the command, then end what it left behind, which might hold its output open for ever."""
    process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
