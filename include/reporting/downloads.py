"""Artifacts of a run for people to take away: those that its results list, and only as they were accepted."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from pydantic import ValidationError

from include.core.errors import BadInputError, ContractError
from include.core.run_folder import FileRecord, RunFolder, StepResult, read_model

CHUNK = 1024 * 1024


def artifacts(folder: RunFolder) -> list[FileRecord]:
    """What the run's accepted steps wrote, by path; a result that cannot be read lists nothing."""
    found: dict[str, FileRecord] = {}
    for path in sorted(folder.path.glob("steps/*/result.json")):
        try:
            result = read_model(path, StepResult)
        except ValidationError:
            continue
        if result is not None and result.status == "success":
            found |= {record.path: record for record in result.outputs}
    return [found[path] for path in sorted(found)]


def open_artifact(folder: RunFolder, path: str) -> tuple[FileRecord, BufferedReader]:
    """Open an artifact whose content is what was accepted; who calls closes it.

    A step may have changed its files since, or put a link in their place: the content of the open file itself is
    compared with the recorded checksum.

    Args:
        folder: The run.
        path: As its results list it.

    Raises:
        BadInputError: No result lists it.
        ContractError: It is gone, or is not what was accepted.
    """
    record = next((each for each in artifacts(folder) if each.path == path), None)
    if record is None:
        raise BadInputError(f"no step of this run lists an artifact {path!r}")
    file = _open(folder.files / record.path, record)
    if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
        file.close()
        raise ContractError(record.path, "must be as it was accepted", "other content")
    file.seek(0)
    return record, file


def chunks(file: BufferedReader) -> Iterator[bytes]:
    """The content of an open file, piece by piece; it is closed at the end."""
    with file:
        while piece := file.read(CHUNK):
            yield piece


def _open(path: Path, record: FileRecord) -> BufferedReader:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ContractError(record.path, "must be there as it was accepted", "no such file") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size != record.bytes:
        os.close(handle)
        raise ContractError(record.path, "must be as it was accepted", "another size or kind of file")
    return os.fdopen(handle, "rb")
