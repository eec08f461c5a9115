"""Lists of runs: filter, order, paging, and the trends of their durations and metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from include.reporting.archive import RunEntry
from include.reporting.html import seconds, value, words

State = Literal["success", "failed", "skipped", "running", "lost", "damaged"]
STATES: dict[State, str] = {
    "success": "Every step succeeded.",
    "failed": "A step failed; the report says which and why.",
    "skipped": "It ended before every step had run.",
    "running": "It is running.",
    "lost": "It has no report, and nothing runs it any more: it was killed.",
    "damaged": "Its report is damaged, or too large to be read.",
}
PAGE_SIZE = 50
TREND_RUNS = 120
"""A trend shows this many of the latest runs."""
WIDTH, HEIGHT, MARGIN = 320.0, 90.0, 6.0
"""Of the drawing of a trend."""
Blank = BeforeValidator(lambda field: None if field == "" else field)
"""An empty field of a form filters nothing."""


class RunQuery(BaseModel):
    """The filter, order and page of a list, as its form sends them; days are UTC, bounds are inclusive."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pipeline: Annotated[str | None, Blank] = Field(None, max_length=250, description="Id of a pipeline's DAG.")
    status: Annotated[State | None, Blank] = None
    text: str = Field("", max_length=200, description="Part of a run's id, pipeline or failure, in any case.")
    since: Annotated[date | None, Blank] = Field(None, description="First day on which a run's data may begin.")
    until: Annotated[date | None, Blank] = Field(None, description="Last day.")
    sort: Literal["started", "interval", "duration", "status", "pipeline", "run"] = "started"
    order: Literal["up", "down"] = Field("down", description="`down`: largest, latest or last first.")
    page: int = Field(1, ge=1, le=1_000_000)

    def link(self, **changes: object) -> str:
        """Return the address of the same list with some changes, on its first page; defaults are left out.

        >>> RunQuery(text="meter", page=3).link(sort="run")
        '?text=meter&sort=run'
        """
        query = self.model_copy(update={"page": 1} | changes).model_dump(mode="json", exclude_defaults=True)
        return "?" + urlencode({name: item for name, item in query.items() if item is not None})


@dataclass(frozen=True)
class Row:
    """A run and its current state."""

    entry: RunEntry
    state: State

    @property
    def seconds(self) -> float | None:
        """How long it was at work."""
        return at_work(self.entry)


@dataclass(frozen=True)
class Listing:
    """A page of runs.

    Args:
        rows: The runs of the page.
        matches: All runs that match the query, in its order.
        page: Number of the page; the last one where the query names a later one.
        pages: Number of pages, at least 1.
        states: Number of matching runs by state, before the filter by state.
    """

    rows: list[Row]
    matches: list[Row]
    page: int
    pages: int
    states: dict[State, int]


