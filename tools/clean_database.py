"""Remove old runs from Airflow's database (`airflow db clean`): `python -m tools.clean_database [--dry-run]`.

A task cannot do it, for tasks have no access to the database: `make ui` does it before it starts Airflow, the full
stack in its service `housekeeping`, once a day. `GROUNDTRUTH_KEEP_DATABASE_DAYS` states the age.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

from include.core.settings import get_settings
from tools.stack import AIRFLOW, say

TABLES = (
    "asset_event",
    "callback",
    "celery_taskmeta",
    "celery_tasksetmeta",
    "dag_run",
    "deadline",
    "import_error",
    "job",
    "log",
    "revoked_token",
    "session",
    "task_instance",
    "task_instance_history",
    "task_reschedule",
    "xcom",
)
"""Not `dag`: after a long pause of the deployment it would remove every DAG, with its runs."""
DAY_SECONDS = 86_400
_CHECKED, _FOUND = re.compile(r"Checking table (\w+)"), re.compile(r"Found (\d+) rows")


def main(arguments: list[str]) -> int:
    """Clean the database and say what was removed, by table.

    Args:
        arguments: `--dry-run`: say what would be removed; `--daily`: go on, once a day.
    """
    while "--daily" in arguments:
        clean(dry_run=False)
        time.sleep(DAY_SECONDS)
    return clean(dry_run="--dry-run" in arguments)


def clean(*, dry_run: bool) -> int:
    """Remove rows of old runs; 1 where Airflow refuses it.

    Args:
        dry_run: Remove nothing.
    """
    days = get_settings().keep_database_days
    if not days:
        say("database: all runs stay, GROUNDTRUTH_KEEP_DATABASE_DAYS=0")
        return 0
    before = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S+00:00}"
    command = [*AIRFLOW, "db", "clean", "--clean-before-timestamp", before, "--tables", ",".join(TABLES)]
    command += ["--dry-run"] if dry_run else ["--yes", "--skip-archive", "--error-on-cleanup-failure"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
    if done.returncode:
        say(f"database: could not be cleaned: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
        return 1
    rows = {table: count for table, count in counted(done.stdout).items() if count}
    tables = ", ".join(f"{table} {count:,}" for table, count in rows.items()) or "nothing"
    say(f"database: {'would remove' if dry_run else 'removed'} {tables} (rows older than {days} days)")
    return 0


def counted(output: str) -> dict[str, int]:
    r"""Return the rows by table that `airflow db clean` reports.

    >>> counted("Checking table job\nFound 3 rows meeting deletion criteria.\nChecking table log\nFound 0 rows")
    {'job': 3, 'log': 0}
    """
    rows, table = {}, ""
    for line in output.splitlines():
        if checked := _CHECKED.search(line):
            table = checked[1]
        elif (found := _FOUND.search(line)) and table:
            rows[table] = int(found[1])
    return rows


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
