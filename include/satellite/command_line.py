"""What the satellite domain adds to the command line: values of options, a run's environment, checks of the doctor."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.core.domain import Check
from include.core.errors import BadInputError


def read_box(text: str) -> list[float]:
    """Return `75.8,30.9,75.9,31.0` as west, south, east, north.

    >>> read_box("75.8,30.9,75.9,31.0")
    [75.8, 30.9, 75.9, 31.0]

    Raises:
        BadInputError: It is not a list of four numbers.
    """
    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError as error:
        raise BadInputError(f"--bbox: {text!r} must be west,south,east,north in degrees") from error
    return [west, south, east, north]


def read_area(text: str) -> dict[str, Any]:
    """Return the outlines of a vector file as a GeoJSON document.

    Args:
        text: Its path, and where it has several layers `:LAYER` after it.

    Raises:
        BadInputError: It cannot be read, or its outlines cannot be taken without guessing.
    """
    from include.satellite.outlines.reading import read_document

    path, _, layer = text.rpartition(":")
    if not path or Path(text).exists():
        return read_document(Path(text))
    return read_document(Path(path), layer=layer)


def read_folder(text: str) -> str:
    """Return the absolute path of a folder.

    Raises:
        BadInputError: It is not there.
    """
    if not Path(text).is_dir():
        raise BadInputError(f"--scenes: no such folder: {text}")
    return str(Path(text).resolve())


@contextmanager
def run_environment(
    params: Mapping[str, Any], options: Mapping[str, Any], data_dir: Path
) -> Iterator[Mapping[str, str]]:
    """Start the stand-in of the imagery API for a run that takes its imagery from it; the demo has its own `.env`.

    Args:
        params: The run's parameters.
        options: `profile`.
        data_dir: The deployment's data folder.

    Yields:
        Environment variables of the run.

    Raises:
        BadInputError: A folder of scenes is described and not named, or the imagery comes from elsewhere.
        SetupError: The stand-in did not start.
    """
    from include.satellite.imagery.demo import DEMO, SCENES_URL_VARIABLE, URL_VARIABLE, stand_in
    from include.satellite.imagery.scene_folder import stated_folder

    environment: dict[str, str] = {}
    if options.get("profile") == DEMO:
        environment["GROUNDTRUTH_ENV_FILE"] = str(data_dir / DEMO / ".env")
    folder = stated_folder(params)
    if folder and not folder.path and not os.environ.get(URL_VARIABLE):
        raise BadInputError(f"{', '.join(folder.statements)}: only for scenes from a folder (--scenes)")
    if params.get("source") != DEMO or params.get("skip_download"):
        yield environment
    elif folder and folder.path:
        with stand_in(*folder.options) as url:
            yield environment | {SCENES_URL_VARIABLE: url}
    elif os.environ.get(URL_VARIABLE):
        yield environment
    else:
        with stand_in() as url:
            yield environment | {URL_VARIABLE: url}


def checks() -> list[Check]:
    """Check for PyTorch and for credentials of the imagery services."""
    return [_torch(), _credentials()]


def _torch() -> Check:
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Check("PyTorch", "missing", "not installed; the satellite pipeline trains with it", "make setup")
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "on the processor"
    return Check("PyTorch", "ok", f"{version}, {device}")


def _credentials() -> Check:
    if os.environ.get("SH_CLIENT_ID") and os.environ.get("SH_CLIENT_SECRET"):
        return Check("imagery credentials", "ok", "SH_CLIENT_ID and SH_CLIENT_SECRET are set")
    remedy = (
        "the demo needs none; for real imagery set SH_CLIENT_ID and SH_CLIENT_SECRET, or the connection sentinel_hub"
    )
    return Check("imagery credentials", "missing", "not in the environment", remedy)