def list_runs(entries: Iterable[RunEntry], running: Collection[tuple[str, str]], query: RunQuery) -> Listing:
    """Filter, sort and page runs.

    Args:
        entries: Runs that the reader may see.
        running: DAG and folder of the runs that Airflow is running or about to run.
        query: Filter, order and page.
    """
    rows = [Row(entry, state_of(entry, running)) for entry in entries if _matches(entry, query)]
    states: dict[State, int] = {state: sum(row.state == state for row in rows) for state in STATES}
    matches = [row for row in rows if query.status in (None, row.state)]
    matches.sort(key=lambda row: (row.entry.started_at, row.entry.folder), reverse=True)
    if query.sort != "started" or query.order == "up":
        matches.sort(key=SORT_KEYS[query.sort], reverse=query.order == "down")
    pages = max(1, -(-len(matches) // PAGE_SIZE))
    page = min(query.page, pages)
    return Listing(matches[(page - 1) * PAGE_SIZE : page * PAGE_SIZE], matches, page, pages, states)


def state_of(entry: RunEntry, running: Collection[tuple[str, str]]) -> State:
    """Return a run's state; one that was cleared and runs again is running, whatever its last report says.

    Args:
        entry: The run.
        running: DAG and folder of the runs that Airflow is running or about to run.
    """
    if (entry.dag_id, entry.folder) in running:
        return "running"
    match entry.outcome:
        case "success" | "failed" | "skipped" | "damaged":
            return entry.outcome
        case _:
            return "lost"


SORT_KEYS: dict[str, Callable[[Row], float | str]] = {
    "started": lambda row: row.entry.started_at.timestamp(),
    "interval": lambda row: begins(row.entry).timestamp(),
    "duration": lambda row: -1.0 if (seconds := at_work(row.entry)) is None else seconds,
    "status": lambda row: row.state,
    "pipeline": lambda row: row.entry.dag_id,
    "run": lambda row: row.entry.run_id,
}


def begins(entry: RunEntry) -> datetime:
    """Return when a run's data begin; where it has no data interval, when the run began."""
    return (entry.interval_start or entry.started_at).astimezone(UTC)


def at_work(entry: RunEntry) -> float | None:
    """Return the seconds in which a run was at work; where no step states them, from its start to its end."""
    return entry.seconds if entry.active_seconds is None else entry.active_seconds


def _matches(entry: RunEntry, query: RunQuery) -> bool:
    text = query.text.strip().lower()
    day = begins(entry).date()
    return (
        query.pipeline in (None, entry.dag_id)
        and (query.since is None or day >= query.since)
        and (query.until is None or day <= query.until)
        and (not text or any(text in (part or "").lower() for part in (entry.run_id, entry.pipeline, entry.failure)))
    )


@dataclass(frozen=True)
class Point:
    """A run in the drawing of a trend; x and y in its units, y downwards."""

    x: float
    y: float
    state: State
    text: str


@dataclass(frozen=True)
class Trend:
    """A value over the latest runs.

    Args:
        title: What the value is.
        points: Oldest first.
        low: Smallest value, as text.
        high: Largest value, as text.
        latest: Value of the latest run, as text.
        first_day: When the data of the first run begin.
        last_day: When the data of the last run begin.
        others: How many runs with other parameters are left out.
    """

    title: str
    points: list[Point]
    low: str
    high: str
    latest: str
    first_day: datetime
    last_day: datetime
    others: int = 0

    @property
    def line(self) -> str:
        """The points of an SVG polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


def trends(rows: Sequence[Row]) -> list[Trend]:
    """Return the trends of the time at work by pipeline; for a single pipeline also of its metrics."""
    dag_ids = sorted({row.entry.dag_id for row in rows})
    durations = [
        _trend([row for row in rows if row.entry.dag_id == dag_id], at_work, f"{dag_id}: duration", seconds)
        for dag_id in dag_ids
    ]
    return [trend for trend in durations if trend] + (metric_trends(rows) if len(dag_ids) == 1 else [])


def metric_trends(rows: Sequence[Row], most: int = 5) -> list[Trend]:
    """Return the trends of the metrics that at least two runs report, in the order of the latest run."""
    latest = max(rows, key=lambda row: (bool(row.entry.metrics), row.entry.started_at), default=None)
    names = list(latest.entry.metrics) if latest else []
    metrics = (_trend(rows, partial(_metric, name), words(name), value) for name in names)
    return [trend for trend in metrics if trend][:most]


def _metric(name: str, entry: RunEntry) -> float | None:
    return entry.metrics.get(name)


def _trend(
    rows: Sequence[Row], of: Callable[[RunEntry], float | None], title: str, text: Callable[[float], str]
) -> Trend | None:
    """Return the trend of a value over the runs that have the parameters of the latest one."""
    values = ((row, of(row.entry)) for row in rows)
    finite = [(row, number) for row, number in values if number is not None and math.isfinite(number)]
    latest = max((row for row, _ in finite), key=lambda row: row.entry.started_at, default=None)
    alike = [item for item in finite if latest and item[0].entry.settings == latest.entry.settings]
    others = len(finite) - len(alike)
    finite = sorted(alike, key=lambda item: (begins(item[0].entry), item[0].entry.started_at))[-TREND_RUNS:]
    if len(finite) < 2:
        return None
    numbers = [number for _, number in finite]
    low, high = min(numbers), max(numbers)
    step = (WIDTH - 2 * MARGIN) / (len(finite) - 1)
    scale = (HEIGHT - 2 * MARGIN) / (high - low) if high > low else 0.0
    points = [
        Point(
            x=MARGIN + place * step,
            y=HEIGHT - MARGIN - (number - low) * scale if scale else HEIGHT / 2,
            state=row.state,
            text=f"{begins(row.entry):%Y-%m-%d %H:%M}: {text(number)}, {row.state}",
        )
        for place, (row, number) in enumerate(finite)
    ]
    first, last = begins(finite[0][0].entry), begins(finite[-1][0].entry)
    return Trend(title, points, text(low), text(high), text(numbers[-1]), first, last, others)
