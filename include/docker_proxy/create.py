"""A create request: checked key by key, and rebuilt from what steps may have. None of its own text is forwarded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from include.docker_proxy.mounts import DATA, read_mounts
from include.docker_proxy.requests import LABEL, LABEL_NAME, RefusedError, check_keys, check_values
from include.docker_proxy.settings import ProxySettings

LONGEST_LABEL = 1024
MEBIBYTE = 1 << 20
SMALLEST_MEMORY = 6 * MEBIBYTE

# What every step has; another value is refused. The docker runtime in plugins/steps asks for exactly this. The policy
# is written down twice on purpose, because the proxy must not trust a worker (docs/decisions/0016).
FIXED = {"WorkingDir": DATA}
FIXED_HOST: dict[str, Any] = {
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "Init": True,
    "Tmpfs": {"/tmp": "size=64m,mode=1777"},  # noqa: S108
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "20m", "max-file": "1"}},
}

# What docker-py adds to every request. It changes nothing, and is not forwarded.
SENT_BY_CLIENTS = {
    **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce", "AttachStdin", "NetworkDisabled"), False),
    **dict.fromkeys(("AttachStdout", "AttachStderr"), True),
}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)


def rebuild_create(request: Mapping[str, Any], settings: ProxySettings) -> dict[str, Any]:
    """Return the create request that is sent to the engine, with the mounts as they were asked for.

    Args:
        request: The parsed request.
        settings: Images, stores and limits of the deployment.

    Raises:
        RefusedError: A key is missing or unknown, or a value is not what a step has; the sentence names it.
    """
    check_keys("", request, {*FIXED, "Image", "Cmd", "User", "Env", "Labels", "HostConfig"}, SENT_BY_CLIENTS)
    user = f"{settings.step_uid}:{settings.step_uid}"
    sent = {key: value for key, value in SENT_BY_CLIENTS.items() if key in request}
    check_values("", request, {**FIXED, "User": user, **sent})
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
    check_keys("HostConfig", config, {*FIXED_HOST, *limits, "NetworkMode", "MemorySwap", "Mounts"})
    for name, (smallest, largest) in limits.items():
        if type(config[name]) is not int or not smallest <= config[name] <= largest:
            raise RefusedError("create", f"HostConfig.{name}: must be an integer from {smallest} to {largest}")
    network = config["NetworkMode"]
    if not isinstance(network, str) or network not in {"none", *settings.networks}:
        allowed = " ".join(sorted(settings.networks)) or "none are set"
        raise RefusedError(
            "create", f"HostConfig.NetworkMode: must be 'none' or one of DOCKER_PROXY_NETWORKS ({allowed})"
        )
    fixed = FIXED_HOST | {"NetworkMode": network, "MemorySwap": config["Memory"]}
    check_values("HostConfig.", config, fixed)
    read_mounts(config["Mounts"], settings)
    return {**fixed, **{name: config[name] for name in limits}, "Mounts": config["Mounts"]}


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
