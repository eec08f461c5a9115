"""People's files come into a run by copy, with their checksum; a run never reads outside its own folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePath

from include.core.artifacts import remove
from include.core.errors import BadInputError, SetupError
from include.core.files import atomic_file
from include.core.runs import FileRecord

SOURCE_FOLDER = "source"


def staged_names(paths: Iterable[str | PurePath]) -> list[str]:
    """The names below `files/source/`: each file's own, without control characters, made unique.

    >>> staged_names(["a/day.csv", "b/day.csv", "c/year.csv.gz"])
    ['day.csv', 'day-2.csv', 'year.csv.gz']
    """
    names: list[str] = []
    for path in paths:
        name = "".join(sign if sign.isprintable() else "-" for sign in PurePath(path).name)
        stem, dot, suffix = name.partition(".")
        candidate, number = name, 2
        while candidate in names:
            candidate, number = f"{stem}-{number}{dot}{suffix}", number + 1
        names.append(candidate)
    return names


def stage(paths: Iterable[str], files: Path, allowed: Iterable[Path]) -> list[FileRecord]:
    """Copy people's files to `files/source/`, which holds nothing else afterwards.

    Args:
        paths: Files, absolute or below one of the allowed folders.
        files: The run's `files/` folder.
        allowed: Folders below which a file may lie.

    Raises:
        BadInputError: A file is missing, unreadable, empty, or lies elsewhere.
        SetupError: The copy could not be written.
    """
    paths, allowed = list(paths), tuple(folder.resolve() for folder in allowed)
    found = [_resolve(path, allowed) for path in paths]
    folder = files / SOURCE_FOLDER
    try:
        remove(files, SOURCE_FOLDER)
        folder.mkdir(parents=True)
    except OSError as error:
        raise SetupError(f"{folder}: cannot be written: {error.strerror}") from error
    return [_copy(path, folder / name) for path, name in zip(found, staged_names(paths), strict=True)]


def _resolve(path: str, allowed: tuple[Path, ...]) -> Path:
    try:
        return _find(path, allowed)
    except (OSError, ValueError, RuntimeError) as error:  # no access, a NUL or too long a name, a loop of links
        raise BadInputError(f"{path!r}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _find(path: str, allowed: tuple[Path, ...]) -> Path:
    for folder in allowed:
        candidate = (folder / path).resolve()
        if not candidate.is_relative_to(folder) or not candidate.exists():
            continue
        if not candidate.is_file():
            raise BadInputError(f"{path}: is not a file")
        if candidate.stat().st_size == 0:
            raise BadInputError(f"{path}: is empty (0 bytes)")
        return candidate
    if Path(path).is_absolute() and not any(Path(path).resolve().is_relative_to(folder) for folder in allowed):
        folders = ", ".join(map(str, allowed))
        raise BadInputError(
            f"{path}: lies outside the folders that runs may read ({folders}); see GROUNDTRUTH_INPUT_DIRS"
        )
    raise BadInputError(f"{path}: no such file")


def _copy(source: Path, target: Path) -> FileRecord:
    digest, size = hashlib.sha256(), 0
    try:
        reader = source.open("rb")
    except OSError as error:
        raise BadInputError(f"{source}: cannot be read: {error.strerror}") from error
    with reader, atomic_file(target) as partial:
        with partial.open("wb") as writer:
            while chunk := reader.read(1 << 20):
                digest.update(chunk)
                size += writer.write(chunk)
        partial.chmod(0o644)
    return FileRecord(path=f"{SOURCE_FOLDER}/{target.name}", sha256=digest.hexdigest(), bytes=size)
