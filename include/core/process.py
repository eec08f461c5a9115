"""Steps as processes: the command that a definition runs on this machine, a step of ours as a program, and their log.

In the environment of each, `DATA_DIR` is its work folder (default `/data`) and `STEP_PARAMS` holds the
parameters as JSON. A fault is one line, `error: …`, on stderr and an exit code that states its class, so that the
orchestrator treats it alike in every runtime.

The log is plain text where a user started the step. A task passes its keys as JSON in the variable `STEP_LOG`; with it,
whatever the step logs, warns of or prints is one JSON object a line on stderr:
`{"timestamp", "level", "event", "logger", "dag_id", "run_id", "task_id", "map_index", "try_number", …}`. The names are
those of Airflow's own task logs, so that one query finds both. Any program may write such lines; others pass as they
are. What a line states of itself, its time and logger too, appears in the task's log below the key `step`: a step
cannot write lines that pass as those of the orchestrator.

A command that a definition runs gets `PATH`, the locale and a few more variables of the worker, and of the others only
those that its definition names (`environment`): none holds a secret by chance.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import IO, Any

from pydantic import ValidationError

from include.core.confinement import END_ALL, can_confine, reaper_command
from include.core.contracts import Step, StepParams
from include.core.errors import BY_EXIT_CODE, BadInputError, GroundtruthError, SetupError, explain
from include.core.output import Line, OutputLines
from include.core.recording import as_known_error
from include.core.work_folder import WorkFolder

STOP_SECONDS = 10
CONFINED = "a command that could write to its work folder alone (Landlock)"
UNCONFINED = (
    "a command that worked on copies; records are not protected from local commands: the kernel has no Landlock"
)
LOG_VARIABLE = "STEP_LOG"
TASK_KEYS = ("dag_id", "run_id", "task_id", "map_index", "try_number")
LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items() if number}
RESERVED_KEYS = {*TASK_KEYS, "level", "event", "exc_info", "stack_info"}
CHUNK = 64 * 1024
"""Bytes of output that are read at once."""
PASSED_ON = {
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH",
    "VIRTUAL_ENV", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE", "SSL_CERT_DIR",
}  # fmt: skip
"""Variables that every command gets, besides the locale's `LC_…`."""
LOG = logging.getLogger("step")


@dataclass(frozen=True)
class LogLine:
    """A line of a step's log.

    Args:
        level: As `logging` numbers it.
        event: Its message.
        more: Its other keys as the step states them, without those of the task.
    """

    level: int
    event: str
    more: dict[str, Any]


def run_command(
    command: Sequence[str],
    work: WorkFolder,
    params: StepParams,
    log: Callable[[str], None],
    task: Mapping[str, object] | None = None,
    variables: Mapping[str, str | None] = MappingProxyType({}),
    hidden: Collection[str] = (),
    overwritten: Callable[[str], None] | None = None,
) -> str:
    """Run a command with `DATA_DIR` and `STEP_PARAMS` set, streaming its output line by line.

    When it ends, whatever it started ends with it, as in a container. Where the kernel has Landlock, it writes to its
    work folder, its scratch folders and a temporary folder (`TMPDIR`) alone; elsewhere its inputs are copies.

    Args:
        command: Program and arguments.
        work: Where it works; its `files` are also the working directory.
        params: What the step takes; given as JSON.
        log: Receives each line of its output.
        task: Keys of the task that runs it, for its log.
        variables: Other variables that it gets, by name; None passes on that of this process.
        hidden: Secrets, which its log shows as `***`.
        overwritten: Receives, every five seconds, a line that it overwrites (a progress bar); default: `log`.

    Returns:
        How it was kept apart from records and artifacts, in words.

    Raises:
        SetupError: It cannot be started, or one of the variables is not set.
        GroundtruthError: It ended with another exit code than 0; carries its last line.
    """
    kept = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("LC_")}
    confined = can_confine()
    if confined:
        work.link_inputs()
    else:
        work.copy_inputs()
    with TemporaryDirectory(prefix="step-") as temporary:
        places = [work.files, *work.scratch.values(), Path(temporary)]
        environment = kept | passed_variables(variables) | step_environment(str(work.files), params, task)
        environment |= {"TMPDIR": temporary}
        logs = log, overwritten or log, hidden
        code, last = _follow(command, places if confined else None, work.files, environment, logs)
    if code:
        raise exit_error(code, last)
    return CONFINED if confined else UNCONFINED


