"""The artifacts of the satellite steps, each named once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from include.core.artifacts import sha256
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.satellite.crops.schemas import (
    ClassRow,
    CropCard,
    CropClasses,
    CropComparison,
    CropData,
    CropPrediction,
    CropVerification,
    SampleRow,
)
from include.satellite.datasets.schemas import PatchInfo, PatchRow, SequenceInfo, SequenceRow
from include.satellite.evaluation.schemas import NextClassPrediction, PatchPrediction, SequencePrediction, Verification
from include.satellite.fields.schemas import (
    AlertRow,
    AnomalyRow,
    EventRow,
    FieldSet,
    ObservationRow,
    SeasonRow,
    SeriesRow,
)
from include.satellite.forecast.schemas import ForecastRow, NdviForecast, NdviRow
from include.satellite.imagery.schemas import Acquisition, Imagery, SearchResult, ValidationReport
from include.satellite.schemas import Approval, BaselineInfo, Comparison, Configuration, HealthMap
from include.satellite.training.schemas import CnnMetrics, LstmMetrics, ModelCard, ModelKind

M = TypeVar("M", CnnMetrics, LstmMetrics)

SEARCH = Artifact("search.json", SearchResult)
HISTORY = Artifact("history.json", Imagery, optional=True)
"""Previews of several years with the bands of NDVI; absent where the run asks for none."""
ACQUISITION = Artifact("acquisitions/{index}.json", Acquisition)
ACQUISITIONS = Artifact("acquisitions/*")
IMAGERY = Artifact("imagery.json", Imagery)
VALIDATED = Artifact("validated.json", Imagery)
VALIDATION_REPORT = Artifact("validation_report.json", ValidationReport)
CONTACT_SHEET = Artifact("plot_contact_sheet.png")
NDVI_PLOT = Artifact("plot_ndvi.png")

CUBE = Artifact("cube.npy")
CUBE_CLASSES = Artifact("scl.npy")
PATCH_INDEX = Artifact("cnn_index.parquet", PatchRow)
PATCH_INFO = Artifact("cnn_dataset.json", PatchInfo)
SERIES = Artifact("lstm_series.npy")
SEQUENCE_INDEX = Artifact("lstm_index.parquet", SequenceRow)
SEQUENCE_INFO = Artifact("lstm_dataset.json", SequenceInfo)
CNN_DATA = (CUBE, CUBE_CLASSES, PATCH_INDEX, PATCH_INFO)
LSTM_DATA = (SERIES, SEQUENCE_INDEX, SEQUENCE_INFO)


class ModelArtifacts(Generic[M]):
    """The artifacts of a trained model.

    Args:
        kind: Which model.
        metrics: The schema of its metrics.
        row: The schema of a prediction.
        plot: What its second plot shows; the first one shows the training.
    """

    def __init__(self, kind: ModelKind, metrics: type[M], row: type[BaseModel], plot: str) -> None:
        self.kind = kind
        self.weights = Artifact(f"{kind}_model.safetensors")
        self.card = Artifact(f"{kind}_model.json", ModelCard)
        self.metrics: Artifact[M] = Artifact(f"{kind}_metrics.json", metrics)
        self.predictions = Artifact(f"{kind}_predictions.parquet", row)
        """By this model and by naive rules, on the held-out samples."""
        self.compared = Artifact(f"{kind}_comparison.parquet", row)
        """By all models that are compared, on the held-out samples that count in the gates."""
        self.verified = Artifact(f"{kind}_verification.parquet", row)
        """By the trained models, run again on drawn held-out samples."""
        self.calibration: Artifact[Any] = Artifact(f"{kind}_calibration.parquet", row, optional=True)
        """By this model, on the later samples that calibrate its intervals; absent where there are none."""
        self.recalibrated: Artifact[Any] = Artifact(f"{kind}_calibration_verification.parquet", row, optional=True)
        """By this model, run again on drawn ones of these."""
        self.training_plot = Artifact(f"plot_{kind}_training.png")
        self.evaluation_plot = Artifact(f"plot_{kind}_{plot}.png")
        self.checkpoints = f"checkpoints/{kind}"
        """Folder of the training's checkpoints, below `files/`."""

    def check_weights(self, folder: Path) -> ModelCard:
        """Return the card of a trained model, whose weights are those that it was written for.

        Args:
            folder: Holds both: a run's `files/` folder, or a folder of a store.

        Raises:
            ContractError: A file is missing or damaged, or the weights are others.
        """
        card, weights = self.card.read(folder), self.weights.at(folder)
        if not weights.is_file():
            raise ContractError(self.weights.path, "must exist", "no such file")
        if sha256(weights) != card.weights_sha256:
            rule = f"must be the weights that {self.card.path} was written for"
            raise ContractError(self.weights.path, rule, "other content")
        return card

    @property
    def stored(self) -> tuple[Artifact[Any], ...]:
        """The artifacts that later steps read and the model store keeps."""
        return self.weights, self.card, self.metrics

    @property
    def forecasts(self) -> tuple[Artifact[Any], ...]:
        """The predictions that the training writes."""
        return (self.predictions, self.calibration) if self.kind == "lstm" else (self.predictions,)

    @property
    def all(self) -> tuple[Artifact[Any], ...]:
        """Every artifact that the training writes."""
        return *self.stored, *self.forecasts, self.training_plot, self.evaluation_plot


