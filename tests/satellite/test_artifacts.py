"""The names of artifacts."""

from include.satellite.artifacts import LSTM


def test_a_model_is_stored_without_its_predictions_and_plots() -> None:
    stored = ["lstm_model.safetensors", "lstm_model.json", "lstm_metrics.json"]
    assert [artifact.path for artifact in LSTM.stored] == stored
    more = ["lstm_predictions.parquet", "lstm_calibration.parquet", "plot_lstm_training.png", "plot_lstm_forecast.png"]
    assert [artifact.path for artifact in LSTM.all] == [*stored, *more]
