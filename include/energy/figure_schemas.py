"""What the report states of the readings: totals, peaks, base load and the load duration curve."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

Period = Literal["day", "month", "year"]


class _Figures(BaseModel, extra="forbid"):
    """A JSON object without unknown keys."""


class Flows(_Figures):
    """What was taken from the grid, fed into it and generated at home."""

    import_kwh: float = Field(description="Taken from the grid, estimates included.")
    export_kwh: float | None = Field(
        description="Fed into the grid: as the input states it, else the negative power; None where neither is there."
    )
    net_kwh: float | None = Field(description="Import less export, without estimates of what was taken.")
    generation_kwh: float | None = Field(description="Generated at home; None where the input does not state it.")
    self_consumption_kwh: float | None = Field(description="Generation less export, of the readings that state both.")
    self_sufficiency: float | None = Field(
        description="Self-consumption ÷ (self-consumption + import), of the readings that state export and generation."
    )


class Total(_Figures):
    """The energy of a day, month or year of the local clock."""

    start: date = Field(description="First day of the period.")
    energy_kwh: float = Field(description="Of the power: the import, or the net energy where power is negative.")
    coverage: float = Field(
        ge=0, le=1, description="Share of the period's time that has readings, of all households together."
    )
    flows: Flows | None = Field(None, description="None where nothing is known of export and generation.")


class Peak(_Figures):
    """The highest power of a month."""

    month: date = Field(description="First day of the month.")
    peak_kw: float = Field(description="Mean over the window.")
    at: AwareDatetime = Field(description="Start of the first window with this power.")
    window_seconds: int = Field(description="`peak_minutes`, or the interval of the readings where that is longer.")


class LoadDuration(_Figures):
    """The load duration curve of all households together."""

    hours: float = Field(description="Time that the curve rests on.")
    kw: list[float] = Field(description="101 values: the power that is reached in 0 %, 1 %, … 100 % of these hours.")


class Comparison(_Figures):
    """The last days compared with earlier ones of the same weekdays, of all households together."""

    with_the: Literal["period before", "year before"]
    first: date = Field(description="The first of the days.")
    last: date = Field(description="The last of the days: the last with a reading.")
    days_back: int = Field(description="How many days before each day the one is that it is compared with.")
    days: int = Field(description="Length of the period.")
    days_compared: int = Field(description="Days that have, like those compared with, a coverage of 95 % or more.")
    energy_kwh: float | None = Field(description="Of the days compared.")
    energy_before_kwh: float | None = Field(description="Of the days that they are compared with.")
    change: float | None = Field(description="energy ÷ energy before − 1; None where that is not positive.")
    note: str | None = Field(description="Why they cannot be compared.")


class HouseholdUsage(_Figures):
    """The figures of one household."""

    household_id: str
    months: list[Total]
    years: list[Total]
    peaks: list[Peak]
    base_load_kw: float | None


class Usage(_Figures):
    """Totals, peaks, base load and load duration, of all households together and of each."""

    timezone: str = Field(description="The clock of days, months and years.")
    peak_minutes: int
    days: list[Total] = Field(description="Of all households. `energy_totals.parquet` holds those of each one.")
    months: list[Total]
    years: list[Total]
    peaks: list[Peak] = Field(description="Of all households together.")
    base_load_kw: float | None = Field(description="Of all households together.")
    load_duration: LoadDuration | None
    note: str | None = Field(description="Why there are no peaks, base load and load duration of all together.")
    comparisons: list[Comparison]
    households: list[HouseholdUsage]


class TotalRow(BaseModel):
    """A record of `energy_totals.parquet`, sorted by household, period and start; all households together first."""

    household_id: str | None = Field(description="Empty: all households together.")
    period: Period
    start: date = Field(description="First day of the period, on the local clock.")
    energy_kwh: float
    coverage: float = Field(ge=0, le=1)
    import_kwh: float | None = Field(description="This and the others: as in `Flows`.")
    export_kwh: float | None
    net_kwh: float | None
    generation_kwh: float | None
    self_consumption_kwh: float | None
    self_sufficiency: float | None


class _Bill(_Figures):
    """The lines of a bill."""

    energy_cost: float
    standing_charge: float
    capacity_charge: float = Field(description="For the peak of each month.")
    export_credit: float = Field(description="For energy fed into the grid.")
    total: float = Field(description="Energy, standing charge and capacity charge, less the credit.")


class BandCost(_Figures):
    """The energy of a month in one band, of all households."""

    month: date
    band: str
    energy_kwh: float = Field(description="From the grid.")
    cost: float


class MonthCost(_Bill):
    """The bills of all households for a month."""

    month: date
    days: int = Field(description="Days of the standing charge.")


class HouseholdCost(_Bill):
    """The bills of one household."""

    household_id: str


class Cost(_Figures):
    """What the readings cost by a tariff file; money is in its currency, each line of a bill rounded to 0.01."""

    file: str
    tariff: str
    currency: str
    valid_from: date
    valid_to: date | None = Field(description="The last day.")
    bands: list[BandCost]
    months: list[MonthCost]
    total: float = Field(description="Of all households.")
    energy_outside_kwh: float = Field(description="Energy of days on which the tariff is not valid: it has no cost.")
    households: list[HouseholdCost]


class _Carbon(_Figures):
    """Energy from the grid and its CO2."""

    energy_kwh: float = Field(description="Energy of hours with a factor.")
    energy_without_factor_kwh: float = Field(description="Energy of other hours; it is in no CO2.")
    co2_kg: float


class MonthEmissions(_Carbon):
    """Of all households, in a month."""

    month: date


class HouseholdEmissions(_Carbon):
    """Of one household."""

    household_id: str


class Emissions(_Carbon):
    """The CO2 of the energy from the grid by a file of hourly factors, of all households."""

    file: str
    first: AwareDatetime = Field(description="The first hour of the file.")
    last: AwareDatetime = Field(description="The last hour of the file.")
    months: list[MonthEmissions]
    households: list[HouseholdEmissions]
