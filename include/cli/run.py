"""Run a pipeline for a user: progress as it happens, a summary at the end, a report in any case.

Airflow is a child process in a separate session: it logs to a file, and only this process interrupts it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from include.cli.surroundings import own_environment
from include.cli.terminal import shown, shown_message
from include.cli.view import Progress, read_report, show_report
from include.core.contracts import imported
from include.core.databases import check_database
from include.core.domain import Domain
from include.core.errors import GroundtruthError, SetupError
from include.core.files import setup_errors
from include.core.leftovers import COMMAND_LINE, DATABASE_NAME, LOG_NAME, sweep_published, sweep_runs
from include.core.pipeline import Pipeline
from include.core.run_folder import INTERRUPTED_MARK, RunFolder
from include.core.settings import ROOT, get_settings
from include.core.text import printable, printable_json
from include.pipelines import domain_of_pipeline
from include.reporting.archive import latest_report, read_entry
from include.reporting.report import NO_REASON, write_report_of_lost_run

INTERRUPTED_CODE = 130
LOG_LINES = 8
LOG_BYTES = 64 * 1024
NO_SPACE = ("No space left on device", "database or disk is full", "the disk is full")
NEARLY_FULL_BYTES = 16 * 1024 * 1024
"""A run that died with less free space died of that, for its database alone has a few MB."""
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 60
AIRFLOW_HOME = ROOT / ".airflow"


def missing_set_up(domain: Domain) -> bool:
    """Return whether this process runs in the checkout's own environment, and that lacks what a domain needs."""
    environment = ROOT / ".venv"
    return Path(sys.prefix) == environment and not (environment / f".installed-{domain.name}").exists()


@contextmanager
def run_environment(
    pipeline: Pipeline, params: dict[str, Any], options: Mapping[str, Any], *, runtime: str | None, approve: bool
) -> Iterator[dict[str, str]]:
    """Yield the environment variables of a run, including those that the pipeline's domain adds.

    Args:
        pipeline: What to run.
        params: The checked parameters.
        options: Values of the domains' options by name, and the `profile` that the parameters come from.
        runtime: `local` or `docker`; None for the deployment's.
        approve: The answer where the run asks for approval.

    Raises:
        BadInputError: An option of the domain cannot be used.
    """
    settings = get_settings()
    variables = {"GROUNDTRUTH_APPROVE": str(approve).lower(), "GROUNDTRUTH_RUNTIME": runtime or settings.runtime}
    domain = domain_of_pipeline(pipeline)
    hook = imported(domain.run_environment) if domain and domain.run_environment else lambda *_: nullcontext({})
    with hook(params, options, settings.data_dir.resolve()) as more:
        yield variables | more


def run_pipeline(
    pipeline: Pipeline,
    params: dict[str, Any],
    environment: AbstractContextManager[dict[str, str]],
    *,
    as_json: bool,
    console: Console,
    name: str | None = None,
) -> int:
    """Run a pipeline under Airflow to its report.

    Args:
        pipeline: What to run.
        params: The checked parameters.
        environment: The run's environment variables, for as long as it runs.
        as_json: Print the report's JSON on stdout and nothing else; otherwise its path is the last line.
        console: Where progress goes.
        name: What the run is called, after the prefix of the command line's runs; default: the present.

    Returns:
        The exit code: 0 success, 1 a step failed, 130 interrupted.

    Raises:
        BadInputError: An option cannot be used; nothing has run.
    """
    dag_id = pipeline.definition.dag_id
    name = f"{COMMAND_LINE}{name or f'{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}'}"
    folder = RunFolder.of(get_settings().data_dir.resolve(), dag_id, name)
    progress = Progress(pipeline, folder, console)
    sweep(get_settings().data_dir.resolve(), console)
    try:
        with environment as variables:
            progress.begin(params)
            code, interrupted = run_airflow(dag_id, params, folder.path, variables, progress.update, progress.stop)
        progress.update()
        progress.end()
        path = _report_of(folder, code, interrupted=interrupted)
    except SetupError as error:
        console.print(f"[bold red]error:[/] {shown_message(error)}", soft_wrap=True)
        return 1
    report = read_report(path)
    show_report(report, console)
    point = report["failure_point"]
    if not report["steps"] or (point and point["kind"] == "lost"):
        _show_log_end(folder.path / LOG_NAME, console)
    console.print(f"[dim]html:   {shown(path.with_suffix('.html'))}[/]", soft_wrap=True)
    console.print(f"[dim]log:    {shown(folder.path / LOG_NAME)}[/]", soft_wrap=True)
    sys.stdout.write(
        printable_json(path.read_text(encoding="utf-8")) if as_json else f"report: {printable(str(path))}\n"
    )
    if interrupted:
        return INTERRUPTED_CODE
    return 0 if code == 0 and report["overall_status"] == "success" else 1


