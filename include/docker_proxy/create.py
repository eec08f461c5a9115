"""A create request: read key by key, and rebuilt from what steps may have. None of its own text goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from include.docker_proxy.folders import STORES, run_folder, store
from include.docker_proxy.refusal import Refused
from include.docker_proxy.settings import DoorSettings

LABEL = "io.groundtruth"
LONGEST_LABEL = 1024
SMALLEST_MEMORY = 6 << 20
MEBIBYTE = 1 << 20

# What every step has (plugins/steps/containers.py); another value is refused.
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
MOUNT_KEYS = {"Type", "Target", "Source", "ReadOnly"}

# What docker-py adds to every request. It changes nothing, and is not passed on.
SENT_BY_CLIENTS = {
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "AttachStdin": False,
    "AttachStdout": True,
    "AttachStderr": True,
    "NetworkDisabled": False,
}

ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
LABEL_NAME = re.compile(r"io\.groundtruth(?:\.[a-z][a-z0-9_.-]*)?")


def rebuilt(asked: Mapping[str, Any], settings: DoorSettings) -> dict[str, Any]:
    """The create request that goes to the engine.

    Args:
        asked: The request as parsed.
        settings: Limits of the deployment.

    Raises:
        Refused: A key is missing or unknown, or a value is not what a step has; names it.
    """
    _keys("", asked, {*FIXED, "Image", "Cmd", "User", "Env", "Labels", "HostConfig"}, {*SENT_BY_CLIENTS})
    _values("", asked, FIXED | {key: value for key, value in SENT_BY_CLIENTS.items() if key in asked})
    if not isinstance(asked["Image"], str) or asked["Image"] not in settings.allowed_images:
        raise Refused(
            "image", f"Image: must be one of DOCKER_PROXY_IMAGES ({' '.join(sorted(settings.allowed_images))})"
        )
    user = f"{settings.step_uid}:{settings.step_uid}"
    _values("", asked, {"User": user})
    return {
        **FIXED,
        "Image": asked["Image"],
        "User": user,
        "Cmd": _texts("Cmd", asked["Cmd"]),
        "Env": _environment(asked["Env"]),
        "Labels": _labels(asked["Labels"]),
        "HostConfig": _host_config(asked["HostConfig"], settings),
    }


def _host_config(asked: Any, settings: DoorSettings) -> dict[str, Any]:
    limits = {
        "Memory": (SMALLEST_MEMORY, settings.max_memory_mb * MEBIBYTE),
        "NanoCpus": (1, int(settings.max_cpus * 1e9)),
        "PidsLimit": (1, settings.max_processes),
    }
    _keys("HostConfig", asked, {*FIXED_HOST, *limits, "MemorySwap", "Mounts"})
    _values("HostConfig.", asked, FIXED_HOST)
    for name, (least, most) in limits.items():
        if type(asked[name]) is not int or not least <= asked[name] <= most:
            raise Refused("create", f"HostConfig.{name}: must be a whole number from {least} to {most}")
    _values("HostConfig.", asked, {"MemorySwap": asked["Memory"]})
    return {
        **FIXED_HOST,
        **{name: asked[name] for name in limits},
        "MemorySwap": asked["Memory"],
        "Mounts": _mounts(asked["Mounts"], settings),
    }


def _mounts(asked: Any, settings: DoorSettings) -> list[dict[str, Any]]:
    """The run's folder first, then stores, each once."""
    if not isinstance(asked, list) or not 1 <= len(asked) <= 1 + len(STORES):
        raise Refused("create", f"HostConfig.Mounts: must be the run's folder and at most {len(STORES)} stores")
    rebuilt = []
    for position, mount in enumerate(asked):
        name = f"HostConfig.Mounts[{position}]"
        _keys(name, mount, MOUNT_KEYS)
        if position == 0:
            run_folder(mount["Source"], settings)
            wanted = {"Type": "bind", "Target": "/data", "ReadOnly": False}
        else:
            known = store(mount["Source"], settings)
            wanted = {"Type": "bind", "Target": f"/stores/{known}", "ReadOnly": not STORES[known]}
            if STORES[known] and mount["ReadOnly"] is True:  # a step may see what others write
                wanted["ReadOnly"] = True
        _values(f"{name}.", mount, wanted)
        rebuilt.append({**wanted, "Source": str(mount["Source"])})
    if len({mount["Target"] for mount in rebuilt}) < len(rebuilt):
        raise Refused("create", "HostConfig.Mounts: each store must be there once")
    return rebuilt


def _keys(name: str, asked: Any, needed: set[str], more: set[str] | None = None) -> None:
    if not isinstance(asked, dict):
        raise Refused("create", f"{name}: must be an object")
    prefix = f"{name}." if name else ""
    for key in asked:
        if key not in needed | (more or set()):
            raise Refused("create", f"{prefix}{key}: no container of ours has this key")
    for key in sorted(needed):
        if key not in asked:
            raise Refused("create", f"{prefix}{key}: is missing")


def _values(prefix: str, asked: dict[str, Any] | Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        if type(asked[key]) is not type(value) or asked[key] != value:
            raise Refused("create", f"{prefix}{key}: must be {value!r}")


def _texts(name: str, asked: Any) -> list[str]:
    if not isinstance(asked, list) or not all(isinstance(text, str) for text in asked):
        raise Refused("create", f"{name}: must be a list of texts")
    return list(asked)


def _environment(asked: Any) -> list[str]:
    for each in _texts("Env", asked):
        if not ENVIRONMENT.fullmatch(each):
            raise Refused("create", "Env: each must be NAME=value")
    return list(asked)


def _labels(asked: Any) -> dict[str, str]:
    if not isinstance(asked, dict) or asked.get(LABEL) != "step":
        raise Refused("create", f"Labels: must hold {LABEL}=step")
    for name, value in asked.items():
        if not LABEL_NAME.fullmatch(name):
            raise Refused("create", f"Labels: {name!r} must begin with {LABEL}.")
        if not isinstance(value, str) or len(value) > LONGEST_LABEL or not value.isprintable():
            raise Refused("create", f"Labels.{name}: must be a printable text of at most {LONGEST_LABEL} letters")
    return dict(asked)
