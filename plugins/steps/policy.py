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
from include.core.env_file import HANDED, read_keys
from include.core.errors import SetupError
from include.core.pipeline import PipelineStep
from include.core.process import step_environment
from include.core.settings import get_settings
from include.pipelines import domain_of
from plugins.steps.engine import host_path

RUN, STORES = "/data", "/stores"
PROCESS_LIMIT = 256
TMPFS = {"/tmp": "size=64m,mode=1777"}  # noqa: S108


def step_image(each: PipelineStep) -> str:
    """The image that a step runs in: the definition's own, or that of the step's family."""
    return each.spec.image or domain_of(each.step).step_image


def step_user() -> str:
    """The user that steps run as."""
    uid = get_settings().step_uid
    return f"{uid}:{uid}"


def create_request(
    engine: APIClient,
    each: PipelineStep,
    files: Path,
    params: StepParams,
    labels: Mapping[str, str],
    log_keys: Mapping[str, Any],
) -> dict[str, Any]:
    """What is asked of the engine (arguments of `create_container`).

    Args:
        engine: Knows the version of the API that is spoken.
        each: The step.
        files: The run's `files/` folder.
        params: What the step takes.
        labels: Of the container.
        log_keys: Whose lines its log holds.

    Raises:
        BadInputError: The env file, of which the step reads keys, cannot be understood.
        SetupError: A store cannot be made.
    """
    limits = each.spec
    return {
        "image": step_image(each),
        "command": list(limits.command or each.step.program),
        "user": step_user(),
        "working_dir": RUN,
        "environment": _environment(each, params, log_keys),
        "labels": dict(labels),
        "host_config": engine.create_host_config(
            mounts=[Mount(RUN, host_path(files), type="bind"), *map(_mount, each.step.stores)],
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


def _environment(each: PipelineStep, params: StepParams, log_keys: Mapping[str, Any]) -> dict[str, str]:
    found = step_environment(RUN, params, log_keys)
    found |= {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(ceil(each.spec.cpus))}  # noqa: S108
    if each.step.stores:
        found["GROUNDTRUTH_DATA_DIR"] = STORES
    if each.step.env_keys:
        env_file = get_settings().env_file
        found["GROUNDTRUTH_ENV_FILE"] = str(env_file)
        found[HANDED] = json.dumps(read_keys(env_file, each.step.env_keys))
    return found


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
