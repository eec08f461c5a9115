"""Parameters of the energy steps, and the column mapping (`--columns`) that two of them read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from include.core.contracts import StepParams, Window
from include.core.errors import BadInputError
from include.core.windows import parse_zone
from include.energy.inspection.mapping import parse_columns
from include.energy.inspection.plan import Answers
from include.energy.presets import preset_of
from include.energy.schemas import COLUMNS, Unit

ALWAYS_REQUIRED = COLUMNS[:3]


def _readable(parse: Callable[[str], object]) -> AfterValidator:
    """Return a validator that refuses a text that cannot be parsed, and keeps it as it is."""

    def check(text: str) -> str:
        try:
            parse(text)
        except BadInputError as error:
            raise ValueError(str(error)) from None
        return text

    return AfterValidator(check)


def seconds_of(text: str) -> int:
    """Return the seconds of an interval such as `1h` or `15min`, which divides a day.

    Raises:
        ValueError: It is written otherwise, or does not divide a day into equal parts.

    >>> seconds_of("15min"), seconds_of("1h")
    (900, 3600)
    """
    match = re.fullmatch(r"([1-9]\d{0,3})\s*(min|h)", text.strip())
    seconds = int(match[1]) * {"min": 60, "h": 3600}[match[2]] if match else 0
    if not seconds or 43200 % seconds:
        raise ValueError(f"{text!r} is not an interval such as 15min or 1h that divides half a day")
    return seconds


ZoneName = Annotated[str, _readable(parse_zone)]
FormatText = Annotated[str, _readable(preset_of)]
ColumnsText = Annotated[str, _readable(parse_columns)]
IntervalText = Annotated[str, _readable(seconds_of)]
# The sections of the form that starts a run.
_generated = partial(Field, json_schema_extra={"section": "Generated data"})
_files = partial(Field, json_schema_extra={"section": "Your own files"})
_analysis = partial(Field, json_schema_extra={"section": "Analysis"})


class GeneratorParams(Window):
    """Parameters of the energy generator: synthetic households, or input files."""

    households: int = _generated(20, ge=1, le=1000, description="How many households to generate.")
    interval_minutes: int = _generated(
        15, ge=1, le=1440, description="Minutes between two readings of a household; a divisor of a day's 1440."
    )
    seed: int = _generated(
        0, ge=0, description="Another seed generates other households; the same seed and interval give the same bytes."
    )
    faulty_share: float = _generated(
        0.005, ge=0, le=0.1, description="Share of the records that are made faulty, as real meters' are (0 to 0.1)."
    )
    files: tuple[str, ...] = _files((), description="Your own meter files (CSV, also gzip) instead of generated data.")
    columns: ColumnsText | None = _files(
        None,
        description=(
            "Which columns of your files hold what: timestamp=…,household_id=…|@NAME and one of power_kw, power_w, "
            "power_mw, energy_kwh, energy_wh, energy_mwh; export_kwh=…, generation_kwh=… (or another unit), voltage=…, "
            "current=… where measured; register=…,import=TEXT|TEXT,export=TEXT where rows are of several registers. "
            "@NAME is a constant for files that have no such column."
        ),
    )
    timezone: ZoneName | None = _files(
        None,
        description=(
            "Zone of stamps that name none, and of the days and hours in profiles and plots: Europe/Berlin, or a fixed "
            "offset such as +10:00. Default: UTC, where every stamp names its own."
        ),
    )
    stamp: Literal["start", "end"] | None = _files(
        None,
        description=(
            "Whether a stamp marks the start or the end of its interval. Default: as the file shows, else the start."
        ),
    )
    unit: Unit | None = _files(
        None, description="Unit of the values, where neither the file nor `columns` states it: kWh, kW, Wh, W, MWh, MW."
    )
    date_order: Literal["ymd", "dmy", "mdy"] | None = _files(
        None, description="Order of day and month in dates such as 03/04/2026, where the file does not decide."
    )
    decimal: Literal[".", ","] | None = _files(
        None, description="Decimal mark, where numbers such as 1.234 may also be thousands."
    )
    where: tuple[str, ...] = _files(
        (), description='Rows to read, as COLUMN=TEXT or COLUMN=TEXT|TEXT: "Type=Actual"; all conditions must hold.'
    )
    resample: IntervalText | None = _files(
        None,
        description=(
            "Interval to which registers are interpolated that are written on change or at irregular times: 1h, 15min."
        ),
    )
    resample_limit_hours: float = _files(
        2.0,
        gt=0,
        allow_inf_nan=False,
        description="Readings of a register that differ and are further apart (hours) are not interpolated.",
    )
    register_digits: int | None = _files(
        None,
        ge=1,
        le=12,
        description="Digits of a register before the decimal mark: after the highest number it rolls over to zero.",
    )
    limit_kw: float | None = _files(
        None,
        gt=0,
        allow_inf_nan=False,
        description="What a connection can carry (kW): a roll-over of a register that means more is not plausible.",
    )
    zeros_omitted: bool = _files(
        False, description="Intervals that files leave out between two readings used nothing: read them as zero."
    )
    meters: str | None = Field(
        None,
        description=(
            "TOML file that describes the connection points: devices with their dates, multipliers of transformers, "
            "limits, digits and roles of registers."
        ),
        json_schema_extra={"section": "Your own files", "file": True},
    )
    format: FormatText | None = _files(
        None,
        description=(
            "Preset that states what the files hold, such as fluvius; `./pipeline formats` lists them. What is stated "
            "beside it comes first."
        ),
    )
    accept_untried: bool = _files(False, description="Use a preset for which no public description of files is known.")
    as_mapped: bool = _files(
        False, description="Read the files as stated also where they contradict it, for example as to the unit."
    )
    feed: str | None = _files(
        None,
        description=(
            "Set by the inbox: the feed and the day that the run publishes a revision of (home/2026-03-01). The files "
            "stand in the order in which they arrived, and a later one replaces readings of an earlier one."
        ),
    )

    @model_validator(mode="after")
    def _files_for_their_settings(self) -> GeneratorParams:
        names = (
            "columns",
            "stamp",
            "unit",
            "date_order",
            "decimal",
            "where",
            "resample",
            "register_digits",
            "zeros_omitted",
            "meters",
            "format",
            "accept_untried",
            "as_mapped",
            "feed",
        )
        settings = [name for name in names if getattr(self, name)]
        if settings and not self.files:
            raise ValueError(
                f"{', '.join(settings)}: would do nothing without files, for it says how to read your own files"
            )
        return self

    @field_validator("interval_minutes")
    @classmethod
    def _divides_a_day(cls, value: int) -> int:
        if 1440 % value:
            raise ValueError(f"interval_minutes must divide a day of 1440 minutes, and {value} does not")
        return value


def answers_of(params: GeneratorParams) -> Answers:
    """Return what the user states of the input files."""
    return Answers(
        mapping=parse_columns(params.columns) if params.columns else None,
        timezone=params.timezone,
        stamp=params.stamp,
        unit=params.unit,
        date_order=params.date_order,
        decimal=params.decimal,
        where=params.where,
        as_mapped=params.as_mapped,
        several_files=len(params.files) > 1 or params.feed is not None,
        preset=preset_of(params.format) if params.format else None,
    )


class AnalyzerParams(Window):
    """Parameters of the energy analyzer."""

    high_usage_kw: float | None = _analysis(
        5.0,
        gt=0,
        allow_inf_nan=False,
        description="A record above this power (kW) is high usage; empty (null) switches it off.",
    )
    nominal_voltage: float = _analysis(
        230.0, ge=1, le=1e6, description="Nominal voltage (V); the band is ± 10 % of it."
    )
    outlier_threshold: float = _analysis(
        5.0, gt=0, allow_inf_nan=False, description="A reading is an outlier this many scales above what is usual."
    )
    allow_export: bool = _analysis(
        False,
        description="Accept negative power: a home that feeds into the grid, where no other column states the export.",
    )
    max_rejected: float | None = _analysis(
        0.1,
        ge=0,
        le=1,
        description="Share of the records of input files that may be rejected; a run with more fails.",
    )
    min_coverage: float | None = _analysis(
        None,
        ge=0,
        le=1,
        description=(
            "Share of the expected intervals that must have a valid reading; a run with less fails. Empty (null): "
            "0.95, and the report states whether the data are sufficient."
        ),
    )
    max_gap_hours: float | None = _analysis(
        None,
        ge=0,
        allow_inf_nan=False,
        description=(
            "Hours that the longest gap may last; a run with a longer one fails. Empty (null): 168, and the report "
            "states whether the data are sufficient."
        ),
    )
    max_estimated: float | None = _analysis(
        None,
        ge=0,
        le=1,
        description=(
            "Share of the expected intervals that may be estimated; a run with more fails. Empty (null): 0.1, and the "
            "report states whether the data are sufficient."
        ),
    )
    limit_kw: float | None = _analysis(
        None,
        gt=0,
        allow_inf_nan=False,
        description=(
            "What a connection can carry (kW): a reading above it is suspect, and in no total. Empty (null): any."
        ),
    )
    estimate: bool = _analysis(
        False,
        description=(
            "Estimate missing intervals: gaps of up to 2 h on the line between their neighbours, of up to 7 days by "
            "the average of like days. Default: nothing is filled in."
        ),
    )
    required_columns: tuple[str, ...] | None = _analysis(
        None,
        description=(
            "Columns that every record must fill, besides time, household and power. Default: those of voltage and "
            "current that the input files state."
        ),
    )
    timezone: ZoneName | None = _files(
        None,
        description="Local clock of hours and days in profiles: a zone or a fixed offset such as +10:00. Default: UTC.",
    )

    @field_validator("required_columns")
    @classmethod
    def _known_columns(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [column for column in value or () if column not in COLUMNS]
        if unknown:
            raise ValueError(f"required_columns: {', '.join(unknown)}: the columns are {', '.join(COLUMNS)}")
        return value

    def required(self, measured: Sequence[str] | None) -> tuple[str, ...]:
        """Return the columns of `energy_data.csv` that a record must fill.

        Args:
            measured: Which of voltage and current the records state; None where nobody says, then both.
        """
        stated = COLUMNS if measured is None else measured
        required = stated if self.required_columns is None else self.required_columns
        return tuple(column for column in COLUMNS if column in (*ALWAYS_REQUIRED, *required))


class ReportParams(StepParams):
    """Parameters of the energy report."""

    peak_minutes: Literal[5, 10, 15, 20, 30, 60] = _analysis(
        15, description="Peaks of months are means over so many minutes of the local clock, as capacity tariffs count."
    )
    tariff: str | None = Field(
        None,
        description="TOML file of a time-of-use tariff; the report states what the readings cost.",
        json_schema_extra={"section": "Cost and CO2", "file": True},
    )
    emissions: str | None = Field(
        None,
        description="CSV file of hourly factors (time,gCO2/kWh); the report states the CO2 of the energy.",
        json_schema_extra={"section": "Cost and CO2", "file": True},
    )
    escape_formulas: bool = _analysis(
        False,
        description=(
            "In energy_report.csv, begin names of households that a spreadsheet would run as a formula (=, +, -, @) "
            "with an apostrophe. Default: names stay as they are."
        ),
    )


def invented(params: Mapping[str, Any], stated: Collection[str]) -> str | None:
    """Return what a run would invent instead of reading it; None where it reads files.

    Args:
        params: The run's parameters.
        stated: Names of those that its schedule states: one of generated data asks for them.
    """
    if params.get("files") or {"households", "interval_minutes", "seed", "faulty_share"} & set(stated):
        return None
    return "meter data would be generated; state `files`, or `households` to have them generated"
