"""Parameters of the energy steps, and the column mapping (`--columns`) that two of them read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from include.core.contracts import StepParams, Window
from include.core.windows import parse_zone
from include.energy.schemas import COLUMNS, MEASURED, Measured, Unit

POWER_UNITS: dict[str, Unit] = {
    "power_kw": "kW",
    "power_w": "W",
    "power_mw": "MW",
    "energy_kwh": "kWh",
    "energy_wh": "Wh",
    "energy_mwh": "MWh",
}
ALWAYS_REQUIRED = COLUMNS[:3]
_MAPPED = ("timestamp", "household_id", *POWER_UNITS, "voltage", "current")
_EXAMPLE = "timestamp=Time,household_id=@VIC,power_mw=Demand"


@dataclass(frozen=True)
class ColumnMapping:
    """Columns of an input file by what they hold.

    Args:
        timestamp: Column of the stamps.
        household_id: Column of the households' names, or None with `household`.
        household: The name of the one household of a file without such a column, or None.
        unit: Unit of the power column: kW, MW, or kWh an interval.
        power: Column of power or energy.
        voltage: Column of volts, or None.
        current: Column of amperes, or None.
    """

    timestamp: str
    household_id: str | None
    household: str | None
    unit: Unit
    power: str
    voltage: str | None = None
    current: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        columns = (self.timestamp, self.household_id, self.power, self.voltage, self.current)
        return tuple(column for column in columns if column is not None)

    @property
    def measured(self) -> tuple[Measured, ...]:
        """Which of voltage and current a file states."""
        return tuple(column for column in MEASURED if getattr(self, column) is not None)


OWN_COLUMNS = ColumnMapping("timestamp", "household_id", None, "kW", "power_consumption", "voltage", "current")


def parse_columns(text: str) -> ColumnMapping:
    """Return the mapping that a text such as `timestamp=Time,household_id=@VIC,power_mw=Demand` stands for.

    Column names may hold spaces and equals signs, but no comma.

    Raises:
        ValueError: A part is not `field=column`, a field is unknown, given twice or missing, or not exactly one of
            `power_kw`, `power_mw` and `energy_kwh` is given.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise ValueError(f"columns: {part.strip()!r} is not FIELD=COLUMN; for example: {_EXAMPLE}")
        if field not in _MAPPED:
            raise ValueError(f"columns: {field!r} is no field; the fields are {', '.join(_MAPPED)}")
        if field in columns:
            raise ValueError(f"columns: {field} is given twice")
        if column.startswith("@") and (field != "household_id" or column == "@"):
            raise ValueError(f"columns: {part.strip()!r}: only household_id takes a constant, written @NAME")
        if column.startswith("@") and not column.isprintable():
            raise ValueError(f"columns: {part.strip()!r}: a household's name is one line of text")
        columns[field] = column
    missing = [field for field in ("timestamp", "household_id") if field not in columns]
    if missing:
        raise ValueError(f"columns: {' and '.join(missing)} must be given; for example: {_EXAMPLE}")
    powers = [field for field in POWER_UNITS if field in columns]
    if len(powers) != 1:
        raise ValueError(f"columns: give exactly one of {', '.join(POWER_UNITS)}; for example: {_EXAMPLE}")
    household = columns["household_id"]
    constant = household.startswith("@")
    return ColumnMapping(
        timestamp=columns["timestamp"],
        household_id=None if constant else household,
        household=household[1:] if constant else None,
        unit=POWER_UNITS[powers[0]],
        power=columns[powers[0]],
        voltage=columns.get("voltage"),
        current=columns.get("current"),
    )


def _readable(parse: Callable[[str], object]) -> AfterValidator:
    """Return a validator that refuses a text that cannot be parsed, and keeps it as it is."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


ZoneName = Annotated[str, _readable(parse_zone)]
ColumnsText = Annotated[str, _readable(parse_columns)]
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
            "power_mw, energy_kwh, energy_wh, energy_mwh; voltage=…, current=… where measured. @NAME is a constant for "
            "files that have no such column."
        ),
    )
    timezone: ZoneName | None = _files(
        None,
        description=(
            "Zone of stamps that name none, and of the days and hours in profiles and plots: Europe/Berlin, or a fixed "
            "offset such as +10:00. Default: UTC, where every stamp names its own."
        ),
    )
    stamp: Literal["start", "end"] = _files(
        "start", description="Whether a stamp marks the start or the end of its interval."
    )

    @model_validator(mode="after")
    def _files_for_their_settings(self) -> GeneratorParams:
        settings = ["columns"] * (self.columns is not None) + ["stamp"] * (self.stamp == "end")
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
    allow_export: bool = _analysis(False, description="Accept negative power: a home that feeds into the grid.")
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

    escape_formulas: bool = _analysis(
        False,
        description=(
            "In energy_report.csv, begin names of households that a spreadsheet would run as a formula (=, +, -, @) "
            "with an apostrophe. Default: names stay as they are."
        ),
    )
