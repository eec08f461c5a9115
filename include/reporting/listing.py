"""Which runs a page lists, in which order: filter, sort, paging."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from include.core.run_folder import safe_name
from include.reporting.archive import RunEntry

State = Literal["success", "failed", "skipped", "running", "lost", "damaged"]
STATES: dict[State, str] = {
    "success": "Every step succeeded.",
    "failed": "A step failed; the report says which and why.",
    "skipped": "It ended before every step had run.",
    "running": "Airflow is running it.",
    "lost": "It has no report, and Airflow is not running it: it was killed, or it runs on the command line.",
    "damaged": "Its report cannot be read.",
}
Sort = Literal["started", "duration", "status", "pipeline", "run"]
PAGE_SIZE = 50


@dataclass(frozen=True)
class Query:
    """What is asked for.

    Args:
        pipeline: Name of a pipeline's DAG; None: all.
        status: A state; None: all.
        text: Part of a run's id, pipeline or failure, in any case.
        since: First day on which a run may have started, UTC.
        until: Last day.
        sort: By what.
        descending: Largest, latest or last first.
        page: From 1.
    """

    pipeline: str | None = None
    status: State | None = None
    text: str = ""
    since: date | None = None
    until: date | None = None
    sort: Sort = "started"
    descending: bool = True
    page: int = 1


@dataclass(frozen=True)
class Row:
    """A run and its state now."""

    entry: RunEntry
    state: State


@dataclass(frozen=True)
class Listing:
    """A page of runs.

    Args:
        rows: Those of the page.
        found: All that match, in the order asked for.
        page: Number of the page; the last one where more was asked for.
        pages: Number of pages, at least 1.
        states: Matching runs by state, before the filter by state.
    """

    rows: list[Row]
    found: list[Row]
    page: int
    pages: int
    states: dict[State, int]


def list_runs(entries: Iterable[RunEntry], active: Collection[tuple[str, str]], query: Query) -> Listing:
    """Filter, sort and page.

    Args:
        entries: Runs that the reader may see.
        active: DAG and run id of what Airflow is running or about to run.
        query: What is asked for.
    """
    running = {(dag_id, safe_name(run_id)) for dag_id, run_id in active}
    rows = [Row(entry, state_of(entry, running)) for entry in entries if _matches(entry, query)]
    states: dict[State, int] = {state: sum(row.state == state for row in rows) for state in STATES}
    found = [row for row in rows if query.status in (None, row.state)]
    found.sort(key=lambda row: (row.entry.started_at, row.entry.folder), reverse=True)
    if query.sort != "started" or not query.descending:
        found.sort(key=lambda row: _key(row, query.sort), reverse=query.descending)
    pages = max(1, -(-len(found) // PAGE_SIZE))
    page = min(query.page, pages)
    return Listing(found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE], found, page, pages, states)


def state_of(entry: RunEntry, running: Collection[tuple[str, str]]) -> State:
    """Where a run stands; one that was cleared and runs again is running, whatever its last report says.

    Args:
        entry: The run.
        running: DAG and folder of what Airflow is running.
    """
    if (entry.dag_id, entry.folder) in running:
        return "running"
    match entry.outcome:
        case "success" | "failed" | "skipped" | "damaged":
            return entry.outcome
        case _:
            return "lost"


def _matches(entry: RunEntry, query: Query) -> bool:
    text = query.text.strip().lower()
    return (
        query.pipeline in (None, entry.dag_id)
        and (query.since is None or entry.started_at >= _midnight(query.since))
        and (query.until is None or entry.started_at.date() <= query.until)
        and (not text or any(text in (part or "").lower() for part in (entry.run_id, entry.pipeline, entry.failure)))
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _key(row: Row, sort: Sort) -> tuple[float | str, ...]:
    match sort:
        case "started":
            return (row.entry.started_at.timestamp(),)
        case "duration":
            return (-1.0 if row.entry.seconds is None else row.entry.seconds,)
        case "status":
            return (row.state,)
        case "pipeline":
            return (row.entry.dag_id,)
        case "run":
            return (row.entry.run_id,)
