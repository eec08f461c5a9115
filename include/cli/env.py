"""`./pipeline env`: pending changes of the env file, its history, and rollback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from include.core.contracts import imported
from include.core.domain import PendingChange
from include.core.errors import GroundtruthError
from include.core.settings import get_settings
from include.domains import DOMAINS
from include.env_file import Entry, EnvFile, Reason, current_user

FAILED = 1
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
    env_file, console = _open(file), Console()
    try:
        _show_pending(env_file, console)
        entries = env_file.history()
    except GroundtruthError as error:
        raise _fail(error) from None
    if entries:
        last = entries[-1]
        console.print(f"last change: [bold]{last.id}[/], {escape(last.by)}: {escape(last.why)}", soft_wrap=True)
        _show_diff(last.diff, console)
    else:
        console.print(f"{escape(str(env_file.path))} was never changed by a promotion", soft_wrap=True)


@env_app.command()
def history(file: File = None) -> None:
    """List all changes, oldest first; each with who made it, when and why."""
    env_file, console = _open(file), Console()
    try:
        entries = env_file.history()
    except GroundtruthError as error:
        raise _fail(error) from None
    console.print(escape(str(env_file.path)), soft_wrap=True)
    console.print(_table(entries) if entries else "no changes yet")


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
    env_file, console = _open(file), Console()
    try:
        made = env_file.rollback(entry, Reason(by=f"{current_user()}, ./pipeline env rollback", why=why))
    except GroundtruthError as error:
        raise _fail(error) from None
    if made is None:
        console.print(f"{escape(str(env_file.path))} says so already; nothing changed", soft_wrap=True)
        return
    console.print(f"[green]✓[/] {escape(str(env_file.path))} rolled back (entry {made.id})", soft_wrap=True)
    _show_diff(made.diff, console)
    for problem in follow_rollback(env_file):
        console.print(f"[yellow]![/] {escape(problem)}", soft_wrap=True)


def follow_rollback(env_file: EnvFile) -> list[str]:
    """Let each domain bring other systems in line with an env file that was rolled back; returns problems in words."""
    hooks = [domain.env_keys.after_rollback for domain in DOMAINS if domain.env_keys]
    return [problem for hook in hooks if (problem := imported(hook)(env_file))]


def _open(file: Path | None) -> EnvFile:
    try:
        return EnvFile(file or get_settings().env_file)
    except GroundtruthError as error:
        raise _fail(error) from None


def _show_pending(env_file: EnvFile, console: Console) -> None:
    """Print what the latest run of each domain decided, and what that would change."""
    for domain in DOMAINS:
        if domain.env_keys is None:
            continue
        pending: PendingChange | None = imported(domain.env_keys.pending)(get_settings().data_dir)
        if pending is None:
            name = domain.pipelines[0].definition.pipeline
            console.print(f"no {name} run has reached a decision yet; begin with ./pipeline run {name}", soft_wrap=True)
            continue
        console.print(f"latest decision: run [bold]{escape(pending.run)}[/]", soft_wrap=True)
        for reason in () if pending.changes else pending.reasons:
            console.print(f"  [yellow]not promoted:[/] {escape(reason)}", soft_wrap=True)
        if not pending.changes:
            continue
        changes = env_file.diff(pending.changes)
        path = escape(str(env_file.path))
        effect = f"promoting it would change {path}:" if changes else f"{path} uses it"
        console.print(f"  it passed every gate; {effect}", soft_wrap=True)
        if changes:
            _show_diff(changes, console)


def _show_diff(text: str, console: Console) -> None:
    console.print(Syntax(text, "diff", background_color="default", word_wrap=True))


def _table(entries: list[Entry]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("entry", no_wrap=True)
    table.add_column("what, by whom, why", overflow="fold")
    for entry in entries:
        lines = [f"{entry.at:%Y-%m-%d %H:%M:%SZ}, {entry.by}: {entry.why}"]
        lines += [f"run {entry.run}"] if entry.run else []
        lines += [f"{key}: {_shown(each.old)} → {_shown(each.new)}" for key, each in entry.changes.items()]
        table.add_row(entry.id, escape("\n".join(lines)), end_section=True)
    return table


def _shown(value: str | None) -> str:
    if value is None:
        return "(not set)"
    return f"…/{'/'.join(Path(value).parts[-2:])}" if value.startswith("/") else value


def _fail(error: GroundtruthError) -> typer.Exit:
    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    return typer.Exit(FAILED)
