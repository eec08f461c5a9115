"""A create request: checked key by key, and rebuilt from what steps may have. None of its own text is forwarded.

A step may mount the `files/` of one run and the stores of the settings, without a link on the way there.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

from include.docker_proxy.requests import LABEL, LABEL_NAME, RefusedError
from include.docker_proxy.settings import RUNS, ProxySettings, is_plain

LONGEST_LABEL = 1024
MEBIBYTE = 1 << 20
SMALLEST_MEMORY = 6 * MEBIBYTE

# What every step has; another value is refused. The docker runtime in plugins/steps asks for exactly this. The policy
# is written down twice on purpose, because the proxy must not trust a worker (docs/decisions/0016).
FIXED = {"WorkingDir": "/data"}
FIXED_HOST: dict[str, Any] = {
    "NetworkMode": "none",
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "Init": True,
    "Tmpfs": {"/tmp": "size=64m,mode=1777"},  # noqa: S108
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "20m", "max-file": "1"}},
}
OPEN = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
MOUNT_KEYS = {"Type", "Target", "Source", "ReadOnly"}

# What docker-py adds to every request. It changes nothing, and is not forwarded.
SENT_BY_CLIENTS = {
    **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce", "AttachStdin", "NetworkDisabled"), False),
    **dict.fromkeys(("AttachStdout", "AttachStderr"), True),
}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)


def rebuild_create(request: Mapping[str, Any], settings: ProxySettings) -> dict[str, Any]:
    """Return the create request that is sent to the engine.

    Args:
        request: The parsed request.
        settings: Images, stores and limits of the deployment.

    Raises:
        RefusedError: A key is missing or unknown, or a value is not what a step has; the sentence names it.
    """
    _check_keys("", request, {*FIXED, "Image", "Cmd", "User", "Env", "Labels", "HostConfig"}, SENT_BY_CLIENTS)
    user = f"{settings.step_uid}:{settings.step_uid}"
    sent = {key: value for key, value in SENT_BY_CLIENTS.items() if key in request}
    _check_values("", request, {**FIXED, "User": user, **sent})
    if not isinstance(request["Image"], str) or request["Image"] not in settings.images:
        raise RefusedError("image", f"Image: must be one of DOCKER_PROXY_IMAGES ({' '.join(sorted(settings.images))})")
    variables = _strings("Env", request["Env"])
    if not all(VARIABLE.fullmatch(variable) for variable in variables):
        raise RefusedError("create", "Env: each entry must be NAME=value")
    return {
        **FIXED,
        "Image": request["Image"],
        "User": user,
        "Cmd": _strings("Cmd", request["Cmd"]),
        "Env": variables,
        "Labels": _labels(request["Labels"]),
        "HostConfig": _host_config(request["HostConfig"], settings),
    }


def _host_config(config: Any, settings: ProxySettings) -> dict[str, Any]:
    limits = {
        "Memory": (SMALLEST_MEMORY, settings.max_memory_mb * MEBIBYTE),
        "NanoCpus": (1, int(settings.max_cpus * 1e9)),
        "PidsLimit": (1, settings.max_processes),
    }
    _check_keys("HostConfig", config, {*FIXED_HOST, *limits, "MemorySwap", "Mounts"})
    for name, (smallest, largest) in limits.items():
        if type(config[name]) is not int or not smallest <= config[name] <= largest:
            raise RefusedError("create", f"HostConfig.{name}: must be an integer from {smallest} to {largest}")
    fixed = FIXED_HOST | {"MemorySwap": config["Memory"]}
    _check_values("HostConfig.", config, fixed)
    return {**fixed, **{name: config[name] for name in limits}, "Mounts": _mounts(config["Mounts"], settings)}


def _mounts(mounts: Any, settings: ProxySettings) -> list[dict[str, Any]]:
    """Return the mounts: the run's folder first, then stores, each at most once."""
    if not isinstance(mounts, list) or not 1 <= len(mounts) <= 1 + len(settings.stores):
        most = len(settings.stores)
        raise RefusedError("create", f"HostConfig.Mounts: must be the run's folder and at most {most} stores")
    rebuilt = []
    for position, mount in enumerate(mounts):
        name = f"HostConfig.Mounts[{position}]"
        _check_keys(name, mount, MOUNT_KEYS)
        if position == 0:
            require_run_folder(mount["Source"], settings)
            allowed = {"Type": "bind", "Target": "/data", "ReadOnly": False}
        else:
            store = store_name(mount["Source"], settings)
            # A step may also mount a writable store read-only.
            read_only = not settings.stores[store] or mount["ReadOnly"] is True
            allowed = {"Type": "bind", "Target": f"/stores/{store}", "ReadOnly": read_only}
        _check_values(f"{name}.", mount, allowed)
        rebuilt.append({**allowed, "Source": str(mount["Source"])})
    if len({mount["Target"] for mount in rebuilt}) < len(rebuilt):
        raise RefusedError("create", "HostConfig.Mounts: a store must not be repeated")
    return rebuilt


def _labels(labels: Any) -> dict[str, str]:
    if not isinstance(labels, dict) or labels.get(LABEL) != "step":
        raise RefusedError("create", f"Labels: must hold {LABEL}=step")
    for name, value in labels.items():
        if not LABEL_NAME.fullmatch(name):
            raise RefusedError("create", f"Labels: {name!r} must begin with {LABEL}.")
        if not isinstance(value, str) or len(value) > LONGEST_LABEL or not value.isprintable():
            raise RefusedError("create", f"Labels.{name}: must be printable text of at most {LONGEST_LABEL} letters")
    return dict(labels)


def _strings(name: str, values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RefusedError("create", f"{name}: must be a list of strings")
    return list(values)


def _check_keys(name: str, document: Any, required: set[str], optional: Collection[str] = ()) -> None:
    if not isinstance(document, dict):
        raise RefusedError("create", f"{name}: must be an object")
    prefix = f"{name}." if name else ""
    for key in document:
        if key not in required and key not in optional:
            raise RefusedError("create", f"{prefix}{key}: a step's container must not have this key")
    for key in sorted(required):
        if key not in document:
            raise RefusedError("create", f"{prefix}{key}: is missing")


def _check_values(prefix: str, document: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    for key, value in allowed.items():
        if type(document[key]) is not type(value) or document[key] != value:
            raise RefusedError("create", f"{prefix}{key}: must be {value!r}")


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
