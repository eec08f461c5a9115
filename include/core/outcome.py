"""The outcome of a step: metrics, findings, tables and plots that were read from its checked artifacts.

A step's outcome function returns a `StepOutcome` whose metrics are a model of that step (a subclass of `StepMetrics`).
In `result.json` and in `output_summary` of the run report an outcome is one flat object: its metrics by name, and
beside them the keys of `StepOutcome` that are set. Read back, the metrics are a plain `StepMetrics`; `metrics_as` gives
them the step's own type again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Severity = Literal["info", "warning", "error"]
Scalar = str | int | float | bool | None
M = TypeVar("M", bound="StepMetrics")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Part):
    """A statement about a step's data that a user should read."""

    severity: Severity
    message: str


class Table(_Part):
    """A small table of a report; each row has one cell a column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Scalar, ...], ...]


class Plot(_Part):
    """A plot among a step's artifacts and its title in the report."""

    path: str
    title: str


class Proof(_Part):
    """How far the orchestrator proved what an artifact states, beyond its format and schema.

    Args:
        artifact: Path of the artifact.
        recomputed: What was recomputed over all records.
        sampled: What was recomputed for a sample that was drawn after the step had ended.
        draw: What the sample consists of: names, or line numbers.
        not_checked: What could not be recomputed, and why.
        records: How many records it holds, where it is declared `rewritten`.
    """

    artifact: str
    recomputed: str | None = None
    sampled: str | None = None
    draw: tuple[str | int, ...] = ()
    not_checked: str | None = None
    records: int | None = None

    @property
    def finding(self) -> Finding | None:
        """The warning that something could not be recomputed."""
        if self.not_checked is None:
            return None
        return Finding(severity="warning", message=f"{self.artifact} is not fully checked: {self.not_checked}.")


class StepMetrics(BaseModel):
    """Base of each step's metrics; a subclass names every metric, with its unit as a suffix, and forbids others.

    A metric that is not finite is refused: as JSON it would become null, in a run that is green.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, JsonValue]


class StepOutcome(BaseModel):
    """What the checked artifacts of a step show.

    Args:
        metrics: The step's metrics.
        findings: Statements for users, in the order in which they should be read.
        tables: Tables for the report.
        plots: Plots for the report; PNG artifacts that are not listed get a title from their file name.
        statistics: Metrics of the whole run, shown among the run's `summary_statistics`.
        provenance: Where the step's data came from, by term ("imagery source").
        data_start: First instant that the data cover, where the run has no interval.
        data_end: End of the data, exclusive.
        published_as: Key below `published/<pipeline>/`, where it is not the interval.
        synthetic: Whether results rest on generated or simulated data; None where the step does not say.
        stand_in: Whether the data came from a stand-in of an external service.
        proofs: How far the orchestrator recomputed each artifact.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: StepMetrics = StepMetrics()
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    statistics: dict[str, JsonValue] = {}
    provenance: dict[str, str] = {}
    data_start: AwareDatetime | None = None
    data_end: AwareDatetime | None = None
    published_as: str | None = None
    synthetic: bool | None = None
    stand_in: bool | None = None
    proofs: tuple[Proof, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, value: Any) -> Any:
        """Accept the flat form: every key that is not a field is a metric."""
        if not isinstance(value, Mapping) or "metrics" in value:
            return value
        parts = {name: item for name, item in value.items() if name in cls.model_fields}
        return parts | {"metrics": StepMetrics(**{name: item for name, item in value.items() if name not in parts})}

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        parts: dict[str, Any] = handler(self)
        parts.pop("metrics")
        return self.metrics.model_dump(mode="json") | {
            name: item for name, item in parts.items() if item not in (None, [], (), {})
        }

    def proven(self, proofs: tuple[Proof, ...]) -> StepOutcome:
        """Return the outcome with its proofs, and a finding for each artifact that could not be recomputed."""
        doubts = tuple(proof.finding for proof in proofs if proof.finding)
        return self.model_copy(update={"proofs": proofs, "findings": (*self.findings, *doubts)})

    def metrics_as(self, model: type[M]) -> M:
        """Return the metrics as a step's own model, also where they were read back from JSON.

        Raises:
            pydantic.ValidationError: They are not that step's metrics.
        """
        return self.metrics if isinstance(self.metrics, model) else model.model_validate(self.metrics.model_dump())

    def scalars(self) -> dict[str, Scalar]:
        """Return every single value of the flat form: what goes through XCom and asset events."""
        flat = self.model_dump(mode="json")
        return {name: value for name, value in flat.items() if not isinstance(value, list | dict)}
