"""What the ingest half takes and writes: parameters, the raw record, and the account of where records came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

from include.core.contracts import Window
from include.core.zones import parse_zone
from include.energy.columns import parse_columns

COLUMNS = ("timestamp", "household_id", "power_consumption", "voltage", "current")
PROVENANCE = ("source_file", "source_line", "source_fault")


def _readable(parse: Callable[[str], object]) -> AfterValidator:
    """Refuses a text that cannot be parsed, and keeps it as it is."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


ZoneName = Annotated[str, _readable(parse_zone)]
ColumnsText = Annotated[str, _readable(parse_columns)]


class GeneratorParams(Window):
    """Parameters of the energy generator: made-up households, or people's own files."""

    households: int = Field(
        20,
        ge=1,
        le=1000,
        description="How many households to make up.",
        json_schema_extra={"section": "Generated data"},
    )
    interval_minutes: int = Field(
        15,
        ge=1,
        le=1440,
        description="Minutes between two readings of a household; a divisor of a day's 1440.",
        json_schema_extra={"section": "Generated data"},
    )
    seed: int = Field(
        0,
        ge=0,
        description="Another seed makes up other households; the same seed and interval give the same bytes.",
        json_schema_extra={"section": "Generated data"},
    )
    faulty_share: float = Field(
        0.005,
        ge=0,
        le=0.1,
        description="Share of the records that are made faulty, as real meters' are (0 to 0.1).",
        json_schema_extra={"section": "Generated data"},
    )
    files: tuple[str, ...] = Field(
        (),
        description="Your own meter files (CSV, also gzip) instead of generated data.",
        json_schema_extra={"section": "Your own files"},
    )
    columns: ColumnsText | None = Field(
        None,
        description=(
            "Which columns of your files hold what: timestamp=…,household_id=…|@NAME,power_kw=…|power_mw=…|energy_kwh=…"
            "[,voltage=…][,current=…]. @NAME is a constant for files that have no such column."
        ),
        json_schema_extra={"section": "Your own files"},
    )
    timezone: ZoneName | None = Field(
        None,
        description=(
            "Zone of stamps that name none, and of the days and hours in profiles and plots: Europe/Berlin, or a fixed "
            "offset such as +10:00. Default: UTC, where every stamp names its own."
        ),
        json_schema_extra={"section": "Your own files"},
    )
    stamp: Literal["start", "end"] = Field(
        "start",
        description="Whether a stamp marks the start or the end of its interval.",
        json_schema_extra={"section": "Your own files"},
    )

    @model_validator(mode="after")
    def _files_for_their_settings(self) -> GeneratorParams:
        given = ["columns"] if self.columns is not None else []
        given += ["stamp"] if self.stamp == "end" else []
        if given and not self.files:
            raise ValueError(
                f"{', '.join(given)}: would do nothing without files, for it says how to read your own files"
            )
        return self

    @field_validator("interval_minutes")
    @classmethod
    def _divides_a_day(cls, value: int) -> int:
        if 1440 % value:
            raise ValueError(f"interval_minutes must divide a day of 1440 minutes, and {value} does not")
        return value


class RawReading(BaseModel):
    """A record of `energy_data.csv`.

    Everything is text or missing, for faulty records are passed on as they were found. Where people's own files were
    read, `source_file`, `source_line` and `source_fault` follow.
    """

    timestamp: str | None = Field(description="Start of the interval, ISO 8601, UTC.")
    household_id: str | None
    power_consumption: str | None = Field(description="Mean power of the interval, kW.")
    voltage: str | None = Field(description="V.")
    current: str | None = Field(description="A.")


class SourceFile(BaseModel):
    """One of the files that people handed in."""

    model_config = ConfigDict(extra="forbid")

    name: str
    records: int = Field(description="Lines after the header that are not blank.")
    households: int
    first: AwareDatetime | None = Field(description="Start of the first interval; None if no stamp could be read.")
    last: AwareDatetime | None = Field(description="Start of the last interval.")
    delimiter: str
    columns: list[str]


class Finding(BaseModel):
    """Something that a person should know."""

    model_config = ConfigDict(extra="forbid")

    severity: Literal["info", "warning", "error"]
    message: str


class EnergySource(BaseModel):
    """`energy_source.json`: where `energy_data.csv` came from, and what was done to it."""

    model_config = ConfigDict(extra="forbid")

    source: Literal["generated", "files"]
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
    unit: Literal["kW", "MW", "kWh"] = Field("kW", description="Unit of the readings before they became kW.")
    timezone: str | None = Field(None, description="Zone that stamps without one were read in.")
    stamp: Literal["start", "end"] = "start"
    interval_seconds: PositiveInt | None = Field(
        None, description="Interval of all households; None where they differ."
    )
    intervals_by_household: dict[str, PositiveInt] = Field({}, description="Seconds, where the households differ.")
    ambiguous_times: int = Field(0, description="Local times that occur twice (end of DST), resolved by order.")
    ambiguous_pairs: int = Field(0, description="Ambiguous times that one household gives twice.")
    non_existent_times: int = Field(
        0, description="Local times that the zone's clocks skip; passed on with that fault."
    )
    malformed_records: int = Field(0, description="Lines with more or fewer fields than their header.")
    findings: list[Finding] = []

    def interval_of(self, household: str) -> int | None:
        """Seconds between the readings of a household, None if nobody said."""
        return self.intervals_by_household.get(household, self.interval_seconds)
