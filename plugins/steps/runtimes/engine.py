"""The Docker engine as tasks meet it: its faults in words, and the labels by which we know our containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow.sdk.exceptions import AirflowException
from docker.errors import APIError, DockerException
from requests.exceptions import ConnectionError as EngineConnectionError
from requests.exceptions import ReadTimeout
from urllib3.exceptions import ProtocolError

from include.core.errors import SetupError, TransientError
from include.core.settings import get_settings

LABEL = "io.groundtruth"
ENGINE_FAULTS = (DockerException, EngineConnectionError, ReadTimeout, ProtocolError)


def engine_url() -> str:
    """Where the engine is: `DOCKER_HOST`, else this machine's socket."""
    return os.environ.get("DOCKER_HOST") or "unix://var/run/docker.sock"


def deployment() -> str:
    """What tells this deployment's containers from those of another on the same engine: its data folder.

    A run of the command line is a deployment of its own, for its Airflow is: no other knows whether its tasks live.
    """
    settings = get_settings()
    return host_path(settings.run_folder or settings.data_dir)


def host_path(path: Path) -> str:
    """A file or folder below the data folder, as the engine's host sees it."""
    settings = get_settings()
    if settings.host_data_dir is None:
        return str(path.resolve())
    return str(settings.host_data_dir / path.resolve().relative_to(settings.data_dir.resolve()))


@contextmanager
def engine_faults(url: str | list[str]) -> Iterator[None]:
    """Say in words what is wrong with the engine, and whether it may pass.

    Args:
        url: Where the engine is, for people.

    Raises:
        SetupError: Somebody has to mend it.
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
