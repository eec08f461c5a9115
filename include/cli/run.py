"""Runs a pipeline for a person: progress as it happens, a summary at the end, the report always."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from include.cli.child import run_airflow
from include.cli.progress import Progress
from include.cli.view import show_report
from include.core.contracts import imported
from include.core.errors import SetupError
from include.core.pipeline import Pipeline
from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from include.pipelines import domain_of_pipeline

INTERRUPTED_CODE = 130
LOG_LINES = 8


@dataclass(frozen=True)
class Request:
    """What somebody asked for; the params are checked already.

    Args:
        pipeline: What to run.
        params: With these parameters.
        runtime: `local` or `docker`; None for the deployment's.
        profile: The profile that the params come from.
        approve: The answer where the run asks for approval.
        options: Values of the domains' options by name.
    """

    pipeline: Pipeline
    params: dict[str, Any]
    runtime: str | None = None
    profile: str | None = None
    approve: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def environment(self, data_dir: Path) -> Iterator[dict[str, str]]:
        """Yield what the run's process finds in its environment, with what the pipeline's domain adds.

        Raises:
            BadInputError: An option of the domain cannot be used.
        """
        variables = {"GROUNDTRUTH_APPROVE": "true" if self.approve else "false"}
        variables["GROUNDTRUTH_RUNTIME"] = self.runtime or get_settings().runtime
        domain = domain_of_pipeline(self.pipeline)
        if domain is None or domain.run_environment is None:
            yield variables
            return
        options = {**self.options, "profile": self.profile}
        with imported(domain.run_environment)(self.params, options, data_dir) as more:
            yield variables | more


def run_pipeline(request: Request, *, as_json: bool, console: Console) -> int:
    """Run a pipeline under Airflow to its report.

    Args:
        request: What to run.
        as_json: Print the report's JSON on stdout and nothing else; otherwise its path is the last line.
        console: Where progress goes.

    Returns:
        The exit code: 0 success, 1 a step failed, 130 interrupted.

    Raises:
        BadInputError: An option cannot be used; nothing has run.
    """
    settings = get_settings()
    dag_id = request.pipeline.definition.dag_id
    name = f"cli__{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}"
    folder = RunFolder.of(settings.data_dir.resolve(), dag_id, name)
    progress = Progress(request.pipeline, folder, console)
    try:
        with request.environment(settings.data_dir.resolve()) as environment:
            progress.begin(request.params)
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
