"""What the report states of the readings: totals, peaks, base load and the load duration curve."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

Period = Literal["day", "month", "year"]


class _Figures(BaseModel, extra="forbid"):
    """A JSON object without unknown keys."""


class Total(_Figures):
    """The energy of a day, month or year of the local clock."""

    start: date = Field(description="First day of the period.")
    energy_kwh: float
    coverage: float = Field(
        ge=0, le=1, description="Share of the period's time that has readings, of all households together."
    )


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
    households: list[HouseholdUsage]


class TotalRow(BaseModel):
    """A record of `energy_totals.parquet`, sorted by household, period and start; all households together first."""

    household_id: str | None = Field(description="Empty: all households together.")
    period: Period
    start: date = Field(description="First day of the period, on the local clock.")
    energy_kwh: float
    coverage: float = Field(ge=0, le=1)
