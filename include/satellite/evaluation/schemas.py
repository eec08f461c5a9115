"""Documents and rows of the evaluation: predictions on held-out samples, and their verification."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from include.satellite.datasets.schemas import ClassName
from include.satellite.imagery.schemas import Document

ClassifierName = Literal["real", "synthetic", "champion", "majority", "logistic_regression", "ndvi_rule"]
ForecasterName = Literal[
    "real",
    "synthetic",
    "champion",
    "persistence",
    "anomaly_persistence",
    "climatology",
    "training_mean",
    "ridge",
    "gradient_boosting",
]
NextClassName = Literal[
    "real",
    "synthetic",
    "champion",
    "persistence",
    "anomaly_persistence",
    "climatology",
    "majority",
    "gradient_boosting",
]


class PatchPrediction(BaseModel):
    """The class probabilities of one model for one held-out patch (`cnn_predictions.parquet` and others)."""

    model: ClassifierName = Field(description="`real`: this run's model; a naive rule gives its class 1.")
    sample: int = Field(ge=0, description="Row of `cnn_index.parquet`, from 0.")
    truth: ClassName
    healthy: float = Field(ge=0, le=1, description="Probability of the class.")
    moderate: float = Field(ge=0, le=1)
    stressed: float = Field(ge=0, le=1)
    critical: float = Field(ge=0, le=1)


class NextClassPrediction(PatchPrediction):
    """The probabilities of the class at the next date, from a held-out sequence (`next_comparison.parquet`)."""

    model: NextClassName = Field(  # type: ignore[assignment]
        description="`real`: the class of this run's forecast of NDVI; all but gradient boosting give their class 1."
    )
    sample: int = Field(ge=0, description="Row of `lstm_index.parquet`, from 0.")


class SequencePrediction(BaseModel):
    """The forecast of one model for one held-out sequence (`lstm_predictions.parquet` and others)."""

    model: ForecasterName = Field(description="`real`: this run's model.")
    sample: int = Field(ge=0, description="Row of `lstm_index.parquet`, from 0.")
    truth: float = Field(description="NDVI at the target date.")
    forecast: float = Field(description="NDVI.")


class Verification(Document):
    """The weights that were run again on drawn held-out samples (`verification.json`)."""

    patches: int = Field(description="Held-out patches drawn.")
    sequences: int = Field(description="Held-out sequences drawn.")
    tolerance: float = Field(description="Largest difference of a probability or of NDVI that counts as the same.")
    largest_difference: dict[str, float] = Field(description="By model: `cnn real`, `lstm champion`, …")
    calibrating: int = Field(0, description="Later sequences drawn, whose forecasts calibrate the interval.")
    weights_sha256: dict[str, str] = Field(description="Of the weights that were run, by model.")
