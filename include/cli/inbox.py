"""`./pipeline inbox`: how feeds stand; with `--once` their files are taken and their days run, without a scheduler."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from include.cli.run import INTERRUPTED_CODE, run_environment, run_pipeline
from include.cli.terminal import shown
from include.core.errors import BadInputError
from include.core.feeds import Feed
from include.core.inbox import FeedStatus, Inbox
from include.core.settings import get_settings
from include.core.text import printable_json
from include.pipelines import all_pipelines

COLUMNS = ("feed", "last file", "waiting", "taken", "rejected", "published", "latest day", "to run")
TEXTS = frozenset({"feed", "last file", "latest day"})


def run_inbox(name: str | None, *, once: bool, retry: bool, as_json: bool, console: Console) -> int:
    """Show how feeds stand, and take and run what has arrived where that is asked for.

    Args:
        name: Of one feed; None for all.
        once: Take files and run the days that are due.
        retry: Run days again that failed.
        as_json: Print a JSON document on stdout.
        console: Where progress goes.

    Returns:
        The exit code: 0; 1 if a feed has a finding; 130 if a run was interrupted.

    Raises:
        BadInputError: There is no such feed.
        SetupError: The inbox cannot be written.
        TransientError: Another process takes files of the feed.
    """
    inbox = Inbox(get_settings().data_dir, all_pipelines()[0])
    feeds, code = inbox.feeds(name), 0
    for feed in feeds if once else ():
        code = _take_and_run(inbox, feed, retry=retry, console=console)
        if code == INTERRUPTED_CODE:
            break
    states = [inbox.look(feed, datetime.now(UTC)) for feed in feeds]
    if as_json:
        sys.stdout.write(printable_json(json.dumps([document_of(status) for status in states], indent=2)) + "\n")
    else:
        show_feeds(inbox, states, Console(highlight=False))
    if code == INTERRUPTED_CODE:
        return code
    return int(any(status.findings for status in states))


def _take_and_run(inbox: Inbox, feed: Feed, *, retry: bool, console: Console) -> int:
    """Take a feed's files and run its due days; a feed whose declaration is faulty is shown by its finding."""
    try:
        for sentence in inbox.take(feed, datetime.now(UTC)):
            console.print(f"{feed.name}: {shown(sentence)}", soft_wrap=True)
        days = inbox.due(feed, retry=retry)
    except BadInputError:
        return 0
    for day in days:
        console.print(f"\n[bold]{feed.name}, {day.day}[/]")
        params = day.pipeline.check_params(day.params)
        environment = run_environment(day.pipeline, params, {}, runtime=None, approve=False)
        with redirect_stdout(sys.stderr):  # stdout is for how the feeds stand
            code = run_pipeline(day.pipeline, params, environment, as_json=False, console=console, name=day.run_name)
        if code == INTERRUPTED_CODE:
            return code
    return 0


def document_of(status: FeedStatus) -> dict[str, Any]:
    """Return how a feed stands as a JSON document."""
    ledger = status.ledger
    taken = ledger.files if ledger else []
    return {
        "feed": status.feed.name,
        "waiting": [{"name": name, "why": why} for name, why in status.waiting.items()],
        "taken": [file.model_dump(mode="json") for file in taken],
        "repeated": [file.model_dump(mode="json") for file in ledger.repeated] if ledger else [],
        "rejected": [file.model_dump(mode="json") for file in ledger.rejected] if ledger else [],
        "days": {str(day): state.model_dump(mode="json") for day, state in sorted(ledger.days.items())}
        if ledger
        else {},
        "due": [
            {"day": str(day.day), "standing": day.standing, "run": day.run, "problem": day.problem}
            for day in status.due
        ],
        "findings": [
            {"finding": finding.mark, "subject": finding.subject, "message": finding.message}
            for finding in status.findings
        ],
    }


def show_feeds(inbox: Inbox, states: list[FeedStatus], console: Console) -> None:
    """Print a table of feeds, and what an operator should know of them."""
    if not states:
        console.print(f"There is no feed yet: make a folder in {shown(inbox.folder)} (docs/guides/inbox.md).")
        return
    rows = [_row(status) for status in states]
    widths = [max(map(len, cells)) for cells in zip(COLUMNS, *rows, strict=True)]
    table = Table(box=box.SIMPLE, width=sum(widths) + 3 * len(widths) + 1)  # a narrow terminal wraps, and cuts no date
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in TEXTS else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table, crop=False)
    for status in states:
        for name, why in status.waiting.items():
            console.print(f"  {status.feed.name}: {shown(name)} waits: {shown(why)}", soft_wrap=True)
        for finding in status.findings:
            message = f"{status.feed.name} {finding.subject}: {finding.message}"
            console.print(f"[yellow]![/] {shown(message)}", soft_wrap=True)


def _row(status: FeedStatus) -> list[str]:
    ledger = status.ledger
    if ledger is None:
        return [status.feed.name, *["?"] * 7]
    last = max((file.taken_at for file in ledger.files), default=None)
    latest = max(ledger.days, default=None)
    state = ledger.days[latest] if latest else None
    return [
        status.feed.name,
        f"{last:%Y-%m-%d %H:%M} UTC" if last else "none yet",
        str(len(status.waiting)),
        str(len(ledger.files)),
        str(len(ledger.rejected)),
        str(len(ledger.days)),
        f"{latest}, revision {state.revision}" if state else "none yet",
        str(len(status.due)),
    ]
