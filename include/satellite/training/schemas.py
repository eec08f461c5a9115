"""The documents of a training: the model's metrics on held-out places and dates, and its card."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from include.satellite.imagery.schemas import Document, Grid
from include.satellite.params import ForecastTarget

ModelKind = Literal["cnn", "lstm"]
CONSTANT_NOTE = (
    "1 − MAE/2 compares the error with the whole range of NDVI (−1 to 1): a constant scores 0.93 to 0.97 on real "
    "series. Trust the skill against the naive forecasts instead."
)
SKILL_NOTE = "Skill is 1 − MAE / MAE of the naive forecast: 0 is no better, 1 is perfect, below 0 is worse."


class Epoch(Document):
    """The losses of one pass over the training part."""

    epoch: int = Field(description="From 1.")
    train_loss: float = Field(description="Mean loss over the epoch's samples, while the weights change.")
    tune_loss: float = Field(description="Mean loss on the tuning part after the epoch; the least decides.")
    tune_score: float = Field(description="On the tuning part: accuracy (CNN), mean absolute error (LSTM).")


class TrainingRecord(Document):
    """The course of a training; it depends on data, parameters and machine alone, never on interruptions."""

    epochs: int = Field(description="Epochs run.")
    most_epochs: int = Field(description="Epochs allowed.")
    best_epoch: int = Field(description="The epoch whose weights the model has: the least loss on the tuning part.")
    stopped_early: bool = Field(description="Whether patience ran out before the allowed epochs.")
    samples_an_epoch: int = Field(description="Training samples an epoch, repeats counted.")
    train_samples: int
    tune_samples: int
    tuned_on: Literal["tune", "train"] = Field(
        description="The part that chose the best epoch; `train` where the tuning part is empty."
    )
    device: str = Field(description="`cpu`, or the name of the GPU.")
    precision: Literal["float32", "bfloat16"] = Field(description="Of the training; measuring is always in float32.")
    history: list[Epoch]


class ClassScore(Document):
    """The scores of one class on the validation part; None where they are undefined (no such sample)."""

    name: str
    samples: int = Field(description="Validation samples of the class.")
    precision: float | None
    recall: float | None
    f1: float | None
    in_gate: bool = Field(description="False: too few training samples for the gate.")


class Classification(Document):
    """The agreement of predicted classes with the true ones."""

    samples: int
    accuracy: float
    balanced_accuracy: float = Field(description="Mean recall of the classes that are present.")


class CnnMetrics(Document):
    """Metrics of the CNN on the validation part, which is used once (`cnn_metrics.json`)."""

    accuracy: float = Field(description="Share of the gate's samples whose class is right.")
    balanced_accuracy: float = Field(description="Mean recall over the gate's classes that are present.")
    minimum_accuracy: float = Field(description="`min_cnn_accuracy`.")
    required: bool = Field(description="Whether the minimum is a gate; for `next_ndvi` it is reported only.")
    expected_calibration_error: float = Field(
        description="Mean gap between confidence and accuracy, over 15 bins of confidence (Guo et al. 2017)."
    )
    all_classes: Classification = Field(description="The same, classes outside the gate included.")
    baselines: dict[str, Classification] = Field(description="Naive predictions on the gate's samples.")
    classes: list[ClassScore]
    confusion: list[list[int]] = Field(description="Samples by true class (rows) and predicted class (columns).")
    evaluation_dates: list[date]
    training: TrainingRecord


class Skill(Document):
    """The errors of a naive forecast, and the skill of the model over it."""

    mae: float
    rmse: float
    skill: float | None = Field(description=f"{SKILL_NOTE} None where the naive forecast makes no error.")


class Interval(Document):
    """The interval of a forecast, calibrated on later dates of places that the training did not see."""

    level: float = Field(description="Share of the truths that it is to cover.")
    half_width: float = Field(description="NDVI: the interval is the forecast ± this.")
    samples: int = Field(description="Sequences that calibrated it.")
    dates: int = Field(description="Their target dates.")
    coverage: float = Field(description="Share of the held-out truths that it covers.")


class LstmMetrics(Document):
    """Metrics of the LSTM on the validation part, which is used once (`lstm_metrics.json`)."""

    samples: int
    mae: float
    rmse: float
    r2: float | None = Field(description="Explained share of the variance; None where the truth is constant.")
    accuracy: float = Field(description="1 − MAE/2.")
    accuracy_note: str = CONSTANT_NOTE
    minimum_accuracy: float = Field(description="`min_lstm_accuracy`.")
    baselines: dict[str, Skill] = Field(description="Naive forecasts on the same samples.")
    climatology_fallback: float = Field(
        description="Share of samples whose location has no earlier date within 30 days of the day of the year: their "
        "climatology is the mean over its earlier dates."
    )
    evaluation_dates: list[date]
    interval: Interval | None = Field(None, description="None where the series hold no seasons: nothing calibrates it.")
    training: TrainingRecord


class CardData(Document):
    """The imagery that a model was trained on."""

    collection: str
    source: str
    synthetic: bool = Field(description="Whether any of the imagery is simulated.")
    start: AwareDatetime
    end: AwareDatetime
    dates: list[date]
    grid: Grid
    geometry: dict[str, Any] = Field(description="The area, a GeoJSON geometry in WGS 84.")


class ModelCard(Document):
    """A model card: what users must know of a model, and all that is needed to run it (beside the weights)."""

    kind: ModelKind
    architecture: str
    parameters: int = Field(description="Trainable weights.")
    classes: list[str] = Field(description="Names by output; empty for a forecast.")
    inputs: list[str] = Field(description="Bands (CNN) or features of a step (LSTM), in order.")
    size: int = Field(description="Side of a patch, pixels (CNN); dates in a sequence (LSTM).")
    target: ForecastTarget = Field(
        "absolute", description="What the forecast's output is: NDVI, or what is added to anomaly persistence."
    )
    interval: Interval | None = Field(None, description="The interval of the forecast, where it has one.")
    location_size: int | None = Field(None, description="Side of the tile whose mean NDVI it forecasts, pixels (LSTM).")
    mean: list[float] = Field(description="By input: subtracted before the model; of the training part alone.")
    std: list[float] = Field(description="By input: what it is divided by after that.")
    data: CardData
    label_source: str
    labels: str = Field(description="What the labels are, and what that means for the model.")
    gate_classes: list[str] = Field(description="Classes with enough training samples for the gate; empty: forecast.")
    metrics: dict[str, float] = Field(description="Main metrics on the validation part.")
    evaluation_dates: int = Field(description="Dates of the validation part.")
    limits: list[str]
    seed: int
    params: dict[str, Any] = Field(description="Parameters of the training.")
    device: str
    precision: str
    versions: dict[str, str]
    weights_sha256: str = Field(description="Checksum of the weights' file.")
