"""A create request as docker-py sends it for a step."""

from __future__ import annotations

from typing import Any

from include.docker_proxy.settings import ProxySettings

IMAGE = "python:3.11-slim-bookworm"
RUN = "runs/energy_pipeline/manual__2026-03-01T00-00-00+00-00"
SHA256 = "0123456789abcdef" * 4
WORK_TOKEN = "fedcba9876543210" * 2
STAGED = f"mounts/{WORK_TOKEN}/work"
"""The work folder of a container, as the policy server prepares it."""


def good_create(settings: ProxySettings, *command: str) -> dict[str, Any]:
    """What passes."""
    return {
        "User": f"{settings.step_uid}:{settings.step_uid}",
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Env": ["DATA_DIR=/data", 'STEP_PARAMS={"households": 2}'],
        "Cmd": list(command) or ["true"],
        "Image": IMAGE,
        "NetworkDisabled": False,
        "WorkingDir": "/data",
        "HostConfig": {
            "Memory": 67108864,
            "MemorySwap": 67108864,
            "ReadonlyRootfs": True,
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "20m", "max-file": "1"}},
            "Tmpfs": {"/tmp": "size=64m,mode=1777"},  # noqa: S108
            "PidsLimit": 256,
            "Init": True,
            "NanoCpus": 500000000,
            "Mounts": [mount(settings, "/data", f"{RUN}/work/analyze.1", read_only=False)],
        },
        "Labels": {"io.groundtruth": "step", "io.groundtruth.dag": "energy_pipeline"},
    }


def mount(settings: ProxySettings, target: str, path: str, *, read_only: bool = True) -> dict[str, Any]:
    """A mount of a path below the data folder."""
    return {"Type": "bind", "Target": target, "Source": f"{settings.host_data_dir}/{path}", "ReadOnly": read_only}


def every_mount(settings: ProxySettings) -> list[dict[str, Any]]:
    """One of each that a step may have."""
    return [
        mount(settings, "/data", f"{RUN}/work/analyze.1", read_only=False),
        mount(settings, "/data/source/my day.csv", f"{RUN}/artifacts/{SHA256}"),
        mount(settings, "/data/checkpoints", f"{RUN}/scratch/analyze/checkpoints", read_only=False),
        mount(settings, "/stores/scenes/l2a/day.tif", "scenes/l2a/day.tif"),
    ]


SENT_IN_VAIN = ("Tty", "OpenStdin", "StdinOnce", "AttachStdin", "AttachStdout", "AttachStderr", "NetworkDisabled")


def needed(create: dict[str, Any]) -> dict[str, Any]:
    """The same without the keys that change nothing."""
    return {key: value for key, value in create.items() if key not in SENT_IN_VAIN}


def changed(create: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A create with one value set, as `changed(create, "HostConfig.Privileged", True)`."""
    head, _, rest = path.partition(".")
    return create | {head: changed(create[head], rest, value) if rest else value}
