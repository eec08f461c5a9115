"""The artifacts of the energy steps, each named once, and their schemas.

Schemas describe records, documents, and the account of where records came from.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime, PositiveInt

from include.core.contracts import Artifact
from include.core.outcome import Finding, StepMetrics, Table
from include.energy.figure_schemas import Cost, Emissions, TotalRow, Usage

COLUMNS = ("timestamp", "household_id", "power_consumption", "voltage", "current")
PROVENANCE = ("source_file", "source_line", "source_fault")
QUALITY = "quality"
COLUMN = "source_column"
"""Of input files whose lines hold several readings: the column of each one's value."""
FLOWS = ("export", "generation")
"""Columns of what is fed into the grid, and of what is generated at home, where input files state them."""
OUTSIDE = "outside_window"
Unit = Literal["kW", "W", "MW", "kWh", "Wh", "MWh"]
Measured = Literal["voltage", "current"]
MEASURED: tuple[Measured, ...] = ("voltage", "current")
Origin = Literal["generated", "files"]
AnomalyReason = Literal["voltage_outside_band", "power_factor", "outlier", "flat_line"]
Status = Literal["normal", "high_usage"]
State = Literal["valid", "suspect", "estimated"]
RequirementName = Literal["min_coverage", "max_gap_hours", "max_estimated"]
Method = Literal["linear", "like_day", "linear_to_register", "like_day_to_register"]
TO_REGISTER = "_to_register"
METHOD_LABELS: dict[Method, str] = {
    "linear": "on the line between the readings beside a gap of up to 2 h",
    "like_day": "average of the same time of day on days of the same kind within 4 weeks, for gaps of up to 7 days",
    "linear_to_register": "on the line, scaled to what the register counted over the gap",
    "like_day_to_register": "average of like days, scaled to what the register counted over the gap",
}
ANOMALY_LABELS: dict[AnomalyReason, str] = {
    "voltage_outside_band": "voltage outside the band of ± 10 %",
    "power_factor": "more real than apparent power",
    "outlier": "far above what is usual at that hour",
    "flat_line": "the same value for 6 hours or more",
}


class RawReading(BaseModel):
    """A record of `energy_data.csv`.

    Everything is text or missing, for faulty records are passed on as they were found. Where input files were read,
    `source_file`, `source_line` and `source_fault` follow, where a line holds several readings `source_column`, and
    where they state them `quality` (how readings were obtained), `export` and `generation` (mean power of the interval,
    kW).
    """

    timestamp: str | None = Field(description="Start of the interval, ISO 8601, UTC.")
    household_id: str | None
    power_consumption: str | None = Field(description="Mean power of the interval, kW.")
    voltage: str | None = Field(description="V.")
    current: str | None = Field(description="A.")


class _Document(BaseModel, extra="forbid"):
    """A JSON object without unknown keys."""


class Understood(_Document):
    """Something that was understood of an input file."""

    topic: str
    value: str
    evidence: str
    assumed: bool = Field(description="Nothing in the file shows it.")


class Span(_Document):
    """The stretch that a household's stamps cover."""

    first: AwareDatetime = Field(description="Start of the first interval.")
    last: AwareDatetime = Field(description="Start of the last interval.")


class Interval(_Document):
    """A stretch of time in which a household's interval stays the same."""

    start: AwareDatetime
    interval_seconds: PositiveInt


class SourceFile(_Document):
    """One of the input files."""

    name: str
    records: int = Field(description="Lines after the header that are not blank.")
    households: int
    first: AwareDatetime | None = Field(description="Start of the first interval; None if no stamp could be read.")
    last: AwareDatetime | None = Field(description="Start of the last interval.")
    delimiter: str | None = Field(None, description="None where the format has none.")
    columns: list[str]
    empty: int = Field(0, description="Cells in which nothing was measured; they are no records.")
    joined: int = Field(0, description="Lines of further registers of a reading; they are no records of their own.")
    stamp: Literal["start", "end"] = Field("start", description="Which end of its interval a stamp marks.")
    unit: Unit | None = Field(None, description="Of its values; None: that of all files (before version 0.2).")
    understood: list[Understood] = Field([], description="What was recognised of the file, and what showed it.")


