"""A satellite run whose models learn next to nothing, and that takes half a minute."""

from typing import Any

END = "2026-10-01T00:00:00Z"
TINY: dict[str, Any] = {
    "bbox": [75.82, 30.92, 75.845, 30.942],
    "resolution": 20,
    "days_back": 120,
    "history_days": 0,
    "target_count": 10,
    "min_dates": 10,
    "patch_size": 8,
    "stride": 8,
    "samples_per_class": 40,
    "sequence_length": 2,
    "locations_per_window": 20,
    "location_size": 8,
    "cnn_epochs": 25,
    "cnn_patience": 25,
    "lstm_epochs": 1,
    "min_cnn_accuracy": 0,
    "min_lstm_accuracy": 0,
    "label_source": "reference",
}
