"""The deployment's settings: one frozen model, read from the environment (`GROUNDTRUTH_<NAME>`)."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.core.errors import SetupError

S = TypeVar("S", bound=BaseSettings)
ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = {
    "local": "plugins.steps.runtimes.local:LocalStep",
    "docker": "plugins.steps.runtimes.docker:DockerStep",
    "service": "plugins.steps.runtimes.service:ServiceStep",
}
"""Where steps can run, and the operator that runs them there; imported by Airflow's side alone."""
SERVICE_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(/[A-Za-z0-9._~/-]*)?", re.ASCII)
TILE_URL = re.compile(r"(https?://[A-Za-z0-9.-]+(?::[0-9]+)?)/[A-Za-z0-9._~/?=&%@:{}-]*", re.ASCII)


class Basemap(NamedTuple):
    """Tiles below the maps of pages.

    Args:
        url: Template with `{z}`, `{x}` and `{y}`.
        attribution: Whose map it is, as its licence demands.
        origin: Scheme, host and port of the URL: the one address beyond their own that pages may load images from.
    """

    url: str
    attribution: str
    origin: str


class Settings(BaseSettings):
    """Where things lie and how steps run; the same for every run of a deployment."""

    model_config = SettingsConfigDict(env_prefix="GROUNDTRUTH_", frozen=True)

    runtime: str = Field(
        "local",
        description="Where steps run: `local` in the Airflow task itself, `docker` in containers, `service` in "
        "services.",
    )
    data_dir: Path = Field(
        ROOT / "data", description="Runs, published results and the inbox, as this process sees the folder."
    )
    host_data_dir: Path | None = Field(
        None,
        description="The same folder as the Docker engine's host sees it; needed when Airflow itself runs in a "
        "container or the engine is remote. Default: `GROUNDTRUTH_DATA_DIR`.",
    )
    input_dirs: str = Field(
        "",
        description="Folders (separated by `:`) below which a run may read input files. Default: `inbox` in the "
        "data folder. The command line allows the files that its options name.",
    )
    definitions_dir: Path = Field(
        ROOT / "include" / "config", description="Folder of pipeline definitions; each JSON file in it becomes a DAG."
    )
    env_file: Path = Field(
        ROOT / ".env",
        description="The env file that pipelines change and read. In containers it lies in a mounted folder: a file "
        "that is mounted by itself cannot be replaced.",
    )
    approve: bool = Field(
        False,
        description="The answer to a request for approval where no reviewer can be asked (`airflow dags test`, the "
        "command line); the command line's `--approve` sets it.",
    )
    step_uid: int = Field(
        default_factory=lambda: os.getuid() or 50000,
        description="User that containers run as and that owns a run's files; never root. Default: the user of this "
        "process, or 50000 where that is root.",
        ge=1,
    )
    keep_runs_days: int = Field(
        90,
        description="Housekeeping removes runs older than so many days; the newest of each pipeline stays, and the "
        "newest in which each step succeeded. 0: all stay.",
        ge=0,
    )
    keep_logs_days: int = Field(
        90, description="Housekeeping removes logs that have not changed for so many days. 0: all stay.", ge=0
    )
    keep_replaced_days: int = Field(
        90,
        description="Housekeeping removes published results so many days after others took their place. 0: all stay.",
        ge=0,
    )
    keep_database_days: int = Field(
        90,
        description="Housekeeping removes what Airflow's database holds of runs that are older (`airflow db clean`); "
        "the last run of each DAG stays. 0: all stays.",
        ge=0,
    )
    service_url: str | None = Field(
        None,
        description="Service that does the work of steps which name none, in the runtime `service` "
        "(`http://127.0.0.1:8101`).",
    )
    service_connection: str | None = Field(
        None, description="Airflow connection of that service; its password is the bearer token."
    )
    exchange: str = Field(
        "",
        description="Folder that services of ContainerExecutor share with this deployment: `FOLDER`, or `FOLDER=PATH` "
        "where they see it as PATH. Default: `exchange` in the data folder.",
    )
    executor_package: str = Field(
        "", description="Package of the service ContainerExecutor (`acme.v2`). Default: none."
    )
    notify_connection: str | None = Field(
        None,
        description="Id of the Airflow connection whose password holds the Apprise URLs (separated by blanks) that are "
        "notified of failed runs, missed deadlines, promotions and rollbacks. Default: no notifications.",
    )
    runbook_url: str | None = Field(
        None,
        description="Address of the folder of runbook pages, for links in messages and reports "
        "(`https://git.example.org/groundtruth/blob/main/docs/runbook`). Default: messages name the page.",
    )
    basemap_url: str | None = Field(
        None,
        description="Tiles below the maps of pages, Web Mercator: `https://tile.openstreetmap.org/{z}/{x}/{y}.png`. "
        "Browsers load them, from that server alone. Default: none, and pages load nothing from elsewhere.",
    )
    basemap_attribution: str = Field(
        "",
        description="Whose map that is, as its licence demands (`© OpenStreetMap contributors`); shown below the map.",
    )
    run_folder: Path | None = Field(
        None,
        description="Folder of the one run of this process; set by the command line and `airflow dags test`, otherwise "
        "named by the run.",
    )

    @field_validator("runtime")
    @classmethod
    def _registered(cls, runtime: str) -> str:
        if runtime not in RUNTIMES:
            raise ValueError(f"must be one of {', '.join(RUNTIMES)}")
        return runtime

    @field_validator("service_url")
    @classmethod
    def _service(cls, url: str | None) -> str | None:
        if url and SERVICE_URL.fullmatch(url) is None:
            raise ValueError("must be http://host:port or https://host:port; the token belongs into a connection")
        return url or None

    @field_validator("basemap_url")
    @classmethod
    def _tiles(cls, url: str | None) -> str | None:
        if url and (TILE_URL.fullmatch(url) is None or sorted(re.findall("{.*?}", url)) != ["{x}", "{y}", "{z}"]):
            raise ValueError(
                "must be an http or https address with {z}, {x} and {y}, each once, and no blanks or quotes"
            )
        return url or None

    @field_validator("basemap_attribution")
    @classmethod
    def _attributed(cls, attribution: str, info: ValidationInfo) -> str:
        if info.data.get("basemap_url") and not attribution.strip():
            raise ValueError("must state whose map the tiles of GROUNDTRUTH_BASEMAP_URL are")
        return attribution.strip()

    @property
    def basemap(self) -> Basemap | None:
        """The basemap; None without one."""
        match = TILE_URL.fullmatch(self.basemap_url or "")
        return Basemap(match[0], self.basemap_attribution, match[1]) if match else None

    @property
    def allowed_inputs(self) -> tuple[Path, ...]:
        """Folders below which input files may be read."""
        named = [Path(part) for part in self.input_dirs.split(":") if part]
        return tuple(path.resolve() for path in (named or [self.data_dir / "inbox"]))


@cache
def get_settings() -> Settings:
    """Return the settings of this process, read once.

    Raises:
        SetupError: The environment holds an impossible one; names each.
    """
    return read_settings(Settings)


def read_settings(model: type[S]) -> S:
    """Read settings from the environment.

    Args:
        model: Those of the deployment, or of a domain.

    Raises:
        SetupError: The environment holds an impossible one; names each.
    """
    try:
        return model()
    except ValidationError as error:
        faults = [
            f"GROUNDTRUTH_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']} (got {fault['input']!r})"
            for fault in error.errors(include_url=False)
        ]
        raise SetupError("; ".join(faults)) from error
