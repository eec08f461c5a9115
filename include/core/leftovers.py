"""What killed runs leave behind: whether a run of the command line goes on, and the removal of what nobody uses.

Whoever works in one of these places holds a lock that the system releases when it dies: a run of the command line on
its log, which its Airflow inherits, a one-off run on its folder, and a publication on its temporary folder. So nothing
that is in use is removed, however old it is, and what was left a moment ago is. Work folders of steps have no lock,
because a container may work there while no worker does: they are removed where Airflow says that the run has ended.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from include.core.artifact_store import SEALING
from include.core.work_folder import VIEW, remove_tree

LOG_NAME, DATABASE_NAME = "airflow.log", ".airflow.db"
"""In the folder of a run of the command line: Airflow's log and, while it runs, its database."""
COMMAND_LINE, ONE_OFF = "cli__", "test__"
"""Begin the names of the runs of the command line and of `airflow dags test`, which have their own Airflow."""
YOUNG_SECONDS = 5.0
"""What is younger may not be locked yet."""
STORE_SECONDS = 86_400.0
"""A temporary file or folder of a store or a run is not locked; one that is older than a day belongs to nobody."""
_TEMPORARY = re.compile(r"\.(?P<target>.+)\.(?:[a-z0-9_]{8}(?P<aside>\.old)?|partial)")
_PUBLISHED_DEPTH = 4


def goes_on(run: Path) -> bool:
    """Return whether a run with its own Airflow goes on, also after the command line itself was killed.

    Args:
        run: Its folder.
    """
    return _is_locked(run if run.name.startswith(ONE_OFF) else run / LOG_NAME)


@contextmanager
def going_on(run: Path) -> Iterator[None]:
    """Hold the lock of a one-off run, by which others see that it goes on.

    Args:
        run: Its folder.
    """
    handle = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def sweep_runs(runs: Path) -> list[Path]:
    """Remove the databases of killed runs that had their own Airflow: of the command line, and of `airflow dags test`.

    Args:
        runs: The folder `runs/` of the data folder.

    Returns:
        The folders of the runs that were killed.
    """
    killed = []
    for dag in _folders(runs):
        for run in _folders(dag):
            if run.name.startswith((COMMAND_LINE, ONE_OFF)) and (run / DATABASE_NAME).exists() and not goes_on(run):
                for leftover in run.glob(f"{DATABASE_NAME}*"):
                    leftover.unlink(missing_ok=True)
                killed.append(run)
    return killed


def sweep_work(runs: Path, has_ended: Callable[[Path], bool]) -> list[Path]:
    """Remove what steps and the orchestrator left in the folders of runs that have ended, and return it.

    That is work and scratch folders, and views, half-sealed artifacts and half-written records of attempts that were
    killed. It stays for a day, for users who want to see why a step failed. A cleared step begins with a new work and
    scratch folder, so nothing that is removed is used again.

    Args:
        runs: The folder `runs/` of the data folder.
        has_ended: Whether no task of a run is running or will run, by the run's folder; asked where Airflow knows it.
    """
    swept = []
    for run in (run for dag in _folders(runs) for run in _folders(dag) if not run.name.startswith(".")):
        leftovers = [path for path in _left_in(run) if _age(path) > STORE_SECONDS]
        own_airflow = run.name.startswith((COMMAND_LINE, ONE_OFF))
        if leftovers and (not goes_on(run) if own_airflow else has_ended(run)):
            for path in leftovers:
                if path.is_dir() and not path.is_symlink():
                    remove_tree(path)
                else:
                    with suppress(OSError):
                        path.unlink()
            swept += [path for path in leftovers if not os.path.lexists(path)]
    return swept


def _left_in(run: Path) -> Iterator[Path]:
    """Yield what attempts may have left in the folder of a run; nothing of it is a result or a record."""
    for entry in _entries(run):
        if entry.name.startswith(VIEW) or _TEMPORARY.fullmatch(entry.name):
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            match entry.name:
                case "work" | "scratch":
                    yield from (Path(child.path) for child in _entries(entry))
                case "artifacts":
                    yield from (Path(child.path) for child in _entries(entry) if child.name.startswith(SEALING))
                case "steps":
                    yield from (path for path, _ in _temporaries(entry, depth=2))


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


def _entries(path: os.PathLike[str]) -> list[os.DirEntry[str]]:
    """Return what lies in a folder; nothing where there is no such folder."""
    with suppress(OSError), os.scandir(path) as children:
        return list(children)
    return []


def _folders(path: Path) -> Iterator[Path]:
    """Yield the folders below a folder, without links; none where there is no such folder."""
    return (Path(child.path) for child in _entries(path) if child.is_dir(follow_symlinks=False))


def _temporaries(root: os.PathLike[str], depth: int) -> Iterator[tuple[Path, re.Match[str]]]:
    """Yield what has the name of a temporary file or folder, to some depth; nothing below one, and no link."""
    for entry in _entries(root):
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
