"""What the analysis and the report take and write: parameters, the result of a record, the documents."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime, field_validator

from include.core.contracts import StepParams, Window
from include.energy.columns import parse_columns
from include.energy.schemas import COLUMNS, ColumnsText, Finding, ZoneName

AnomalyReason = Literal["voltage_outside_band", "power_factor", "outlier", "flat_line"]
Status = Literal["normal", "high_usage"]
ANOMALY_REASONS: tuple[AnomalyReason, ...] = ("voltage_outside_band", "power_factor", "outlier", "flat_line")
ALWAYS_REQUIRED = COLUMNS[:3]
OUTSIDE = "outside_window"

_RULES: dict[str, Any] = {"section": "Analysis"}
_SOURCE: dict[str, Any] = {"section": "Your own files"}


class AnalyzerParams(Window):
    """Parameters of the energy analyzer."""

    high_usage_kw: float | None = Field(
        5.0,
        gt=0,
        allow_inf_nan=False,
        description="A record above this power (kW) is high usage; empty (null) switches it off.",
        json_schema_extra=_RULES,
    )
    nominal_voltage: float = Field(
        230.0, ge=1, le=1e6, description="Nominal voltage (V); the band is ± 10 % of it.", json_schema_extra=_RULES
    )
    outlier_threshold: float = Field(
        5.0,
        gt=0,
        allow_inf_nan=False,
        description="A reading is an outlier this many scales above what is usual.",
        json_schema_extra=_RULES,
    )
    allow_export: bool = Field(
        False, description="Accept negative power: a home that feeds into the grid.", json_schema_extra=_RULES
    )
    required_columns: tuple[str, ...] | None = Field(
        None,
        description=(
            "Columns that every record must fill, besides time, household and power. Default: all five, or those that "
            "`columns` names."
        ),
        json_schema_extra=_RULES,
    )
    columns: ColumnsText | None = Field(
        None, description="Which columns of your files hold what; see the generator.", json_schema_extra=_SOURCE
    )
    timezone: ZoneName | None = Field(
        None,
        description="Local clock of hours and days in profiles: a zone or a fixed offset such as +10:00. Default: UTC.",
        json_schema_extra=_SOURCE,
    )

    @field_validator("required_columns")
    @classmethod
    def _known_columns(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [column for column in value or () if column not in COLUMNS]
        if unknown:
            raise ValueError(f"required_columns: {', '.join(unknown)}: the columns are {', '.join(COLUMNS)}")
        return value

    @property
    def required(self) -> tuple[str, ...]:
        """Columns of `energy_data.csv` that a record must fill."""
        if self.required_columns is not None:
            asked: tuple[str, ...] = self.required_columns
        elif self.columns is not None:
            mapping = parse_columns(self.columns)
            measured = {"voltage": mapping.voltage, "current": mapping.current}
            asked = tuple(column for column, name in measured.items() if name is not None)
        else:
            asked = COLUMNS
        return tuple(column for column in COLUMNS if column in ALWAYS_REQUIRED or column in asked)


class ReportParams(StepParams):
    """The report takes no parameters: it shows what the analysis found."""


class ReportRow(BaseModel):
    """A record of `energy_report.csv`, sorted by household and time."""

    timestamp: datetime = Field(description="Start of the interval, UTC.")
    household_id: str
    power: float = Field(description="Mean power of the interval, kW.")
    efficiency: float | None = Field(description="Power factor; empty where V·I < 50 VA or V and I are not measured.")
    status: Status = Field(description="`high_usage` above `high_usage_kw`.")
    anomaly_detected: bool
    anomaly_reasons: str | None = Field(description="Reasons separated by semicolons.")


class EnergyRecord(ReportRow):
    """A record of `energy_records.parquet`: what the analysis says of each accepted record."""

    zero_run: bool = Field(description="Part of 24 h or more of zeros; no anomaly.")
    line: int = Field(ge=1, description="Where it stands in energy_data.csv.")


class RejectedRecord(BaseModel):
    """A record of `rejected.csv`."""

    file: str = Field(description="The file that people handed in, or energy_data.csv.")
    line: int = Field(ge=1, description="Its line number in that file, from 1.")
    raw: str | None = Field(description="The line as it was read.")
    reason: str = Field(description="Why it was rejected: `missing_voltage`, `duplicate_timestamp`, …")


class _Figures(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Gap(_Figures):
    """Intervals in a row without an accepted record."""

    household_id: str
    start: AwareDatetime
    end: AwareDatetime
    intervals: int


class HouseholdFigures(_Figures):
    """What one household used, and how complete its readings are."""

    household_id: str
    interval_seconds: int
    expected: int = Field(description="Intervals of the window; without one, of the household's own extent.")
    received: int = Field(description="Of these, how many have an accepted record.")
    missing: int
    energy_kwh: float
    mean_kw: float | None
    peak_kw: float | None
    peak_at: AwareDatetime | None = Field(description="Start of the first interval with the peak.")
    load_factor: float | None = Field(description="Mean ÷ maximum interval power; None below 80 % coverage.")
    mean_power_factor: float | None
    high_usage: int
    anomalies: int
    anomalies_by_reason: dict[AnomalyReason, int]
    outlier_not_assessed: int = Field(description="Records with too few samples to tell an outlier.")
    zero_runs: int
    zero_run_hours: float
    longest_gaps: list[Gap]
    hourly_profile_kw: list[float | None] = Field(description="Mean power by hour of the local day, 24 values.")


class CurveAnomalies(_Figures):
    """Anomalies of one reason within one period of the load curve."""

    period: int = Field(description="Index into the curve's periods.")
    reason: AnomalyReason
    records: int
    peak_kw: float


class LoadCurve(_Figures):
    """Power over time, by periods of the local clock that hold records (kW a household)."""

    period_seconds: int
    start: list[NaiveDatetime]
    mean_kw: list[float]
    peak_kw: list[float] = Field(description="Highest record of the period.")
    anomalies: list[CurveAnomalies]


class HeatMap(_Figures):
    """Mean power (kW a household) by day, or by longer periods, and hour of the local day."""

    period_days: int
    start: list[date]
    kw: list[list[float | None]] = Field(description="24 hours for each period.")


class VoltageCompliance(_Figures):
    """EN 50160: within each week 95 % of the 10-minute means lie within ± 10 % of the nominal voltage."""

    households: int
    compliant_households: int
    weeks: int = Field(description="Weeks of seven days that hold 80 % of their 10-minute means.")
    compliant_weeks: int
    lowest_share: float = Field(description="Of the worst week.")


class Analysis(_Figures):
    """`output1.json`: what the accepted records say, in all and by household."""

    start: AwareDatetime = Field(description="Start of the window; without one, of the first accepted record.")
    end: AwareDatetime
    source: Literal["generated", "files"] | None = Field(description="None if the generator does not say.")
    timezone: str = Field(description="The local clock of profiles and plots.")
    interval_seconds: int | None = Field(description="None where the households differ.")
    high_usage_kw: float | None
    nominal_voltage: float
    records_in: int
    records_out: int
    records_rejected: int
    records_outside_window: int
    rejected_by_reason: dict[str, int]
    energy_kwh: float = Field(description="Of all accepted records.")
    peak_kw: float = Field(description="Highest power of all households together in one interval.")
    peak_at: AwareDatetime
    load_factor: float | None = Field(description="Mean ÷ maximum of that sum; None below 80 % coverage.")
    mean_power_factor: float | None = Field(description="None where V and I are not measured.")
    expected: int = Field(description="Intervals of all households.")
    received: int = Field(description="Of these, how many have an accepted record.")
    missing: int
    high_usage: int = Field(description="Records above high_usage_kw.")
    anomalies: int = Field(description="Records with at least one reason.")
    anomalies_by_reason: dict[AnomalyReason, int] = Field(description="A record may have several.")
    outlier_not_assessed: int = Field(description="Records with too few samples to tell an outlier.")
    zero_runs: int = Field(description="Stretches of 24 h or more of zeros; no anomalies.")
    zero_run_hours: float
    en_50160: VoltageCompliance | None
    en_50160_note: str = Field(description="Why there is no such figure, or what it rests on.")
    longest_gaps: list[Gap] = Field(description="Ten at most.")
    hourly_profile_kw: list[float | None] = Field(description="Mean power a household by hour of the local day.")
    load_curve: LoadCurve
    heat_map: HeatMap
    households: list[HouseholdFigures]


class Table(_Figures):
    """A small table for people."""

    title: str
    columns: list[str]
    rows: list[list[str | int | float | None]]


class EnergyReport(_Figures):
    """`output2.json`: key figures, findings and tables for people."""

    title: str
    start: AwareDatetime
    end: AwareDatetime
    records: int
    key_figures: dict[str, str | int | float | None]
    findings: list[Finding]
    tables: list[Table]
    plots: list[str]
