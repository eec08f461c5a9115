"""Replace a file atomically and keep what others write to it meanwhile, even those who take no lock.

The new file and the old one exchange their names in one system call. From then on the old one has no name that others
know, nobody has it open for writing any longer, and its content can be compared with what was read before.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from include.core.errors import SetupError, TransientError
from include.core.files import copy_owner, exchange, flushed_sibling, write_atomically

REPLACE_TIMEOUT_S, WRITER_TIMEOUT_S = 20.0, 5.0
POLL_S, QUIET_S = 0.01, 0.05
PRIVATE_MODE, GROUP_MODE = 0o600, 0o060


def private_mode(path: Path) -> int:
    """Return the permissions of files beside an env file: for its owner, and for its group if that may write it."""
    shared = path.exists() and path.stat().st_mode & GROUP_MODE == GROUP_MODE
    return PRIVATE_MODE | GROUP_MODE if shared else PRIVATE_MODE


def replace_content(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replace a file by a changed copy: same mode, owner and attributes, flushed to disk before it is in place.

    Args:
        path: The file, not a link; created for its owner alone where there is none. One that its group may write is
            replaced by any user of the group, who then owns it.
        change: Returns the new content for the present one; called again when others changed the file meanwhile. The
            file is left alone where it returns the same.

    Raises:
        SetupError: The file cannot be replaced: folder or owner, a full disk, or a file that is a mount point.
        TransientError: Others keep changing it.
    """
    expected = content = _read_patiently(path)
    merging = False
    deadline = time.monotonic() + REPLACE_TIMEOUT_S
    while time.monotonic() < deadline:
        fresh = change(content or b"")
        if fresh == (content or b"") and not merging:
            return
        try:
            with flushed_sibling(path, fresh) as temporary:
                _copy_attributes(path, temporary)
                if not merging and _current(path) != expected:
                    expected = content = _read_patiently(path)
                    continue
                replaced, previous = _create(temporary, path) if expected is None else _exchange(temporary, path)
                if replaced and previous == expected:
                    return
                if merging:
                    raise _conflict(path, content if previous is None else previous)
                expected, content, merging = (fresh, previous, True) if replaced else (previous, previous, False)
        except OSError as error:
            raise _explained(path, error) from error
    raise TransientError(f"{path}: others keep changing it; given up after {REPLACE_TIMEOUT_S:g} s")


def read_settled(path: Path) -> bytes | None:
    """Read a file once nobody is writing it; None where there is none.

    Raises:
        SetupError: It cannot be read, or is not a file.
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
    """Read the settled content; a missing file may be one that an editor is about to put back."""
    content = read_settled(path)
    if content is None:
        time.sleep(QUIET_S)
        content = read_settled(path)
    return content


def _await_writers(handle: int) -> None:
    """Wait until nobody has the file open for writing; the kernel grants a read lease only then.

    Leases exist on Linux, on local file systems, for the file's owner. Elsewhere a file counts as settled when it has
    not changed for a moment.
    """
    deadline = time.monotonic() + WRITER_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            # A process that breaks a lease causes a signal; SIGURG is one that is ignored by default.
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except (AttributeError, OSError) as error:
            written = isinstance(error, OSError) and error.errno == errno.EAGAIN
            if not written and abs(time.time() - os.fstat(handle).st_mtime) > QUIET_S:
                return
        else:
            return
        time.sleep(POLL_S)


def _current(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _copy_attributes(path: Path, temporary: Path) -> None:
    if not path.exists():
        return
    if not copy_owner(path, temporary) and not _shared(path, temporary):
        status = path.stat()
        raise SetupError(
            f"{path}: belongs to user {status.st_uid}, group {status.st_gid}; only they can replace it and leave it "
            "theirs"
        )
    shutil.copystat(path, temporary)
    os.utime(temporary)


def _shared(path: Path, temporary: Path) -> bool:
    """Return whether the file belongs to the group of the new one, and the group may write it."""
    return path.stat().st_gid == temporary.stat().st_gid and private_mode(path) != PRIVATE_MODE


def _exchange(temporary: Path, path: Path) -> tuple[bool, bytes | None]:
    """Put the new file in place of another; return whether it is there, and what was there before."""
    try:
        exchanged = exchange(temporary, path)
    except FileNotFoundError:
        return False, None
    previous = read_settled(temporary if exchanged else path)
    if not exchanged:
        temporary.replace(path)
    _flush_folder(path)
    return True, previous


def _create(temporary: Path, path: Path) -> tuple[bool, bytes | None]:
    """Put a file where there is none; return whether it is there, and what others put there first."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False, read_settled(path)
    _flush_folder(path)
    return True, None


def _conflict(path: Path, other: bytes | None) -> SetupError:
    kept = path.with_name(f"{path.name}.other-{time.time_ns()}")
    write_atomically(kept, other or b"", mode=private_mode(path), owner_of=path)
    return SetupError(
        f"{path}: two others changed it at the same time; merge it by hand with the other version, {kept}"
    )


def _flush_folder(path: Path) -> None:
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(path: Path, error: OSError) -> SetupError:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return SetupError(
            f"{path}: is mounted as a single file and cannot be replaced as a whole; mount the folder that it lies in "
            "and set GROUNDTRUTH_ENV_FILE to the file there"
        )
    return SetupError(f"{path}: cannot be replaced: {error.strerror or error}")
