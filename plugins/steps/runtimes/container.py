"""What every container runs under; the Docker proxy (include/docker_proxy/create.py) enforces it.

A step sees its run's `files/` at `/data`, and below `/stores` the shared folders that its contract names. No network, a
user that is not root, a read-only root file system with a small tmpfs at `/tmp`, no capabilities, no new privileges, an
init process, and hard limits on memory, CPU and processes. Containers have labels instead of names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.types import LogConfig, Mount

from include.core.contracts import StepParams, Store
from include.core.errors import SetupError
from include.core.pipeline import PipelineStep
from include.core.process import step_environment
from include.core.settings import get_settings
from include.env_file import PASSED_KEYS, read_keys
from include.pipelines import domain_of
from plugins.steps.runtimes.engine import host_path

RUN, STORES = "/data", "/stores"
PROCESS_LIMIT = 256
TMPFS = {"/tmp": "size=64m,mode=1777"}  # noqa: S108


def step_image(item: PipelineStep) -> str:
    """The image that a step runs in: the definition's own, or that of the step's family."""
    return item.spec.image or domain_of(item.step).step_image


def step_user() -> str:
    """The user that steps run as."""
    uid = get_settings().step_uid
    return f"{uid}:{uid}"


def create_request(
    engine: APIClient,
    item: PipelineStep,
    files: Path,
    params: StepParams,
    labels: Mapping[str, str],
    log_keys: Mapping[str, Any],
) -> dict[str, Any]:
    """What is asked of the engine (arguments of `create_container`).

    Args:
        engine: Knows the version of the API that is spoken.
        item: The step.
        files: The run's `files/` folder.
        params: What the step takes.
        labels: Of the container.
        log_keys: Whose lines its log holds.

    Raises:
        BadInputError: The env file, of which the step reads keys, cannot be understood.
        SetupError: A store cannot be made.
    """
    limits = item.spec
    return {
        "image": step_image(item),
        "command": list(limits.command or item.step.program),
        "user": step_user(),
        "working_dir": RUN,
        "environment": _environment(item, params, log_keys),
        "labels": dict(labels),
        "host_config": engine.create_host_config(
            mounts=[Mount(RUN, host_path(files), type="bind"), *map(_mount, item.step.stores)],
            network_mode="none",
            read_only=True,
            tmpfs=TMPFS,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            init=True,
            mem_limit=f"{limits.memory_mb}m",
            memswap_limit=f"{limits.memory_mb}m",
            nano_cpus=int(limits.cpus * 1e9),
            pids_limit=PROCESS_LIMIT,
            log_config=LogConfig(type="json-file", config={"max-size": "20m", "max-file": "1"}),
        ),
    }


def _environment(item: PipelineStep, params: StepParams, log_keys: Mapping[str, Any]) -> dict[str, str]:
    environment = step_environment(RUN, params, log_keys)
    environment |= {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(ceil(item.spec.cpus))}  # noqa: S108
    if item.step.stores:
        environment["GROUNDTRUTH_DATA_DIR"] = STORES
    if item.step.env_keys:
        env_file = get_settings().env_file
        environment["GROUNDTRUTH_ENV_FILE"] = str(env_file)
        environment[PASSED_KEYS] = json.dumps(read_keys(env_file, item.step.env_keys))
    return environment


def _mount(store: Store) -> Mount:
    settings = get_settings()
    folder = settings.data_dir / store.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if store.writable and os.getuid() == 0:
            _give(folder, settings.step_uid)
    except OSError as error:
        raise SetupError(f"{folder}: cannot be made for the step: {error.strerror}") from error
    return Mount(f"{STORES}/{store.name}", host_path(folder), type="bind", read_only=not store.writable)


def _give(folder: Path, uid: int) -> None:
    """Let steps write where root wrote before, in the local runtime."""
    for place, folders, names in os.walk(folder):
        for name in (".", *folders, *names):
            path = Path(place, name)
            if path.lstat().st_uid != uid:
                os.lchown(path, uid, uid)
