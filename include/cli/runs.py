"""The runs of this deployment: a list, and one of them found by its name, its pipeline or its day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.table import Table

from include.cli.fields import field_default, field_value
from include.cli.terminal import shown
from include.core.errors import BadInputError
from include.core.pipeline import Pipeline
from include.core.run_folder import Run, RunFolder
from include.core.settings import get_settings
from include.core.text import printable
from include.pipelines import all_pipelines
from include.reporting.archive import RunEntry, latest_report, run_entries

OUTCOMES = {"success": "[green]✓ success[/]", "failed": "[red]✗ failed[/]"}
DAY = re.compile(r"\d{4}-\d\d-\d\d")


class ListedRun(NamedTuple):
    """A run as it is listed; times are UTC."""

    run: str
    pipeline: str
    start: str
    end: str
    status: str
    seconds: str
    report: str


def find_runs(pipeline: str | None = None) -> list[RunEntry]:
    """Return the runs, the latest first.

    Args:
        pipeline: Only those of a pipeline, by one of its names.

    Raises:
        BadInputError: There is no such pipeline.
    """
    dags = None if pipeline is None else [find_pipeline(pipeline).definition.dag_id]
    return sorted(run_entries(_runs(), dags), key=lambda entry: entry.started_at, reverse=True)


def find_pipeline(name: str) -> Pipeline:
    """Return a pipeline by one of its names.

    Raises:
        BadInputError: There is none; names those that there are.
    """
    pipelines, _ = all_pipelines()
    for pipeline in pipelines:
        if name in pipeline.names:
            return pipeline
    names = ", ".join(pipeline.short_name or pipeline.definition.pipeline for pipeline in pipelines)
    raise BadInputError(f"no pipeline named {name}; there are: {names}")


def listed(entries: Iterable[RunEntry]) -> Iterator[ListedRun]:
    """Yield runs as they are listed."""
    for entry in entries:
        folder = _runs() / entry.dag_id / entry.folder
        run = _plan(folder)
        report = latest_report(folder)
        yield ListedRun(
            run=printable(entry.run_id),
            pipeline=printable(entry.pipeline),
            start=_time(run.interval_start if run else None),
            end=_time(run.interval_end if run else None),
            status=printable(entry.outcome or "running or lost"),
            seconds="" if entry.seconds is None else f"{entry.seconds:.1f}",
            report="" if report is None else printable(str(report.with_suffix(".html"))),
        )


def runs_table(runs: Iterable[ListedRun]) -> Table:
    """Return runs as a table for a terminal; `./pipeline open RUN` shows the report, so that its path is left out."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("pipeline", "interval", "status", "seconds", "run"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left", no_wrap=heading != "run")
    table.columns[-1].overflow = "fold"
    for run in runs:
        status = OUTCOMES.get(run.status) or shown(run.status)
        interval = run.start.removesuffix(" 00:00") if _is_day(run) else f"{run.start} – {run.end}".strip(" –")
        table.add_row(shown(run.pipeline), interval, status, run.seconds, shown(run.run))
    return table


def _is_day(run: ListedRun) -> bool:
    """Return whether an interval is a day of UTC, which its date names."""
    if not (run.start and run.end and run.start.endswith(" 00:00")):
        return False
    return datetime.fromisoformat(run.end) - datetime.fromisoformat(run.start) == timedelta(days=1)


def run_of(name: str) -> str | None:
    """Return the folder, below `runs/`, of the latest run of a pipeline or of a day; None for any other name.

    Args:
        name: A name of a pipeline, or a day (YYYY-MM-DD), on which the interval of the run begins.

    Raises:
        BadInputError: There is no run of that pipeline or day.
    """
    if DAY.fullmatch(name):
        entries = [entry for entry in find_runs() if _begins(_runs() / entry.dag_id / entry.folder, name)]
    elif any(name in pipeline.names for pipeline in all_pipelines()[0]):
        entries = find_runs(name)
    else:
        return None
    for entry in entries:
        if latest_report(_runs() / entry.dag_id / entry.folder):
            return f"{entry.dag_id}/{entry.folder}"
    raise BadInputError(f"there is no report of {name} (looked in {_runs()}); ./pipeline runs lists the runs")


def params_table(pipeline: Pipeline) -> Table:
    """Return a table of a pipeline's parameters: what they hold with their bounds, default, meaning."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("parameter", "value", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in params_rows(pipeline):
        table.add_row(*map(shown, row))
    return table


def params_rows(pipeline: Pipeline) -> Iterator[tuple[str, ...]]:
    """Yield each parameter of a pipeline: name, what it holds, default, meaning."""
    for name, field in pipeline.params.items():
        texts = field_value(field), field_default(field), field.description or ""
        yield (name, *(text.replace("`", "").replace("\n", " ") for text in texts))


def _runs() -> Path:
    return get_settings().data_dir / "runs"


def _plan(folder: Path) -> Run | None:
    try:
        return RunFolder(folder).run()
    except ValueError:  # damaged: the report page says so
        return None


def _begins(folder: Path, day: str) -> bool:
    run = _plan(folder)
    start = run.interval_start if run else None
    return start is not None and start.astimezone(UTC).date() == date.fromisoformat(day)


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
