"""Parameters of the steps that monitor fields."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from include.core.contracts import RunParams, StepParams
from include.core.settings import read_settings
from include.satellite.fields.schemas import INDICES
from include.satellite.params import (
    ImageryStepParams,
    SatelliteSettings,
    SourceParam,
    SourceParams,
    ValidateParams,
    WindowParams,
    form_field,
)
from include.satellite.sensors.sentinel2 import SENTINEL2

DEMO = "demo"
MANY_PASSES = 10_000
"""More than any window holds: every pass counts."""
if TYPE_CHECKING:
    MonitoredIndex = str
else:
    MonitoredIndex = Literal[INDICES]
_fields = partial(form_field, "Fields")


class FieldsParams(SourceParam):
    """The fields: their file, and its columns."""

    fields: str | None = Field(
        default_factory=lambda: read_settings(SatelliteSettings).fields,
        description="File with the outlines of the fields: GeoJSON, GeoPackage, zipped shapefile or KML. Default: "
        "GROUNDTRUTH_FIELDS; for the source demo, fields of the simulated land.",
        json_schema_extra={"section": "Fields", "file": True},
    )
    id_column: str | None = _fields(None, "Column that identifies a field. Default: id, else the features' own ids.")
    crop_column: str | None = _fields(None, "Column with the crop. Default: crop, where there is one.")
    valid_from_column: str | None = _fields(
        None, "Column with the first day on which a row counts. Default: valid_from, where there is one."
    )
    valid_to_column: str | None = _fields(
        None, "Column with the last day on which a row counts, inclusive. Default: valid_to, where there is one."
    )


class PassParams(SourceParams, WindowParams):
    """Finding, fetching and checking passes over the fields."""

    resolution: int = form_field("Area", 10, "Pixel size in metres.", ge=10, le=60)
    indices: tuple[MonitoredIndex, ...] = _fields(
        ("ndvi", "savi", "evi"),
        f"Indices of the fields: {', '.join(INDICES)}. NDRE and NDMI fetch more bands (B05, B8A, B11).",
        min_length=1,
    )
    max_cloud_cover: float = form_field(
        "Imagery", 90, "A pass with more cloud over the area of all fields is not fetched, percent.", ge=0, le=100
    )

    def for_search(self, area: dict[str, Any]) -> ImageryStepParams:
        """Return the parameters of a search over an area that takes every pass."""
        values = {"target_count": MANY_PASSES, "history_days": 0}
        return ImageryStepParams.model_validate(self._of_imagery(area)).model_copy(update=values)

    def for_validation(self, area: dict[str, Any]) -> ValidateParams:
        """Return the parameters of a validation that needs no number of passes."""
        return ValidateParams.model_validate(self._of_imagery(area)).model_copy(update={"min_dates": 0})

    def _of_imagery(self, area: dict[str, Any]) -> dict[str, Any]:
        shared = {name: value for name, value in self if name in ValidateParams.model_fields}
        return shared | {"geojson": area, "extra_bands": self.extra_bands, "min_clear": 0}

    @property
    def extra_bands(self) -> tuple[str, ...]:
        """Bands that the indices need beside those of every run."""
        from include.satellite.sensors.indices import INDICES as FORMULAS

        needed = {SENTINEL2.name_of(band) for name in self.indices for band in FORMULAS[name].bands}
        return tuple(band for band in SENTINEL2.extra_bands if band in needed)


class MeasureParams(RunParams):
    """Measuring the fields; an audit measures all again."""


class MapParams(RunParams):
    """Mapping the fields; an audit checks every raster again."""

    map_every_pass: bool = _fields(
        True, "Publish an index raster with a STAC item of every pass, not of the latest one alone."
    )


class AnalyseParams(StepParams):
    """Analysing the observations."""

    no_data_days: int = _fields(
        30, "Days without a clear pass over a field after which there is an alert.", ge=5, le=366
    )
