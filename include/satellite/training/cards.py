"""Model cards: most of a card follows from imagery, dataset and metrics; the training knows the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.satellite.datasets.schemas import PatchInfo, SequenceInfo
from include.satellite.imagery.schemas import Imagery
from include.satellite.training.schemas import CardData, CnnMetrics, LstmMetrics, ModelCard

TRAINED = ("architecture", "parameters", "params", "target", "versions", "weights_sha256")
"""Fields of a card that only the training knows."""
LABELS = {
    "ndvi_rule": "The class of the patch's own mean NDVI (> 0.7 Healthy, > 0.5 Moderate, > 0.3 Stressed, else "
    "Critical). The label is computed from the input, so this model imitates a rule: its accuracy says nothing about "
    "crop health that the rule does not say.",
    "next_ndvi": "The class of the patch's mean NDVI at the next usable date: an early warning.",
    "reference": "A class raster that does not come from the reflectances.",
}
NDVI_TARGET = "Mean NDVI of the location at the next date on which it could be seen."
FEW_DATES = 5


def cnn_card(imagery: Imagery, info: PatchInfo, metrics: CnnMetrics, trained: Mapping[str, Any]) -> ModelCard:
    """Write the card of a trained CNN.

    Args:
        imagery: The imagery that it was trained on.
        info: The dataset.
        metrics: On the validation part.
        trained: Fields of the card that only the training knows (`TRAINED`).
    """
    limits = []
    if info.label_source == "ndvi_rule":
        limits.append("It imitates the NDVI rule and is no independent assessment of crop health.")
    if outside := [name for name in info.classes if name not in info.gate_classes]:
        limits.append(f"Too few training samples to rely on it for: {', '.join(outside)}.")
    return ModelCard(
        kind="cnn",
        inputs=info.bands,
        size=info.patch_size,
        mean=info.normalisation.mean,
        std=info.normalisation.std,
        labels=LABELS[info.label_source],
        metrics=metrics.model_dump(include={"accuracy", "balanced_accuracy", "expected_calibration_error"}),
        **_shared(imagery, info, metrics, limits),
        **trained,
    )


def lstm_card(imagery: Imagery, info: SequenceInfo, metrics: LstmMetrics, trained: Mapping[str, Any]) -> ModelCard:
    """Write the card of a trained LSTM.

    Args:
        imagery: The imagery that it was trained on.
        info: The dataset.
        metrics: On the validation part.
        trained: Fields of the card that only the training knows (`TRAINED`), and `mean` and `std` by feature.
    """
    limits = ["Its forecast is for one date ahead, at the gaps between dates that it has seen."]
    if unbeaten := [name for name, naive in metrics.baselines.items() if naive.skill is not None and naive.skill <= 0]:
        limits.append(f"No better than: {', '.join(unbeaten)}.")
    return ModelCard(
        kind="lstm",
        classes=[],
        inputs=info.features,
        size=info.sequence_length,
        label_source="ndvi",
        labels=NDVI_TARGET,
        gate_classes=[],
        metrics=metrics.model_dump(include={"mae", "rmse", "accuracy"}),
        interval=metrics.interval,
        **_shared(imagery, info, metrics, limits),
        **trained,
    )


def _shared(
    imagery: Imagery, info: PatchInfo | SequenceInfo, metrics: CnnMetrics | LstmMetrics, limits: list[str]
) -> dict[str, Any]:
    """Return the fields of a card that imagery, dataset and training state; the model's own limits come last."""
    dates = len(metrics.evaluation_dates)
    shared_limits = ["Measured on other places of the same area and period; elsewhere it is not measured."]
    if imagery.synthetic:
        shared_limits.append("Trained on simulated imagery: it says nothing about real fields.")
    if dates < FEW_DATES:
        shared_limits.append(f"Measured on {dates} {'date' if dates == 1 else 'dates'} only.")
    return {
        **info.fields_of(ModelCard),
        **metrics.training.fields_of(ModelCard),
        "data": CardData(
            dates=[acquisition.date for acquisition in imagery.acquisitions], **imagery.fields_of(CardData)
        ),
        "evaluation_dates": dates,
        "limits": shared_limits + limits,
    }
