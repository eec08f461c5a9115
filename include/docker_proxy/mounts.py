"""The mounts that a request may ask for: a work folder, inputs and scratch of one run, and files of stores.

| what | at | from, below the data folder |
|---|---|---|
| the work folder, writable | `/data` | `runs/<dag>/<run>/work/<name>` |
| an input, read-only | `/data/<path>` | `runs/<dag>/<run>/artifacts/<sha256>` |
| a scratch folder, writable | `/data/<path>` | `runs/<dag>/<run>/scratch/<name>` |
| a file of a store, read-only | `/stores/<store>/<path>` | `<store>/<path>` |

The engine gets none of these paths, because a worker can exchange what lies there. `staging` prepares what it mounts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

from include.docker_proxy.requests import RefusedError, check_keys, check_values
from include.docker_proxy.settings import RUNS, ProxySettings

DATA, STORES = "/data", "/stores"
MOUNT_KEYS = {"Type", "Target", "Source", "ReadOnly"}
MOST_MOUNTS = 1000
LONGEST_NAME = 255
SHA256 = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """What a mount is for."""

    WORK = "work"
    INPUT = "artifacts"
    SCRATCH = "scratch"
    STORE = "store"


READ_ONLY = {Role.INPUT, Role.STORE}


class StepMount(NamedTuple):
    """A mount that a request asks for.

    Args:
        role: What it is for.
        target: Where the step sees it.
        source: The parts of its path below the data folder.
    """

    role: Role
    target: str
    source: tuple[str, ...]


def read_mounts(mounts: Any, settings: ProxySettings) -> list[StepMount]:
    """Return the mounts of a request: the work folder first.

    Raises:
        RefusedError: A mount is none that a step may have, or lies on or within another one; the sentence names it.
    """
    if not isinstance(mounts, list) or not 1 <= len(mounts) <= MOST_MOUNTS:
        raise RefusedError(
            "create", f"HostConfig.Mounts: must be the work folder and at most {MOST_MOUNTS - 1} files and folders"
        )
    steps_mounts: list[StepMount] = []
    for position, mount in enumerate(mounts):
        name = f"HostConfig.Mounts[{position}]"
        check_keys(name, mount, MOUNT_KEYS)
        source = settings.below_data(mount["Source"])
        role = _role(source, settings)
        if (role is Role.WORK) != (position == 0) or role is None:
            raise RefusedError("folder", f"{name}.Source: must be {_allowed(position, settings)}")
        if role in (Role.INPUT, Role.SCRATCH) and tuple(source[:3]) != steps_mounts[0].source[:3]:
            raise RefusedError("folder", f"{name}.Source: must belong to the run of the work folder")
        target = _target(role, source, mount["Target"])
        check_values(f"{name}.", mount, {"Type": "bind", "Target": target, "ReadOnly": role in READ_ONLY})
        steps_mounts.append(StepMount(role, target, tuple(source)))
    targets = sorted(mount.target.split("/") for mount in steps_mounts[1:])
    for outer, inner in pairwise(targets):
        if inner[: len(outer)] == outer:
            raise RefusedError("create", f"HostConfig.Mounts: {'/'.join(inner)} lies on another mount")
    return steps_mounts


def _role(source: list[str], settings: ProxySettings) -> Role | None:
    match source:
        case ["runs", _, _, "work", _]:
            return Role.WORK
        case ["runs", _, _, "artifacts", name] if SHA256.fullmatch(name):
            return Role.INPUT
        case ["runs", _, _, "scratch", _, *_]:
            return Role.SCRATCH
    path = "/".join(source)
    return Role.STORE if any(path.startswith(f"{store}/") for store in settings.stores) else None


def _allowed(position: int, settings: ProxySettings) -> str:
    run = settings.on_host(RUNS, "<dag>", "<run>")
    if position == 0:
        return f"{run}/work/<name>"
    stores = ", ".join(settings.stores) or "none"
    return f"{run}/artifacts/<sha256>, {run}/scratch/<name>, or a file of one of DOCKER_PROXY_STORES ({stores})"


def _target(role: Role, source: Sequence[str], asked: Any) -> str:
    """Return where a mount must be; of inputs and scratch that is any plain path below `/data`."""
    if role is Role.WORK:
        return DATA
    if role is Role.STORE:
        return "/".join((STORES, *source))
    names = asked.removeprefix(f"{DATA}/").split("/") if isinstance(asked, str) else []
    if asked != "/".join((DATA, *names)) or not all(map(_is_name, names)):
        raise RefusedError("create", f"HostConfig.Mounts: the target {asked!a} must be a plain path below {DATA}")
    return str(asked)


def _is_name(name: str) -> bool:
    """Return whether a file can have this name; users name input files, so most letters are allowed."""
    return name.isprintable() and name not in ("", ".", "..") and len(name.encode()) <= LONGEST_NAME
