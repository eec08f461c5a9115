"""Which folders of the host a step may see: the `files/` of one run, reached through real folders only."""

from __future__ import annotations

import errno
import os
import re
from pathlib import PurePosixPath
from typing import Any

from include.docker_proxy.refusal import Refused
from include.docker_proxy.settings import DoorSettings

COMPONENT = re.compile(r"[\w.+=@-]{1,255}")  # what include/core/runs.py makes of names
OPEN = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def run_folder(source: Any, settings: DoorSettings) -> list[str]:
    """The folder's place below the data folder, as `["runs", dag, run, "files"]`.

    Args:
        source: A path on the engine's host.
        settings: Where the data folder lies there.

    Raises:
        Refused: It is not the `files` folder of a run, or not written in the one plain way.
    """
    home = str(PurePosixPath(settings.host_data_dir))
    below = source.removeprefix(f"{home}/") if isinstance(source, str) else ""
    parts = below.split("/")
    plain = all(COMPONENT.fullmatch(part) and part.strip(".") for part in parts)
    if below == source or not plain or len(parts) != 4 or (parts[0], parts[3]) != ("runs", "files"):
        raise Refused("folder", f"HostConfig.Mounts[0].Source: must be {home}/runs/<dag>/<run>/files")
    return parts


def look(source: Any, settings: DoorSettings) -> None:
    """Go there without following links.

    The engine follows them when it starts the container: so this is asked before the create, and before the start.

    Raises:
        Refused: It does not exist, or a part of the path is a link or a file.
    """
    parts = run_folder(source, settings)
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