class EnergySource(_Document):
    """`energy_source.json`: where `energy_data.csv` came from, and what was done to it."""

    source: Origin
    records_written: int
    start: AwareDatetime | None = Field(None, description="Start of the data interval that was asked for.")
    end: AwareDatetime | None = None
    households: int
    seed: int | None = None
    faulty_share: float | None = None
    injected: dict[str, int] = Field(
        {}, description="Generated data: how many records were made faulty or odd, by kind."
    )
    files: list[SourceFile] = []
    unit: Unit = Field("kW", description="Unit of the readings before they became kW.")
    measured: tuple[Measured, ...] | None = Field(
        None, description="Which of voltage and current the records state; None: unknown (before version 0.2)."
    )
    timezone: str | None = Field(None, description="Zone that stamps without one were read in.")
    stamp: Literal["start", "end"] = "start"
    interval_seconds: PositiveInt | None = Field(
        None, description="Interval of all households; None where they differ."
    )
    intervals_by_household: dict[str, PositiveInt] = Field({}, description="Seconds, where the households differ.")
    stretches: dict[str, list[Interval]] = Field(
        {},
        description="By household, where the interval changes: hours until March, then quarters; local days of 23 h.",
    )
    ambiguous_times: int = Field(0, description="Local times that occur twice (end of DST), resolved by order.")
    ambiguous_pairs: int = Field(0, description="Ambiguous times that one household gives twice.")
    non_existent_times: int = Field(
        0, description="Local times that the zone's clocks skip; passed on with that fault."
    )
    malformed_records: int = Field(0, description="Lines with more or fewer fields than their header.")
    left_out: int = Field(0, description="Register readings that begin no interval: the last of each meter.")
    zeros_omitted: int = Field(0, description="Intervals that files left out, read as zero because the user says so.")
    rolled_over: int = Field(0, description="Advances of registers over their highest number.")
    resampled: str | None = Field(None, description="Interval to which registers were interpolated: `1h`, for one.")
    limits_kw: dict[str, float] = Field(
        {}, description="By household, what its connection can carry, as the description of meters states it."
    )
    spans: dict[str, Span] = Field(
        {}, description="By household, where its stamps cover more than its records, for cells are empty."
    )
    findings: list[Finding] = []

    def interval_of(self, household: str) -> int | None:
        """Return the seconds between the readings of a household, None where they are not stated.

        Where its interval changes, it is the first.
        """
        if household in self.stretches:
            return self.stretches[household][0].interval_seconds
        return self.intervals_by_household.get(household, self.interval_seconds)


class ReportRow(BaseModel):
    """A record of `energy_report.csv`, sorted by household and time."""

    timestamp: datetime = Field(description="Start of the interval, UTC.")
    household_id: str
    power: float = Field(description="Mean power of the interval, kW.")
    efficiency: float | None = Field(description="Power factor; empty where V·I < 50 VA or V and I are not measured.")
    status: Status = Field(description="`high_usage` above `high_usage_kw`.")
    anomaly_detected: bool
    anomaly_reasons: str | None = Field(description="Reasons separated by semicolons.")
    state: State = Field(
        description="`suspect`: above the limit of the connection, in no total; `estimated`: an estimate, no reading."
    )
    quality: str | None = Field(description="How the input file says that the reading was obtained, in its own words.")
    method: Method | None = Field(description="How an estimate was made.")
    export: float | None = Field(description="What was fed into the grid, kW; empty where no column of it is read.")
    generation: float | None = Field(description="What was generated at home, kW; empty where no column of it is read.")


class EnergyRecord(ReportRow):
    """A record of `energy_records.parquet`: what the analysis says of each accepted record, and the estimates."""

    zero_run: bool = Field(description="Part of 24 h or more of zeros; no anomaly.")
    line: int | None = Field(ge=1, description="Where it stands in energy_data.csv; nothing for an estimate.")


