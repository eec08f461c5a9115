"""What the validation says of the imagery (`validation_report.json`)."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Part):
    """One rule, held against one acquisition."""

    name: str
    passed: bool
    found: str = Field(description="What was found, for a person.")


class IndexRange(_Part):
    """An index over the clear pixels of the area."""

    name: str
    mean: float | None = Field(description="Over pixels where it is defined and in range; None if there are none.")
    low: float | None = Field(description="10th percentile.")
    median: float | None
    high: float | None = Field(description="90th percentile.")
    out_of_range: float = Field(description="Share of the clear pixels whose value cannot be right, percent.")
    undefined: float = Field(description="Share of the clear pixels where its denominator vanishes, percent.")


class DateReport(_Part):
    """One acquisition."""

    date: date
    file: str | None
    accepted: bool
    reason: str | None = Field(description="Why it is excluded.")
    checks: list[Check]
    clear: float | None = Field(None, description="Clear share of the area, percent, as the file shows.")
    cloud: float | None = Field(None, description="Cloud share of the area, percent.")
    shadow: float | None = Field(None, description="Cloud-shadow share of the area, percent.")
    nodata: float | None = Field(None, description="Nodata share of the area, percent.")
    masked: float | None = Field(None, description="Clear pixels masked for an impossible or undefined index, percent.")
    indices: list[IndexRange] = []
    synthetic: bool


class Finding(_Part):
    """Something that a person should know."""

    severity: Literal["info", "warning", "error"]
    message: str


class Gap(_Part):
    """Days without a usable date; the ends of the window count as its edges."""

    days: int
    after: date
    before: date


class ValidationReport(_Part):
    """All acquisitions of a run, and whether they suffice."""

    skipped: bool = Field(description="Only counted against min_dates, as the run asked (skip_validation).")
    passed: bool
    usable_dates: int
    min_dates: int
    excluded_dates: int = Field(description="Collected, and excluded by a check.")
    never_data: int = Field(description="Not usable as collected: already replaced where a reserve was left.")
    longest_gap: Gap
    coverage_by_month: dict[str, int] = Field(description="Usable dates by month of the window, `2025-01` first.")
    synthetic: bool
    allow_synthetic: bool
    dates: list[DateReport]
    findings: list[Finding]
