"""The documents of the comparison, the promotion and the crop-health map."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from include.satellite.imagery.schemas import Document
from include.satellite.params import LabelSource

ModelName = Literal["cnn", "lstm"]
Metric = Literal["accuracy", "balanced_accuracy", "mae"]
REAL, SYNTHETIC, CHAMPION = "real", "synthetic", "champion"
"""Names of the trained models in a comparison: this run's, the synthetic baseline's, the one that is in use."""
TITLES = {REAL: "this run's model", SYNTHETIC: "synthetic baseline", CHAMPION: "champion", "ndvi_rule": "NDVI rule"}


def title_of(model: str) -> str:
    """Return a model's name for a table or plot."""
    return TITLES.get(model, model.replace("_", " "))


PLACE = r"^[0-9]{1,3}\.[0-9]{3}[EW]_[0-9]{1,2}\.[0-9]{3}[NS]_[0-9]{1,3}\.[0-9]{3}[EW]_[0-9]{1,2}\.[0-9]{3}[NS]$"
"""`75.800E_30.900N_75.900E_31.000N`: a place names a published folder."""


class BaselineInfo(Document):
    """The description of a synthetic baseline (`baseline/baseline.json`)."""

    world: str
    seed: str
    area: str
    period: str
    label_source: str
    key: str


class Difference(Document):
    """The difference of this run's model from another on the same samples; above 0: this run's is better."""

    against: str
    metric: Metric
    difference: float = Field(description="Gain in accuracy, or error avoided (MAE of the other − MAE of this).")
    low: float | None = Field(description="Lower end of the 95 % interval; None: too few blocks or spells to judge.")
    high: float | None
    effective_samples: float | None = Field(
        None, description="Independent samples that would give the same standard error; None: nothing varies."
    )


class CnnScore(Document):
    """The scores of a classifier on the held-out patches of the gate's classes."""

    accuracy: float
    balanced_accuracy: float = Field(description="Mean recall over the classes that are present.")
    recall: dict[str, float] = Field(description="By class that is present.")


class LstmScore(Document):
    """The scores of a forecast of NDVI on the held-out sequences."""

    mae: float
    rmse: float
    accuracy: float = Field(description="1 − MAE/2: the documented measure, which a constant nearly passes.")


class _SampleComparison(Document):
    samples: int
    blocks: int
    spells: int | None = Field(None, description="Spells of 30 days that hold a date.")
    dates: list[date]


class CnnComparison(_SampleComparison):
    """The scores of classifiers on the same patches: held-out blocks on held-out dates."""

    classes: list[str] = Field(description="Those with enough training samples to count.")
    left_out: list[str] = Field(description="Those with fewer; their patches do not count.")
    accuracy_improvement: float | None = Field(
        description="Accuracy of this run's model over the synthetic baseline's, percent of the latter."
    )
    models: dict[str, CnnScore]
    differences: list[Difference]


class NextComparison(_SampleComparison):
    """The scores of classes of the next date, from the series, on the held-out sequences."""

    classes: list[str] = Field(description="Those with enough training sequences to count.")
    left_out: list[str] = Field(description="Those with fewer; their sequences do not count.")
    models: dict[str, CnnScore]
    differences: list[Difference]


class LstmComparison(_SampleComparison):
    """The scores of forecasts of the same targets: held-out blocks on the latest dates."""

    mae_improvement: float | None = Field(
        description="Error that this run's model avoids against the synthetic baseline's, percent of the latter."
    )
    models: dict[str, LstmScore]
    differences: list[Difference]


class Gate(Document):
    """One condition of a promotion."""

    name: str
    passed: bool
    required: bool = Field(True, description="Whether it decides; otherwise it is reported only.")
    value: float | None = Field(description="What was measured.")
    bound: float | None = Field(description="What it is compared with.")
    sentence: str


class Decision(Document):
    """The decision of the gates: whether the models are promoted."""

    promote: bool = Field(description="Whether any model is promoted.")
    reasons: list[str] = Field(description="Why not; or, if so, what decided.")
    gates: list[Gate]
    promoted: list[ModelName] = Field([], description="Models that passed all gates of their own.")

    @property
    def models(self) -> list[ModelName]:
        """The models that are promoted; up to v0.1.0 both were, or neither."""
        return self.promoted or (["cnn", "lstm"] if self.promote else [])


class Comparison(Document):
    """The comparison of all models, and the decision (`comparison.json`)."""

    decided_at: AwareDatetime
    label_source: LabelSource
    synthetic: bool = Field(description="Whether any of the imagery is simulated.")
    allow_synthetic: bool
    env_file: dict[str, str | None] = Field(description="The env file's keys of models when this was decided.")
    champion: str | None = Field(description="Version of the model that the env file names, if it can be compared.")
    champions: dict[ModelName, str] = Field({}, description="That version by model: each has a key of its own.")
    baseline: dict[str, Any] = Field(description="How the synthetic baseline was made.")
    notes: list[str] = Field(description="What a reader should know of this comparison.")
    resamples: int = Field(0, description="Of the bootstrap that gave the intervals up to v0.1.0; 0: none did.")
    seed: int
    cnn_comparison: CnnComparison
    lstm_comparison: LstmComparison
    next_comparison: NextComparison | None = Field(
        None, description="Of the class of the next date, where label_source is next_ndvi."
    )
    decision: Decision


class Approval(Document):
    """A reviewer's answer, or the rejection after the timeout (`approval.json`)."""

    approved: bool
    by: str
    why: str
    evidence: str | None = Field(
        None, description="SHA-256 of the evidence that the answer is about; null where no reviewer answered."
    )


class Configuration(Document):
    """The result of a promotion: what was changed in the env file (`configuration.json`)."""

    promoted: bool
    reasons: list[str] = Field(description="Why it was refused; or, if promoted, what decided.")
    models: list[ModelName] = Field([], description="Models that were promoted.")
    version: str | None = Field(None, description="Of the stored model; None: refused, nothing stored.")
    env_file: str
    changes: dict[str, str] = Field({}, description="What the env file sets now.")
    diff: str = Field("", description="Lines that changed, as unified diff; empty if there was nothing to change.")
    backup: str | None = Field(None, description="The env file as it was before, below its folder.")
    entry: str | None = Field(None, description="Entry of the env file's history; `./pipeline env rollback` undoes it.")
    synthetic: bool
    notes: list[str] = Field([])


class HealthMap(Document):
    """The crop-health map of one date (`health_map.json`)."""

    date: date
    place: str = Field(description="Bounding box of the area.", pattern=PLACE)
    drawn_by: Literal["model", "ndvi_rule"]
    why: str = Field(description="Why the model or the rule drew it.")
    model_version: str | None
    label_source: LabelSource | None = Field(description="Labels that the model was trained on; None: the rule.")
    synthetic: bool = Field(description="Whether imagery or model come from simulated scenes.")
    notes: list[str]
    env_file: str
    crs: str
    resolution: int = Field(description="Pixel size, metres.")
    hectares: dict[str, float] = Field(description="By class.")
    not_assessed: float = Field(description="Hectares without a class: cloud, shadow, water, nodata.")
    outside: float = Field(description="Hectares of the raster outside the area.")
    mean_confidence: float | None = Field(description="Of the assessed pixels; None for the rule, which has none.")
