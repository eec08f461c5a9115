"""Documents and tables of the forecast by field."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

from include.core.outcome import Finding
from include.satellite.imagery.schemas import Document

Day = date
"""For rows whose own column is called `date`."""
WarningKind = Literal["fall", "below season"]
LEVEL = 0.9
"""Share of the truths that an interval is to cover."""


class NdviRow(BaseModel):
    """NDVI of a field on a preview (`forecast_series.parquet`); there is no row where it does not count."""

    field_id: str
    date: Day
    ndvi: float


class ForecastRow(BaseModel):
    """A forecast for a field (`forecasts.parquet`): the one to come, and what would have been forecast earlier."""

    field_id: str
    date: Day = Field(description="The day of the forecast.")
    last_date: Day = Field(description="The field's last date with NDVI before it.")
    last: float = Field(description="NDVI on that date.")
    forecast: float
    expected: float | None = Field(description="NDVI of the place's own earlier years at that time of the year.")
    years: int = Field(ge=0, description="Earlier years that it rests on.")
    observed: float | None = Field(description="NDVI that was observed then; null for the forecast to come.")
    part: Literal["calibration", "measured", "forecast"] = Field(
        description="Whether it calibrates the intervals, measures their coverage, or is the forecast to come."
    )


class FieldRow(BaseModel):
    """A field with its forecast (`forecast.parquet`, `forecast.gpkg`); its outline follows as geometry."""

    field_id: str
    crop: str | None
    area_ha: float
    state: Literal["warning", "as expected", "no forecast"]
    last_date: Day | None = Field(description="The last preview that shows it.")
    last: float | None = Field(description="NDVI on that date.")
    date: Day | None = Field(description="The day of the forecast.")
    forecast: float | None
    low: float | None = Field(description="Lower end of the 90 % interval.")
    high: float | None
    expected: float | None = Field(description="NDVI of the place's own earlier years at that time of the year.")
    expected_low: float | None = Field(description="Lower end of the 90 % interval around it.")
    years: int = Field(description="Earlier years that it rests on.")
    covered: int = Field(description="Earlier forecasts of the last year whose interval held what was observed.")
    checked: int = Field(description="Earlier forecasts of the last year.")
    text: str | None = Field(description="The warning with its evidence, or why there is no forecast.")


class EarlyWarning(Document):
    """A field that is, or will be, below what was expected, with the evidence."""

    field_id: str
    kind: WarningKind
    date: Day = Field(description="The day that it is about.")
    value: float = Field(description="NDVI that was observed, or is forecast.")
    expected: float = Field(description="NDVI that was forecast from earlier dates, or of the own earlier years.")
    low: float = Field(description="Lower end of the 90 % interval around what was expected.")
    last_date: Day = Field(description="The last date that the expectation rests on.")
    text: str


class Calibration(Document):
    """An interval: value ± half width, by earlier forecasts of the same fields."""

    half_width: float = Field(description="NDVI.")
    own: float | None = Field(description="By the fields' own earlier forecasts; None: too few of them.")
    model: float | None = Field(None, description="By the training, on places of its own size; None: not of the model.")
    samples: int = Field(description="Earlier forecasts that calibrate it.")
    coverage: float | None = Field(description="Share of the truths of the last year that it covers; None: none.")
    checked: int = Field(description="Earlier forecasts of the last year.")
    warned: int = Field(description="Those whose truth, or whose forecast, would have been a warning.")


class NdviForecast(Document):
    """The forecast of all fields (`forecast.json`)."""

    file: str = Field(description="File of the fields.")
    as_of: Day = Field(description="Last day of the window.")
    date: Day = Field(description="The day of the forecast.")
    last_pass: Day = Field(description="The last usable preview.")
    dates: int = Field(description="Usable previews.")
    first_date: Day
    model_version: str
    model_sha256: str
    trained_until: AwareDatetime = Field(description="End of the imagery that the model learnt from.")
    hazy: list[Day] = Field(description="Previews that are left out for haze.")
    longest_gap_days: int = Field(description="Longest gap between dates that the model has seen.")
    synthetic: bool
    fields: int
    forecasts: int = Field(description="Fields with a forecast.")
    interval: Calibration = Field(description="Of the forecast.")
    season: Calibration = Field(description="Of the expected value.")
    warnings: list[EarlyWarning]
    findings: list[Finding]
