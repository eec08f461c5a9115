"""Runs a pipeline for a person: progress as it happens, a summary at the end, the report always."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from include.cli.child import run_airflow
from include.cli.progress import Progress
from include.cli.view import show_report
from include.core.errors import SetupError
from include.core.pipeline import Pipeline
from include.core.run_folder import RunFolder
from include.core.settings import get_settings

INTERRUPTED_CODE = 130
LOG_LINES = 8


@dataclass(frozen=True)
class Request:
    """What somebody asked for; the params are checked already.

    Args:
        pipeline: What to run.
        params: With these parameters.
        runtime: `local` or `docker`; None for the deployment's.
        scenes: Folder that the stand-in serves; None for simulated scenes.
        profile: The profile that the params come from.
        approve: The answer where the run asks for approval.
    """

    pipeline: Pipeline
    params: dict[str, Any]
    runtime: str | None = None
    scenes: Path | None = None
    profile: str | None = None
    approve: bool = False

    def environment(self, data_dir: Path) -> dict[str, str]:
        """What the run's process finds in its environment; the demo has an `.env` file of its own."""
        given = {"GROUNDTRUTH_APPROVE": "true" if self.approve else "false"}
        if self.profile == "demo":
            given["GROUNDTRUTH_ENV_FILE"] = str(data_dir / "demo" / ".env")
        return given


def run_pipeline(request: Request, *, as_json: bool, console: Console) -> int:
    """Run a pipeline under Airflow to its report.

    Args:
        request: What to run.
        as_json: Print the report's JSON on stdout and nothing else; otherwise its path is the last line.
        console: Where progress goes.

    Returns:
        The exit code: 0 success, 1 a step failed, 130 interrupted.
    """
    settings = get_settings()
    dag_id = request.pipeline.definition.dag_id
    name = f"cli__{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}"
    folder = RunFolder.of(settings.data_dir.resolve(), dag_id, name)
    progress = Progress(request.pipeline, folder, console)
    progress.begin(request.params)
    try:
        with _imagery(request) as imagery:
            environment = imagery | request.environment(settings.data_dir.resolve())
            environment["GROUNDTRUTH_RUNTIME"] = request.runtime or settings.runtime
            code, interrupted = run_airflow(dag_id, request.params, folder.path, environment, progress.update)
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


@contextmanager
def _imagery(request: Request) -> Iterator[dict[str, str]]:
    """Start the stand-in of the imagery API where the run's imagery comes from it, and stop it with the run."""
    if request.params.get("source") != "demo" or request.params.get("skip_download"):
        yield {}
        return
    from include.satellite.imagery.demo import URL_VARIABLE, stand_in

    if os.environ.get(URL_VARIABLE) and request.scenes is None:  # somebody runs one already
        yield {}
        return
    with stand_in(*(["--scenes", str(request.scenes)] if request.scenes else [])) as url:
        yield {URL_VARIABLE: url}


def _show_log_end(log: Path, console: Console) -> None:
    """Where Airflow ended before it began, only its own log says why."""
    console.print("Airflow ended before the first step; the last lines of its log:")
    for line in log.read_text(errors="replace").splitlines()[-LOG_LINES:]:
        console.print(f"  {escape(line)}", soft_wrap=True)


def _report_of(folder: RunFolder) -> Path:
    """The report that Airflow wrote; where it could not, we write it from the run's folder."""
    written = sorted(folder.path.glob("pipeline_report_*.json"))
    if written:
        return written[-1]
    from include.reporting.report import build_report, write_report

    report = build_report(folder, now=datetime.now(UTC))
    return write_report(folder, report)[0]
