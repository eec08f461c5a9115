"""What some tests need of the machine: they skip with an instruction without it, and fail where CI demands it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def need(condition: object, what: str, how: str) -> None:
    """Go on only if a prerequisite is met (`what` is missing; `how` says how to get it)."""
    if not condition:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{what} is missing: {how}")


def real_data_dir() -> Path:
    """The measured data, which is no part of the project: without it a test skips, in CI too."""
    folder = Path(os.environ.get("REAL_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no measured data in {folder}: set REAL_DATA_DIR to the folder that holds energy/ and satellite/")
    return folder


@contextmanager
def docker_engine(*images: str) -> Iterator[Any]:
    """A client of the Docker engine, which has these images."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=60)
    except DockerException:
        client = None
    need(client, "a Docker engine", "start Docker; only the docker runtime needs it")
    assert client is not None
    try:
        for image in images:
            how = "make images" if image.startswith("groundtruth-") else f"docker pull {image}"
            need(client.images.list(image), f"the image {image}", how)
        yield client
    finally:
        client.close()
