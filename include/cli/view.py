"""Pipelines and reports as tables for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from include.core.errors import BadInputError
from include.core.pipeline import Pipeline
from include.core.settings import get_settings
from include.pipelines import all_pipelines
from include.reporting.html import words
from include.reporting.model import SummaryStatistics

FINDINGS = {"info": "·", "warning": "[yellow]![/]", "error": "[red]![/]"}
MARKS = {"success": "[green]✓ success[/]", "failed": "[red]✗ failed[/]", "skipped": "[yellow]– skipped[/]"}


def find_report(run_name: str | None) -> Path:
    """The newest report of a run, or of all runs.

    Args:
        run_name: A run's name, or its folder; None for the latest.

    Raises:
        BadInputError: There is none.
    """
    runs = get_settings().data_dir / "runs"
    folder_name = Path(run_name) if run_name else None
    if folder_name is not None and folder_name.is_dir():
        reports = list(folder_name.glob("pipeline_report_*.json"))
    else:
        reports = list(runs.glob(f"*/{run_name or '*'}/pipeline_report_*.json"))
    if not reports:
        first = all_pipelines()[0][0].definition.pipeline
        what = f"of a run named {run_name}" if run_name else f"yet; begin with ./pipeline run {first}"
        raise BadInputError(f"there is no report {what} (looked in {runs})")
    return max(reports, key=lambda path: path.stat().st_mtime)


def show_report(report: dict[str, Any], console: Console) -> None:
    """Print the summary of a report: steps, key figures, the failure point."""
    table = Table(box=box.SIMPLE_HEAD, title=None)
    table.add_column("step")
    table.add_column("status")
    table.add_column("seconds", justify="right")
    for step in report["steps"]:
        seconds = step["duration_seconds"]
        name = f"{step['step_number']}. {step['name']}"
        shown = f"{seconds:.1f}" if seconds is not None else ""
        table.add_row(escape(name), _mark(step["status"]), shown)
    table.add_section()
    table.add_row("[bold]run[/]", _mark(report["overall_status"]), f"{report['total_duration_seconds']:.1f}")
    console.print(table)
    figures = _figures(report)
    if figures:
        grid = Table.grid(padding=(0, 2))
        for name, value in figures.items():
            grid.add_row(f"  {words(name)}", escape(_shown(value)))
        console.print(grid)
        console.print()
    for finding in report.get("findings", []):
        console.print(f"{FINDINGS[finding['severity']]} {escape(finding['message'])}", soft_wrap=True)
    failure = report.get("failure_point")
    if failure:
        where = f"{failure['task']}: " if failure["task"] else ""
        console.print(f"[bold red]failed:[/] {escape(where + failure['message'])}", soft_wrap=True)
        if failure.get("hint"):
            console.print(f"        {escape(failure['hint'])}", soft_wrap=True)


def _mark(status: str) -> str:
    return MARKS.get(status, status)


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    """The key figures of the domain and of the last step, where a pipeline names some; else those of all steps."""
    counts = SummaryStatistics.model_fields
    domain = {name: value for name, value in report["summary_statistics"].items() if name not in counts}
    figures: dict[str, Any] = {}
    for name, value in domain.items():
        figures |= value if isinstance(value, dict) else {name: value}
    for step in report["steps"][-1:] if domain else report["steps"]:
        figures |= step["output_summary"] or {}
    return {name: value for name, value in figures.items() if isinstance(value, (int, float, str))}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}".rstrip("0").rstrip(".")


def pipelines_table(pipelines: list[Pipeline]) -> Table:
    """The pipelines of this deployment and the latest run of each."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("pipeline", "schedule", "steps", "latest run"):
        table.add_column(column)
    for pipeline in pipelines:
        definition = pipeline.definition
        folder = get_settings().data_dir / "runs" / definition.dag_id
        latest = max(folder.glob("*/run.json"), key=lambda path: path.stat().st_mtime, default=None)
        table.add_row(
            escape(definition.pipeline),
            escape(pipeline.starts),
            escape(" → ".join(info.id for info in pipeline.plan)),
            escape(latest.parent.name) if latest else "none yet",
        )
    return table
