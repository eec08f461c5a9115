"""Parameters of the satellite pipeline's steps; each step takes those of the groups that it inherits.

A parameter's default may be a setting of the deployment, which is read from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.core.contracts import RunParams, StepParams
from include.core.errors import BadInputError
from include.core.settings import read_settings
from include.satellite.sensors.sensor import REFERENCE, Sensor
from include.satellite.sensors.sentinel2 import SENTINEL2

LUDHIANA = (75.8, 30.9, 75.9, 31.0)
LARGEST_AREA_DEGREES = 5.0
OWN_AREA = {"geojson": "--area", "bbox": "--bbox", "fields": "--fields"}
"""Parameters that state an area of the user's own, and their options."""
Source = Literal["demo", "sentinelhub", "cdse", "stac"]
MaskType = Literal["scl", "clm", "clp", "cloud_probability", "s2cloudless", "fmask"]
ForecastTarget = Literal["residual", "absolute"]
LabelSource = Literal["ndvi_rule", "next_ndvi", "reference"]
if TYPE_CHECKING:
    ExtraBand = str
else:
    ExtraBand = Literal[SENTINEL2.extra_bands]


class SatelliteSettings(BaseSettings):
    """Settings that only satellite pipelines read."""

    model_config = SettingsConfigDict(env_prefix="GROUNDTRUTH_", frozen=True)

    imagery_source: Source = Field(
        "demo", description="Where the satellite pipeline's imagery comes from, unless a run's `source` says otherwise."
    )
    fields: str | None = Field(
        None, description="File with the outlines of the fields that are monitored, unless a run names another one."
    )
    keep_imagery_days: int = Field(
        365,
        description="Housekeeping removes scenes that no run has used for so many days; a run that "
        "needs one fetches it again. 0: all stay.",
        ge=0,
    )
    keep_imagery_gb: float = Field(
        200,
        description="Housekeeping removes the scenes that were used longest ago where the store is larger (GB); never "
        "one that was used within a day. 0: no limit.",
        ge=0,
    )


def form_field(section: str, default: Any, description: str, *, file: bool = False, **limits: Any) -> Any:
    """Return a field of a section of the run's form; with `file`, its value names an input file."""
    extra: dict[str, Any] = {"section": section} | ({"file": True} if file else {})
    return Field(default, description=description, json_schema_extra=extra, **limits)


_area, _window, _imagery = partial(form_field, "Area"), partial(form_field, "Window"), partial(form_field, "Imagery")
_data, _training = partial(form_field, "Training data"), partial(form_field, "Training")
_promotion, _run = partial(form_field, "Promotion"), partial(form_field, "Run")