class RejectedRecord(BaseModel):
    """A record of `rejected.csv`."""

    file: str = Field(
        description="The input file, with the member of an archive (`a.zip/b.csv`) or sheet; or energy_data.csv."
    )
    line: int = Field(
        ge=1, description="Its line in that file, from 1; row of a sheet; of JSON, record n is line n + 1."
    )
    column: str | None = Field(
        description="Where the line holds several readings: the column of its value, by name, or place as `#3`."
    )
    raw: str | None = Field(description="The line as it was read.")
    reason: str = Field(description="Why it was rejected: `missing_voltage`, `duplicate_timestamp`, …")


class Gap(_Document):
    """Intervals in a row without a valid record."""

    household_id: str
    start: AwareDatetime
    end: AwareDatetime
    intervals: int


class HouseholdFigures(_Document):
    """What one household used, and how complete its readings are."""

    household_id: str
    interval_seconds: int | None = Field(description="None where it changes.")
    expected: int = Field(description="Intervals of the window; without one, of the household's own extent.")
    received: int = Field(description="Of these, how many have a valid record.")
    missing: int = Field(description="The others; some of them have a suspect record.")
    suspect: int = Field(description="Records above the limit of the connection, in no total but the last one.")
    estimated: int = Field(description="Of the missing intervals, how many have an estimate.")
    energy_kwh: float = Field(description="Of valid records and estimates.")
    energy_without_estimates_kwh: float
    energy_with_suspect_kwh: float = Field(description="With suspect records instead of the estimates in their place.")
    export_kwh: float | None = Field(
        None, description="Fed into the grid, of valid records; None where it is not read."
    )
    generation_kwh: float | None = Field(None, description="Generated at home; None where it is not read.")
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


class CurveAnomalies(_Document):
    """Anomalies of one reason within one period of the load curve."""

    period: int = Field(description="Index into the curve's periods.")
    reason: AnomalyReason
    records: int
    peak_kw: float


class Requirement(_Document):
    """A limit that data keep to where they are sufficient."""

    name: RequirementName
    value: float = Field(description="What the data have: a share of the expected intervals, or hours.")
    limit: float
    stated: bool = Field(description="Users set the limit: a run that exceeds it fails.")
    met: bool


class LoadCurve(_Document):
    """Power over time, by periods of the local clock that hold records (kW a household)."""

    period_seconds: int
    start: list[NaiveDatetime]
    mean_kw: list[float]
    peak_kw: list[float] = Field(description="Highest record of the period.")
    anomalies: list[CurveAnomalies]
    estimated: list[int] = Field([], description="Periods that hold estimates, as indices.")


class HeatMap(_Document):
    """Mean power (kW a household) by day, or by longer periods, and hour of the local day."""

    period_days: int
    start: list[date]
    kw: list[list[float | None]] = Field(description="24 hours for each period.")
    estimated: list[tuple[int, int]] = Field([], description="Index of the period and hour of cells with estimates.")


class VoltageCompliance(_Document):
    """EN 50160: within each week 95 % of the 10-minute means lie within ± 10 % of the nominal voltage."""

    households: int
    compliant_households: int
    weeks: int = Field(description="Weeks of seven days that hold 80 % of their 10-minute means.")
    compliant_weeks: int
    lowest_share: float = Field(description="Of the worst week.")


