"""What killed runs leave behind: whether a run of the command line goes on, and the removal of what nobody uses.

Whoever works in one of these places holds a lock that the system releases when it dies: a run of the command line on
its log, which its Airflow inherits, and a publication on its temporary folder. So nothing that is in use is removed,
however old it is, and what was left a moment ago is.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

LOG_NAME, DATABASE_NAME = "airflow.log", ".airflow.db"
"""In the folder of a run of the command line: Airflow's log and, while it runs, its database."""
COMMAND_LINE = "cli__"
"""Begins the names of the command line's runs."""
YOUNG_SECONDS = 5.0
"""What is younger may not be locked yet."""
STORE_SECONDS = 86_400.0
"""A temporary file or folder of a store is not locked; one that is older than a day belongs to nobody."""
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.(?:[a-z0-9_]{8}(?P<aside>\.old)?|partial)")
_PUBLISHED_DEPTH = 3


def goes_on(run: Path) -> bool:
    """Return whether a run of the command line goes on, also after the command line itself was killed.

    Args:
        run: Its folder.
    """
    return _is_locked(run / LOG_NAME)


def sweep_runs(runs: Path) -> list[Path]:
    """Remove the databases of the command line's runs that were killed.

    Args:
        runs: The folder `runs/` of the data folder.

    Returns:
        The folders of the runs that were killed.
    """
    killed = []
    for dag in _folders(runs):
        for run in _folders(dag):
            if run.name.startswith(COMMAND_LINE) and (run / DATABASE_NAME).exists() and not goes_on(run):
                for leftover in run.glob(f"{DATABASE_NAME}*"):
                    leftover.unlink(missing_ok=True)
                killed.append(run)
    return killed


def sweep_published(published: Path) -> list[Path]:
    """Remove the temporary folders of publications that were killed, and return them.

    Where a file system cannot exchange two folders at once, a publication that dies between two renames leaves what was
    published before under a temporary name; that gets its name back.

    Args:
        published: The folder `published/` of the data folder.
    """
    swept = []
    for folder, match in _temporaries(published, _PUBLISHED_DEPTH):
        if _age(folder) < YOUNG_SECONDS or _is_locked(folder):
            continue
        target = folder.with_name(match["target"])
        if match["aside"] and not target.exists():
            with suppress(OSError):
                folder.rename(target)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        swept.append(folder)
    return swept


def sweep_stores(stores: Iterable[Path]) -> list[Path]:
    """Remove temporary files and folders that have lain in shared stores for more than a day, and return them.

    Args:
        stores: Folders below the data folder that runs share.
    """
    swept = []
    for store in stores:
        for path, _ in _temporaries(store, depth=8):
            if _age(path) > STORE_SECONDS:
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    swept.append(path)
    return swept


def _folders(path: Path) -> Iterator[Path]:
    """Yield the folders below a folder, without links; none where there is no such folder."""
    with suppress(OSError), os.scandir(path) as children:
        for child in children:
            if child.is_dir(follow_symlinks=False):
                yield Path(child.path)


def _temporaries(root: Path, depth: int) -> Iterator[tuple[Path, re.Match[str]]]:
    """Yield what has the name of a temporary file or folder, to some depth; nothing below one, and no link."""
    try:
        with os.scandir(root) as children:
            entries = list(children)
    except OSError:
        return
    for entry in entries:
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not entry.is_symlink():
            yield Path(entry.path), match
        elif depth > 1 and entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _temporaries(Path(entry.path), depth - 1)


def _is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a path; on a file system without locks, whether it is young."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return _age(path) < STORE_SECONDS
    finally:
        os.close(handle)
    return False


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0
