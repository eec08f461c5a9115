"""Options that stand in files: profiles of parameters, areas, and people's own files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from include.core.errors import BadInputError
from include.core.settings import ROOT

PROFILES = ROOT / "include" / "satellite" / "profiles"


def read_profile(name: str) -> dict[str, Any]:
    """Parameters by name.

    Args:
        name: A profile of the project (`demo`), or a JSON file with an object of parameters.

    Raises:
        BadInputError: There is no such profile, or it is no JSON object.
    """
    path = Path(name) if name.endswith(".json") else PROFILES / f"{name}.json"
    known = ", ".join(sorted(each.stem for each in PROFILES.glob("*.json")))
    params = _read(path, f"--profile: no profile named {name}; there are: {known}, or name a .json file")
    return {key: value for key, value in params.items() if key != "$comment"}


def read_area(path: Path) -> dict[str, Any]:
    """A GeoJSON document.

    Raises:
        BadInputError: It cannot be read, or is no JSON object.
    """
    return _read(path, f"--geojson: no such file: {path}")


def read_box(text: str) -> list[float]:
    """`75.8,30.9,75.9,31.0` as west, south, east, north.

    >>> read_box("75.8,30.9,75.9,31.0")
    [75.8, 30.9, 75.9, 31.0]

    Raises:
        BadInputError: It is no list of four numbers.
    """
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError as error:
        raise BadInputError(f"--bbox: {text!r} must be west,south,east,north in degrees") from error
    return [west, south, east, north]


def own_files(params: Mapping[str, Any], single: Iterable[str]) -> dict[str, Any]:
    """The parameters that name people's files, by absolute paths: a run does not stand where the caller does.

    Args:
        params: The run's parameters.
        single: Parameters that each name one file; `csv` holds a list. Other values are left to their own check.

    Raises:
        BadInputError: A file is missing, or has a name that cannot be printed.
    """
    found: dict[str, Any] = {}
    for name in ("csv", *single):
        files = params.get(name) if name == "csv" else [params.get(name)]
        if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
            continue
        option = "--csv" if name == "csv" else name
        missing = [file for file in files if not Path(file).is_file()]
        if missing:
            raise BadInputError(f"{option}: no such file: {', '.join(missing)}")
        unnameable = [file for file in files if not file.isprintable()]
        if unnameable:
            raise BadInputError(f"{option}: {unnameable[0]!r}: rename the file; its name holds what cannot be printed")
        absolute = [str(Path(file).resolve()) for file in files]
        found[name] = absolute if name == "csv" else absolute[0]
    return found


def _read(path: Path, missing: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInputError(missing) from error
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadInputError(f"{path}: must hold a JSON object")
    return document
