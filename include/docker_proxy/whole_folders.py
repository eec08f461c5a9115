"""The mounts of containers that see a run's whole `files` folder and whole stores (`DOCKER_PROXY_WHOLE_FOLDERS`).

The engine resolves their paths, which a worker can exchange, when the container starts. The check before it is
therefore a race that a worker can win. This shape is accepted until all steps have work folders.
"""

from __future__ import annotations

from typing import Any

from include.docker_proxy.mounts import DATA, MOUNT_KEYS, STORES
from include.docker_proxy.requests import RefusedError, check_keys, check_values
from include.docker_proxy.settings import RUNS, ProxySettings
from include.docker_proxy.staging import opened


def asks_for_whole_folders(mounts: Any, settings: ProxySettings) -> bool:
    """Return whether a request has the old shape, and the settings accept it."""
    first = mounts[0] if isinstance(mounts, list) and mounts else None
    return settings.whole_folders and isinstance(first, dict) and is_run_folder(first.get("Source"), settings)


def whole_folder_mounts(mounts: list[Any], settings: ProxySettings) -> list[dict[str, Any]]:
    """Return the mounts: the run's folder first, then stores, each at most once.

    Raises:
        RefusedError: A mount is something else; the sentence names it.
    """
    if len(mounts) > 1 + len(settings.stores):
        most = len(settings.stores)
        raise RefusedError("create", f"HostConfig.Mounts: must be the run's folder and at most {most} stores")
    rebuilt = []
    for position, mount in enumerate(mounts):
        name = f"HostConfig.Mounts[{position}]"
        check_keys(name, mount, MOUNT_KEYS)
        if position == 0:
            allowed = {"Type": "bind", "Target": DATA, "ReadOnly": False}
        else:
            store = store_name(mount["Source"], settings)
            # A step may also mount a writable store read-only.
            read_only = not settings.stores[store] or mount["ReadOnly"] is True
            allowed = {"Type": "bind", "Target": f"{STORES}/{store}", "ReadOnly": read_only}
        check_values(f"{name}.", mount, allowed)
        rebuilt.append({**allowed, "Source": str(mount["Source"])})
    if len({mount["Target"] for mount in rebuilt}) < len(rebuilt):
        raise RefusedError("create", "HostConfig.Mounts: a store must not be repeated")
    return rebuilt


def is_run_folder(source: Any, settings: ProxySettings) -> bool:
    """Return whether a path is the `files` folder of a run (`runs/<dag>/<run>/files`), written in its normal form.

    Args:
        source: A path on the engine's host.
        settings: The settings name the data folder on that host.
    """
    parts = settings.below_data(source)
    return len(parts) == 4 and (parts[0], parts[3]) == (RUNS, "files")


def store_name(source: Any, settings: ProxySettings) -> str:
    """Return the name of the store that lies in a folder of the host.

    Raises:
        RefusedError: The folder is not a store of the settings.
    """
    name = "/".join(settings.below_data(source))
    if name not in settings.stores:
        folders = ", ".join(settings.on_host(store) for store in settings.stores)
        raise RefusedError(
            "folder", f"HostConfig.Mounts: the source of a store must be one of DOCKER_PROXY_STORES ({folders})"
        )
    return name


def check_folder(source: Any, settings: ProxySettings) -> None:
    """Open a run's folder or a store part by part, without following links.

    Raises:
        RefusedError: The path is something else, is missing, or has a link or a file in it.
    """
    parts = settings.below_data(source)
    if not is_run_folder(source, settings) and "/".join(parts) not in settings.stores:
        raise RefusedError("folder", f"{source}: must be the `files` folder of a run, or a store")
    with opened(parts, settings):
        pass
