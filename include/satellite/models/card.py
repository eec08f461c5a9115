"""The model card: what is known of a model, and what it is not good for."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from include.satellite.datasets.schemas import PatchInfo, SequenceInfo
from include.satellite.imagery.schemas import Imagery
from include.satellite.models.documents import CardData, CnnMetrics, LstmMetrics, ModelCard
from include.satellite.models.networks import CNN_ARCHITECTURE, LSTM_ARCHITECTURE

LIBRARIES = ("torch", "numpy", "scikit-learn", "safetensors")
LABELS = {
    "ndvi_rule": "The class of the patch's own mean NDVI (> 0.7 Healthy, > 0.5 Moderate, > 0.3 Stressed, else "
    "Critical). The label is computed from the input, so this model imitates a rule: its accuracy says nothing about "
    "crop health that the rule does not say.",
    "next_ndvi": "The class of the patch's mean NDVI at the next usable date: an early warning.",
    "reference": "A class raster that does not come from the reflectances.",
}
NDVI_TARGET = "Mean NDVI of the location at the next date on which it could be seen."
FEW_DATES = 5


def cnn_card(
    imagery: Imagery, info: PatchInfo, metrics: CnnMetrics, *, parameters: int, params: dict[str, Any], weights: str
) -> ModelCard:
    """The card of a trained CNN.

    Args:
        imagery: What it learnt from.
        info: The dataset.
        metrics: On the validation part.
        parameters: Trainable weights.
        params: Of the training.
        weights: SHA-256 of the weights' file.
    """
    limits = _limits(imagery, len(metrics.evaluation_dates))
    if info.label_source == "ndvi_rule":
        limits.append("It imitates the NDVI rule and is no independent assessment of crop health.")
    outside = [name for name in info.classes if name not in info.gate_classes]
    if outside:
        limits.append(f"Too few training samples to rely on it for: {', '.join(outside)}.")
    return ModelCard(
        kind="cnn",
        architecture=CNN_ARCHITECTURE,
        parameters=parameters,
        classes=info.classes,
        inputs=info.bands,
        size=info.patch_size,
        mean=info.normalisation.mean,
        std=info.normalisation.std,
        label_source=info.label_source,
        labels=LABELS[info.label_source],
        gate_classes=info.gate_classes,
        metrics={
            "accuracy": metrics.accuracy,
            "balanced_accuracy": metrics.balanced_accuracy,
            "expected_calibration_error": metrics.expected_calibration_error,
        },
        limits=limits,
        seed=info.seed,
        **_training(imagery, metrics, params, weights),
    )


def lstm_card(
    imagery: Imagery,
    info: SequenceInfo,
    metrics: LstmMetrics,
    scaling: tuple[list[float], list[float]],
    *,
    parameters: int,
    params: dict[str, Any],
    weights: str,
) -> ModelCard:
    """The card of a trained LSTM.

    Args:
        imagery: What it learnt from.
        info: The dataset.
        metrics: On the validation part.
        scaling: Mean and standard deviation by feature.
        parameters: Trainable weights.
        params: Of the training.
        weights: SHA-256 of the weights' file.
    """
    limits = _limits(imagery, len(metrics.evaluation_dates))
    limits.append("Its forecast is for one date ahead, at the gaps between dates that it has seen.")
    unbeaten = [name for name, naive in metrics.baselines.items() if naive.skill is not None and naive.skill <= 0]
    if unbeaten:
        limits.append(f"No better than: {', '.join(unbeaten)}.")
    return ModelCard(
        kind="lstm",
        architecture=LSTM_ARCHITECTURE,
        parameters=parameters,
        classes=[],
        inputs=info.features,
        size=info.sequence_length,
        location_size=info.location_size,
        mean=scaling[0],
        std=scaling[1],
        label_source="ndvi",
        labels=NDVI_TARGET,
        gate_classes=[],
        metrics={"mae": metrics.mae, "rmse": metrics.rmse, "accuracy": metrics.accuracy},
        limits=limits,
        seed=info.seed,
        **_training(imagery, metrics, params, weights),
    )


def _training(
    imagery: Imagery, metrics: CnnMetrics | LstmMetrics, params: dict[str, Any], weights: str
) -> dict[str, Any]:
    """What both kinds of card say of a training."""
    return {
        "data": _data(imagery),
        "evaluation_dates": len(metrics.evaluation_dates),
        "params": params,
        "device": metrics.training.device,
        "precision": metrics.training.precision,
        "versions": _versions(),
        "weights_sha256": weights,
    }


def _data(imagery: Imagery) -> CardData:
    return CardData(
        collection=imagery.collection,
        source=imagery.source,
        synthetic=imagery.synthetic,
        start=imagery.start,
        end=imagery.end,
        dates=[acquisition.date for acquisition in imagery.acquisitions],
        grid=imagery.grid,
        geometry=imagery.geometry,
    )


def _limits(imagery: Imagery, dates: int) -> list[str]:
    limits = ["Measured on other places of the same area and period; elsewhere it is not measured."]
    if imagery.synthetic:
        limits.append("Trained on simulated imagery: it says nothing about real fields.")
    if dates < FEW_DATES:
        limits.append(f"Measured on {dates} {'date' if dates == 1 else 'dates'} only.")
    return limits


def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}