def _follow(
    command: Sequence[str],
    writable: Sequence[Path] | None,
    folder: Path,
    environment: Mapping[str, str],
    logs: tuple[Callable[[str], None], Callable[[str], None], Collection[str]],
) -> tuple[int, str]:
    """Run a command below its reaper; return its exit code and the last line of its output that is not blank."""
    log, overwritten, hidden = logs
    reader, status = os.pipe()
    with os.fdopen(reader, "rb") as started:
        try:
            process = subprocess.Popen(  # noqa: S603 - what the definition says is what shall run
                reaper_command(command, writable, status),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(status,),
            )
        finally:
            os.close(status)
        last = ""
        try:
            if code := started.read():
                raise SetupError(f"{command[0]}: cannot be run on this machine: {os.strerror(int(code))}")
            for line in _lines(process.stdout):
                shown = without_secrets(line.text, hidden)
                (overwritten if line.overwritten else log)(shown)
                last = shown.strip() or last
            process.wait()
        finally:
            _stop(process)
            if process.stdout:
                process.stdout.close()
    return process.returncode, last


def _lines(output: IO[bytes] | None) -> Iterator[Line]:
    """Yield the lines of an output as they come."""
    lines = OutputLines()
    while output and (chunk := output.read1(CHUNK)):  # type: ignore[attr-defined]
        yield from lines.feed(chunk)
    yield from lines.end()


def step_environment(files: str, params: StepParams, task: Mapping[str, object] | None = None) -> dict[str, str]:
    """Return the environment variables of a step; those of a task's step include that task's keys, for its log."""
    variables = {"DATA_DIR": files, "STEP_PARAMS": json.dumps(params.model_dump(mode="json"))}
    return variables | ({LOG_VARIABLE: json.dumps(task)} if task else {})


def without_secrets(text: str, secrets: Collection[str]) -> str:
    """Return a text with `***` in the place of secrets.

    >>> without_secrets("token=abc123", ["abc123"])
    'token=***'
    """
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return text


def passed_variables(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables of a step that its definition states.

    Args:
        variables: Values by name; None passes on that of this process.

    Raises:
        SetupError: One of those is not set.
    """
    missing = [name for name, value in variables.items() if value is None and name not in os.environ]
    if missing:
        raise SetupError(
            f"{', '.join(missing)}: not set in the environment of the Airflow worker; the step's definition names it "
            "under `environment`"
        )
    return {name: os.environ[name] if value is None else value for name, value in variables.items()}


def exit_error(code: int, last_line: str) -> GroundtruthError:
    """Return the error that an exit code and the last line of a log stand for."""
    error_class, line = BY_EXIT_CODE.get(code, GroundtruthError), read_line(last_line)
    last_line = line.event if line else last_line
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
                LOG.error("%s", message) if as_json else sys.stderr.write(f"{message}\n")  # noqa: TRY400
                return explained.exit_code
            if not as_json:
                raise
            LOG.critical("%s: %s", type(error).__name__, error, exc_info=True)
            return 1
    return 0


def read_line(text: str) -> LogLine | None:
    """Return a line of a step's log in parts, or None for other text."""
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
        level, event = LEVELS[record["level"]], record["event"]
        datetime.fromisoformat(record["timestamp"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not isinstance(event, str) or not all(map(str.isidentifier, record)):
        return None
    more = {name: value for name, value in record.items() if name not in RESERVED_KEYS and not name.startswith("_")}
    return LogLine(level, event, more)


@contextmanager
def step_log() -> Iterator[bool]:
    """Log as JSON where a task requests it; yield whether it does."""
    keys = os.environ.get(LOG_VARIABLE)
    if not keys:
        yield False
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(json.loads(keys)))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    with (
        _Printed(logging.INFO) as out,
        _Printed(logging.WARNING) as err,
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        yield True


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(END_ALL)
        process.wait()


class _Json(logging.Formatter):
    def __init__(self, task: Mapping[str, Any]) -> None:
        super().__init__()
        self.task = {name: task[name] for name in TASK_KEYS if name in task}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if (progress := getattr(record, "progress", None)) is not None:
            line["progress"] = progress
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | self.task)


class _Printed(io.TextIOBase):
    """Log what a program prints, line by line."""

    def __init__(self, level: int) -> None:
        self.level, self.rest = level, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(str.strip, lines):
            LOG.log(self.level, "%s", line.rstrip())
        return len(text)

    def close(self) -> None:
        if self.rest:
            self.write("\n")
        super().close()
