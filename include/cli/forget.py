"""`./pipeline forget`: remove a subject, such as a meter, from everything that this deployment keeps."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from include.cli.run import AIRFLOW_HOME
from include.cli.terminal import shown
from include.core.domain import Domain
from include.core.forget import RECORDS, Forgetting, Place, Record
from include.core.run_folder import RunFolder
from include.core.settings import ROOT, get_settings
from include.core.text import printable
from include.pipelines import all_pipelines, domain_of_pipeline
from include.reporting.report import build_report, write_report

BACKUPS = ROOT / "backups"
"""Where `make backup` writes."""


def run_forget(domain: Domain, name: str, *, dry_run: bool, as_json: bool, console: Console) -> int:
    """Remove a subject, write the reports of runs that held it again, and print what was done.

    Args:
        domain: Whose subject it is.
        name: The subject.
        dry_run: Change nothing.
        as_json: Print the record on stdout.
        console: Where what was done goes.

    Returns:
        The exit code: 0, or 1 if something still holds the subject.

    Raises:
        ContractError: A manifest or a ledger is damaged.
        SetupError: A folder cannot be written; the next call goes on.
    """
    pipelines = [pipeline for pipeline in all_pipelines()[0] if domain_of_pipeline(pipeline) is domain]
    data = get_settings().data_dir.resolve()
    forgetting = Forgetting(name, domain, pipelines, data, datetime.now(UTC), dry_run, AIRFLOW_HOME / "logs")
    record = forgetting.run(backups_of(BACKUPS))
    for folder in forgetting.erased:
        run = RunFolder(folder)
        write_report(run, build_report(run, task_states=dict.fromkeys(run.all_tasks(), "success"), now=record.at))
    if as_json:
        sys.stdout.write(printable(record.model_dump_json(indent=2), keep="\n") + "\n")
    _show(record, data, console, dry_run=dry_run)
    return 0 if record.complete else 1


def backups_of(folder: Path) -> list[Path]:
    """Return the archives that `make backup` has written."""
    return sorted(folder.glob("*.tar.gz"))


def _show(record: Record, data: Path, console: Console, *, dry_run: bool) -> None:
    for heading, places in (("published", record.published), ("runs", record.runs), ("inbox", record.inputs)):
        for place in places:
            console.print(f"{heading}: {shown(_sentence(place, dry_run=dry_run))}", soft_wrap=True)
    if not record.places:
        console.print(f"nothing below {shown(data)} holds this {record.subject}", soft_wrap=True)
        return
    for backup in record.backups:
        console.print(f"[yellow]![/] the backup {shown(backup)} was made before, and may hold it", soft_wrap=True)
    for text in record.not_searched:
        console.print(f"[yellow]![/] not searched: {shown(text)}", soft_wrap=True)
    if not dry_run and any(place.done != "kept" for place in record.places):
        console.print(f"record: {shown(data / RECORDS)}", soft_wrap=True)


def _sentence(place: Place, *, dry_run: bool) -> str:
    if place.done == "kept":
        return f"{place.path} still holds it: {place.why}"
    files = f" ({len(place.files)} files removed)" if place.files and place.done == "rewritten" else ""
    return f"{place.path} {'would be' if dry_run else 'was'} {place.done}{files}"
