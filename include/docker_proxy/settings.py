"""The settings of the policy server: one frozen model, read from the environment (`DOCKER_PROXY_<NAME>`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from include.docker_proxy.check import LISTEN

IMAGE = re.compile(r"[a-z0-9]+(?:[._/:-]+[A-Za-z0-9]+)*")
COMPONENT = re.compile(r"[\w.+=@-]{1,255}")  # the letters of a run's folder name
RUNS = "runs"


def is_plain(parts: list[str]) -> bool:
    """Return whether the parts of a path are plain names: no `..`, no empty part, no special letters."""
    return all(COMPONENT.fullmatch(part) and part.strip(".") for part in parts)


def parse_images(text: str) -> frozenset[str]:
    """Return the image names of `NAME NAME …`."""
    names = frozenset(text.split())
    if not names or not all(IMAGE.fullmatch(name) for name in names):
        raise ValueError("must name images as in `docker run`, separated by spaces")
    return names


def parse_stores(text: str) -> dict[str, bool]:
    """Return whether steps may write to each store of `NAME:rw NAME:ro …`.

    Raises:
        ValueError: An entry is malformed, lies among the runs, or overlaps another one; one sentence for each.

    >>> parse_stores("scenes:rw library/public:ro")
    {'scenes': True, 'library/public': False}
    """
    stores: dict[str, bool] = {}
    faults = []
    for entry in text.split():
        name, _, mode = entry.rpartition(":")
        parts = name.split("/")
        overlapping = [other for other in stores if f"{name}/".startswith(f"{other}/") or other.startswith(f"{name}/")]
        if mode not in ("rw", "ro") or not is_plain(parts):
            faults.append(f"{entry}: must be NAME:rw or NAME:ro, where NAME is a path below the data folder")
        elif parts[0] == RUNS:
            faults.append(f"{entry}: must not lie in `{RUNS}`, where a step may see its own run alone")
        elif overlapping:
            faults.append(f"{entry}: must not repeat, contain or lie within the store {overlapping[0]}")
        else:
            stores[name] = mode == "rw"
    if faults:
        raise ValueError("; ".join(faults))
    return stores


def _absolute(path: Path) -> Path:
    if not path.is_absolute() or ".." in path.parts:
        raise ValueError("must be an absolute path without `..`")
    return path


class ProxySettings(BaseSettings):
    """Which containers steps may have, and how large these may be."""

    model_config = SettingsConfigDict(env_prefix="DOCKER_PROXY_", frozen=True)

    images: Annotated[frozenset[str], NoDecode, BeforeValidator(parse_images)] = Field(
        description="Images that steps may run in, as definitions name them, separated by spaces; nothing else starts."
    )
    stores: Annotated[Mapping[str, bool], NoDecode, BeforeValidator(parse_stores)] = Field(
        {},
        validate_default=False,
        description="Stores that steps may mount: paths below the data folder, separated by spaces, each with `:rw` "
        "(steps may write there) or `:ro`. Default: none.",
    )
    host_data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="The data folder as the engine's host sees it, as the workers' `GROUNDTRUTH_HOST_DATA_DIR`."
    )
    data_dir: Path = Field(
        Path("/data"), description="The same folder as the policy server sees it, mounted read-only."
    )
    step_uid: int = Field(description="The user that steps run as, as the workers' `GROUNDTRUTH_STEP_UID`.", ge=1)
    max_memory_mb: int = Field(4096, description="Largest memory limit of a step (MiB).", ge=64)
    max_cpus: float = Field(4.0, description="Largest CPU limit of a step.", gt=0, allow_inf_nan=False)
    max_processes: int = Field(256, description="Largest process limit of a step.", ge=1)
    engine_socket: Path = Field(Path("/var/run/docker.sock"), description="The engine's socket.")
    listen: Path = Field(LISTEN, description="The socket on which the policy server serves HAProxy.")
