"""Pipeline reports: all runs, the report of one, its artifacts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from include.core.errors import BadInputError, ContractError
from include.core.run_folder import RunFolder, safe_name
from include.core.settings import get_settings
from include.reporting import listing
from include.reporting.archive import RunArchive, RunEntry, latest_report, read_entry
from include.reporting.downloads import artifacts, chunks, open_artifact
from include.reporting.html import render_html
from include.reporting.listing import STATES, Row, Sort, State, list_runs, state_of
from include.reporting.report import build_report
from include.reporting.trend import Trend, duration_trend, figure_trends
from plugins.reports.web import guard
from plugins.reports.web.access import ReadableDags, reads_run
from plugins.reports.web.airflow_state import active_runs, task_states
from plugins.reports.web.app import page

router = APIRouter()
Blank = BeforeValidator(lambda given: None if given == "" else given)


class Asked(BaseModel):
    """The filter of the list, as its form sends it."""

    model_config = ConfigDict(extra="ignore")

    pipeline: Annotated[str | None, Blank] = Field(None, max_length=250)
    status: Annotated[State | None, Blank] = None
    text: str = Field("", max_length=200)
    since: Annotated[date | None, Blank] = None
    until: Annotated[date | None, Blank] = None
    sort: Sort = "started"
    order: Literal["up", "down"] = "down"
    page: int = Field(1, ge=1, le=1_000_000)

    def query(self) -> listing.Query:
        """The same for the list."""
        return listing.Query(descending=self.order == "down", **self.model_dump(exclude={"order"}))

    def link(self, **changed: object) -> str:
        """The address of the same list with something changed; without what is as it is by itself."""
        given = self.model_copy(update={"page": 1} | changed).model_dump(mode="json", exclude_defaults=True)
        return "?" + urlencode({name: item for name, item in given.items() if item is not None})


@router.get("/runs")
def all_runs(request: Request, readable: ReadableDags, asked: Annotated[Asked, Query()]) -> Response:
    """All runs that the user may see."""
    entries = [entry for entry in archive(get_settings().data_dir).entries() if entry.dag_id in readable]
    shown = list_runs(entries, active_runs(readable), asked.query())
    return page(
        request,
        "runs.html.j2",
        asked=asked,
        shown=shown,
        any_run=bool(entries),
        pipelines=sorted({entry.dag_id for entry in entries}),
        states=STATES,
        trends=_trends(shown.found),
    )


@router.get("/dags/{dag_id}/runs/{run_id}", dependencies=[reads_run])
def one_run(request: Request, dag_id: str, run_id: str) -> Response:
    """A run: its state, its report, its artifacts."""
    folder = _folder(dag_id, run_id)
    if not folder.path.is_dir():
        return page(request, "no_run.html.j2", status=404, dag_id=dag_id, run_id=run_id)
    entry = read_entry(folder.path)
    running = {(dag, safe_name(run)) for dag, run in active_runs([dag_id])}
    row = Row(entry, state_of(entry, running))
    return page(
        request,
        "run.html.j2",
        row=row,
        said=STATES[row.state],
        artifacts=artifacts(folder),
        has_report=latest_report(folder.path) is not None or row.state == "running",
    )


@router.get("/dags/{dag_id}/runs/{run_id}/report", dependencies=[reads_run])
def report(dag_id: str, run_id: str) -> HTMLResponse:
    """The run's report, a page of its own; of a run that has none yet, what is known by now."""
    folder = _folder(dag_id, run_id)
    found = latest_report(folder.path)
    entry = read_entry(folder.path) if folder.path.is_dir() else None
    if entry is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    if (dag_id, entry.run_id) in active_runs([dag_id]):
        shown = _by_now(folder, entry)
    elif found is not None and found.with_suffix(".html").is_file():
        shown = found.with_suffix(".html").read_bytes()
    else:
        raise HTTPException(HTTPStatus.NOT_FOUND, "This run has no report.")
    return HTMLResponse(shown, headers={"Content-Security-Policy": guard.REPORT_POLICY})


@router.get("/dags/{dag_id}/runs/{run_id}/artifacts/{path:path}", dependencies=[reads_run])
def artifact(dag_id: str, run_id: str, path: str) -> Response:
    """A file that a step of the run wrote, as it was accepted."""
    try:
        record, file = open_artifact(_folder(dag_id, run_id), path)
    except BadInputError as error:
        raise HTTPException(HTTPStatus.NOT_FOUND) from error
    except ContractError as error:
        said = "This artifact is gone, or has changed since it was accepted, so it is not handed out."
        raise HTTPException(HTTPStatus.CONFLICT, said) from error
    headers = {
        "Content-Security-Policy": guard.DOWNLOAD_POLICY,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(Path(record.path).name, safe='')}",
        "Content-Length": str(record.bytes),
    }
    return StreamingResponse(chunks(file), media_type="application/octet-stream", headers=headers)


@cache
def archive(data_dir: Path) -> RunArchive:
    """The runs of a data folder; kept by this process."""
    return RunArchive(data_dir / "runs")


def _folder(dag_id: str, run_id: str) -> RunFolder:
    """The folder of a run; a DAG whose name is no folder's name has none.

    Raises:
        HTTPException: 404.
    """
    if safe_name(dag_id) != dag_id or "\0" in run_id:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return RunFolder.of(get_settings().data_dir, dag_id, run_id)


def _by_now(folder: RunFolder, entry: RunEntry) -> bytes:
    states = task_states(entry.dag_id, entry.run_id)
    return render_html(build_report(folder, task_states=states, now=datetime.now(UTC)), folder.files).encode()


def _trends(found: list[Row]) -> list[Trend]:
    """Durations by pipeline; of one pipeline its key figures too."""
    by_dag: dict[str, list[Row]] = {}
    for row in found:
        by_dag.setdefault(row.entry.dag_id, []).append(row)
    trends: list[Any] = [duration_trend(rows, f"{dag}: duration") for dag, rows in sorted(by_dag.items())]
    if len(by_dag) == 1:
        trends += figure_trends(found)
    return [trend for trend in trends if trend is not None]
