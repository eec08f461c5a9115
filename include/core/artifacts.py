"""Seal and check files: they exist, are complete, open in their format and keep to their schema."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from include.core.artifact_store import ArtifactStore, step_output
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.run_folder import FileRecord

PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def sha256(path: Path) -> str:
    """Return the checksum of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(store: ArtifactStore, work: Path, artifact: Artifact) -> FileRecord | None:
    """Seal one output of a step.

    Args:
        store: The run's sealed artifacts.
        work: The folder that the step worked in; its file stays.
        artifact: What was declared.

    Returns:
        The record of the sealed file, or None where an optional file is absent.

    Raises:
        ContractError: There is no such file, or something other than a regular file of this folder.
        SetupError: The store cannot be written, or the disk is full.
    """
    with step_output(work, artifact.path) as source:
        if source is None:
            if artifact.optional:
                return None
            raise ContractError(artifact.path, "must exist", "no such file")
        sealed = store.put(source, artifact.path)
    return FileRecord(path=artifact.path, sha256=sealed.sha256, bytes=sealed.bytes)


def check_artifact(files: Path, artifact: Artifact, record: FileRecord) -> FileRecord:
    """Check a sealed file against what was declared of it.

    Args:
        files: A folder that shows the sealed file at its documented name.
        artifact: What was declared.
        record: Of the sealed file.

    Returns:
        The record, with the number of records of a table.

    Raises:
        ContractError: Names the file, the rule and the value that breaks it.
    """
    if record.bytes == 0:
        raise ContractError(artifact.path, "must not be empty", "0 bytes")
    return record.model_copy(update={"records": _check_content(artifact.at(files), artifact)})


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


def _check_content(path: Path, artifact: Artifact) -> int | None:
    """Check that a file opens in its format and reads to its end; return the number of a table's records."""
    if artifact.format in ("csv", "parquet"):
        from include.core.tables import check_table

        records = check_table(path, artifact.path, artifact.schema)
        if records == 0 and not artifact.may_be_empty:
            raise ContractError(artifact.path, "must hold at least one record", "a header alone")
        return records
    if artifact.format in _FORMATS:
        title, check = _FORMATS[artifact.format]
        try:
            check(path, artifact)
        except _UNREADABLE as error:
            raise ContractError(artifact.path, f"must be {title}", str(error) or type(error).__name__) from error
    return None


def _check_npy(path: Path, artifact: Artifact) -> None:
    import numpy as np

    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.size == 0:
        raise ContractError(artifact.path, "must hold at least one element", f"shape {array.shape}")


def _check_safetensors(path: Path, artifact: Artifact) -> None:
    """Check the format's own rules: eight bytes of header length, a JSON header, and the bytes that it names."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length) if length < size else b"{}")
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    if not ends or 8 + length + max(ends) != size:
        raise ValueError(f"{size} bytes")


def _check_raster(path: Path, artifact: Artifact) -> None:
    import rasterio

    try:
        with rasterio.open(path) as raster:
            for _, window in raster.block_windows(1):
                raster.read(window=window)
            located = raster.crs is not None
    except rasterio.errors.RasterioError as error:
        raise ValueError(str(error)) from error
    if not located:
        raise ContractError(artifact.path, "must be georeferenced", "no coordinate reference system")


def _check_png(path: Path, artifact: Artifact) -> None:
    content = path.read_bytes()
    if not (content.startswith(PNG_START) and content.endswith(PNG_END)):
        raise ValueError(f"{len(content)} bytes that are not")


def _check_json(path: Path, artifact: Artifact) -> None:
    content = path.read_bytes()
    try:
        if artifact.schema is not None:
            artifact.schema.model_validate_json(content)
        elif json.loads(content) in ({}, [], None, ""):
            raise ContractError(artifact.path, "must hold something", content[:40].decode())
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise ValueError(first["msg"]) from error
        field = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        rule = f"must keep to its schema: {field}: {first['msg']}{more}"
        raise ContractError(artifact.path, rule, str(first["input"])[:80]) from error


_FORMATS: dict[str, tuple[str, Callable[[Path, Artifact], None]]] = {
    "json": ("valid JSON", _check_json),
    "npy": ("a complete NumPy array", _check_npy),
    "png": ("a complete PNG image", _check_png),
    "safetensors": ("a complete safetensors file", _check_safetensors),
    "tif": ("a complete GeoTIFF", _check_raster),
}
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, EOFError, RecursionError)
"""What the checks raise at a file that is damaged or of another format; an `OSError` is a fault of the machine."""
