"""Documents and tables of field monitoring: the fields, and one observation of each field on each pass."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field

from include.core.outcome import Finding
from include.satellite.imagery.schemas import Document

Day = date
"""For rows whose own column is called `date`."""
Status = Literal["ok", "cloudy", "no data", "too small"]
INDICES = ("ndvi", "ndre", "ndmi", "savi", "evi")
"""Indices that are measured where the imagery has their bands."""
STATISTICS = ("mean", "median", "std", "p10", "p90")


class CropField(Document):
    """A field, or the part of its history in which it had one crop."""

    field_id: str
    crop: str | None = Field(description="Its crop, as the file states it.")
    valid_from: date | None = Field(description="First day, inclusive; None: always.")
    valid_to: date | None = Field(description="Last day, inclusive; None: always.")
    geometry: dict[str, Any] = Field(description="Its outline, a GeoJSON Polygon or MultiPolygon in WGS 84.")
    outline: str = Field(description="The start of the SHA-256 of its outline.")
    area_ha: float = Field(description="Area of the outline, ha.")

    def is_valid_on(self, day: date) -> bool:
        """Return whether a day lies within its validity."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


class FieldSet(Document):
    """The fields of a run (`fields.json`)."""

    file: str = Field(description="Name of the file that they were read from.")
    fields: list[CropField]
    findings: list[Finding] = Field(description="How the file was understood, where it left a choice.")


class ObservationRow(BaseModel):
    """What one pass shows of one field (`observations.parquet`); `<index>_<statistic>` of each index follows.

    Statistics are those of the clear pixels where the index is defined and within its range, null where fewer than 70 %
    of the field's pixels have a value; the standard deviation is that of the population.
    """

    field_id: str
    crop: str | None
    date: date
    scene: str = Field(description="Ids of the products.")
    pixels: int = Field(ge=0, description="Pixels whose centre lies inside the outline shrunk by 10 m.")
    clear_share: float = Field(ge=0, le=1, description="Share of these that are clear and hold data.")
    status: Status
    outline: str
    scene_sha256: str = Field(description="Of the stored scene.")
    is_new: bool = Field(description="Measured by this run; otherwise taken from an earlier one.")


KEY = tuple(ObservationRow.model_fields)
"""Columns of an observation before those of the indices."""


class SeriesRow(BaseModel):
    """NDVI of a field on a day (`series.parquet`): as observed, and the smoothed series."""

    field_id: str
    date: date
    observed: float | None = Field(description="Mean of the field on a clear pass; null on other days.")
    smoothed: float | None
    filled: bool = Field(description="Whether the field was not observed on the day.")


class SeasonRow(BaseModel):
    """The phenology of a season of a field (`seasons.parquet`)."""

    field_id: str
    crop: str | None
    season_from: date
    season_to: date
    passes: int
    start: date | None
    peak: date | None
    end: date | None
    peak_value: float | None
    amplitude: float | None
    reason: str | None = Field(description="Why one of these is missing.")


class AnomalyRow(BaseModel):
    """How a field stands on a clear pass (`anomalies.parquet`), against its own seasons and its neighbours."""

    field_id: str
    crop: str | None
    date: date
    value: float
    own_seasons: int
    own_median: float | None
    own_z: float | None
    neighbours: int
    neighbour_median: float | None
    neighbour_z: float | None
    reason: str | None = Field(description="Why it is compared with neither.")


class EventRow(BaseModel):
    """A harvest or mowing (`events.parquet`), with its evidence."""

    field_id: str
    crop: str | None
    kind: str
    date: Day
    since: Day
    value: float
    expected: float
    change: float
    unit: str
    z: float | None
    threshold: float
    compared: int
    compared_with: str | None
    text: str


class AlertRow(EventRow):
    """An alert (`alerts.parquet`), with its evidence."""

    is_current: bool = Field(description="Whether it describes the field as it is now.")
    past_because: str | None = Field(description="Why it is past; null for a current one.")
    is_new: bool = Field(description="Whether it is current, and no earlier run stated it.")


class MappedPass(BaseModel):
    """A pass that has an index raster of its own, in the list of the store."""

    date: date
    scene_sha256: str
