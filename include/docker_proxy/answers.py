"""What of the engine's answers a worker sees.

Environments are left out, also those of our own containers: they may hold another DAG's secrets, and no step's verdict
needs them. So are commands, networks, and all that describes the host.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from include.docker_proxy.create import LABEL
from include.docker_proxy.folders import run_folder
from include.docker_proxy.refusal import Refused
from include.docker_proxy.settings import DoorSettings

VERSION = ("ApiVersion", "MinAPIVersion", "Version", "Os", "Arch")
IMAGE = ("Id", "RepoTags", "RepoDigests", "Created", "Architecture", "Os", "Size")
LISTED = ("Id", "Names", "Image", "ImageID", "Created", "State", "Status")
INSPECTED = ("Id", "Name", "Created", "Image", "State")
CONFIG = ("Image", "User", "Tty", "Labels")
MOUNT = ("Type", "Source", "Destination", "RW")


def version(answer: dict[str, Any]) -> dict[str, Any]:
    """Of `GET /version`."""
    return _pick(answer, VERSION)


def image(answer: dict[str, Any]) -> dict[str, Any]:
    """Of an image that steps may run in."""
    return _pick(answer, IMAGE)


def container(answer: dict[str, Any]) -> dict[str, Any]:
    """Of a container of ours."""
    return {
        **_pick(answer, INSPECTED),
        "Config": _pick(answer["Config"], CONFIG),
        "Mounts": [_pick(mount, MOUNT) for mount in answer["Mounts"]],
    }


def containers(answer: list[dict[str, Any]], settings: DoorSettings) -> list[dict[str, Any]]:
    """Of a list: the containers of this deployment."""
    return [
        {
            **_pick(each, LISTED),
            "Labels": each["Labels"],
            "Mounts": [_pick(mount, MOUNT) for mount in each["Mounts"]],
        }
        for each in answer
        if _ours(each["Labels"], each["Mounts"], settings)
    ]


def must_be_ours(answer: dict[str, Any], settings: DoorSettings) -> list[str]:
    """The folders of the host that a container sees which this deployment's steps may touch.

    Raises:
        Refused: It is somebody else's.
    """
    mounts = answer["HostConfig"].get("Mounts") or []
    if not _ours(answer["Config"]["Labels"], mounts, settings):
        raise Refused("container", "this container is none of this deployment's steps")
    return [str(mount.get("Source")) for mount in mounts]


def _ours(labels: dict[str, str] | None, mounts: list[dict[str, Any]], settings: DoorSettings) -> bool:
    """Whether a container is a step that works in a run of this deployment."""
    if (labels or {}).get(LABEL) != "step":
        return False
    for mount in mounts:
        if mount.get("Type") == "bind":
            with suppress(Refused):
                run_folder(mount.get("Source"), settings)
                return True
    return False


def _pick(document: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}