class AreaParams(StepParams):
    """Where: a bounding box, or a GeoJSON polygon that replaces it."""

    bbox: tuple[float, float, float, float] = _area(
        LUDHIANA, "West, south, east, north in degrees (WGS 84). Default: Ludhiana, Punjab."
    )
    geojson: dict[str, Any] | None = _area(
        None,
        "GeoJSON: a Polygon, MultiPolygon, Feature or FeatureCollection (WGS 84, unless `crs` says so); replaces bbox.",
    )
    resolution: int = _area(10, "Pixel size in metres.", ge=10, le=60)

    @field_validator("bbox")
    @classmethod
    def _on_earth(cls, bbox: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        west, south, east, north = bbox
        if not (-180 <= west < east <= 180 and -80 <= south < north <= 84):
            raise ValueError("must be west < east (-180 to 180) and south < north (-80 to 84, where UTM is defined)")
        if max(east - west, north - south) > LARGEST_AREA_DEGREES:
            raise ValueError(
                f"must not be wider or taller than {LARGEST_AREA_DEGREES:g} degrees: one UTM grid holds it"
            )
        return bbox


class WindowParams(StepParams):
    """When: the days before the end of the run's data interval."""

    end: AwareDatetime | None = _window(
        None, "End of the window, exclusive. Default: the end of the run's data interval."
    )
    days_back: int = _window(365, "Days before the end that are searched.", ge=1, le=3660)

    @property
    def window(self) -> tuple[datetime, datetime]:
        """First instant, inclusive, and end, exclusive.

        Raises:
            BadInputError: The run's preparation has not set the end.
        """
        if self.end is None:
            raise BadInputError("end: the window needs an end (the run's preparation sets it)")
        return self.end - timedelta(days=self.days_back), self.end


class SelectionParams(StepParams):
    """Which acquisitions."""

    target_count: int = _imagery(20, "Dates wanted.", ge=1, le=400)
    min_dates: int = _imagery(15, "Fewer usable dates than these fail the validation.", ge=1, le=400)
    max_cloud_cover: float = _imagery(20, "Most cloud over the area on a usable date, percent.", ge=0, le=100)
    min_clear: float = _imagery(70, "Least clear share of the area on a usable date, percent.", ge=0, le=100)

    @model_validator(mode="after")
    def _possible(self) -> SelectionParams:
        if self.min_dates > self.target_count:
            raise ValueError(f"min_dates {self.min_dates} must not exceed target_count {self.target_count}")
        return self

    def rejection(self, clear: float, cloud: float) -> str | None:
        """Return why a date is not usable, or None if it is.

        Args:
            clear: Clear share of the area, percent.
            cloud: Cloud share of the area, percent.
        """
        if cloud > self.max_cloud_cover:
            return f"cloud over {cloud:.1f} % of the area, at most {self.max_cloud_cover:g} % wanted"
        if clear < self.min_clear:
            return f"only {clear:.1f} % of the area is clear, at least {self.min_clear:g} % wanted"
        return None


class LabelSourceParams(StepParams):
    """The source of the labels; true stress is a band of the simulator, so it decides about what is fetched."""

    label_source: LabelSource = _data(
        "ndvi_rule",
        "Label of a patch: ndvi_rule (class of its own mean NDVI), next_ndvi (class at the next usable date: predicted "
        "from the series, the CNN's is reported only), reference (a class raster).",
    )
    reference: str | None = _data(
        None,
        "Class raster (GeoTIFF, classes 1 to 4, 0 = none) for label_source reference. Default: the simulator's truth.",
        file=True,
    )


class SourceParam(StepParams):
    """Where imagery comes from."""

    source: Source = Field(
        default_factory=lambda: read_settings(SatelliteSettings).imagery_source,
        description="Where imagery comes from: demo (the local stand-in, no credentials), sentinelhub, cdse "
        "(Copernicus Data Space), or stac (a STAC API, no account). Default: GROUNDTRUTH_IMAGERY_SOURCE, else demo.",
        json_schema_extra={"section": "Imagery"},
    )


class SourceParams(SourceParam):
    """Where imagery comes from, and what it may cost."""

    stac_url: str | None = _imagery(
        None, "STAC API of source stac: its URL, or earth-search or planetary-computer. Default: earth-search."
    )
    stac_collection: str | None = _imagery(
        None,
        "Its collection. Default: sentinel-2-c1-l2a of earth-search, sentinel-2-l2a of planetary-computer.",
    )
    scenes: str | None = _imagery(
        None,
        "Folder of GeoTIFF scenes that source demo reads instead of simulating them; below GROUNDTRUTH_INPUT_DIRS.",
    )
    mask_type: MaskType | None = _imagery(
        None,
        "Type of the masks in that folder: scl, clm (1 is cloud), clp (0 to 255), cloud_probability (percent), "
        "s2cloudless (0 to 1) or fmask. Default: a scene classification (SCL) whose name says so.",
    )
    scale: float | None = _imagery(
        None,
        "Scale of that folder's numbers: reflectance = number × scale + offset. Default: the files' tags, else their "
        "type.",
        gt=0,
        le=1,
    )
    offset: float | None = _imagery(
        None,
        "Offset of that folder's numbers, reflectance: -0.1 where 1000 was added to numbers of scale 0.0001.",
        gt=-1,
        le=1,
    )
    band_names: tuple[str, ...] = _imagery(
        (), "Bands of that folder's files, in their order; - for one that is not used. Default: their descriptions."
    )
    max_processing_units: float = _imagery(
        500, "The run stops before it would spend more processing units than this.", gt=0
    )
    skip_download: bool = _run(False, "Take the usable dates of the imagery store; no network.")

    @field_validator("band_names", mode="before")
    @classmethod
    def _separated(cls, names: Any) -> Any:
        return [name.strip() for name in names.split(",")] if isinstance(names, str) else names


class HistoryParams(StepParams):
    """How far back the series of NDVI reach."""

    history_days: int = _imagery(
        1825,
        "Days before the end whose previews (60 m) serve the forecast's series of NDVI; 0: the dates of the run alone.",
        ge=0,
        le=3660,
    )


class ImageryParams(SourceParams, SelectionParams, WindowParams, AreaParams):
    """Searching and fetching imagery."""

    extra_bands: tuple[ExtraBand, ...] = _imagery((), f"Bands beside {', '.join(SENTINEL2.base_bands)}.")


class ImageryStepParams(LabelSourceParams, HistoryParams, ImageryParams):
    """Searching, fetching and collecting imagery, with the bands that the labels need."""

    @property
    def sensor(self) -> Sensor:
        """The sensor whose imagery is fetched."""
        return SENTINEL2

    @property
    def wants_reference(self) -> bool:
        """Whether the class raster is to come with the imagery."""
        return self.label_source == "reference" and self.reference is None

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of each file, in order: reflectances, scene classification, and REFERENCE where it is wanted."""
        reference = (REFERENCE,) if self.wants_reference else ()
        return (*self.sensor.base_bands, *dict.fromkeys(self.extra_bands), self.sensor.classes.band, *reference)


class ValidateParams(ImageryParams):
    """Validating imagery."""

    skip_validation: bool = _run(False, "Only count the dates against min_dates.")
    allow_synthetic: bool = _promotion(False, "Models trained on simulated imagery may reach the .env file.")


class LabelParams(LabelSourceParams):
    """What a model learns, and with which random numbers."""

    crop_mask: str | None = _data(
        None,
        "GeoTIFF that is 1 on cropland, or a land-cover map with crop_mask_codes; other pixels get no label.",
        file=True,
    )
    crop_mask_codes: tuple[int, ...] = _data(
        (), "Codes that are cropland where crop_mask is a land-cover map: 40 in ESA WorldCover."
    )
    seed: int = _data(0, "Seed of splits, sampling and training.", ge=0, le=2**31 - 1)


class CnnDataParams(LabelParams):
    """Patches for the CNN."""

    samples_per_class: int = _data(2000, "Most training patches a class.", ge=20, le=100_000)
    patch_size: int = _data(64, "Side of a patch, pixels; a multiple of 8.", ge=8, le=256, multiple_of=8)
    stride: int = _data(32, "Distance between patches, pixels.", ge=1, le=256)
    export_npy: bool = _data(False, "Also write the datasets as .npy files.")


class LstmDataParams(LabelParams):
    """Sequences for the LSTM."""

    sequence_length: int = _data(10, "Dates in a sequence.", ge=2, le=100)
    locations_per_window: int = _data(100, "Most locations a window of dates.", ge=1, le=100_000)
    location_size: int = _data(32, "Side of the square whose mean NDVI is a location's, pixels.", ge=1, le=256)
    export_npy: bool = _data(False, "Also write the datasets as .npy files.")


class CnnTrainParams(CnnDataParams):
    """Training the CNN."""

    cnn_epochs: int = _training(50, "Most epochs of the CNN.", ge=1, le=1000)
    cnn_patience: int = _training(10, "Epochs without improvement before the CNN's training stops.", ge=1, le=1000)
    cnn_learning_rate: float = _training(1e-3, "Adam's learning rate for the CNN.", gt=0, le=1)
    cnn_batch_size: int = _training(32, "Patches in a batch.", ge=1, le=4096)
    min_cnn_accuracy: float = _promotion(
        0.85, "Accuracy that the CNN must reach (reported only for next_ndvi).", ge=0, le=1
    )


class LstmTrainParams(LstmDataParams):
    """Training the LSTM."""

    lstm_epochs: int = _training(100, "Most epochs of the LSTM.", ge=1, le=1000)
    lstm_patience: int = _training(15, "Epochs without improvement before the LSTM's training stops.", ge=1, le=1000)
    lstm_learning_rate: float = _training(1e-3, "Adam's learning rate for the LSTM.", gt=0, le=1)
    lstm_batch_size: int = _training(32, "Sequences in a batch.", ge=1, le=4096)
    lstm_target: ForecastTarget = _training(
        "residual",
        "What the LSTM learns: residual (what is left of anomaly persistence: the last NDVI and the season's change), "
        "absolute (NDVI itself).",
    )
    min_lstm_accuracy: float = _promotion(0.80, "1 − MAE/2 that the LSTM must reach.", ge=0, le=1)


class CompareParams(HistoryParams, CnnTrainParams, LstmTrainParams):
    """Comparing the models, and deciding."""

    resolution: int = _area(10, "Pixel size in metres.", ge=10, le=60)
    allow_synthetic: bool = _promotion(False, "Models trained on simulated imagery may reach the .env file.")


class VerifyParams(CompareParams, RunParams):
    """Running the weights again: on drawn held-out samples, in an audit on all."""


class ConfigureParams(CompareParams):
    """Updating the configuration: every gate is computed again, so it takes what the comparison takes."""

    require_approval: bool = _promotion(False, "Ask a reviewer, with the diff, before the .env file changes.")


class HealthMapParams(StepParams):
    """Drawing the crop-health map; the .env file names the model that draws it."""

    imagery: str | None = _imagery(
        None,
        "Manifest of validated imagery: a file (a published validated.json), or run:RUN for that of a run of "
        "satellite_pipeline. Default: that of the run that triggered this one, else of the run that validated last.",
        file=True,
    )


def invented(params: Mapping[str, Any], stated: Collection[str]) -> str | None:
    """Return what a run would invent instead of reading it; None where its imagery is real.

    Args:
        params: The run's parameters.
        stated: Names of those that its schedule states: a `source` asks for what it is.
    """
    is_real = params.get("source") != "demo" or params.get("scenes") or params.get("skip_download")
    if is_real or "source" in stated or "GROUNDTRUTH_IMAGERY_SOURCE" in os.environ:
        return None
    return "imagery would be simulated; state `source`: stac, cdse, sentinelhub, or demo to have it simulated"


def check_source(stated: Mapping[str, Any]) -> None:
    """Refuse an area of the user's own without a source: simulated imagery would show nothing of it.

    Args:
        stated: The parameters that the user states.

    Raises:
        BadInputError: No source was chosen.
    """
    own = [option for name, option in OWN_AREA.items() if stated.get(name)]
    chosen = [name for name in ("source", "scenes", "skip_download") if stated.get(name)]
    if own and not chosen and "GROUNDTRUTH_IMAGERY_SOURCE" not in os.environ:
        raise BadInputError(
            f"{own[0]}: choose where the imagery of your area comes from: --source stac (no account), cdse or "
            "sentinelhub, or --scenes DIR; --source demo simulates it"
        )


def check_fields_source(stated: Mapping[str, Any]) -> None:
    """Refuse fields of the user's own without a source; those of `GROUNDTRUTH_FIELDS` too.

    Args:
        stated: The parameters that the user states.

    Raises:
        BadInputError: No source was chosen.
    """
    check_source({"fields": read_settings(SatelliteSettings).fields, **stated})
