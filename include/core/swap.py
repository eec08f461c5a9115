"""Replaces a file as a whole, and loses nothing that others write to it meanwhile, also those who take no lock.

The new file and the old change places in one system call; then the old one is out of reach, nobody has it open any
longer for writing, and what it holds can be compared with what was read before.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from include.core.errors import SetupError, TransientError

PATIENCE_SECONDS, WRITER_SECONDS = 20.0, 5.0
POLL_SECONDS, QUIET_SECONDS = 0.01, 0.05
NEW_MODE = 0o600
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> bytes:
    """Replace a file by a changed copy of itself: same mode, owner and attributes; on disk before it is in place.

    Args:
        path: The file, no link; made (readable by its owner alone) where there is none.
        change: New content from the present one; called again when somebody else changed the file meanwhile.

    Returns:
        The content that the change was applied to, the latest of everybody else.

    Raises:
        SetupError: The file cannot be replaced: folder or owner, a full disk, a file that is a mount of its own.
        TransientError: Others keep changing it.
    """
    expected = content = _read_patiently(path)
    merging = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        fresh = change(content or b"")
        temporary = _written(path, fresh)
        try:
            if not merging and _now(path) != expected:
                expected = content = _read_patiently(path)
                continue
            done, found = _put(temporary, path) if expected is None else _exchange(temporary, path)
            if done and found == expected:
                return content or b""
            if merging:
                raise _conflict(path, content if found is None else found)
            expected, content, merging = (fresh, found, True) if done else (found, found, False)
        except OSError as error:
            raise _in_words(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)
    raise TransientError(f"{path}: others keep changing it; given up after {PATIENCE_SECONDS:g} s")


def read_settled(path: Path) -> bytes | None:
    """The content of a file once nobody is writing it, None where there is none.

    Raises:
        SetupError: It cannot be read, or is no file.
    """
    try:
        with path.open("rb") as file:
            _await_writers(file.fileno())
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error


def _read_patiently(path: Path) -> bytes | None:
    """The settled content; a file that is missing may be one that an editor is about to put back."""
    content = read_settled(path)
    if content is None:
        time.sleep(QUIET_SECONDS)
        content = read_settled(path)
    return content


def _await_writers(handle: int) -> None:
    """Wait until nobody has the file open for writing; the kernel grants a read lease only then.

    Leases are Linux's, on local file systems, for the file's owner: elsewhere a file counts as settled when it has not
    changed for a moment.
    """
    deadline = time.monotonic() + WRITER_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.fcntl(
                handle, fcntl.F_SETSIG, signal.SIGURG
            )  # what breaks a lease sends a signal: one that is ignored
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except (AttributeError, OSError) as error:
            written = isinstance(error, OSError) and error.errno == errno.EAGAIN
            if not written and abs(time.time() - os.fstat(handle).st_mtime) > QUIET_SECONDS:
                return
        else:
            return
        time.sleep(POLL_SECONDS)


def _now(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _written(path: Path, content: bytes) -> Path:
    """A new file beside another: its mode, owner and attributes, flushed to disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                _like(temporary, path)
            else:
                temporary.chmod(NEW_MODE)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _in_words(path, error) from error
    return temporary


def _like(temporary: Path, path: Path) -> None:
    if not give_to_owner(temporary, path):
        status = path.stat()
        raise SetupError(
            f"{path}: belongs to user {status.st_uid}, group {status.st_gid}; only they can replace it and leave it "
            "theirs"
        )
    shutil.copystat(path, temporary)
    os.utime(temporary)


def give_to_owner(new: Path, path: Path) -> bool:
    """Give a new file to the owner of another; whether that could be done. Nothing to do where there is no other."""
    try:
        have, want = new.stat(), path.stat()
        if (have.st_uid, have.st_gid) != (want.st_uid, want.st_gid):
            os.chown(new, want.st_uid, want.st_gid)
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return True


def _exchange(temporary: Path, path: Path) -> tuple[bool, bytes | None]:
    """Put the new file in place of another; returns whether it is there, and what was there before."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        if renameat2(_AT_FDCWD, os.fsencode(temporary), _AT_FDCWD, os.fsencode(path), _RENAME_EXCHANGE) == 0:
            _flush_folder(path)
            return True, read_settled(temporary)
        code = ctypes.get_errno()
        if code == errno.ENOENT:
            return False, None
        if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(code, os.strerror(code))
    before = read_settled(path)
    temporary.replace(path)
    _flush_folder(path)
    return True, before


def _put(temporary: Path, path: Path) -> tuple[bool, bytes | None]:
    """Put a file where there is none; returns whether it is there, and what somebody else put there first."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False, read_settled(path)
    _flush_folder(path)
    return True, None


def _conflict(path: Path, other: bytes | None) -> SetupError:
    kept = path.with_name(f"{path.name}.other-{time.time_ns()}")
    kept.touch(NEW_MODE)
    kept.write_bytes(other or b"")
    return SetupError(
        f"{path}: two others changed it at the same time; merge it by hand with the other version, {kept}"
    )


def _flush_folder(path: Path) -> None:
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _in_words(path: Path, error: OSError) -> SetupError:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return SetupError(
            f"{path}: is mounted as a single file and cannot be replaced as a whole; mount the folder that it lies in "
            "and set GROUNDTRUTH_ENV_FILE to the file there"
        )
    return SetupError(f"{path}: cannot be replaced: {error.strerror or error}")
