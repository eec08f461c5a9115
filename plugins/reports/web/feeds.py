"""The page of feeds: what arrived last, how long one has been silent, which days were published again and why."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Request, Response

from include.core.inbox import INBOX, Inbox
from include.core.settings import get_settings
from include.pipelines import all_pipelines
from plugins.reports.web.app import render
from plugins.reports.web.runs import active_runs
from plugins.reports.web.security import ReadableDags, reads_runs

router = APIRouter()
FEEDS = "feeds"
"""The page's place below the project's pages, and its template's name."""
MOST_DAYS = 60
"""Days of a feed that the page shows, those published last."""


@router.get(f"/{FEEDS}", dependencies=[reads_runs(INBOX)])
def all_feeds(request: Request, readable: ReadableDags) -> Response:
    """Show how the feeds stand whose days run in a DAG that the user may see; a faulty one, to all who see the page."""
    active = active_runs(readable)

    def has_ended(folder: Path) -> bool:
        return (folder.parent.name, folder.name) not in active

    inbox, now = Inbox(get_settings().data_dir, all_pipelines()[0], has_ended), datetime.now(UTC)
    states = [inbox.look(feed, now) for feed in inbox.feeds()]
    shown = [status for status in states if status.pipeline is None or status.pipeline.definition.dag_id in readable]
    return render(request, f"{FEEDS}.html.j2", states=shown, most=MOST_DAYS, now=now)
