"""Documents of the datasets, and the records of their indices."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field, NonNegativeInt

from include.satellite.imagery.schemas import Document, Grid, Imagery
from include.satellite.params import LabelParams, LabelSource

ClassName = Literal["Healthy", "Moderate", "Stressed", "Critical"]
Split = Literal["train", "tune", "validation"]
CLASSES: tuple[str, ...] = get_args(ClassName)
SPLITS: tuple[str, ...] = get_args(Split)
TRAIN, TUNE, VALIDATION = range(3)


class Normalisation(Document):
    """The scaling of reflectances to a model's input: (reflectance − mean) / std, by band."""

    bands: list[str]
    mean: list[float] = Field(description="Reflectance by band, over the clear pixels of the training part alone.")
    std: list[float] = Field(description="Standard deviation by band, over the same pixels.")


class BlockPlan(Document):
    """The blocks of the area, numbered by row from the top left, and the split that each belongs to."""

    row_edges: list[int] = Field(description="First pixel row of each row of blocks, then the area's height.")
    column_edges: list[int] = Field(description="First pixel column of each column of blocks, then the area's width.")
    tune: list[int] = Field(description="Blocks taken from the training blocks, for early stopping.")
    validation: list[int] = Field(description="Blocks held out of training.")

    @property
    def count(self) -> int:
        """Number of blocks."""
        return (len(self.row_edges) - 1) * (len(self.column_edges) - 1)


class _DatasetInfo(Document):
    grid: Grid
    dates: list[date] = Field(description="Dates of the imagery, in order.")
    synthetic: bool = Field(description="Whether any of the imagery is simulated.")
    seed: int
    blocks: BlockPlan
    left_out: dict[str, NonNegativeInt] = Field(
        description="Patches, or locations × target dates, without a label, by reason."
    )
    dropped: dict[str, NonNegativeInt] = Field(
        description="Labelled patches, or sequences, that no split takes, by reason."
    )
    masked_pixels: int = Field(description="Clear pixels masked because an index is out of range or undefined.")
    crop_share: float | None = Field(None, description="Cropland in the area by the crop mask, percent; None: no mask.")
    crop_codes: dict[str, float] = Field({}, description="Share of each code of the crop mask in the area, percent.")

    @classmethod
    def of(cls, imagery: Imagery, params: LabelParams, **values: Any) -> Self:
        """Return the description of a dataset.

        Args:
            imagery: The imagery that it is made from.
            params: How it is made; what imagery and parameters state under the name of a field is taken from there.
            values: The other fields.
        """
        stated = {name: value for source in (imagery, params) for name, value in source if name in cls.model_fields}
        return cls(dates=[acquisition.date for acquisition in imagery.acquisitions], **(stated | values))


class PatchRow(BaseModel):
    """One sample of `cnn_index.parquet`."""

    date: int = Field(ge=0, description="Position in the dates of `cnn_dataset.json`.")
    row: int = Field(ge=0, description="Top pixel row of the patch.")
    column: int = Field(ge=0, description="Left pixel column of the patch.")
    label: ClassName
    split: Split
    block: int = Field(ge=0, description="Block that holds the patch's centre.")
    repeat: int = Field(ge=1, le=5, description="How often an epoch draws the sample; above 1 only in training.")
    ndvi: float = Field(ge=-1, le=1, description="Mean NDVI of the pixels that decide, at the date.")


class PatchInfo(_DatasetInfo):
    """The CNN's training data (`cnn_dataset.json`)."""

    bands: list[str] = Field(description="Bands of the cube, in order.")
    classes: list[str] = Field(description="Names by label.")
    label_source: LabelSource
    patch_size: int
    stride: int
    normalisation: Normalisation
    training_dates: list[date] = Field(description="Dates of training and tuning patches.")
    validation_dates: list[date]
    positions: int = Field(description="Patch positions on the grid; positions × dates = samples + left out + dropped.")
    counts: dict[str, dict[str, int]] = Field(description="Samples by split and class.")
    drawn: dict[str, int] = Field(description="Training samples an epoch by class, repeats counted.")
    gate_classes: list[str] = Field(description="Classes that count in the gates: at least 20 training samples.")
    sensor: str = Field("sentinel2", description="Sensor that took the imagery.")


class SequenceRow(BaseModel):
    """One sample of `lstm_index.parquet`."""

    location: int = Field(ge=0, description="Row of `lstm_series.npy`.")
    target: int = Field(ge=0, description="Position of the target date in the dates of `lstm_dataset.json`.")
    split: Split
    block: int = Field(ge=0)


class SequenceInfo(_DatasetInfo):
    """The LSTM's training data (`lstm_dataset.json`)."""

    sequence_length: int
    features: list[str] = Field(description="Values of each step of a sequence, in order.")
    location_size: int = Field(description="Side of a location, pixels.")
    locations: int = Field(description="Locations on the grid, numbered by row from the top left.")
    locations_across: int = Field(description="Locations in a row of them.")
    locations_per_window: int
    training_targets: list[date] = Field(description="Target dates of training and tuning.")
    calibration_targets: list[date] = Field(
        [], description="Later target dates of the tuning blocks, which calibrate the intervals of the forecast."
    )
    validation_targets: list[date]
    counts: dict[str, int] = Field(description="Samples by split.")
    series_resolution: int | None = Field(
        None, description="Pixel size of the imagery that the series are made from, metres."
    )
    hazy_dates: list[date] = Field([], description="Dates of the history that are left out for haze.")