class Analysis(_Document):
    """`output1.json`: what the accepted records say, in all and by household."""

    start: AwareDatetime = Field(description="Start of the window; without one, of the first accepted record.")
    end: AwareDatetime
    source: Origin | None = Field(description="None if the generator does not say.")
    timezone: str = Field(description="The local clock of profiles and plots.")
    interval_seconds: int | None = Field(description="None where the households differ.")
    high_usage_kw: float | None
    nominal_voltage: float
    records_in: int
    records_out: int
    records_rejected: int
    records_outside_window: int
    rejected_by_reason: dict[str, int]
    suspect: int = Field(description="Accepted records above the limit of their connection: in no other figure.")
    qualities: dict[str, int] = Field(description="Accepted records by what the input says of how they were obtained.")
    estimated: int = Field(description="Of the missing intervals, how many have an estimate.")
    estimated_by_method: dict[Method, int]
    estimated_by_like_days: dict[int, int] = Field(
        {}, description="Estimates by like days: how many average so many readings."
    )
    sufficient: bool = Field(description="All requirements are met.")
    requirements: list[Requirement] = Field(description="What was decided on: coverage, longest gap, estimates.")
    energy_kwh: float = Field(description="Of all valid records and estimates.")
    energy_without_estimates_kwh: float = Field(description="Of all valid records.")
    energy_with_suspect_kwh: float = Field(
        description="The first total with suspect records instead of the estimates in their place."
    )
    export_kwh: float | None = Field(
        None, description="Fed into the grid, of valid records; None where it is not read."
    )
    generation_kwh: float | None = Field(None, description="Generated at home; None where it is not read.")
    net_kwh: float | None = Field(None, description="energy_without_estimates_kwh less export_kwh.")
    self_consumption_kwh: float | None = Field(
        None, description="Generation less export, of the records that state both."
    )
    peak_kw: float = Field(description="Highest power of all households together at any time.")
    peak_at: AwareDatetime
    load_factor: float | None = Field(description="Mean ÷ maximum of that sum; None below 80 % coverage.")
    mean_power_factor: float | None = Field(description="None where V and I are not measured.")
    expected: int = Field(description="Intervals of all households.")
    received: int = Field(description="Of these, how many have a valid record.")
    missing: int = Field(description="The others; some of them have a suspect record.")
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


class GeneratorMetrics(StepMetrics, extra="forbid"):
    """Metrics of the generator: where the records came from."""

    source: Origin
    records: int
    households: int
    interval_seconds: int | None
    files: tuple[str, ...]


class AnalyzerMetrics(StepMetrics, extra="forbid"):
    """Metrics of the analyzer, each as in `Analysis`."""

    records_in: int
    records_out: int
    records_rejected: int
    records_outside_window: int
    rejected_by_reason: dict[str, int]
    suspect: int
    estimated: int
    sufficient: bool
    energy_kwh: float
    energy_without_estimates_kwh: float
    energy_with_suspect_kwh: float
    peak_kw: float
    high_usage: int
    anomalies: int
    anomalies_by_reason: dict[AnomalyReason, int]
    expected: int
    missing: int


class ReportMetrics(StepMetrics, extra="forbid"):
    """Metrics of the report step: the key figures of `output2.json`."""

    households: int
    energy_kwh: float
    energy_without_estimates_kwh: float
    energy_with_suspect_kwh: float
    export_kwh: float | None
    generation_kwh: float | None
    net_kwh: float | None
    self_consumption_kwh: float | None
    peak_kw: float
    peak_at: str
    load_factor: float | None
    mean_power_factor: float | None
    coverage: float
    high_usage: int
    anomalies: int
    suspect: int
    estimated: int
    sufficient: bool
    records_rejected: int


class EnergyReport(_Document):
    """`output2.json`: key figures, findings and tables of the report."""

    title: str
    start: AwareDatetime
    end: AwareDatetime
    records: int
    key_figures: ReportMetrics
    findings: list[Finding]
    tables: list[Table]
    plots: list[str]
    usage: Usage
    cost: Cost | None = Field(description="None without a tariff file.")
    emissions: Emissions | None = Field(description="None without a file of factors.")


DATA = Artifact("energy_data.csv", RawReading)
SOURCE = Artifact("energy_source.json", EnergySource, optional=True)  # other generators need not write it
ANALYSIS = Artifact("output1.json", Analysis)
RECORDS = Artifact("energy_records.parquet", EnergyRecord)
REJECTED = Artifact("rejected.csv", RejectedRecord, may_be_empty=True)
REPORT = Artifact("output2.json", EnergyReport)
REPORT_ROWS = Artifact("energy_report.csv", ReportRow, rewritten=True)
REPORT_TABLE = Artifact("energy_report.parquet", EnergyRecord, rewritten=True)
TOTALS = Artifact("energy_totals.parquet", TotalRow, rewritten=True)
PLOTS = {
    name: Artifact(f"plot_{name}.png") for name in ("load_curve", "heat_map", "households", "anomalies", "records")
}
