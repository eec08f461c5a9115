"""`./pipeline env`: pending changes of the env file, its history, and rollback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table

from include.cli.terminal import shown, shown_message
from include.core.contracts import imported
from include.core.domain import PendingChange
from include.core.errors import GroundtruthError
from include.core.settings import get_settings
from include.core.text import message_text
from include.domains import DOMAINS
from include.env_file import Entry, EnvFile, Reason, current_user, shown_changes, shown_value

FAILED = 1
OWN_KEYS = frozenset(name for domain in DOMAINS if domain.env_keys for name in domain.env_keys.names)
"""Keys whose values may be shown; others, which any DAG may set, may be secrets."""
env_app = typer.Typer(
    help="The env file that promotions change: compare, list, roll back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Another env file. Default: GROUNDTRUTH_ENV_FILE, else .env."),
]


@env_app.command()
def diff(file: File = None) -> None:
    """Show what the latest run would change, and the last change."""
    with _opened(file) as env_file:
        _show_pending(env_file)
        entries = env_file.history()
        if not entries:
            _show(f"{shown(env_file.path)} was never changed by a promotion")
            return
        last = entries[-1]
        _show(f"last change: [bold]{last.id}[/], {shown(last.by)}: {shown(last.why)}")
        _show_diff(shown_changes(last, OWN_KEYS))


@env_app.command()
def history(file: File = None) -> None:
    """List all changes, oldest first; each with who made it, when and why."""
    with _opened(file) as env_file:
        entries = env_file.history()
        _show(shown(env_file.path))
        Console().print(_table(entries) if entries else "no changes yet")


@env_app.command()
def rollback(
    entry: Annotated[
        str | None,
        typer.Argument(
            metavar="ENTRY", help="Go back to how things were after this entry. Default: to before the last change."
        ),
    ] = None,
    why: Annotated[str, typer.Option(metavar="TEXT", help="For the history.")] = "rolled back on the command line",
    file: File = None,
) -> None:
    """Go back; what others wrote to the file since stays, and the rollback is an entry itself."""
    with _opened(file) as env_file:
        made = env_file.rollback(entry, Reason(by=f"{current_user()}, ./pipeline env rollback", why=why))
        if made is None:
            _show(f"{shown(env_file.path)} says so already; nothing changed")
            return
        _show(f"[green]✓[/] {shown(env_file.path)} rolled back (entry {made.id})")
        _show_diff(shown_changes(made, OWN_KEYS))
        for problem in follow_rollback(env_file):
            _show(f"[yellow]![/] {shown(problem)}")


def follow_rollback(env_file: EnvFile) -> list[str]:
    """Let each domain bring other systems in line with an env file that was rolled back; returns problems in words."""
    hooks = [domain.env_keys.after_rollback for domain in DOMAINS if domain.env_keys]
    return [problem for hook in hooks if (problem := imported(hook)(env_file))]


@contextmanager
def _opened(file: Path | None) -> Iterator[EnvFile]:
    """Yield the env file; an error is shown in words and ends the command."""
    try:
        yield EnvFile(file or get_settings().env_file)
    except GroundtruthError as error:
        message = f"[bold red]error:[/] {shown_message(error)}"
        Console(stderr=True, highlight=False).print(message, soft_wrap=True)
        raise typer.Exit(FAILED) from None


def _show_pending(env_file: EnvFile) -> None:
    """Print what the latest run of each domain decided, and what that would change."""
    for domain in DOMAINS:
        if domain.env_keys is None:
            continue
        pending: PendingChange | None = imported(domain.env_keys.pending)(get_settings().data_dir)
        if pending is None:
            name = domain.pipelines[0].definition.pipeline
            _show(f"no {name} run has reached a decision yet; begin with ./pipeline run {name}")
            continue
        _show(f"latest decision: run [bold]{shown(pending.run)}[/]")
        if not pending.changes:
            for reason in pending.reasons:
                _show(f"  [yellow]not promoted:[/] {shown(reason)}")
            continue
        changes, path = env_file.diff(pending.changes), shown(env_file.path)
        _show(f"  it passed every gate; {f'promoting it would change {path}:' if changes else f'{path} uses it'}")
        if changes:
            _show_diff(changes)


def _show(markup: str) -> None:
    Console().print(markup, soft_wrap=True)


def _show_diff(text: str) -> None:
    Console().print(Syntax(message_text(text), "diff", background_color="default", word_wrap=True))


def _table(entries: list[Entry]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("entry", no_wrap=True)
    table.add_column("what, by whom, why", overflow="fold")
    for entry in entries:
        lines = [f"{entry.at:%Y-%m-%d %H:%M:%SZ}, {entry.by}: {entry.why}"]
        lines += [f"run {entry.run}"] if entry.run else []
        lines += [
            f"{key}: {shown_value(OWN_KEYS, key, change.old)} → {shown_value(OWN_KEYS, key, change.new)}"
            for key, change in entry.changes.items()
        ]
        table.add_row(shown(entry.id), "\n".join(map(shown, lines)), end_section=True)
    return table
