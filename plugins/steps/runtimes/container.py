"""The request for a container, which sets the policy that it runs under; and the engine's faults in words.

The Docker proxy (include/docker_proxy/create.py) enforces the same policy. A step sees its work folder at `/data`, in
it each input as a read-only mount of the sealed file, and below `/stores`, read-only, the files of stores that it
reads. It has no network but one that its definition names, a user that is not root, a read-only root file system with a
small tmpfs at `/tmp`, no capabilities, no new privileges, an init process, and hard limits on memory, CPU and
processes. Containers have labels instead of names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

from airflow.sdk.exceptions import AirflowException
from docker import APIClient
from docker.errors import APIError, DockerException
from docker.types import LogConfig, Mount
from requests.exceptions import ConnectionError as EngineConnectionError
from requests.exceptions import ReadTimeout
from urllib3.exceptions import ProtocolError

from include.core.contracts import StepParams
from include.core.errors import SetupError, TransientError
from include.core.pipeline import PipelineStep
from include.core.process import passed_variables, step_environment
from include.core.settings import get_settings
from include.core.work_folder import WorkFolder
from include.env_file import PASSED_KEYS, read_keys
from include.pipelines import domain_of

ENGINE_FAULTS = (DockerException, EngineConnectionError, ReadTimeout, ProtocolError)
RUN, STORES = "/data", "/stores"
PROCESS_LIMIT = 256
TMPFS = {"/tmp": "size=64m,mode=1777"}  # noqa: S108


def step_image(item: PipelineStep) -> str:
    """Return the image that a step runs in: the definition's own, or that of the step's domain.

    Raises:
        SetupError: The definition names none, and the step is none of ours.
    """
    if item.spec.image is None and not item.step.function:
        raise SetupError(f"{item.step.id}: its definition names no image, so it runs in the runtime local alone")
    return item.spec.image or domain_of(item.step).step_image


def create_request(
    engine: APIClient,
    item: PipelineStep,
    work_folder: WorkFolder,
    params: StepParams,
    labels: Mapping[str, str],
    log_keys: Mapping[str, Any],
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the request for a step's container (arguments of `create_container`).

    Args:
        engine: Knows the version of the API.
        item: The step.
        work_folder: Of this execution.
        params: What the step takes.
        labels: Of the container.
        log_keys: Whose lines its log holds.
        secrets: Values of the definition's secrets, by the name of the variable.

    Raises:
        BadInputError: The env file, of which the step reads keys, cannot be understood.
        SetupError: A variable that the definition names is not set.
    """
    limits, uid = item.spec, get_settings().step_uid
    return {
        "image": step_image(item),
        "command": list(limits.program("python") or item.step.program),
        "user": f"{uid}:{uid}",
        "working_dir": RUN,
        "environment": _environment(item, params, log_keys) | dict(secrets),
        "labels": dict(labels),
        "host_config": engine.create_host_config(
            mounts=list(_mounts(work_folder)),
            network_mode=limits.network or "none",
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
    environment = passed_variables(item.spec.environment) | step_environment(RUN, params, log_keys)
    environment |= {"HOME": "/tmp", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(ceil(item.spec.cpus))}  # noqa: S108
    if item.step.stored:
        environment["GROUNDTRUTH_DATA_DIR"] = STORES
    if item.step.env_keys:
        env_file = get_settings().env_file
        environment["GROUNDTRUTH_ENV_FILE"] = str(env_file)
        environment[PASSED_KEYS] = json.dumps(read_keys(env_file, item.step.env_keys))
    return environment


def _mounts(work_folder: WorkFolder) -> Iterator[Mount]:
    yield Mount(RUN, host_path(work_folder.files), type="bind")
    for name, folder in work_folder.scratch.items():
        yield Mount(f"{RUN}/{name}", host_path(folder), type="bind")
    for name, sealed in work_folder.inputs.items():
        yield Mount(f"{RUN}/{name}", host_path(sealed), type="bind", read_only=True)
    for name, file in work_folder.stored.items():
        yield Mount(f"{STORES}/{name}", host_path(file), type="bind", read_only=True)


def work_source(container: Mapping[str, Any]) -> str:
    """Return what an inspected container sees as `/data`: a folder of the engine's host."""
    return next(str(mount["Source"]) for mount in container["Mounts"] if mount["Destination"] == RUN)


def engine_url() -> str:
    """Return where the engine is: `DOCKER_HOST`, else this machine's socket."""
    return os.environ.get("DOCKER_HOST") or "unix://var/run/docker.sock"


def host_path(path: Path) -> str:
    """Return a file or folder below the data folder as the engine's host sees it."""
    settings = get_settings()
    if settings.host_data_dir is None:
        return str(path.resolve())
    return str(settings.host_data_dir / path.resolve().relative_to(settings.data_dir.resolve()))


def own_path(source: str) -> Path:
    """Return a folder of the engine's host, below the data folder, as this process sees it."""
    settings = get_settings()
    host = settings.host_data_dir
    return Path(source) if host is None else settings.data_dir / Path(source).relative_to(host)


@contextmanager
def engine_faults(url: str | list[str]) -> Iterator[None]:
    """Explain a fault of the engine, and whether it may pass.

    Args:
        url: Where the engine is, for users.

    Raises:
        SetupError: An operator has to fix it.
        TransientError: It may pass.
    """
    try:
        yield
    except APIError as error:
        reason = error.explanation or str(error)
        if "bind source path does not exist" in reason:
            raise SetupError(
                f"{reason}: set GROUNDTRUTH_HOST_DATA_DIR to the data folder as the engine's host sees it"
            ) from error
        if error.is_server_error():
            raise TransientError(f"the Docker engine at {url} failed: {reason}") from error
        raise SetupError(f"the Docker engine at {url} refused: {reason}") from error
    except (AirflowException, *ENGINE_FAULTS) as error:
        if isinstance(error, AirflowException) and "Docker hosts" not in str(error):
            raise
        if "Permission denied" in f"{error} {error.__context__}":
            raise SetupError(f"no permission to use the Docker engine at {url}: join the group `docker`") from error
        raise TransientError(
            f"the Docker engine at {url} does not answer: start it, or run with --runtime local"
        ) from error
