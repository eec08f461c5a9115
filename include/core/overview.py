"""The overview of a run: what a domain states on the first screen of the report.

A domain names a function (`Domain.overview`) that reads the accepted files of a run and returns an `Overview`: whether
the data can be trusted, the three or four metrics that answer most questions, and what was assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from include.core.artifacts import check_unchanged
from include.core.contracts import Artifact, D
from include.core.errors import ContractError
from include.core.outcome import Table
from include.core.run_folder import FileRecord

Level = Literal["pass", "warn", "fail"]
LEVELS: tuple[Level, ...] = ("pass", "warn", "fail")
"""From the best to the worst."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataCheck(_Part):
    """One reason why the data of a run can be trusted, or cannot."""

    subject: str = Field(description="What was checked, in one or two words.")
    level: Level
    statement: str = Field(description="What was measured, and the limit if it was exceeded; one sentence.")


class Headline(_Part):
    """A metric of the first screen, with its unit, as users say it."""

    label: str
    value: str
    note: str = Field("", description="When or where; what it is compared with.")


class Overview(_Part):
    """What the first screen of a report states about the data and the results."""

    checks: tuple[DataCheck, ...] = Field((), description="Whether the data can be trusted.")
    headlines: tuple[Headline, ...] = Field((), description="The most important metrics, three or four.")
    notices: tuple[str, ...] = Field((), description="What a reader must know before anything else.")
    assumptions: dict[str, str] = Field({}, description="How the input was understood, by subject.")
    tables: tuple[Table, ...] = Field((), description="Examples from the data, such as the first rejected records.")
    timezone: str | None = Field(None, description="Zone of all times of the page; None: UTC.")
    lead_plots: tuple[str, ...] = Field((), description="Plots that stand first, by their files' paths.")
    left_out_plots: tuple[str, ...] = Field((), description="Plots that show nothing that a number does not say.")
    unused_params: tuple[str, ...] = Field((), description="Parameters that had no effect on this run.")


def worst(levels: list[Level]) -> Level | None:
    """Return the worst of some levels; None of none.

    >>> worst(["pass", "warn"]), worst([])
    ('warn', None)
    """
    return max(levels, key=LEVELS.index, default=None)


@dataclass(frozen=True)
class AcceptedFiles:
    """The accepted files of a run, as far as their content is still what was accepted.

    Args:
        folder: The run's `files/` folder.
        records: Record of each accepted file by its path.
        params: The parameters of the run.
    """

    folder: Path
    records: Mapping[str, FileRecord]
    params: Mapping[str, JsonValue] = field(default_factory=dict)

    def holds(self, artifact: Artifact[Any]) -> bool:
        """Return whether an artifact was accepted and is unchanged."""
        record = self.records.get(artifact.path)
        if record is None:
            return False
        try:
            check_unchanged(artifact.at(self.folder).resolve(), record, "its step")
        except ContractError:
            return False
        return True

    def read(self, artifact: Artifact[D]) -> D | None:
        """Return the document of an artifact; None where it is not held, or was written by another version."""
        try:
            return artifact.read(self.folder) if self.holds(artifact) else None
        except ContractError:
            return None
