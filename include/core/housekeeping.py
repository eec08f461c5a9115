"""Housekeeping: what is old enough to be removed, how much that is, and its removal.

A subject (runs, logs, replaced publications, and what domains add) lists what its setting allows to remove, so that a
dry run states exactly what the next one removes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from include.core.contracts import imported
from include.core.domain import Domain
from include.core.errors import SetupError
from include.core.publications import REPLACED, find_publications
from include.core.retention import expired_runs, interrupted_removals, remove_run
from include.core.settings import Settings


@dataclass(frozen=True)
class Expired:
    """What a subject may remove.

    Args:
        subject: In words.
        setting: The environment variable that decides, and its value.
        paths: Files and folders, oldest first.
        remove: Removes one of them. Default: the file, or the folder with all that is in it.
    """

    subject: str
    setting: str
    paths: tuple[Path, ...]
    remove: Callable[[Path], object] | None = None

    @property
    def bytes(self) -> int:
        """How much they hold."""
        return sum(size_of(path) for path in self.paths)


@dataclass(frozen=True)
class Tidied:
    """What was removed of a subject, or would have been.

    Args:
        subject: In words.
        setting: The environment variable that decides, and its value.
        count: How many files or folders.
        bytes: How much they held.
    """

    subject: str
    setting: str
    count: int
    bytes: int

    @property
    def sentence(self) -> str:
        """For a log: "runs: 3 (12.4 MB), GROUNDTRUTH_KEEP_RUNS_DAYS=90"."""
        return f"{self.subject}: {self.count} ({self.bytes / 1e6:,.1f} MB), {self.setting}"


def expired(
    settings: Settings, domains: Iterable[Domain], now: datetime, *, logs: Path | None = None
) -> Iterator[Expired]:
    """Yield what may be removed, by subject.

    Args:
        settings: The deployment's.
        domains: Those whose stores are kept tidy.
        now: The present.
        logs: Airflow's folder of logs.
    """
    data, days = settings.data_dir, settings.keep_runs_days
    runs = expired_runs(data / "runs", now - timedelta(days=days)) if days else interrupted_removals(data / "runs")
    yield Expired("runs", _stated("KEEP_RUNS_DAYS", days), tuple(runs), remove_run)
    days = settings.keep_replaced_days
    replaced = _older(find_publications(data / "published" / REPLACED), now, days)
    yield Expired("replaced publications", _stated("KEEP_REPLACED_DAYS", days), replaced)
    if logs is not None:
        days = settings.keep_logs_days
        yield Expired(
            "logs", _stated("KEEP_LOGS_DAYS", days), _older(_files(logs), now, days), partial(_remove_log, logs)
        )
    for domain in domains:
        if domain.housekeeping:
            yield from imported(domain.housekeeping)(data, now)


def tidy(subjects: Iterable[Expired], *, dry_run: bool) -> Iterator[Tidied]:
    """Remove what has expired, and yield what that was.

    Args:
        subjects: Of `expired`.
        dry_run: Remove nothing.

    Raises:
        SetupError: Something could not be removed; all the rest is.
    """
    faults: list[str] = []
    for subject in subjects:
        size, count = 0, 0
        for path in subject.paths:
            held = size_of(path)
            try:
                if not dry_run:
                    (subject.remove or _remove)(path)
            except FileNotFoundError:
                continue  # something else removed it
            except OSError as error:
                faults.append(f"{path}: cannot be removed: {error.strerror or error}")
                continue
            size, count = size + held, count + 1
        yield Tidied(subject.subject, subject.setting, count, size)
    if faults:
        more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise SetupError(f"{faults[0]}{more}")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all that is in a folder; what vanishes meanwhile counts as nothing."""
    paths = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    size = 0
    for inner in paths:
        with suppress(OSError):
            size += inner.lstat().st_size
    return size


def _stated(name: str, value: float | None) -> str:
    return f"GROUNDTRUTH_{name}={value or 0:g}"


def _older(paths: Iterable[Path], now: datetime, days: int) -> tuple[Path, ...]:
    """Return what has not changed for some days, oldest first; nothing where 0 days say that all stays."""
    dated = [(path.lstat().st_mtime, path) for path in paths] if days else []
    limit = (now - timedelta(days=days)).timestamp()
    return tuple(path for changed, path in sorted(dated) if changed < limit)


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove_log(root: Path, path: Path) -> None:
    """Remove a log, and the folders below the root that held nothing else."""
    path.unlink()
    for folder in path.relative_to(root).parents[:-1]:
        with suppress(OSError):  # it holds other logs
            (root / folder).rmdir()
