"""The sealed artifacts of a run: each file once, named by its content, written by the orchestrator alone.

A step's output is opened once, copied while its checksum is taken, and made read-only. Only that copy is checked, given
to later steps, shown and published. Whatever happens to the step's own file later changes nothing. The copy is flushed
to disk before a record names it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Protocol

from include.core.errors import ContractError
from include.core.files import setup_errors

CHUNK_BYTES = 1 << 20
SEALING = ".sealing-"
"""Begins the name of a file that is being sealed."""
_FICLONE = 0x40049409
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_CLONE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM}


class Sealed(NamedTuple):
    """The content of a sealed file: its checksum, which names it, and its size in bytes."""

    sha256: str
    bytes: int


class ArtifactStore(Protocol):
    """Where sealed artifacts lie. The file system is the first backend (`FolderStore`)."""

    def put(self, source: BinaryIO, name: str, max_bytes: int | None = None) -> Sealed:
        """Copy an open file into the store while its checksum is taken; `flush()` makes the copy durable.

        Args:
            source: The file, at its beginning.
            name: What users call it, for errors.
            max_bytes: A longer file is refused.

        Raises:
            ContractError: The file is longer, or its length changed meanwhile.
            SetupError: The store cannot be written, or the disk is full.
        """
        ...

    def flush(self, sealed: Mapping[str, str]) -> None:
        """Make sealed files durable: a record may name them afterwards.

        Args:
            sealed: What users call each file, by its checksum.

        Raises:
            SetupError: The disk is full, or reports an error.
        """
        ...

    def open(self, sha256: str) -> BinaryIO:
        """Open a sealed file; the caller closes it.

        Raises:
            FileNotFoundError: There is none of this checksum.
        """
        ...

    def materialise(self, sha256: str) -> Path:
        """Return a local path where the sealed file can be read; nothing may be written there."""
        ...

    def exists(self, sha256: str) -> bool:
        """Return whether there is a sealed file of this checksum."""
        ...

    def delete(self, sha256: str) -> None:
        """Remove a sealed file that nothing refers to any more."""
        ...


class FolderStore:
    """Sealed artifacts in a folder, one read-only file each (`<sha256>`).

    Args:
        folder: The folder; it need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, source: BinaryIO, name: str, max_bytes: int | None = None) -> Sealed:
        """As `ArtifactStore.put`; a copy-on-write clone where the file system has such."""
        with setup_errors(self.folder / name, "sealed"):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=SEALING)
            try:
                with os.fdopen(handle, "w+b") as copy:
                    sealed = _copy(source, copy, name, max_bytes)
                    os.fchmod(copy.fileno(), 0o444)
                    if self.exists(sealed.sha256):  # a record may name it: what replaces it is on the disk
                        os.fsync(copy.fileno())
                Path(temporary).rename(self.materialise(sealed.sha256))
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(temporary).unlink()
                raise
        return sealed

    def flush(self, sealed: Mapping[str, str]) -> None:
        """As `ArtifactStore.flush`."""
        for sha256, name in sealed.items():
            with setup_errors(self.folder / name, "sealed"):
                _flush(self.materialise(sha256), _FILE)
        with setup_errors(self.folder, "sealed"):
            _flush(self.folder, _FOLDER)

    def open(self, sha256: str) -> BinaryIO:
        """As `ArtifactStore.open`."""
        return os.fdopen(os.open(self.materialise(sha256), _FILE), "rb")

    def materialise(self, sha256: str) -> Path:
        """Return the sealed file itself."""
        return self.folder / sha256

    def exists(self, sha256: str) -> bool:
        """As `ArtifactStore.exists`."""
        return self.materialise(sha256).is_file()

    def delete(self, sha256: str) -> None:
        """As `ArtifactStore.delete`."""
        self.materialise(sha256).unlink(missing_ok=True)


@contextmanager
def step_output(folder: Path, name: str) -> Iterator[BinaryIO | None]:
    """Open a file that a step left in its work folder, so that nothing but this very file is read.

    Args:
        folder: The work folder.
        name: The path below it, POSIX.

    Yields:
        The open file; None where there is none.

    Raises:
        ContractError: There is something other than a regular file of this folder with one name.
    """
    parent = os.open(folder, _FOLDER)
    try:
        device = os.fstat(parent).st_dev
        *folders, last = PurePosixPath(name).parts
        try:
            for part in folders:
                child = os.open(part, _FOLDER, dir_fd=parent)
                os.close(parent)
                parent = child
            handle = os.open(last, _FILE, dir_fd=parent)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise
            real = Path(os.path.realpath(folder / name))
            if error.errno == errno.ENOTDIR and real == folder.resolve() / name:  # a file in the place of a folder
                yield None
                return
            raise ContractError(name, "must be a regular file, reached without a link", f"a link to {real}") from error
        try:
            _check_plain(os.fstat(handle), name, device)
            file = os.fdopen(handle, "rb")
        except BaseException:
            os.close(handle)
            raise
        with file:
            yield file
    finally:
        os.close(parent)


def _check_plain(status: os.stat_result, name: str, device: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ContractError(name, "must be a regular file", stat.filemode(status.st_mode))
    if status.st_nlink != 1:
        raise ContractError(name, "must be a file of its own", f"a hard link: the file has {status.st_nlink} names")
    if status.st_dev != device:
        raise ContractError(name, "must lie in the step's work folder", "a file of another device")


def _copy(source: BinaryIO, copy: BinaryIO, name: str, max_bytes: int | None) -> Sealed:
    """Clone or copy a file; the checksum is that of the bytes in the copy."""
    length = os.fstat(source.fileno()).st_size
    _check_length(length, name, max_bytes)
    cloned = _clone(source, copy)
    digest, size = hashlib.sha256(), 0
    reader = copy if cloned else source
    while chunk := reader.read(CHUNK_BYTES):
        size += len(chunk)
        _check_length(size, name, max_bytes)
        digest.update(chunk)
        if not cloned:
            copy.write(chunk)
    copy.flush()
    if not size == length == os.fstat(source.fileno()).st_size:
        raise ContractError(name, "must not change after its step has ended", "a file that changes")
    return Sealed(digest.hexdigest(), size)


def _check_length(size: int, name: str, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise ContractError(name, f"must be at most {max_bytes:,} bytes (max_bytes)", f"{size:,} bytes or more")


def _clone(source: BinaryIO, copy: BinaryIO) -> bool:
    try:
        fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
    except OSError as error:
        if error.errno in _NO_CLONE:
            return False
        raise
    return True


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
