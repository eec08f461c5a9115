"""`./pipeline housekeeping`: what is older than its setting allows, and its removal, without a scheduler."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table

from include.cli.run import AIRFLOW_HOME
from include.core.housekeeping import Tidied, expired, tidy
from include.core.settings import get_settings
from include.core.text import printable_json
from include.domains import DOMAINS


def run_housekeeping(*, dry_run: bool, as_json: bool) -> None:
    """Remove what has expired in the data folder and among Airflow's logs, and print how much that was.

    Args:
        dry_run: Remove nothing.
        as_json: Print a JSON document.

    Raises:
        SetupError: Something cannot be removed; all the rest is.
    """
    subjects = expired(get_settings(), DOMAINS, datetime.now(UTC), logs=AIRFLOW_HOME / "logs")
    tidied = list(tidy(subjects, dry_run=dry_run))
    if as_json:
        document = {"dry_run": dry_run, "removed": [asdict(row) for row in tidied]}
        sys.stdout.write(printable_json(json.dumps(document, indent=2)) + "\n")
    else:
        sys.stdout.write("Would be removed:\n" if dry_run else "Removed:\n")
        Console().print(_table(tidied))


def _table(tidied: list[Tidied]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("what", "number", "MB", "setting"):
        table.add_column(name, justify="right" if name in ("number", "MB") else "left", no_wrap=True)
    for row in tidied:
        table.add_row(row.subject, f"{row.count:,}", f"{row.bytes / 1e6:,.1f}", row.setting)
    return table