CNN = ModelArtifacts("cnn", CnnMetrics, PatchPrediction, "confusion")
LSTM = ModelArtifacts("lstm", LstmMetrics, SequencePrediction, "forecast")
BASELINE_FOLDER = "baseline"
BASELINE_INFO = Artifact(f"{BASELINE_FOLDER}/baseline.json", BaselineInfo)
BASELINE: tuple[Artifact[Any], ...] = (
    *(replace(artifact, path=f"{BASELINE_FOLDER}/{artifact.path}") for artifact in (*CNN.stored, *LSTM.stored)),
    BASELINE_INFO,
)
"""The synthetic baseline that the run's models were compared with."""
NEXT_COMPARED = Artifact("next_comparison.parquet", NextClassPrediction, optional=True)
"""Classes of the next date from the series, by all models, on the held-out sequences; only for next_ndvi."""
NEXT_VERIFIED = Artifact("next_verification.parquet", NextClassPrediction, optional=True)
"""By gradient boosting, fitted again, on drawn ones of these."""
COMPARISON = Artifact("comparison.json", Comparison)
COMPARISON_PLOT = Artifact("plot_comparison.png")
VERIFICATION = Artifact("verification.json", Verification)
APPROVAL = Artifact("approval.json", Approval)
CONFIGURATION = Artifact("configuration.json", Configuration)
FIELDS = Artifact("fields.json", FieldSet)
OBSERVATIONS = Artifact("observations.parquet", ObservationRow)
FIELD_SERIES = Artifact("series.parquet", SeriesRow, may_be_empty=True)
FIELD_SEASONS = Artifact("seasons.parquet", SeasonRow, may_be_empty=True)
ANOMALIES = Artifact("anomalies.parquet", AnomalyRow, may_be_empty=True)
EVENTS = Artifact("events.parquet", EventRow, may_be_empty=True)
ALERTS = Artifact("alerts.parquet", AlertRow, may_be_empty=True)
ANALYSIS = (FIELD_SERIES, FIELD_SEASONS, ANOMALIES, EVENTS, ALERTS)
FIELDS_TABLE = Artifact("fields.parquet")
FIELDS_PACKAGE = Artifact("fields.gpkg")
INDEX_RASTER = Artifact("indices.tif")
FIELDS_ITEM = Artifact("item.json")
PASSES = Artifact("passes.zip", optional=True)
FIELD_PRODUCTS = (FIELDS_TABLE, FIELDS_PACKAGE, INDEX_RASTER, FIELDS_ITEM, PASSES)
CROP_SAMPLES = Artifact("crop_samples.parquet", SampleRow)
CROP_DATA = Artifact("crop_data.json", CropData)
CROP_PREDICTIONS = Artifact("crop_predictions.parquet", CropPrediction)
CROP_WEIGHTS = Artifact("crop_model.safetensors")
CROP_CARD = Artifact("crop_model.json", CropCard)
CROP_COMPARISON = Artifact("crop_comparison.json", CropComparison)
CROP_PLOT = Artifact("plot_crops.png")
CROP_VERIFIED = Artifact("crop_verification.parquet", CropPrediction)
CROP_VERIFICATION = Artifact("crop_verification.json", CropVerification)
CROP_CLASSES = Artifact("crop_classes.parquet", ClassRow)
CROP_CLASSIFICATION = Artifact("crop_classes.json", CropClasses)
CROP_DECIDES: tuple[Artifact[Any], ...] = (
    *(CROP_SAMPLES, CROP_DATA, CROP_PREDICTIONS, CROP_WEIGHTS, CROP_CARD),
    *(CROP_COMPARISON, CROP_VERIFIED, CROP_VERIFICATION),
)
"""What the decision on a crop classifier is derived from."""
FIELDS_HISTORY = Artifact("fields_history.json", Imagery)
NDVI_FORECAST = Artifact("forecast.json", NdviForecast)
FORECAST_SERIES = Artifact("forecast_series.parquet", NdviRow)
FORECASTS = Artifact("forecasts.parquet", ForecastRow)
FORECAST_TABLE = Artifact("forecast.parquet")
FORECAST_PACKAGE = Artifact("forecast.gpkg")
FORECAST_PLOT = Artifact("plot_forecast.png")
EARLY_WARNINGS = Artifact("early_warnings.json", NdviForecast, optional=True)
"""The latest forecast of the same fields, as field monitoring shows it."""
HEALTH_MAP = Artifact("health_map.json", HealthMap)
HEALTH_MAP_RASTER = Artifact("health_map.tif")
HEALTH_MAP_PLOT = Artifact("plot_health_map.png")

DECIDES: tuple[Artifact[Any], ...] = (
    VALIDATED,
    PATCH_INDEX,
    PATCH_INFO,
    *LSTM_DATA,
    *CNN.stored,
    *LSTM.stored,
    *(artifact for model in (CNN, LSTM) for artifact in (model.predictions, model.compared, model.verified)),
    *BASELINE,
    *(LSTM.calibration, LSTM.recalibrated, NEXT_COMPARED, NEXT_VERIFIED),
    COMPARISON,
    VERIFICATION,
)
"""What the decision on a promotion is derived from."""
