"""Model cards: how a model was trained, how well it did, and where its use ends."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from include.satellite.datasets.schemas import PatchInfo, SequenceInfo
from include.satellite.imagery.schemas import Imagery
from include.satellite.training.networks import CNN_ARCHITECTURE, LSTM_ARCHITECTURE
from include.satellite.training.schemas import CardData, CnnMetrics, LstmMetrics, ModelCard

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


@dataclass(frozen=True)
class TrainedWeights:
    """The weights of a trained model.

    Args:
        count: Number of trainable weights.
        sha256: Checksum of the weights' file.
        params: Parameters of the training.
    """

    count: int
    sha256: str
    params: dict[str, Any]


def cnn_card(imagery: Imagery, info: PatchInfo, metrics: CnnMetrics, weights: TrainedWeights) -> ModelCard:
    """Write the card of a trained CNN.

    Args:
        imagery: The imagery that it was trained on.
        info: The dataset.
        metrics: On the validation part.
        weights: Its weights.
    """
    limits = []
    if info.label_source == "ndvi_rule":
        limits.append("It imitates the NDVI rule and is no independent assessment of crop health.")
    if outside := [name for name in info.classes if name not in info.gate_classes]:
        limits.append(f"Too few training samples to rely on it for: {', '.join(outside)}.")
    return ModelCard(
        kind="cnn",
        architecture=CNN_ARCHITECTURE,
        classes=info.classes,
        inputs=info.bands,
        size=info.patch_size,
        mean=info.normalisation.mean,
        std=info.normalisation.std,
        label_source=info.label_source,
        labels=LABELS[info.label_source],
        gate_classes=info.gate_classes,
        metrics=metrics.model_dump(include={"accuracy", "balanced_accuracy", "expected_calibration_error"}),
        **_shared(imagery, info.seed, metrics, weights, limits),
    )


def lstm_card(
    imagery: Imagery,
    info: SequenceInfo,
    metrics: LstmMetrics,
    weights: TrainedWeights,
    scaling: tuple[list[float], list[float]],
) -> ModelCard:
    """Write the card of a trained LSTM.

    Args:
        imagery: The imagery that it was trained on.
        info: The dataset.
        metrics: On the validation part.
        weights: Its weights.
        scaling: Mean and standard deviation by feature.
    """
    limits = ["Its forecast is for one date ahead, at the gaps between dates that it has seen."]
    if unbeaten := [name for name, naive in metrics.baselines.items() if naive.skill is not None and naive.skill <= 0]:
        limits.append(f"No better than: {', '.join(unbeaten)}.")
    return ModelCard(
        kind="lstm",
        architecture=LSTM_ARCHITECTURE,
        classes=[],
        inputs=info.features,
        size=info.sequence_length,
        location_size=info.location_size,
        mean=scaling[0],
        std=scaling[1],
        label_source="ndvi",
        labels=NDVI_TARGET,
        gate_classes=[],
        metrics=metrics.model_dump(include={"mae", "rmse", "accuracy"}),
        **_shared(imagery, info.seed, metrics, weights, limits),
    )


def _shared(
    imagery: Imagery, seed: int, metrics: CnnMetrics | LstmMetrics, weights: TrainedWeights, limits: list[str]
) -> dict[str, Any]:
    """Return the fields of a card that both models have in common; the model's own limits come last."""
    dates = len(metrics.evaluation_dates)
    shared_limits = ["Measured on other places of the same area and period; elsewhere it is not measured."]
    if imagery.synthetic:
        shared_limits.append("Trained on simulated imagery: it says nothing about real fields.")
    if dates < FEW_DATES:
        shared_limits.append(f"Measured on {dates} {'date' if dates == 1 else 'dates'} only.")
    return {
        "data": CardData(
            dates=[acquisition.date for acquisition in imagery.acquisitions],
            **{name: getattr(imagery, name) for name in CardData.model_fields if name != "dates"},
        ),
        "evaluation_dates": dates,
        "limits": shared_limits + limits,
        "seed": seed,
        "parameters": weights.count,
        "params": weights.params,
        "device": metrics.training.device,
        "precision": metrics.training.precision,
        "versions": {name: version(name) for name in LIBRARIES},
        "weights_sha256": weights.sha256,
    }
