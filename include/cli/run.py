"""Run a pipeline for a user: progress as it happens, a summary at the end, a report in any case.

Airflow is a child process in a separate session: it logs to a file, and only this process interrupts it.
"""

from __future__ import annotations

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
from rich.markup import escape

from include.cli.view import Progress, show_report
from include.core.contracts import imported
from include.core.errors import SetupError
from include.core.files import setup_errors
from include.core.pipeline import Pipeline
from include.core.run_folder import INTERRUPTED_MARK, RunFolder
from include.core.settings import ROOT, get_settings
from include.pipelines import domain_of_pipeline
from include.reporting.archive import latest_report

INTERRUPTED_CODE = 130
LOG_LINES = 8
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 60
AIRFLOW_HOME = ROOT / ".airflow"


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
) -> int:
    """Run a pipeline under Airflow to its report.

    Args:
        pipeline: What to run.
        params: The checked parameters.
        environment: The run's environment variables, for as long as it runs.
        as_json: Print the report's JSON on stdout and nothing else; otherwise its path is the last line.
        console: Where progress goes.

    Returns:
        The exit code: 0 success, 1 a step failed, 130 interrupted.

    Raises:
        BadInputError: An option cannot be used; nothing has run.
    """
    dag_id = pipeline.definition.dag_id
    name = f"cli__{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}"
    folder = RunFolder.of(get_settings().data_dir.resolve(), dag_id, name)
    progress = Progress(pipeline, folder, console)
    try:
        with environment as variables:
            progress.begin(params)
            code, interrupted = run_airflow(dag_id, params, folder.path, variables, progress.update)
        progress.update()
        path = _report_of(folder)
    except SetupError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 1
    report = json.loads(path.read_bytes())
    show_report(report, console)
    if not report["steps"]:
        _show_log_end(folder.path / "airflow.log", console)
    console.print(f"[dim]html:   {path.with_suffix('.html')}[/]", soft_wrap=True)
    console.print(f"[dim]log:    {folder.path / 'airflow.log'}[/]", soft_wrap=True)
    sys.stdout.write(path.read_text() if as_json else f"report: {path}\n")
    if interrupted:
        return INTERRUPTED_CODE
    return 0 if code == 0 and report["overall_status"] == "success" else 1


def run_airflow(
    dag_id: str, params: dict[str, Any], folder: Path, environment: Mapping[str, str], watch: Callable[[], None]
) -> tuple[int, bool]:
    """Run one DAG to its end with `airflow dags test`, on a separate database.

    Args:
        dag_id: What to run.
        params: The run's params.
        folder: The run folder; Airflow's log goes to `airflow.log` in it.
        environment: More settings of the run.
        watch: Called ten times a second while it runs.

    Returns:
        Its exit code, and whether it was interrupted.

    Raises:
        SetupError: The run folder cannot be written.
    """
    database = folder / ".airflow.db"
    with setup_errors(folder, "written"):
        folder.mkdir(parents=True)
        shutil.copyfile(AIRFLOW_HOME / "template.db", database)
        log = (folder / "airflow.log").open("wb")
    command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", dag_id, "--conf", json.dumps(params)]
    try:
        with log, _signals_noted() as signals:
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
                code = _wait(process, folder, signals, watch)
            except BaseException:  # the progress can no longer be shown: a closed terminal, a full disk
                signals.append(signal.SIGINT)
                _wait(process, folder, signals, lambda: None)
                raise
        return code, bool(signals)
    finally:
        for leftover in folder.glob(".airflow.db*"):
            leftover.unlink()


def _show_log_end(log: Path, console: Console) -> None:
    """Print the end of Airflow's log, the only explanation where Airflow ended before it started the run."""
    console.print("Airflow ended before the first step; the last lines of its log:")
    for line in log.read_text(errors="replace").splitlines()[-LOG_LINES:]:
        console.print(f"  {escape(line)}", soft_wrap=True)


def _report_of(folder: RunFolder) -> Path:
    """Return the report that Airflow wrote, or write it from the run's folder if there is none."""
    written = latest_report(folder.path)
    if written is not None:
        return written
    from include.reporting.report import build_report, write_report

    report = build_report(folder, now=datetime.now(UTC))
    return write_report(folder, report)[0]


def _environment(database: Path, folder: Path) -> dict[str, str]:
    return os.environ | {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
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


def _wait(process: subprocess.Popen[bytes], folder: Path, signals: list[int], watch: Callable[[], None]) -> int:
    """Wait for Airflow; once a signal has arrived, interrupt it, and kill its session if it does not end in time."""
    kill_at: float | None = None
    while True:
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            watch()
        if signals and kill_at is None:
            with suppress(OSError):  # a user removed the run's folder
                (folder / INTERRUPTED_MARK).touch()
            process.send_signal(signal.SIGINT)
            kill_at = time.monotonic() + PATIENCE_SECONDS
        elif kill_at is not None and time.monotonic() > kill_at:
            os.killpg(process.pid, signal.SIGKILL)
