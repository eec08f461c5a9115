"""Write files and folders atomically, lock them against other processes, and keep stated names inside their folder.

A reader finds the old content or the new content, never a part of it, also when the writer is killed or the disk is
full. What a killed writer leaves behind are hidden siblings whose names start with a dot and the name of the target.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from include.core.errors import BadInputError, ContractError, SetupError, TransientError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
_LOCK_POLL_S = 0.01
_SHOWN = 80


def path_inside(root: Path, name: str, pattern: re.Pattern[str], *, stated_by: str) -> Path:
    """Return the path of a name below a folder, where the name is data: a key, a place, a file in a manifest.

    Args:
        root: The folder; it need not exist.
        name: Its parts are separated by `/`.
        pattern: What the complete name must match.
        stated_by: The file and the field that state the name ("health_map.json: place"), for the message.

    Raises:
        ContractError: The name does not match, or what it stands for lies outside the folder (through `..` or a link).

    >>> path_inside(Path("/data/models"), "20260101T000000Z", re.compile("[0-9TZ]+"), stated_by="model.json: version")
    PosixPath('/data/models/20260101T000000Z')
    """
    path = root / name if pattern.fullmatch(name) else None
    if path is None or root.resolve() not in path.resolve().parents:
        raise ContractError(
            stated_by,
            f"must match {pattern.pattern} and lie inside {root.name}/",
            repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"),
            hint="A name that leads elsewhere would read or overwrite other files: correct the step that states it.",
        )
    return path


@contextmanager
def setup_errors(path: Path, action: str) -> Iterator[None]:
    """Raise an `OSError` of the block as a `SetupError`: "out.csv: cannot be written: No space left on device".

    Args:
        path: What the block works on.
        action: What it does with that, as a participle.
    """
    try:
        yield
    except OSError as error:
        raise SetupError(f"{path}: cannot be {action}: {error.strerror or error}") from error


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, owner_of: Path | None = None) -> None:
    """Write a file, flushed to disk before it takes its place; its folder is created if necessary.

    Args:
        path: The file.
        content: All that it shall hold.
        mode: Its permissions.
        owner_of: An existing file whose owner the new one is given to, as far as this process may do that.

    Raises:
        SetupError: The folder cannot be written, or the disk is full; the old file stays.
    """
    with setup_errors(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with flushed_sibling(path, content) as temporary:
            temporary.chmod(mode)
            if owner_of is not None:
                copy_owner(owner_of, temporary)
            temporary.replace(path)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a hidden sibling for a library to write; it is renamed to the file when the block ends well.

    An `OSError` in the block counts as a failure to write the file. At most one process may write a file at a time.

    Args:
        path: The file; its folder is created if necessary.

    Raises:
        SetupError: The folder cannot be written, or the disk is full; the old file stays.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with setup_errors(path, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            yield partial
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def replace_folder(
    target: Path,
    sources: Mapping[str, Path | bytes],
    last_check: Callable[[], None] = lambda: None,
    *,
    keep: Path | None = None,
) -> None:
    """Replace a folder by copies of some files, all at once.

    Args:
        target: The folder; what it held before is removed, unless it is to be kept.
        sources: The files by their path below it, or the content of one.
        last_check: Called when all is copied, just before the exchange; what it raises leaves the old folder.
        keep: Where the old folder goes, on the same file system; no such folder exists.

    Raises:
        SetupError: The folder cannot be written, or the disk is full; the old folder stays.
    """
    with setup_errors(target, "replaced"):
        for path in filter(None, (target, keep)):
            path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        lock = os.open(fresh, _FOLDER)  # tells it from what a killed process left
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fresh.chmod(0o755)
            for name, source in sources.items():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                if isinstance(source, bytes):
                    (fresh / name).write_bytes(source)
                else:
                    shutil.copyfile(source, fresh / name)
            last_check()
            try:
                fresh.rename(target)
                keep = None  # nothing was replaced, whatever was there before
            except OSError:
                if not target.is_dir():
                    raise
                if not exchange(fresh, target):
                    _exchange_by_renames(fresh, target)
                if keep is not None:
                    fresh.rename(keep)
                    os.utime(keep)  # when it was replaced
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            os.close(lock)


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders in one system call.

    Returns:
        Whether that was done; False where the system or the file system has no such call.

    Raises:
        OSError: They cannot be exchanged, because one does not exist or is a mount point, for example.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code))


def open_below(root: Path, path: Path, *, most_bytes: int) -> BinaryIO:
    """Open a file for reading without following a link below a folder; the caller closes it.

    Args:
        root: The folder, which may be reached by links itself.
        path: The file, below it.
        most_bytes: A larger file is refused.

    Raises:
        BadInputError: The file is too large; says so.
        OSError: There is no such file, it is not a regular one, or a link leads to it.
    """
    *folders, name = path.relative_to(root).parts
    place = os.open(root, _FOLDER)
    try:
        for part in folders:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = inner
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    finally:
        os.close(place)
    file, status = os.fdopen(handle, "rb"), os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    if status.st_size > most_bytes:
        file.close()
        raise BadInputError(
            f"{path}: has {status.st_size / 1e6:,.0f} MB, more than the {most_bytes / 1e6:,.0f} MB allowed"
        )
    return file


@contextmanager
def locked(path: Path, *, timeout_s: float | None, mode: int | None = None) -> Iterator[None]:
    """Hold the lock of a file against other processes; the system releases it when its holder dies.

    Args:
        path: The lock file, which is created if necessary and stays.
        timeout_s: How long to wait for another holder; None waits without limit, 0 tries once.
        mode: Permissions of a lock file that is created. Default: users who can write its folder can hold it.

    Raises:
        SetupError: The lock file cannot be opened for writing.
        TransientError: Another process held the lock all the time.
    """
    from filelock import FileLock, Timeout  # not part of the energy image, whose steps lock nothing

    with setup_errors(path, "locked"):
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o644 | path.parent.stat().st_mode & 0o022 if mode is None else mode
        lock = FileLock(path, timeout=-1 if timeout_s is None else timeout_s, mode=mode, poll_interval=_LOCK_POLL_S)
        try:
            lock.acquire()
        except Timeout:
            raise TransientError(f"{path}: another process has held it for {timeout_s:g} s") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def flushed_sibling(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a hidden file beside another, flushed to disk, for its owner alone; removed unless the block renames it.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def copy_owner(source: Path, target: Path) -> bool:
    """Give a file to the owner of another one.

    Returns:
        Whether it belongs to that owner now; True where there is no other file.
    """
    try:
        wanted, present = source.stat(), target.stat()
        if (present.st_uid, present.st_gid) != (wanted.st_uid, wanted.st_gid):
            os.chown(target, wanted.st_uid, wanted.st_gid)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return True


def _exchange_by_renames(one: Path, other: Path) -> None:
    aside = one.with_name(f"{one.name}.old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)
