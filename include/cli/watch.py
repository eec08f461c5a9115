"""Watch a run: each event as it happens, until the run ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from rich.console import Console

from include.cli.runs import find_runs
from include.cli.terminal import shown, shown_message
from include.core.errors import BadInputError
from include.core.events import Event, RunEnded, ending
from include.core.leftovers import COMMAND_LINE, ONE_OFF, YOUNG_SECONDS, goes_on
from include.core.settings import get_settings
from include.core.sink import read_events
from include.core.text import printable_json
from include.pipelines import all_pipelines
from include.reporting.archive import RunEntry, latest_report, read_entry

POLL_SECONDS = 0.2
COLOURS = {"proven": "green", "failed": "red", "escalated": "yellow", "deferred": "yellow", "progress": "dim"}


def find_run(name: str | None) -> Path:
    """Return the folder of a run.

    Args:
        name: Its id, its folder, or the beginning of its id, with or without what stands before `__`; the name of a
            pipeline stands for its latest run, None for the latest of all.

    Raises:
        BadInputError: There is none, or several begin so; names them.
    """
    runs = get_settings().data_dir / "runs"
    if name and (Path(name) / "run.json").is_file():
        return Path(name)
    is_pipeline = any(name in pipeline.names for pipeline in all_pipelines()[0])
    entries = find_runs(name if is_pipeline else None)
    if name and not is_pipeline:
        entries = [entry for entry in entries if name in (entry.run_id, entry.folder)] or [
            entry for entry in entries if _begins(entry, name)
        ]
        if len({entry.folder for entry in entries}) > 1:
            some = ", ".join(entry.run_id for entry in entries[:5])
            raise BadInputError(f"{len(entries)} runs begin with {name}: {some}{' …' * (len(entries) > 5)}")
    if not entries:
        what = f"run named {name}" if name else "run yet"
        raise BadInputError(f"there is no {what} (looked in {runs}); ./pipeline runs lists the runs")
    return runs / entries[0].dag_id / entries[0].folder


def follow(run: Path, sleep: Callable[[float], None] = time.sleep) -> Iterator[Event]:
    """Yield all events of a run, those of the past at once, until it ends or is found dead.

    Args:
        run: Its folder.
        sleep: Waits, for tests.
    """
    events: list[Event] = []
    last, silent_s, own_airflow = 0, 0.0, run.name.startswith((COMMAND_LINE, ONE_OFF))
    while True:
        new = list(read_events(run, last))
        for last, event in new:  # noqa: B007 - the number of the last one is kept
            events.append(event)
            yield event
        if ending(events):
            return
        silent_s = 0.0 if new else silent_s + POLL_SECONDS
        if silent_s >= YOUNG_SECONDS and (_reported_since(run, events) or (own_airflow and not goes_on(run))):
            return
        sleep(POLL_SECONDS)


def watch(run: Path, *, as_json: bool, out: Console, err: Console) -> int:
    """Print the events of a run until it ends, and return its exit code: 0 success, 1 anything else.

    Args:
        run: Its folder.
        as_json: Print each event as a line of JSON.
        out: Where events go.
        err: Where it is said that a run ended without saying so.
    """
    events: list[Event] = []
    for event in follow(run):
        events.append(event)
        if as_json:
            out.file.write(printable_json(event.model_dump_json(exclude_none=True)) + "\n")
            out.file.flush()
        else:
            out.print(line(event), soft_wrap=True)
    end = ending(events)
    if isinstance(end, RunEnded):
        return 0 if end.status == "success" else 1
    outcome = read_entry(run).outcome
    if outcome is None:
        why = "was killed: nothing runs it, and it has no report"
    else:
        why = f"ended ({outcome}); no event says so, as in a run of an earlier release or on a full disk"
    err.print(f"[yellow]![/] the run {shown(run.name)} {why}; ./pipeline report {shown(run.name)}", soft_wrap=True)
    return 0 if outcome == "success" else 1


def line(event: Event) -> str:
    """Return an event as a line for a terminal: local time, step, what happened."""
    step = getattr(event, "step", None)
    colour = COLOURS.get(event.kind, "default")
    name = f"[bold]{shown(step)}[/]: " if step else ""
    return f"[dim]{_clock(event.at)}[/] {name}[{colour}]{shown_message(event.words)}[/]"


def _reported_since(run: Path, events: list[Event]) -> bool:
    """Return whether a report followed the last event, so that the run ended and its events do not say so."""
    report = latest_report(run)
    return report is not None and (not events or report.stat().st_mtime > events[-1].at.timestamp())


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%H:%M:%S}"


def _begins(entry: RunEntry, name: str) -> bool:
    ids = (entry.run_id, entry.folder)
    return any(one.startswith(name) or one.partition("__")[2].startswith(name) for one in ids)
