"""What a deployment says about its door: one frozen model, read from the environment (`DOCKER_PROXY_<NAME>`)."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.docker_proxy.check import LISTEN

IMAGE = re.compile(r"[a-z0-9]+(?:[._/:-]+[A-Za-z0-9]+)*")


class DoorSettings(BaseSettings):
    """Whose containers pass, and how large they may be."""

    model_config = SettingsConfigDict(env_prefix="DOCKER_PROXY_", frozen=True)

    images: str = Field(
        description="Images that steps may run in, as definitions name them, separated by spaces; nothing else starts."
    )
    host_data_dir: Path = Field(
        description="The data folder as the engine's host sees it, as the workers' `GROUNDTRUTH_HOST_DATA_DIR`."
    )
    data_dir: Path = Field(
        Path("/data"), description="The same folder as the policy server sees it, mounted read-only."
    )
    step_uid: int = Field(description="The user that steps run as, as the workers' `GROUNDTRUTH_STEP_UID`.", ge=1)
    max_memory_mb: int = Field(4096, description="Largest memory limit of a step (MiB).", ge=64)
    max_cpus: float = Field(4.0, description="Largest CPU limit of a step.", gt=0, allow_inf_nan=False)
    max_processes: int = Field(256, description="Largest process limit of a step.", ge=1)
    engine_socket: Path = Field(Path("/var/run/docker.sock"), description="The engine's socket.")
    listen: Path = Field(LISTEN, description="The socket that the policy server serves HAProxy on.")

    @property
    def home(self) -> str:
        """The data folder on the host, written in the one plain way."""
        return str(PurePosixPath(self.host_data_dir))

    @property
    def allowed_images(self) -> frozenset[str]:
        """The images by name."""
        return frozenset(self.images.split())

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.allowed_images or not all(IMAGE.fullmatch(name) for name in self.allowed_images):
            raise ValueError("images: must name images as in `docker run`, separated by spaces")
        if not self.host_data_dir.is_absolute() or ".." in self.host_data_dir.parts:
            raise ValueError("host_data_dir: must be an absolute path without `..`")
        return self
