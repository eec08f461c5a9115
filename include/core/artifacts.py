"""Check files: they exist, belong to their run, and are of their format (`formats`)."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path, PurePosixPath

from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.formats import check_format
from include.core.run_folder import FileRecord

CLOCK_TOLERANCE_SECONDS = 5.0


def sha256(path: Path) -> str:
    """Return the checksum of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_artifact(files: Path, artifact: Artifact, *, since: float | None = None) -> FileRecord | None:
    """Check one file against what was declared of it.

    Args:
        files: The run's `files/` folder.
        artifact: What was declared.
        since: The file must have been written after this time (seconds since the epoch): a leftover of another run
            is not a result of this one.

    Returns:
        The record of the file, or None where an optional file is absent.

    Raises:
        ContractError: Names the file, the rule and the value that breaks it.
    """
    path, name = files / artifact.path, artifact.path
    status = _status(files, name)
    if status is None:
        if artifact.optional:
            return None
        raise ContractError(name, "must exist", "no such file")
    if status.st_size == 0:
        raise ContractError(name, "must not be empty", "0 bytes")
    if since is not None and status.st_mtime < since - CLOCK_TOLERANCE_SECONDS:
        age = since - status.st_mtime
        raise ContractError(name, "must be written by this step", f"a file last changed {age:.0f} s before it started")
    records = check_format(path, artifact)
    return FileRecord(path=name, sha256=sha256(path), bytes=status.st_size, records=records)


def check_unchanged(files: Path, record: FileRecord, producer: str) -> None:
    """Check that a file is still what its producer left.

    Raises:
        ContractError: It is missing or differs.
    """
    status = _status(files, record.path)
    if status is None:
        raise ContractError(record.path, f"must still be there, as {producer} left it", "no such file")
    if status.st_size != record.bytes or sha256(files / record.path) != record.sha256:
        raise ContractError(record.path, f"must be as {producer} left it (its checksum was recorded)", "other content")


def remove(files: Path, name: str) -> None:
    """Remove whatever an earlier attempt left in an artifact's place: a file, a folder, a link; no link is followed."""
    path = files
    for part in PurePosixPath(name).parts:
        path /= part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
            return
    if path.is_dir():
        shutil.rmtree(path)


def _status(files: Path, name: str) -> os.stat_result | None:
    path = files / name
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    real = Path(os.path.realpath(path))
    if stat.S_ISLNK(status.st_mode) or not real.is_relative_to(files.resolve()):
        raise ContractError(name, "must lie in the run's folder and be no link", f"a link to {real}")
    if not stat.S_ISREG(status.st_mode):
        raise ContractError(name, "must be a regular file", stat.filemode(status.st_mode))
    return status
