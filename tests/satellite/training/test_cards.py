"""A model card says what the model was trained on, how good it is, and where it must not be trusted."""

from pathlib import Path

import pytest

from include.satellite.artifacts import CNN, LSTM, PATCH_INFO, SEQUENCE_INFO, VALIDATED
from include.satellite.training.cards import cnn_card, lstm_card
from include.satellite.training.schemas import ModelCard

TRAINED = {
    "architecture": "two layers",
    "parameters": 7,
    "params": {"epochs": 3},
    "versions": {"torch": "2"},
    "weights_sha256": "abc",
}


def _cnn_card(trained: Path, synthetic: bool = True, dates: int = 8, **info: object) -> ModelCard:
    metrics = CNN.metrics.read(trained)
    metrics = metrics.model_copy(update={"evaluation_dates": metrics.evaluation_dates[:dates]})
    imagery = VALIDATED.read(trained).model_copy(update={"synthetic": synthetic})
    return cnn_card(imagery, PATCH_INFO.read(trained).model_copy(update=info), metrics, TRAINED)


def test_a_card_holds_what_is_needed_to_run_the_model(trained: Path) -> None:
    info, metrics, card = PATCH_INFO.read(trained), CNN.metrics.read(trained), _cnn_card(trained)
    assert (card.kind, card.inputs, card.size, card.classes) == ("cnn", info.bands, info.patch_size, info.classes)
    assert (card.mean, card.std) == (info.normalisation.mean, info.normalisation.std)
    assert (card.parameters, card.weights_sha256, card.params) == (7, "abc", {"epochs": 3})
    assert card.metrics == {
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "expected_calibration_error": metrics.expected_calibration_error,
    }
    assert card.data.dates == [acquisition.date for acquisition in VALIDATED.read(trained).acquisitions]
    assert (card.architecture, card.versions) == ("two layers", {"torch": "2"})


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"synthetic": True}, "Trained on simulated imagery: it says nothing about real fields."),
        ({"dates": 1}, "Measured on 1 date only."),
        ({"dates": 4}, "Measured on 4 dates only."),
        ({"label_source": "ndvi_rule"}, "It imitates the NDVI rule and is no independent assessment of crop health."),
        (
            {"gate_classes": ["Healthy", "Stressed", "Critical"]},
            "Too few training samples to rely on it for: Moderate.",
        ),
    ],
)
def test_each_limit_is_stated_where_it_holds(trained: Path, changes: dict[str, object], limit: str) -> None:
    assert limit in _cnn_card(trained, **changes).limits
    assert limit not in _cnn_card(trained, synthetic=False).limits


def test_the_card_of_a_forecast_names_the_naive_forecasts_that_it_does_not_beat(trained: Path) -> None:
    metrics = LSTM.metrics.read(trained)
    naive = metrics.baselines["persistence"].model_copy(update={"skill": 0.0})
    metrics = metrics.model_copy(update={"baselines": metrics.baselines | {"persistence": naive}})
    info = SEQUENCE_INFO.read(trained)
    card = lstm_card(VALIDATED.read(trained), info, metrics, TRAINED | {"mean": [0.5], "std": [0.1]})
    assert "No better than: persistence." in card.limits
    assert (card.kind, card.inputs, card.size) == ("lstm", info.features, info.sequence_length)
    assert (card.mean, card.std, card.classes) == ([0.5], [0.1], [])
    assert card.metrics == {"mae": metrics.mae, "rmse": metrics.rmse, "accuracy": metrics.accuracy}
