"""Parameters of crop classification."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Literal

from pydantic import model_validator

from include.core.contracts import RunParams, StepParams
from include.satellite.params import form_field

CropModel = Literal["random_forest", "gradient_boosting"]
_series, _training = partial(form_field, "Series"), partial(form_field, "Training")


class SeriesParams(StepParams):
    """The table of the series: its file, its columns, and the season that is taken from it."""

    series: str | None = _series(
        None,
        "Table (CSV or Parquet) of field, date, bands or indices, and crop; field monitoring publishes one "
        "(observations.parquet).",
        file=True,
    )
    fields: str | None = _series(
        None,
        "File with the outlines of the fields, where the table states no crop or no place (GeoJSON, GeoPackage, zipped "
        "shapefile or KML).",
        file=True,
    )
    id_column: str | None = _series(None, "Column that identifies a field. Default: field_id, else id.")
    date_column: str | None = _series(None, "Column of the date. Default: date.")
    crop_column: str | None = _series(None, "Column with the crop, of the table or the outlines. Default: crop.")
    longitude_column: str | None = _series(None, "Column of the longitude, degrees. Default: lon, else longitude.")
    latitude_column: str | None = _series(None, "Column of the latitude, degrees. Default: lat, else latitude.")
    reflectance_scale: float | None = _series(
        None, "Reflectance = number × scale, where bands are not stated as reflectance (0.0001).", gt=0, le=1
    )
    nodata: float | None = _series(None, "Number of a band or index that stands for a missing value (65535).")
    season_start: date | None = _series(
        None, "First day of the season; its month is the first one. Default: that of the first date."
    )
    season_end: date | None = _series(
        None, "Last day of the season; its month is the last one. Default: that of the last date."
    )

    @model_validator(mode="after")
    def _ordered(self) -> SeriesParams:
        if self.season_start and self.season_end and self.season_start > self.season_end:
            raise ValueError(f"season_start {self.season_start} must not be after season_end {self.season_end}")
        return self


class CropDataParams(SeriesParams):
    """The samples of a training: which crops, and the blocks that keep neighbours together."""

    min_fields: int = _training(
        20, "Fewest fields of a crop; crops with fewer are left out, and listed.", ge=5, le=100_000
    )
    block_km: float = _training(
        10, "Side of the blocks whose fields are held out together, kilometres.", ge=0.5, le=200
    )


class CropTrainParams(StepParams):
    """The training."""

    crop_model: CropModel = _training(
        "random_forest", "The model that may be promoted; the other one is evaluated beside it."
    )
    seed: int = _training(0, "Seed of the training.", ge=0, le=2**31 - 1)


class CropCompareParams(CropTrainParams):
    """Comparing, and deciding."""

    allow_synthetic: bool = form_field("Promotion", False, "A model of simulated series may reach the .env file.")


class CropVerifyParams(CropCompareParams, RunParams):
    """Training again: a drawn fold, in an audit all folds."""


class CropConfigureParams(CropCompareParams):
    """Updating the configuration."""

    require_approval: bool = form_field(
        "Promotion", False, "Ask a reviewer, with the diff, before the .env file changes."
    )
