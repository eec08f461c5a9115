"""Pipelines, the progress of a run and its report on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

from include.cli.runs import run_of
from include.cli.terminal import shown, shown_message
from include.core.errors import BadInputError
from include.core.events import Progress as Done
from include.core.leftovers import LOG_NAME, ONE_OFF, goes_on
from include.core.pipeline import Pipeline
from include.core.progress import INTERVAL_S
from include.core.run_folder import RunFolder, Started, StepInfo, StepResult
from include.core.settings import get_settings
from include.core.sink import read_events
from include.core.text import duration, printable
from include.pipelines import all_pipelines
from include.reporting import archive
from include.reporting.archive import latest_report, run_metrics
from include.reporting.html import words
from include.reporting.report import write_report_of_lost_run

LOOK_S, PRINTED_EVERY_S = 0.5, 30.0
FINDINGS = {"info": "·", "warning": "[yellow]![/]", "error": "[red]![/]"}
MARKS = {"success": "[green]✓ success[/]", "failed": "[red]✗ failed[/]", "skipped": "[yellow]– skipped[/]"}


def find_report(run_name: str | None) -> Path:
    """Return the newest report of a run, or of all runs.

    Args:
        run_name: A run's name, or its folder; a pipeline or a day (YYYY-MM-DD) stands for its latest run, None for the
            latest of all.

    Raises:
        BadInputError: There is none.
    """
    runs = get_settings().data_dir / "runs"
    is_folder = run_name and Path(run_name).is_dir()
    newest = latest_report(Path(str(run_name))) if is_folder else latest_report(runs, f"*/{run_name or '*'}")
    if newest is None and run_name and not is_folder and (found := run_of(run_name)):
        newest = latest_report(runs / found)
    if newest is None and run_name:
        folders = [Path(run_name)] if is_folder else [path for path in runs.glob(f"*/{run_name}") if path.is_dir()]
        own_airflow = [path for path in folders if path.name.startswith(ONE_OFF) or (path / LOG_NAME).exists()]
        if len(folders) == len(own_airflow) == 1 and not goes_on(folders[0]):
            return write_report_of_lost_run(RunFolder(folders[0]))
    if newest is None:
        first = all_pipelines()[0][0].definition.pipeline
        what = f"of a run named {run_name}" if run_name else f"yet; begin with ./pipeline run {first}"
        raise BadInputError(f"there is no report {what} (looked in {runs})")
    return newest


def read_report(path: Path) -> dict[str, Any]:
    """Return the document of a report, also one of an earlier release.

    Raises:
        BadInputError: It is damaged or too large.
    """
    report = archive.read_report(path)
    try:
        show_report(report, Console(file=StringIO()))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadInputError(f"{path}: is damaged, so it cannot be shown: {type(error).__name__}: {error}") from error
    return report


def show_report(report: dict[str, Any], console: Console) -> None:
    """Print the summary of a report: steps, metrics, findings, the failure point."""
    table = Table(box=box.SIMPLE_HEAD, title=None)
    table.add_column("step")
    table.add_column("status")
    table.add_column("seconds", justify="right")
    for step in report["steps"]:
        seconds, status = step["duration_seconds"], step["status"]
        name = shown(f"{step['step_number']}. {step['name']}")
        table.add_row(name, _mark(status), "" if seconds is None else f"{seconds:.1f}")
    status = report["overall_status"]
    table.add_section()
    table.add_row("[bold]run[/]", _mark(status), f"{report['total_duration_seconds']:.1f}")
    console.print(table)
    metrics = _metrics(report)
    if metrics:
        grid = Table.grid(padding=(0, 2))
        for name, value in metrics.items():
            grid.add_row(f"  {shown(words(name))}", shown(_value(value)))
        console.print(grid)
        console.print()
    for finding in report.get("findings", []):
        console.print(f"{FINDINGS[finding['severity']]} {shown(finding['message'])}", soft_wrap=True)
    unchecked = [artifact["path"] for artifact in report.get("artifacts", []) if "opaque" in artifact.get("proof", [])]
    if unchecked:
        console.print(f"[yellow]![/] not checked: {shown(', '.join(unchecked))}", soft_wrap=True)
    if report.get("audited"):
        console.print("· audited: nothing was left to a sample where all can be recomputed", soft_wrap=True)
    failure = report.get("failure_point")
    if failure:
        where = f"{failure['task']}: " if failure["task"] else ""
        console.print(f"[bold red]failed:[/] {shown_message(where + failure['message'])}", soft_wrap=True)
        if failure.get("hint"):
            console.print(f"        {shown_message(failure['hint'])}", soft_wrap=True)


class Progress:
    """Prints each step as it starts and ends, in the order of time, and meanwhile what it has done.

    On a terminal, the last line shows the steps under way and changes; elsewhere it is printed every 30 s.

    Args:
        pipeline: What runs.
        folder: The run's folder.
        console: Where to print.
    """

    def __init__(self, pipeline: Pipeline, folder: RunFolder, console: Console) -> None:
        self._pipeline, self._folder, self._console = pipeline, folder, console
        self._printed: set[tuple[str, str, int]] = set()
        self._ended: set[str] = set()
        self._done_by_task: dict[str, Done] = {}
        self._last_event = 0
        self._looked_at = 0.0
        self._line = ""
        self._line_at = time.monotonic()

    def begin(self, params: dict[str, Any]) -> None:
        """Print what will run."""
        window = self._pipeline.window.describe(params)
        name = self._pipeline.definition.workflow_name
        self._console.print(f"[bold]{shown(name)}[/] for {shown(window)}", soft_wrap=True)

    def stop(self) -> None:
        """Print that the run is being stopped, which may take a moment."""
        self._clear()
        self._console.print("[yellow]![/] stopping: the steps under way are ended, then the report is written …")

    def update(self) -> None:
        """Print what is new since the last call; a record that is damaged is left to the report."""
        records = list[tuple[datetime, int, StepInfo, Started]]()
        under_way = dict[int, tuple[StepInfo, Started]]()
        for number, step in enumerate(self._pipeline.plan, 1):
            if step.id in self._ended:
                continue
            with suppress(ValidationError):
                started, result = self._folder.step_started(step), self._folder.step_result(step)
                if started:
                    records.append((started.started_at, number, step, started))
                    if result is None:
                        under_way[number] = step, started
                if result:
                    records.append((result.ended_at, number, step, result))
        for _, number, step, record in sorted(records, key=lambda item: item[0]):
            key = (type(record).__name__, record.step, record.attempt)
            if key not in self._printed:
                self._printed.add(key)
                self._clear()
                if isinstance(record, StepResult):
                    lines = self._end(number, record)
                else:
                    lines = self._start(number, step, record, under_way)
                for line in lines:
                    self._console.print(line, soft_wrap=True)
            if isinstance(record, StepResult) and record.status == "success":
                self._ended.add(step.id)
        self._show_under_way(under_way)

    def end(self) -> None:
        """Print no more progress: the run has ended."""
        self._clear()

    def _start(
        self, number: int, step: StepInfo, started: Started, under_way: Mapping[int, tuple[StepInfo, Started]]
    ) -> Iterator[str]:
        again = f" (attempt {started.attempt})" if started.attempt > 1 else ""
        others = [other for other, (_, record) in under_way.items() if record.started_at < started.started_at]
        beside = f", beside step {', '.join(map(str, others))}" if others else ""
        yield f"Step {number}/{len(self._pipeline.plan)}: [bold]{shown(step.title)}[/]{again}{beside} …"
        yield from (f"  [dim]{shown(text)}[/]" for text in (step.description, self._arguments(step)) if text)

    @staticmethod
    def _end(number: int, result: StepResult) -> Iterator[str]:
        if result.status == "success":
            how = f"skipped: {result.skipped}" if result.skipped else "completed successfully"
            mark = "[yellow]–[/]" if result.skipped else "[green]✓[/]"
            yield f"{mark} Step {number} {how} ({result.duration_seconds:.1f}s)"
        elif result.error:
            how = "met a fault that may pass" if result.error.kind == "transient" else "failed"
            yield f"[red]✗[/] Step {number} {how}: {shown_message(result.error.message)}"

    def _show_under_way(self, under_way: Mapping[int, tuple[StepInfo, Started]]) -> None:
        """Show how far the steps are that have lasted for some seconds."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        for number, event in read_events(self._folder.path, self._last_event):
            self._last_event = number
            if isinstance(event, Done):
                self._done_by_task[event.step] = event
        parts = []
        for number, (step, started) in under_way.items():
            seconds = (datetime.now(UTC) - started.started_at).total_seconds()
            if seconds >= INTERVAL_S:
                parts.append(f"Step {number}: {duration(seconds)}{self._done(step, started)}")
        line = printable(" | ".join(parts))
        if self._console.is_terminal:
            self._clear()
            self._line = line[: self._console.width - 1]
            self._console.file.write(self._line)
            self._console.file.flush()
        elif line and now - self._line_at >= PRINTED_EVERY_S:
            self._line_at = now
            self._console.print(shown(line), soft_wrap=True)

    def _done(self, step: StepInfo, started: Started) -> str:
        """Return what a step has done, as its latest tasks report it."""
        tasks = self._folder.tasks(step)
        events = [self._done_by_task[task] for task in tasks if task in self._done_by_task]
        current = [event for event in events if event.at >= started.started_at]
        ended = sum((self._folder.step(task) / "result.json").exists() for task in tasks)
        count = f", {ended} of {len(tasks)} tasks done" if len(tasks) > 1 else ""
        newest = max(current, key=lambda event: event.at, default=None)
        return count + (f", {newest.text}" if newest else "")

    def _clear(self) -> None:
        """Remove the line that changes, before others are printed."""
        if self._line:
            self._console.file.write("\r\x1b[K")
            self._line = ""

    def _arguments(self, info: StepInfo) -> str:
        """Return a step's parameters that differ from their defaults, as `name=value`."""
        run = self._folder.run()
        params, changed = run.params if run else {}, dict[str, Any]()
        for item in self._pipeline.steps:
            if item.step.id in (info.parts or [info.id]):
                defaults = item.step.params.model_construct().model_dump(mode="json")
                names = [name for name in item.step.params.model_fields if name in params]
                changed |= {name: params[name] for name in names if params[name] != defaults.get(name)}
        return " ".join(f"{name}={value}" for name, value in changed.items())


def _metrics(report: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of the domain and of the last step, where a domain names some; else those of all steps."""
    metrics = run_metrics(report["summary_statistics"])
    for step in report["steps"][-1:] if metrics else report["steps"]:
        metrics |= step["output_summary"] or {}
    return {name: value for name, value in metrics.items() if isinstance(value, (int, float, str))}


def _mark(status: str) -> str:
    return MARKS.get(status) or shown(status)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip(".")


def pipelines_table(pipelines: list[Pipeline]) -> Table:
    """Return a table of pipelines and the latest run of each."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("pipeline", "schedule", "steps", "latest run"):
        table.add_column(column)
    for pipeline in pipelines:
        definition = pipeline.definition
        folder = get_settings().data_dir / "runs" / definition.dag_id
        latest = max(folder.glob("*/run.json"), key=lambda path: path.stat().st_mtime, default=None)
        table.add_row(
            shown(definition.pipeline),
            shown(pipeline.starts),
            shown(" → ".join(info.id for info in pipeline.plan)),
            shown(latest.parent.name) if latest else "none yet",
        )
    return table
