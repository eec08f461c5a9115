"""What the satellite domain adds to the command line: values of options, a run's environment, checks of the doctor."""

from __future__ import annotations

import importlib.metadata
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.core.domain import Check
from include.core.errors import BadInputError

DEMO = "demo"
RADIOMETRY = {"scale": (0.0, 1.0), "offset": (-1.0, 1.0)}
"""What a user may state of a folder's scenes, and between which limits it gives reflectances."""


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
    from include.satellite.outlines import read_document

    path, _, layer = text.rpartition(":")
    if not path or Path(text).exists():
        return read_document(Path(text))
    return read_document(Path(path), layer=layer)


@contextmanager
def run_environment(
    params: Mapping[str, Any], options: Mapping[str, Any], data_dir: Path
) -> Iterator[Mapping[str, str]]:
    """Start the stand-in of the imagery API for a run that takes its imagery from it; the demo has its own `.env`.

    Args:
        params: The run's parameters.
        options: `scenes`, a folder of GeoTIFFs that the stand-in serves, their `scale`, `offset` and
            `band_names`, and `profile`.
        data_dir: The deployment's data folder.

    Yields:
        Environment variables of the run.

    Raises:
        BadInputError: `--scenes` is not a folder, or the imagery comes from elsewhere.
        SetupError: The stand-in did not start.
    """
    from include.satellite.imagery.demo import URL_VARIABLE, stand_in

    scenes = options.get("scenes")
    if scenes is not None and params.get("source") != DEMO:
        raise BadInputError("--scenes: only a pipeline with --source demo takes scenes from a folder")
    if scenes is not None and not Path(scenes).is_dir():
        raise BadInputError(f"--scenes: no such folder: {scenes}")
    stated = [f"--{name}={_number(name, options[name])}" for name in RADIOMETRY if options.get(name) is not None]
    if options.get("band_names"):
        stated.append(f"--band-names={options['band_names']}")
    if stated and scenes is None:
        raise BadInputError(f"{' '.join(stated)}: only for scenes from a folder (--scenes)")
    environment: dict[str, str] = {}
    if options.get("profile") == DEMO:
        environment["GROUNDTRUTH_ENV_FILE"] = str(data_dir / DEMO / ".env")
    running = os.environ.get(URL_VARIABLE) and scenes is None
    if params.get("source") != DEMO or params.get("skip_download") or running:
        yield environment
        return
    arguments = ["--scenes", str(Path(scenes).resolve())] if scenes else []
    if params.get("mask_type") and scenes:
        arguments += ["--mask-type", str(params["mask_type"])]
    arguments += stated
    with stand_in(*arguments) as url:
        yield environment | {URL_VARIABLE: url}


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    low, high = RADIOMETRY[name]
    if not low <= number <= high or number == low:
        raise BadInputError(
            f"--{name}: {text!r} must be a number above {low:g}, at most {high:g}: reflectance = number × scale + "
            "offset (numbers of 10000 for reflectance 1 have scale 0.0001; with 1000 added, offset -0.1)"
        )
    return number


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
