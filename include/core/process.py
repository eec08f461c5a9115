"""Steps as processes: the command that a definition runs on this machine, and a step of ours as a program.

In the environment of each, `DATA_DIR` is the run's `files/` folder (default `/data`) and `STEP_PARAMS` holds the
parameters as JSON. A fault is one line, `error: …`, on stderr and an exit code that states its class, so that the
orchestrator treats it alike in every runtime. With `STEP_LOG` every line is a JSON object (`include.core.step_log`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from include.core.contracts import Step, StepParams
from include.core.errors import BY_EXIT_CODE, BadInputError, GroundtruthError, SetupError, explain
from include.core.recording import as_known_error
from include.core.step_log import LOG, VARIABLE, event_of, step_log

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
    """Return the environment variables of a step; those of a task's step include that task's keys, for its log."""
    variables = {"DATA_DIR": files, "STEP_PARAMS": json.dumps(params.model_dump(mode="json"))}
    return variables | ({VARIABLE: json.dumps(task)} if task else {})


def exit_error(code: int, last_line: str) -> GroundtruthError:
    """Return the error that an exit code and the last line of a log stand for."""
    error_class, last_line = BY_EXIT_CODE.get(code, GroundtruthError), event_of(last_line)
    if last_line.startswith("error: "):
        return error_class(last_line.removeprefix("error: "))
    last = f"; its last line: {last_line[:300]}" if last_line else "; it printed nothing"
    return error_class(f"ended with exit code {code}{last}")


def main(package: str, steps: Mapping[str, Step]) -> int:
    """Run a step by its id, and one task of a mapped step by its number: `python -m <package> STEP [INDEX]`.

    Args:
        package: The domain's package.
        steps: Its steps by id.

    Returns:
        The exit code of `run_step_main`.
    """
    name, *index = sys.argv[1:] or [""]
    step = steps.get(name)
    if step is None or len(index) != step.mapped or not all(map(str.isdecimal, index)):
        names = "|".join(f"{step.id} INDEX" if step.mapped else step.id for step in steps.values())
        raise SystemExit(f"usage: python -m {package} {names}")
    return run_step_main(step.instance(int(index[0])) if index else step)


def run_step_main(step: Step) -> int:
    """Run a step with the files and parameters of the environment; return 0 or the exit code of the error's class."""
    files = Path(os.environ.get("DATA_DIR", "/data"))
    with step_log() as as_json:
        try:
            try:
                params = step.params.model_validate_json(os.environ.get("STEP_PARAMS", "{}"))
            except ValidationError as error:
                raise BadInputError(explain(error)) from error
            step.load()(files, params)
        except BaseException as error:
            explained = as_known_error(error)
            if isinstance(explained, GroundtruthError):
                message = f"error: {' '.join(str(explained).split())}"
                LOG.error("%s", message) if as_json else sys.stderr.write(f"{message}\n")
                return explained.exit_code
            if not as_json:
                raise
            LOG.critical("%s: %s", type(error).__name__, error, exc_info=True)
            return 1
    return 0


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
