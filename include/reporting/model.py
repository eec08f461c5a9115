"""The run report as a document (`pipeline_report_<YYYYMMDD_HHMMSS>.json`)."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from include.core.outcome import Finding, Plot, Proof, Table
from include.core.overview import Level, Overview
from include.core.run_folder import Failure, FileRecord, Records

Status = Literal["pending", "running", "success", "failed", "skipped"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Interval(_Part):
    """The data interval [start, end)."""

    start: AwareDatetime
    end: AwareDatetime


class StepReport(_Part):
    """One step of the run."""

    step_number: int = Field(description="1 for the first.")
    id: str = Field(description="Also the Airflow task id.")
    name: str
    description: str
    script: str = Field(description="What ran: a Python function, or the command in the container.")
    args: list[str] = Field(description="Its parameters as NAME=VALUE, without those that are not set.")
    status: Status
    start_time: AwareDatetime | None
    end_time: AwareDatetime | None
    duration_seconds: float | None = None
    error_message: str | None
    output_summary: dict[str, JsonValue] | None = Field(description="Metrics, read from the checked artifacts.")
    error: Failure | None = None
    attempt: int | None = None
    skipped_by: str | None = Field(None, description="The parameter that reduced the step to its bookkeeping.")
    reused: bool = Field(False, description="An earlier accepted result of this run was used again.")
    runtime: str | None = None
    image: str | None = None
    log_url: str | None = None


class SummaryStatistics(_Part):
    """Counts and durations over the steps."""

    total_steps: int
    completed_steps: int
    failed_steps: int
    skipped_steps: int
    total_duration_seconds: float
    step_durations: dict[str, float] = Field(description="Seconds by step id, of the steps that have ended.")

    model_config = ConfigDict(extra="allow")  # metrics of the whole run that steps report as `statistics`
    __pydantic_extra__: dict[str, JsonValue]


class FailurePoint(_Part):
    """The first failure of the run."""

    step: str | None = Field(description="Name of the step; None if a task failed that is not a step.")
    task: str | None = Field(description="Airflow task id; None if no task caused the failure.")
    kind: str
    message: str
    hint: str | None = None
    log_url: str | None = None


class StepRecords(Records):
    """Record accounting of a step: read = accepted + rejected + outside."""

    step: str


class StepFinding(Finding):
    """A finding and the step that reported it."""

    step: str


class StepTable(Table):
    """A table and the step that it belongs to."""

    step: str


class StepPlot(Plot):
    """The title of a plot and the step that drew it."""

    step: str


class StepProof(Proof):
    """What was recomputed of an artifact, and the step whose check did it."""

    step: str


class ArtifactReport(FileRecord):
    """A checked file, the step that wrote it, and how far it is proven."""

    step: str
    proofs: list[StepProof] = Field([], description="What was recomputed of it, for all of it or a sample.")

    @property
    def opaque(self) -> bool:
        """Whether nobody checked its content."""
        return "opaque" in self.proof

    @property
    def doubts(self) -> list[str]:
        """What could not be recomputed of it, and why."""
        return [proof.not_checked for proof in self.proofs if proof.not_checked]


class Published(_Part):
    """Where the results were published."""

    path: str
    key: str


class DataProvenance(_Part):
    """What a step states about the data that it used."""

    step: str
    terms: dict[str, str] = Field(description="Where the data came from, by term.")
    synthetic: bool | None = Field(description="Whether results rest on generated or simulated data.")
    stand_in: bool | None = Field(description="Whether the data came from a stand-in of an external service.")


class Provenance(_Part):
    """Where the results come from."""

    versions: dict[str, str] = Field(description="Library versions; several values where steps differ.")
    isolation: dict[str, str] = Field({}, description="By step id: how it was kept from records and artifacts.")
    images: dict[str, str] = Field(description="Image by step id.")
    definition: FileRecord | None
    sources: list[FileRecord] = Field(description="Input files, as staged.")
    stored: list[FileRecord] = Field([], description="Files of stores that steps read; their paths lie below data/.")
    data: list[DataProvenance] = Field([], description="Statements of the steps about their data.")


class PipelineReport(_Part):
    """The report of a run."""

    pipeline_name: str
    start_time: AwareDatetime
    end_time: AwareDatetime
    total_duration_seconds: float
    overall_status: Status
    summary_statistics: SummaryStatistics
    steps: list[StepReport]
    dag_id: str
    run_id: str
    runtime: str | None
    interval: Interval | None = Field(description="Of the plan, or else the extent of the data; None if not known.")
    params: dict[str, JsonValue]
    audited: bool = Field(False, description="Nothing was left to a sample when results were checked.")
    failure_point: FailurePoint | None
    assessment: Level | None = Field(
        None, description="Of the data, whatever the run's status: the worst level of the checks; None without any."
    )
    overview: Overview = Field(Overview(), description="What the page states first.")
    record_accounting: list[StepRecords]
    findings: list[StepFinding]
    tables: list[StepTable]
    plots: list[StepPlot] = Field([], description="Plots that have a title of their own.")
    artifacts: list[ArtifactReport] = Field(description="Accepted files; those that are not checked come first.")
    published: Published | None
    provenance: Provenance
    generated_at: AwareDatetime
