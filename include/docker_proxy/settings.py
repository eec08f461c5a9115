"""The settings of the policy server: one frozen model, read from the environment (`DOCKER_PROXY_<NAME>`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from include.docker_proxy.check import LISTEN

IMAGE = re.compile(r"[a-z0-9]+(?:[._/:-]+[A-Za-z0-9]+)*")
COMPONENT = re.compile(r"[\w.+=@-]{1,255}")  # the letters of a run's folder name
NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
ENGINE_NETWORKS = ("bridge", "host", "none", "default")
RUNS = "runs"
MOUNTS = "mounts"
"""Below the data folder: what the policy server prepares for the engine to mount. Only it can change anything there."""


def is_plain(parts: Sequence[str]) -> bool:
    """Return whether the parts of a path are plain names: no `..`, no empty part, no special letters."""
    return all(COMPONENT.fullmatch(part) and part.strip(".") for part in parts)


def parse_images(text: str) -> frozenset[str]:
    """Return the image names of `NAME NAME …`."""
    names = frozenset(text.split())
    if not names or not all(IMAGE.fullmatch(name) for name in names):
        raise ValueError("must name images as in `docker run`, separated by spaces")
    return names


def parse_networks(text: str) -> frozenset[str]:
    """Return the names of networks, which a text separates by spaces.

    Raises:
        ValueError: One is no name of a network that users make.

    >>> sorted(parse_networks("crm meters"))
    ['crm', 'meters']
    """
    names = frozenset(text.split())
    if faulty := sorted(name for name in names if not NETWORK.fullmatch(name) or name in ENGINE_NETWORKS):
        raise ValueError(f"{', '.join(faulty)}: must be networks that were made for steps, not those of the engine")
    return names


def parse_stores(text: str) -> tuple[str, ...]:
    """Return the names of stores, which a text separates by spaces.

    Raises:
        ValueError: An entry is malformed, lies among the runs, or overlaps another one; one sentence for each.

    >>> parse_stores("scenes library/public")
    ('scenes', 'library/public')
    """
    stores: list[str] = []
    faults = []
    for name in text.split():
        parts = name.split("/")
        overlapping = [other for other in stores if f"{name}/".startswith(f"{other}/") or other.startswith(f"{name}/")]
        if not is_plain(parts):
            faults.append(f"{name}: must be a path below the data folder, in plain letters")
        elif parts[0] == RUNS:
            faults.append(f"{name}: must not lie in `{RUNS}`, where a step may see its own run alone")
        elif parts[0] == MOUNTS:
            faults.append(f"{name}: must not lie in `{MOUNTS}`, which is the policy server's")
        elif overlapping:
            faults.append(f"{name}: must not repeat, contain or lie within the store {overlapping[0]}")
        else:
            stores.append(name)
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(stores)


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
    stores: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_stores)] = Field(
        (),
        validate_default=False,
        description="Stores whose files steps may mount, read-only: paths below the data folder, separated by spaces. "
        "Default: none.",
    )
    networks: Annotated[frozenset[str], NoDecode, BeforeValidator(parse_networks)] = Field(
        frozenset(),
        validate_default=False,
        description="Networks that steps may join where their definition names one, separated by spaces; make them "
        "with `docker network create --internal NAME`. Default: none.",
    )
    host_data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        description="The data folder as the engine's host sees it, as the workers' `GROUNDTRUTH_HOST_DATA_DIR`."
    )
    data_dir: Path = Field(
        Path("/data"),
        description="The same folder as the policy server sees it. It belongs to neither the workers nor the steps.",
    )
    step_uid: int = Field(description="The user that steps run as, as the workers' `GROUNDTRUTH_STEP_UID`.", ge=1)
    worker_uid: int = Field(
        description="The user that workers run as. A step's work folder is given to it after the step has ended.", ge=1
    )
    max_memory_mb: int = Field(4096, description="Largest memory limit of a step (MiB).", ge=64)
    max_cpus: float = Field(4.0, description="Largest CPU limit of a step.", gt=0, allow_inf_nan=False)
    max_processes: int = Field(256, description="Largest process limit of a step.", ge=1)
    engine_socket: Path = Field(Path("/var/run/docker.sock"), description="The engine's socket.")
    listen: Path = Field(LISTEN, description="The socket on which the policy server serves HAProxy.")

    def below_data(self, source: Any) -> list[str]:
        """Return the parts of a host's path below the data folder; none where it is not one in its normal form."""
        below = source.removeprefix(f"{self.host_data_dir}/") if isinstance(source, str) else ""
        parts = below.split("/")
        return parts if is_plain(parts) and below != source else []

    def on_host(self, *parts: str) -> str:
        """Return a path below the data folder as the engine's host sees it."""
        return "/".join((str(self.host_data_dir), *parts))
