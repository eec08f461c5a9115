"""Old runs are removed when their time is over; what somebody may still need stays."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from include.core.errors import explain
from include.core.run_folder import StepResult, read_model

LOG = logging.getLogger(__name__)
GOING = ".removed-"
"""Begins the name of a folder whose removal was interrupted; the next one ends it."""


def expired_runs(runs: Path, before: datetime) -> list[Path]:
    """Folders of runs in which nothing happened since, oldest first.

    Of each DAG the newest run stays, and for each step the newest run in which it succeeded: later runs may read its
    files. A verdict that cannot be read, as one of an older schema, is no success.

    Args:
        runs: The folder `runs/` of the data folder.
        before: Runs whose last sign of life is older are over.
    """
    found: list[tuple[datetime, Path]] = []
    for dag in sorted(path for path in runs.glob("*") if path.is_dir()):
        folders = [path for path in dag.iterdir() if path.is_dir()]
        found += [(_last_sign(run), run) for run in folders if run.name.startswith(GOING)]
        dated = sorted(((_last_sign(run), run) for run in folders if not run.name.startswith(".")), reverse=True)
        needed: set[str] = set()
        for position, (last, run) in enumerate(dated):
            fresh = _succeeded(run) - needed
            needed |= fresh
            if position and not fresh and last < before:
                found.append((last, run))
    return [run for _, run in sorted(found)]


def remove_run(run: Path) -> int:
    """Remove a run's folder; a reader sees all of it or nothing.

    Returns:
        Bytes that it held.

    Raises:
        OSError: It cannot be removed.
    """
    size = sum(path.lstat().st_size for path in run.rglob("*"))
    gone = run if run.name.startswith(GOING) else run.rename(run.with_name(GOING + run.name))
    shutil.rmtree(gone)
    return size


def _last_sign(run: Path) -> datetime:
    """When a run's records last changed."""
    records = [run, *run.iterdir(), *run.glob("steps/*/*.json")]
    return datetime.fromtimestamp(max(path.lstat().st_mtime for path in records), UTC)


def _succeeded(run: Path) -> set[str]:
    results = (_verdict(path) for path in run.glob("steps/*/result.json"))
    return {result.step for result in results if result is not None and result.status == "success"}


def _verdict(path: Path) -> StepResult | None:
    try:
        return read_model(path, StepResult)
    except ValidationError as error:
        LOG.warning("%s cannot be read, so it counts as no success: %s", path, explain(error))
        return None
