"""Which folders of the host a step may mount: the `files/` of one run, and the stores of the settings; no links."""

from __future__ import annotations

import errno
import os
from typing import Any

from include.docker_proxy.requests import RefusedError
from include.docker_proxy.settings import RUNS, ProxySettings, is_plain

OPEN = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def is_run_folder(source: Any, settings: ProxySettings) -> bool:
    """Return whether a path is the `files` folder of a run (`runs/<dag>/<run>/files`), written in its normal form.

    Args:
        source: A path on the engine's host.
        settings: The settings name the data folder on that host.
    """
    parts = _below_data(source, settings)
    return len(parts) == 4 and (parts[0], parts[3]) == (RUNS, "files")


def require_run_folder(source: Any, settings: ProxySettings) -> None:
    """Raise RefusedError unless a path is the `files` folder of a run."""
    if not is_run_folder(source, settings):
        folder = f"{settings.host_data_dir}/{RUNS}/<dag>/<run>/files"
        raise RefusedError("folder", f"HostConfig.Mounts[0].Source: must be {folder}")


def store_name(source: Any, settings: ProxySettings) -> str:
    """Return the name of the store that lies in a folder of the host.

    Raises:
        RefusedError: The folder is not a store of the settings.
    """
    name = "/".join(_below_data(source, settings))
    if name not in settings.stores:
        folders = ", ".join(f"{settings.host_data_dir}/{store}" for store in settings.stores)
        raise RefusedError(
            "folder", f"HostConfig.Mounts: the source of a store must be one of DOCKER_PROXY_STORES ({folders})"
        )
    return name


def check_folder(source: Any, settings: ProxySettings) -> None:
    """Open the folder part by part without following links.

    The engine follows links when it starts a container. So this is checked before the create call, and again before
    the start call.

    Args:
        source: A path on the engine's host.
        settings: The settings name the data folder on that host and in this container.

    Raises:
        RefusedError: The path is neither a run's folder nor a store, is missing, or has a link or a file in it.
    """
    parts = _below_data(source, settings)
    if "/".join(parts) not in settings.stores:
        require_run_folder(source, settings)
    folder = os.open(settings.data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            folder, parent = os.open(part, OPEN, dir_fd=folder), folder
            os.close(parent)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise RefusedError("folder", f"bind source path does not exist: {source}") from None
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise RefusedError("folder", f"{source}: `{part}` must be a folder, not a link or a file") from None
        raise RefusedError("folder", f"{source}: `{part}` cannot be opened: {error.strerror}") from None
    finally:
        os.close(folder)


def _below_data(source: Any, settings: ProxySettings) -> list[str]:
    """Return the parts of a path below the data folder, or none if the path is not written in its normal form."""
    below = source.removeprefix(f"{settings.host_data_dir}/") if isinstance(source, str) else ""
    parts = below.split("/")
    return parts if is_plain(parts) and below != source else []