def run_airflow(
    dag_id: str,
    params: dict[str, Any],
    folder: Path,
    environment: Mapping[str, str],
    watch: Callable[[], None],
    stopping: Callable[[], None],
) -> tuple[int, bool]:
    """Run one DAG to its end with `airflow dags test`, on a separate database.

    Args:
        dag_id: What to run.
        params: The run's params.
        folder: The run folder; Airflow's log goes to `airflow.log` in it.
        environment: More settings of the run.
        watch: Called ten times a second while it runs.
        stopping: Called at once when somebody interrupts it.

    Returns:
        Its exit code, and whether it was interrupted.

    Raises:
        SetupError: The run folder cannot be written, or Airflow's empty database is missing or damaged.
    """
    template, database = AIRFLOW_HOME / "template.db", folder / DATABASE_NAME
    check_database(template, "run tools/setup")
    with setup_errors(folder, "written"):
        folder.mkdir(parents=True)
        log = open(folder / LOG_NAME, "xb", opener=_private)  # noqa: SIM115 - Path.open has no opener
        with suppress(OSError):  # a file system without locks
            fcntl.flock(log, fcntl.LOCK_EX)  # Airflow inherits it: it tells a run that goes on from one that was killed
        with template.open("rb") as source, open(database, "xb", opener=_private) as copy:
            shutil.copyfileobj(source, copy)
    command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", dag_id, "--conf", json.dumps(params)]
    with log:  # and so its lock, until nothing is left to sweep
        try:
            with _signals_noted() as signals:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter's airflow
                    command,
                    cwd=ROOT,
                    env=_environment(database, folder) | dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                try:
                    code = _wait(process, folder, signals, watch, stopping)
                except BaseException:  # the progress can no longer be shown: a closed terminal, a full disk
                    signals.append(signal.SIGINT)
                    _wait(process, folder, signals, lambda: None, lambda: None)
                    raise
            return code, bool(signals)
        finally:
            for leftover in folder.glob(f"{DATABASE_NAME}*"):
                leftover.unlink(missing_ok=True)


def sweep(data_dir: Path, console: Console) -> None:
    """Remove what killed runs left in a data folder, and write their reports; a fault of that stops no run.

    Args:
        data_dir: The data folder.
        console: Where the killed runs are named.
    """
    for run in sweep_runs(data_dir / "runs"):
        if latest_report(run) is None:
            with suppress(GroundtruthError):
                write_report_of_lost_run(RunFolder(run))
            console.print(f"[yellow]![/] the run {shown(run.name)} was killed; ./pipeline report {shown(run.name)}")
    sweep_published(data_dir / "published")


def describe_end(code: int, folder: Path) -> str:
    """Return how Airflow ended, in sentences, with the reason as far as it can be found.

    Args:
        code: Its exit code; negative for a signal.
        folder: The run's folder.
    """
    if code < 0:
        how = f"Airflow was killed by signal {-code} ({signal.Signals(-code).name})."
    else:
        how = f"Airflow ended with exit code {code}."
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    if any(words in line for line in _last_lines(folder / LOG_NAME, 200) for words in NO_SPACE):
        return f"{how} Its log says that the disk is full; {free / 1e6:.1f} MB are free now."
    if free < NEARLY_FULL_BYTES:
        return f"{how} The disk is nearly full: {free / 1e6:.1f} MB are free at {folder}."
    return how if code < 0 else f"{how} {NO_REASON}"


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read: databases and logs may hold secrets."""
    return os.open(path, flags, 0o600)


def _show_log_end(log: Path, console: Console) -> None:
    """Print the end of Airflow's log, the only explanation where Airflow did not report its own end."""
    console.print("The last lines of Airflow's log:")
    for line in _last_lines(log, LOG_LINES):
        console.print(f"  {shown(line)}", soft_wrap=True)


def _last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log of any size; none where there is none."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
        return file.read().decode(errors="replace").splitlines()[-count:]
    return []


def _report_of(folder: RunFolder, code: int, *, interrupted: bool) -> Path:
    """Return the report that Airflow wrote; where it died before or after that, a report that says so.

    Args:
        folder: The run.
        code: Airflow's exit code.
        interrupted: Whether this process interrupted it.
    """
    written = latest_report(folder.path)
    if written is not None and (code == 0 or interrupted or read_entry(folder.path).outcome == "failed"):
        return written
    return write_report_of_lost_run(folder, describe_end(code, folder.path))


def _environment(database: Path, folder: Path) -> dict[str, str]:
    return own_environment() | {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "GROUNDTRUTH_RUN_FOLDER": str(folder),
        "GROUNDTRUTH_DATA_DIR": str(get_settings().data_dir.resolve()),
        "GROUNDTRUTH_DEFINITIONS_DIR": str(get_settings().definitions_dir.resolve()),
        "GROUNDTRUTH_INPUT_DIRS": "/",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "NO_COLOR": "1",
    }


@contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Yield the list of SIGINT, SIGTERM and, unless `nohup` ignores it, SIGHUP that arrive; none ends this process."""
    arrived: list[int] = []
    stopping = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        stopping.append(signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in stopping}
    try:
        yield arrived
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _wait(
    process: subprocess.Popen[bytes],
    folder: Path,
    signals: list[int],
    watch: Callable[[], None],
    stopping: Callable[[], None],
) -> int:
    """Wait for Airflow; once a signal has arrived, interrupt it, and kill its session if it does not end in time."""
    kill_at: float | None = None
    while True:
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            watch()
        if signals and kill_at is None:
            stopping()
            with suppress(OSError):  # a user removed the run's folder
                (folder / INTERRUPTED_MARK).touch()
            process.send_signal(signal.SIGINT)
            kill_at = time.monotonic() + PATIENCE_SECONDS
        elif kill_at is not None and time.monotonic() > kill_at:
            os.killpg(process.pid, signal.SIGKILL)
