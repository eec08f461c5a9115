"""The page Live: runs as they go on, and their events for browsers and programs, to those who may read the reports.

The page asks for itself again whenever the stream of events says that something happened. So it is made in one place,
works without a script, and a connection that was lost costs nothing but time. A stream ends after a minute and is
opened again with the number of the last event, so that permissions are checked again, and a server that stops waits no
longer than that.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import anyio
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.core_api.security import resolve_user_from_token
from fastapi import APIRouter, Header, HTTPException, Query, Request, Response, WebSocket, status
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect, WebSocketState

from include.core.events import Event, Progress, under_way
from include.core.settings import get_settings
from include.core.sink import FILE, Numbered, last_event, read_events
from include.reporting.archive import RunEntry, read_entry, run_entries
from include.reporting.listing import STATES, Row, state_of
from plugins.reports.web.app import render
from plugins.reports.web.runs import active_runs, folder_of, on_the_command_line, row_of
from plugins.reports.web.security import LIVE_POLICY, ReadableDags, is_from_our_page, may_read_runs, reads_runs

router = APIRouter()
LIVE = "live"
POLICY = {"Content-Security-Policy": LIVE_POLICY}
STREAM_SECONDS, SILENCE_SECONDS, POLL_SECONDS = 60.0, 15.0, 0.2
"""How long a stream lasts, how often a silent one says that it is alive, how often it looks."""
MOST_RUNNING, MOST_ENDED, MOST_EVENTS = 50, 20, 300
"""What the pages show: runs that go on, runs that ended last, events of a run."""
AT_ONCE = 500
"""Events that are read at once, so that a long run fills no memory."""
After = Annotated[int, Query(ge=0, le=2**53, description="Number of the last event that is known.")]


@router.get(f"/{LIVE}")
def all_live(request: Request, readable: ReadableDags) -> Response:
    """Show the runs that go on, and those that ended last, of the DAGs that the user may see."""
    runs = get_settings().data_dir / "runs"
    latest = heapq.nlargest(MOST_RUNNING + MOST_ENDED, run_entries(runs, readable), key=lambda entry: entry.started_at)
    active = active_runs(readable)
    known = {(entry.dag_id, entry.folder) for entry in latest}
    folders = (runs / dag_id / folder for dag_id, folder in active - known)  # begun long ago, and cleared
    entries = latest + [read_entry(folder) for folder in folders if folder.is_dir()]
    active |= on_the_command_line(runs, entries)
    rows = [(Row(entry, state_of(entry, active)), _latest(runs, entry)) for entry in entries]
    return render(
        request,
        "live.html.j2",
        headers=POLICY,
        running=[(row, event) for row, event in rows if row.state == "running"][:MOST_RUNNING],
        ended=[(row, event) for row, event in rows if row.state != "running"][:MOST_ENDED],
        states=STATES,
    )


@router.get(f"/{LIVE}/events")
def all_events(readable: ReadableDags) -> Response:
    """Return a stream that says when something happens in a run of the DAGs that the user may see."""
    runs = get_settings().data_dir / "runs"
    return _stream(_changes(runs, frozenset(readable), [runs / dag_id / run for dag_id, run in active_runs(readable)]))


@router.get("/dags/{dag_id}/runs/{run_id}/live", dependencies=[reads_runs()])
def one_live(request: Request, dag_id: str, run_id: str) -> Response:
    """Show what goes on in a run, and what has happened in it."""
    folder = folder_of(dag_id, run_id)
    if not folder.path.is_dir():
        return render(request, "no_run.html.j2", status=404, dag_id=dag_id, run_id=run_id)
    row = row_of(dag_id, folder)
    numbered = list(read_events(folder.path))
    events = [event for _, event in numbered]
    history = [event for event in reversed(events) if not isinstance(event, Progress)]
    return render(
        request,
        "live_run.html.j2",
        headers=POLICY,
        row=row,
        explanation=STATES[row.state],
        under_way=under_way(events) if row.state == "running" else [],
        history=history[:MOST_EVENTS],
        left_out=len(history[MOST_EVENTS:]),
        last=numbered[-1].number if numbered else 0,
    )


@router.get("/dags/{dag_id}/runs/{run_id}/events", dependencies=[reads_runs()])
def one_stream(
    dag_id: str, run_id: str, after: After = 0, last_event_id: Annotated[str | None, Header(max_length=20)] = None
) -> Response:
    """Return the events of a run as server-sent events: those of the past, then each as it happens.

    Raises:
        HTTPException: 404 where there is no such run.
    """
    known = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
    return _stream(_server_sent(_existing(dag_id, run_id), known))


@router.websocket("/dags/{dag_id}/runs/{run_id}/socket")
async def one_socket(websocket: WebSocket, dag_id: str, run_id: str, after: After = 0) -> None:
    """Send the events of a run over a WebSocket: a JSON object each, those of the past first.

    A browser shows its cookie, and must state that the connection comes from our own pages; a program shows a token.
    """
    await _admit(websocket, dag_id)
    folder = await run_in_threadpool(_existing, dag_id, run_id)
    await websocket.accept()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_closed, websocket, tasks.cancel_scope)
        with suppress(WebSocketDisconnect):
            async for batch in _follow(folder, after):
                for number, event in batch:
                    await websocket.send_text(_document(number, event))
        tasks.cancel_scope.cancel()
    if websocket.client_state is WebSocketState.CONNECTED:
        await websocket.close(status.WS_1001_GOING_AWAY)


async def _admit(websocket: WebSocket, dag_id: str) -> None:
    """Admit users who may read the runs of a DAG, as the report does.

    Raises:
        HTTPException: 401 or 403.
    """
    scheme, _, token = websocket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        user = await resolve_user_from_token(token)
    elif is_from_our_page(websocket) and websocket.headers.get("origin"):
        user = await resolve_user_from_token(websocket.cookies.get(COOKIE_NAME_JWT_TOKEN))
    else:
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    if not await run_in_threadpool(may_read_runs, user, dag_id):
        raise HTTPException(status.HTTP_403_FORBIDDEN)


async def _until_closed(websocket: WebSocket, scope: anyio.CancelScope) -> None:
    """End a stream when its client goes; what a client sends says nothing."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()


