"""Retention: which runs are old enough to be removed, and their removal."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from include.core.run_folder import RunFolder

REMOVED = ".removed-"
"""Begins the name of a run's folder whose removal has begun; the next removal ends one that was interrupted."""


def expired_runs(runs: Path, before: datetime) -> list[Path]:
    """Return the folders of runs in which nothing has happened since, oldest first.

    Of each DAG the newest run stays, and for each step the newest run in which it succeeded: later runs may read its
    files. A result that cannot be read, such as one of an older schema, is not a success.

    Args:
        runs: The folder `runs/` of the data folder.
        before: Runs whose records last changed before this time may be removed.
    """
    expired: list[tuple[datetime, Path]] = []
    for dag in sorted(path for path in runs.glob("*") if path.is_dir()):
        folders = [path for path in dag.iterdir() if path.is_dir()]
        dated = sorted(((_last_change(run), run) for run in folders if not run.name.startswith(".")), reverse=True)
        needed: set[str] = set()
        for position, (last, run) in enumerate(dated):
            fresh = {result.step for result in RunFolder(run).recorded_successes()} - needed
            needed |= fresh
            if position and not fresh and last < before:
                expired.append((last, run))
    return [*interrupted_removals(runs), *(run for _, run in sorted(expired))]


def interrupted_removals(runs: Path) -> list[Path]:
    """Return the folders of runs whose removal has begun and was interrupted.

    Args:
        runs: The folder `runs/` of the data folder.
    """
    return sorted(path for path in runs.glob(f"*/{REMOVED}*") if path.is_dir())


def remove_run(run: Path) -> int:
    """Remove a run's folder; a reader sees all of it or nothing.

    Returns:
        The bytes that it held.

    Raises:
        OSError: It cannot be removed.
    """
    size = sum(path.lstat().st_size for path in run.rglob("*"))
    renamed = run if run.name.startswith(REMOVED) else run.rename(run.with_name(REMOVED + run.name))
    shutil.rmtree(renamed)
    return size


def _last_change(run: Path) -> datetime:
    """When a run's records last changed."""
    records = [run, *run.iterdir(), *run.glob("steps/*/*.json")]
    return datetime.fromtimestamp(max(path.lstat().st_mtime for path in records), UTC)
