"""Documents and tables of crop classification."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from include.core.outcome import Finding
from include.satellite.crops.params import CropModel
from include.satellite.imagery.schemas import Document
from include.satellite.schemas import Decision


class SampleRow(BaseModel):
    """A field of the season (`crop_samples.parquet`); a column for each feature and month follows (`ndvi 2022-05`)."""

    field_id: str
    crop: str = Field(description="As the user states it.")
    longitude: float = Field(ge=-180, le=180)
    latitude: float = Field(ge=-90, le=90)
    block: int = Field(ge=0, description="Block of its place.")
    fold: int = Field(ge=0, description="Fold in which its block is held out.")
    months: int = Field(ge=1, description="Months with a usable date; the others are interpolated.")


class LeftOutCrop(Document):
    """A crop that is not learnt."""

    crop: str
    fields: int
    blocks: int
    reason: str


class CropData(Document):
    """What the series hold, and how they were understood (`crop_data.json`)."""

    file: str
    sha256: str = Field(description="Of the file.")
    features: list[str] = Field(description="Bands and indices, in the order of the columns of a month.")
    months: list[date] = Field(description="First day of each month of the season.")
    rows: int = Field(description="Rows of the table.")
    rows_used: int = Field(description="Of these, within the season, usable and with a value.")
    fields: int = Field(description="Fields of the samples' table.")
    crops: dict[str, int] = Field(description="Fields by crop that is learnt.")
    left_out: list[LeftOutCrop]
    blocks: int = Field(description="Blocks that hold fields of the training.")
    block_km: float
    synthetic: bool = Field(description="Whether the series were measured on simulated imagery, as its ids show.")
    findings: list[Finding]


class CropPrediction(BaseModel):
    """The probabilities of one model for one held-out field (`crop_predictions.parquet`): `p_<crop>` of each follow."""

    model: str = Field(description="`real`: this run's model; `month 2022-05`: its kind on that month.")
    sample: int = Field(ge=0, description="Row of `crop_samples.parquet`, from 0.")
    crop: str = Field(description="Its crop, as the user states it.")


class CropCard(Document):
    """The card of a crop classifier, with all that is needed to run it beside its weights (`crop_model.json`)."""

    kind: CropModel
    architecture: str
    crops: list[str] = Field(description="By output.")
    features: list[str]
    first_month: int = Field(ge=1, le=12, description="Month of the year in which the season begins.")
    months: int = Field(ge=1)
    fields: dict[str, int] = Field(description="Fields of the training by crop.")
    bounds: tuple[float, float, float, float] = Field(description="West, south, east, north of these fields.")
    season: tuple[date, date] = Field(description="First and last month.")
    file: str
    file_sha256: str
    synthetic: bool
    label_source: Literal["fields"] = "fields"
    seed: int
    params: dict[str, Any] = Field(description="Parameters of the training.")
    versions: dict[str, str]
    limits: list[str]
    weights_sha256: str


class CropScore(Document):
    """The scores of a classifier on held-out fields."""

    balanced_accuracy: float = Field(description="Mean recall of the crops.")
    accuracy: float
    recall: dict[str, float] = Field(description="By crop.")
    precision: dict[str, float | None] = Field(description="By crop; null where it was never predicted.")


class CropDifference(Document):
    """How much more balanced accuracy this run's model has than another one on the same fields."""

    against: str
    difference: float
    low: float | None = Field(
        description="Lower end of the 95 % interval, clustered by block; null: too few blocks to judge."
    )
    high: float | None

    @property
    def interval(self) -> str:
        """The interval in words."""
        return "no interval" if self.low is None or self.high is None else f"{self.low:+.3f} to {self.high:+.3f}"

    @property
    def is_shown(self) -> bool:
        """Whether the interval shows that this run's model is better."""
        return self.low is not None and self.low > 0


class CropComparison(Document):
    """The comparison and the decision (`crop_comparison.json`)."""

    decided_at: AwareDatetime
    label_source: Literal["fields"] = "fields"
    model: CropModel
    synthetic: bool
    allow_synthetic: bool
    env_file: dict[str, str | None] = Field(description="The env file's keys of models when this was decided.")
    champion: str | None = Field(description="Version of the classifier that the env file names.")
    fields: int
    folds: int
    blocks: int
    effective_blocks: float = Field(description="(Σn)² / Σn² of the fields by block (Kish 1965).")
    crops: list[str]
    models: dict[str, CropScore]
    single_dates: dict[str, float] = Field(description="Balanced accuracy of this run's kind of model on one month.")
    differences: list[CropDifference]
    confusion: list[list[int]] = Field(description="Fields of this run's model by crop (rows) and prediction.")
    notes: list[str]
    decision: Decision


class CropVerification(Document):
    """The models that were trained again (`crop_verification.json`)."""

    folds: list[int] = Field(description="Drawn after the comparison had ended.")
    fields: int
    models: list[str]
    largest_difference: float = Field(description="Of a probability.")
    tolerance: float


class ClassRow(BaseModel):
    """The crop of a field, as the promoted classifier sees it (`crop_classes.parquet`)."""

    field_id: str
    predicted: str
    probability: float = Field(ge=0, le=1, description="Of the predicted crop; the model's own, not calibrated.")
    second: str = Field(description="The next probable crop.")
    stated: str | None = Field(description="The crop that the user states, if any.")
    months: int = Field(description="Months with a usable date; the others are interpolated.")


class CropClasses(Document):
    """A classification of fields by the promoted classifier (`crop_classes.json`)."""

    model_version: str
    model_sha256: str
    file: str
    months: list[date]
    fields: int = Field(description="Fields that were classified.")
    by_crop: dict[str, int]
    stated: int = Field(description="Fields whose crop the user states among those that the model knows.")
    agreeing: int = Field(description="Of these, those that the model gives the same crop.")
    synthetic: bool
    findings: list[Finding]
