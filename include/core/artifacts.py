"""Seal artifacts, and check them: they are there, complete, of their format and true to their schema."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from include.core.artifact_store import ArtifactStore, step_output
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.formats import check_format, check_size
from include.core.proof import proof_of
from include.core.run_folder import FileRecord


def sha256(path: Path) -> str:
    """Return the checksum of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(store: ArtifactStore, work: Path, artifact: Artifact) -> FileRecord | None:
    """Seal one output of a step, and check the sealed copy against what was declared of it.

    The format of a `rewritten` one is left to its step's `recompute`.

    Args:
        store: The run's sealed artifacts.
        work: The folder that the step worked in; its file stays.
        artifact: What was declared.

    Returns:
        The record of the sealed file, or None where an optional file is absent.

    Raises:
        ContractError: Names the file, the rule and the value that breaks it.
        SetupError: The store cannot be written, or the disk is full.
    """
    with step_output(work, artifact.path) as source:
        if source is None:
            if artifact.optional:
                return None
            raise ContractError(artifact.path, "must exist", "no such file")
        check_size(os.fstat(source.fileno()), artifact)
        sealed = store.put(source, artifact.path, artifact.max_bytes)
    records = None if artifact.rewritten else check_format(store.materialise(sealed.sha256), artifact)
    proof = proof_of(artifact, "sealed")
    return FileRecord(path=artifact.path, sha256=sealed.sha256, bytes=sealed.bytes, records=records, proof=proof)


@contextmanager
def flushing(store: ArtifactStore, records: Iterable[FileRecord]) -> Iterator[None]:
    """Make sealed files durable while the block works with them; they are when it ends.

    Raises:
        SetupError: The disk is full, or reports an error.
    """
    with ThreadPoolExecutor(1) as disk:
        flushed = disk.submit(store.flush, {record.sha256: record.path for record in records})
        yield
        flushed.result()


def check_unchanged(path: Path, record: FileRecord, producer: str) -> None:
    """Check that a file is still what its producer left.

    Args:
        path: Where it lies.
        record: What was accepted.
        producer: Who wrote it, for users.

    Raises:
        ContractError: It is missing or differs.
    """
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        raise ContractError(record.path, f"must still be there, as {producer} left it", "no such file") from None
    except OSError as error:
        rule = f"must be as {producer} left it: a regular file"
        raise ContractError(record.path, rule, error.strerror or str(error)) from error
    with file:
        regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        if not regular or hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
            rule = f"must be as {producer} left it (its checksum was recorded)"
            raise ContractError(record.path, rule, "other content")


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