def _existing(dag_id: str, run_id: str) -> Path:
    folder = folder_of(dag_id, run_id).path
    if not folder.is_dir():
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return folder


def _latest(runs: Path, entry: RunEntry) -> Event | None:
    return last_event(runs / entry.dag_id / entry.folder)


def _stream(lines: AsyncIterator[str]) -> Response:
    headers = {"X-Accel-Buffering": "no"}  # nginx would hold events back
    return StreamingResponse(lines, headers=headers, media_type="text/event-stream")


async def _server_sent(run: Path, after: int) -> AsyncIterator[str]:
    """Yield the events of a run as server-sent events, whose ids are their numbers."""
    yield "retry: 1000\n\n"
    async for batch in _follow(run, after):
        yield "".join(f"id: {number}\ndata: {_document(number, event)}\n\n" for number, event in batch) or ": alive\n\n"


async def _changes(runs: Path, dags: frozenset[str], active: list[Path]) -> AsyncIterator[str]:
    """Yield a server-sent event whenever a run of some DAGs begins or has a new event."""
    yield "retry: 1000\n\n"
    known = await run_in_threadpool(_sizes, runs, dags, active)
    spoke = time.monotonic()
    end = spoke + STREAM_SECONDS
    while time.monotonic() < end:
        await asyncio.sleep(POLL_SECONDS)
        sizes = await run_in_threadpool(_sizes, runs, dags, active)
        if sizes != known or time.monotonic() - spoke > SILENCE_SECONDS:
            yield "data: changed\n\n" if sizes != known else ": alive\n\n"
            known, spoke = sizes, time.monotonic()


def _sizes(runs: Path, dags: frozenset[str], active: list[Path]) -> dict[Path, int]:
    """Return the sizes of the events of active runs, and of those whose folders changed last, by folder."""
    changed: list[tuple[int, str]] = []
    for dag_id in dags:
        with suppress(OSError), os.scandir(runs / dag_id) as folders:
            changed += [(folder.stat(follow_symlinks=False).st_mtime_ns, folder.path) for folder in folders]
    latest = [Path(path) for _, path in heapq.nlargest(MOST_RUNNING, changed)]
    return {folder: _size(folder) for folder in (*latest, *active)}


async def _follow(run: Path, after: int) -> AsyncIterator[list[Numbered]]:
    """Yield the events of a run that follow one, in batches, for a minute; an empty one now and then in silence."""
    end, spoke, read = time.monotonic() + STREAM_SECONDS, time.monotonic(), -1
    while time.monotonic() < end:
        size = _size(run)
        batch = await run_in_threadpool(_batch, run, after) if size != read else []
        if batch or time.monotonic() - spoke > SILENCE_SECONDS:
            yield batch
            spoke = time.monotonic()
        if batch:
            after = batch[-1].number
        if len(batch) < AT_ONCE:
            read = size
            await asyncio.sleep(POLL_SECONDS)


def _batch(run: Path, after: int) -> list[Numbered]:
    return list(islice(read_events(run, after), AT_ONCE))


def _size(run: Path) -> int:
    try:
        return (run / FILE).stat(follow_symlinks=False).st_size
    except OSError:
        return 0


def _document(number: int, event: Event) -> str:
    """Return an event as JSON, with its number and in words."""
    stated: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    return json.dumps({"number": number, "words": event.words} | stated)
