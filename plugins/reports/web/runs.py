"""The pages of runs: the list of all, the report of one, its artifacts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from airflow.models import DagRun, TaskInstance
from airflow.utils.session import create_session
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from sqlalchemy import select

from include.core.errors import BadInputError, ContractError
from include.core.leftovers import goes_on
from include.core.run_folder import RunFolder, safe_name
from include.core.settings import get_settings
from include.reporting.archive import (
    RunEntry,
    artifacts,
    chunks,
    latest_report,
    open_artifact,
    open_page,
    read_entry,
    run_entries,
)
from include.reporting.html import render_html
from include.reporting.listing import STATES, Row, RunQuery, list_runs, state_of, trends
from include.reporting.report import NO_REASON, build_report
from include.reporting.task_status import begun_tasks, worst_states
from plugins.reports.web.app import render
from plugins.reports.web.security import DOWNLOAD_POLICY, REPORT_POLICY, ReadableDags, reads_runs

router = APIRouter()
TOO_LARGE = "The report of this run is too large to be shown here. It lies in the folder of the run."


@router.get("/runs")
def all_runs(request: Request, readable: ReadableDags, query: Annotated[RunQuery, Query()]) -> Response:
    """List the runs that the user may see; of a very large number the latest."""
    runs = get_settings().data_dir / "runs"
    entries = run_entries(runs, readable if query.pipeline is None else readable & {query.pipeline})
    listing = list_runs(entries, active_runs(readable) | on_the_command_line(runs, entries), query)
    return render(
        request,
        "runs.html.j2",
        query=query,
        listing=listing,
        any_run=bool(entries) or query.pipeline is not None,
        searched=len(entries),
        left_out=entries.left_out,
        pipelines=sorted(dag_id for dag_id in readable if (runs / safe_name(dag_id)).is_dir()),
        states=STATES,
        trends=trends(listing.matches),
    )


@router.get("/dags/{dag_id}/runs/{run_id}", dependencies=[reads_runs()])
def one_run(request: Request, dag_id: str, run_id: str) -> Response:
    """Show a run: its state, its report, its artifacts."""
    folder = folder_of(dag_id, run_id)
    if not folder.path.is_dir():
        return render(request, "no_run.html.j2", status=404, dag_id=dag_id, run_id=run_id)
    row = row_of(dag_id, folder)
    return render(
        request,
        "run.html.j2",
        row=row,
        explanation=STATES[row.state],
        artifacts=artifacts(folder),
    )


@router.get("/dags/{dag_id}/runs/{run_id}/report", dependencies=[reads_runs()])
def report(dag_id: str, run_id: str) -> Response:
    """Return the run's report as a page; for a run without one, a report of where its records stop."""
    folder = folder_of(dag_id, run_id)
    if not folder.path.is_dir():
        raise HTTPException(HTTPStatus.NOT_FOUND)
    document, headers = latest_report(folder.path), {"Content-Security-Policy": REPORT_POLICY}
    running = (dag_id, folder.path.name) in active_runs([dag_id])
    if running or document is None:
        elsewhere = not running and goes_on(folder.path)
        states = begun_tasks(folder) if elsewhere else task_states(dag_id, read_entry(folder.path).run_id)
        ended = None if running or elsewhere else NO_REASON
        current = build_report(folder, task_states=states, ended=ended, now=datetime.now(UTC))
        return HTMLResponse(render_html(current, folder.files), headers=headers)
    try:
        page = open_page(document.with_suffix(".html"))
    except OSError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND, "The page of this run's report is missing.") from error
    except BadInputError as error:
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE) from error
    return StreamingResponse(chunks(page), media_type="text/html", headers=headers)


@router.get("/dags/{dag_id}/runs/{run_id}/artifacts/{path:path}", dependencies=[reads_runs()])
@router.get("/dags/{dag_id}/runs/{run_id}/files/{path:path}", dependencies=[reads_runs()])
def artifact(dag_id: str, run_id: str, path: str) -> Response:
    """Return a file that a step of the run wrote, as it was accepted; `files/` is how a report links to it."""
    try:
        record, file = open_artifact(folder_of(dag_id, run_id), path)
    except BadInputError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND) from error
    except ContractError as error:
        message = "This artifact was removed, or has changed since it was accepted, so it cannot be downloaded."
        raise HTTPException(HTTPStatus.CONFLICT, message) from error
    headers = {
        "Content-Security-Policy": DOWNLOAD_POLICY,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(Path(record.path).name, safe='')}",
        "Content-Length": str(record.bytes),
    }
    return StreamingResponse(chunks(file), media_type="application/octet-stream", headers=headers)


def row_of(dag_id: str, folder: RunFolder) -> Row:
    """Return what the pages state of a run."""
    entry = read_entry(folder.path)
    running = active_runs([dag_id]) | on_the_command_line(folder.path.parents[1], [entry])
    return Row(entry, state_of(entry, running))


def active_runs(dag_ids: Collection[str]) -> set[tuple[str, str]]:
    """Return DAG and folder name of the runs that Airflow is running or about to run."""
    query = select(DagRun.dag_id, DagRun.run_id).where(
        DagRun.state.in_(("queued", "running")), DagRun.dag_id.in_(dag_ids)
    )
    with create_session(scoped=False) as session:
        return {(dag_id, safe_name(run_id)) for dag_id, run_id in session.execute(query)}


def task_states(dag_id: str, run_id: str) -> dict[str, str]:
    """Return the state of each task of a run, of a mapped task the worst of its instances."""
    query = select(TaskInstance.task_id, TaskInstance.state).filter_by(dag_id=dag_id, run_id=run_id)
    with create_session(scoped=False) as session:
        return worst_states((task_id, str(state or "scheduled")) for task_id, state in session.execute(query))


def on_the_command_line(runs: Path, entries: Iterable[RunEntry]) -> set[tuple[str, str]]:
    """Return DAG and folder name of the runs without a report that go on without this Airflow."""
    unfinished = ((entry.dag_id, entry.folder) for entry in entries if entry.outcome is None)
    return {(dag_id, folder) for dag_id, folder in unfinished if goes_on(runs / dag_id / folder)}


def folder_of(dag_id: str, run_id: str) -> RunFolder:
    """Return the folder of a run; a DAG whose name cannot be a folder's name has none, and a link is none.

    Raises:
        HTTPException: 404.
    """
    if safe_name(dag_id) != dag_id or "\0" in run_id:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    folder = RunFolder.of(get_settings().data_dir, dag_id, run_id)
    if folder.path.is_symlink() or folder.path.parent.is_symlink():
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return folder
