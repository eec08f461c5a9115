"""Settings of the satellite domain, read from the environment (`GROUNDTRUTH_<NAME>`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SatelliteSettings(BaseSettings):
    """Settings that only satellite pipelines read."""

    model_config = SettingsConfigDict(env_prefix="GROUNDTRUTH_", frozen=True)

    imagery_source: Literal["demo", "sentinelhub", "cdse"] = Field(
        "demo", description="Where the satellite pipeline's imagery comes from, unless a run's `source` says otherwise."
    )
