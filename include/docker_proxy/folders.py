"""Which folders of the host a step may see: the `files/` of one run and the stores that runs share; no links."""

from __future__ import annotations

import errno
import os
import re
from typing import Any

from include.docker_proxy.refusal import Refused
from include.docker_proxy.settings import DoorSettings

COMPONENT = re.compile(r"[\w.+=@-]{1,255}")  # what include/core/run_folder.py makes of names
STORES = {"imagery": True, "models/baselines": True, "models/store": False}
"""What runs share, below the data folder; whether steps may write there."""
OPEN = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def run_folder(source: Any, settings: DoorSettings) -> list[str]:
    """The folder's place below the data folder, as `["runs", dag, run, "files"]`.

    Args:
        source: A path on the engine's host.
        settings: Where the data folder lies there.

    Raises:
        Refused: It is not the `files` folder of a run, or not written in the one plain way.
    """
    parts = _below(source, settings)
    if len(parts) != 4 or (parts[0], parts[3]) != ("runs", "files"):
        raise Refused("folder", f"HostConfig.Mounts[0].Source: must be {settings.home}/runs/<dag>/<run>/files")
    return parts


def store(source: Any, settings: DoorSettings) -> str:
    """The store, a key of `STORES`, that lies in a folder of the host.

    Raises:
        Refused: None does.
    """
    name = "/".join(_below(source, settings))
    if name not in STORES:
        stores = ", ".join(f"{settings.home}/{known}" for known in STORES)
        raise Refused("folder", f"HostConfig.Mounts: the source of a store must be one of {stores}")
    return name


def look(source: Any, settings: DoorSettings) -> None:
    """Go there without following links.

    The engine follows them when it starts the container: so this is asked before the create, and before the start.

    Args:
        source: A path on the engine's host.
        settings: Where the data folder lies there.

    Raises:
        Refused: It is neither of a run nor a store, does not exist, or a part of the path is a link or a file.
    """
    parts = _below(source, settings)
    if "/".join(parts) not in STORES:
        run_folder(source, settings)
    here = os.open(settings.data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            here, left = os.open(part, OPEN, dir_fd=here), here
            os.close(left)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise Refused("folder", f"bind source path does not exist: {source}") from None
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise Refused("folder", f"{source}: `{part}` must be a folder, no link and no file") from None
        raise Refused("folder", f"{source}: `{part}` cannot be looked at: {error.strerror}") from None
    finally:
        os.close(here)


def _below(source: Any, settings: DoorSettings) -> list[str]:
    """The parts of a path below the data folder; none where it is not written in the one plain way."""
    below = source.removeprefix(f"{settings.home}/") if isinstance(source, str) else ""
    parts = below.split("/")
    plain = all(COMPONENT.fullmatch(part) and part.strip(".") for part in parts)
    return parts if plain and below != source else []
