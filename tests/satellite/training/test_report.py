"""The outcome of a training is what its metrics say, and its plots show it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from matplotlib.axes import Axes

from include.satellite.artifacts import CNN, LSTM
from include.satellite.datasets.sequences import load_sequences
from include.satellite.evaluation.metrics import evaluate_lstm
from include.satellite.evaluation.predictions import Predictions
from include.satellite.training.report import (
    plot_confusion,
    plot_forecast,
    plot_training,
    train_cnn_outcome,
    train_lstm_outcome,
)
from include.satellite.training.schemas import Classification, ClassScore, CnnMetrics, Epoch, TrainingRecord
from tests.satellite.small_data import DAYS, write_sequences


def _record(losses: list[float]) -> TrainingRecord:
    history = [
        Epoch(epoch=number, train_loss=loss, tune_loss=loss, tune_score=0.5) for number, loss in enumerate(losses, 1)
    ]
    return TrainingRecord(
        epochs=len(losses), most_epochs=50, best_epoch=int(np.argmin(losses)) + 1, stopped_early=True,
        samples_an_epoch=10, train_samples=10, tune_samples=5, tuned_on="tune", device="cpu", precision="float32",
        history=history,
    )  # fmt: skip


@pytest.mark.parametrize("losses", [[0.5], [0.9, 0.5, 0.6], [3.0, 0.01, 0.02], [0.0, 1.0]])
def test_training_curves_of_any_length(tmp_path: Path, losses: list[float]) -> None:
    plot_training(tmp_path / "plot.png", "cnn", _record(losses))
    assert image.imread(tmp_path / "plot.png").shape[1:] == (1210, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def test_the_best_epoch_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[float] = []
    monkeypatch.setattr(Axes, "axvline", lambda _, x, **__: marked.append(x))
    plot_training(tmp_path / "plot.png", "lstm", _record([0.9, 0.5, 0.6]))
    assert marked == [2, 2]


def test_a_class_without_samples_has_no_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    text = Axes.text
    monkeypatch.setattr(
        Axes, "text", lambda self, x, y, label, **options: texts.append(label) or text(self, x, y, label, **options)
    )
    absent = ClassScore(name="Healthy", samples=0, precision=None, recall=None, f1=None, in_gate=False)
    present = ClassScore(name="Critical", samples=4, precision=1.0, recall=0.75, f1=6 / 7, in_gate=True)
    scores = Classification(samples=4, accuracy=0.75, balanced_accuracy=0.75)
    metrics = CnnMetrics(
        accuracy=0.75, balanced_accuracy=0.75, minimum_accuracy=0.5, required=True, expected_calibration_error=0.1,
        all_classes=scores, baselines={}, classes=[absent, present], confusion=[[0, 0], [1, 3]],
        evaluation_dates=DAYS[:2], training=_record([1.0]),
    )  # fmt: skip
    plot_confusion(tmp_path / "plot.png", metrics)
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert texts == ["–", "–", "1\n25%", "3\n75%"]


def test_forecasts_of_many_dates_and_of_a_constant_truth(tmp_path: Path) -> None:
    write_sequences(tmp_path)
    dataset = load_sequences(tmp_path)
    for rows in (np.arange(len(dataset)), dataset.rows("validation")[:1]):
        forecast = dataset.y[rows] + 0.1
        metrics = evaluate_lstm(dataset, Predictions(rows, dataset.y[rows], {"real": forecast}), _record([1.0]), 0.8)
        assert metrics.mae == pytest.approx(0.1, abs=1e-6)
        assert (metrics.r2 is None) == (len(rows) == 1)
        plot_forecast(tmp_path / "plot.png", dataset, rows, forecast, metrics)
        assert (tmp_path / "plot.png").stat().st_size > 10_000


# outcomes


def _changed(trained: Path, target: Path, model: Any, **changes: Any) -> Path:
    """Copy the metrics of a training with some of them changed."""
    model.metrics.write(target, model.metrics.read(trained).model_copy(update=changes))
    return target


def test_the_outcome_of_a_cnn_has_its_metrics_and_both_tables(trained: Path) -> None:
    metrics, outcome = CNN.metrics.read(trained), train_cnn_outcome(trained)
    assert outcome.metrics.model_dump() == {
        "cnn_accuracy": round(metrics.accuracy, 4),
        "cnn_balanced_accuracy": round(metrics.balanced_accuracy, 4),
        "expected_calibration_error": round(metrics.expected_calibration_error, 4),
        "epochs": metrics.training.epochs,
        "best_epoch": metrics.training.best_epoch,
        "train_samples": metrics.training.train_samples,
        "tune_samples": metrics.training.tune_samples,
        "device": "cpu",
        "precision": metrics.training.precision,
        "evaluation_dates": 8,
    }
    assert outcome.statistics == {"cnn_accuracy": round(metrics.accuracy, 4)}
    models, classes = outcome.tables
    assert [row[0] for row in models.rows] == ["CNN", "majority", "logistic regression", "ndvi rule"]
    assert [row[0] for row in classes.rows] == [score.name for score in metrics.classes]
    assert outcome.findings == ()


def test_a_cnn_that_does_not_beat_a_naive_classifier_is_a_warning(trained: Path, tmp_path: Path) -> None:
    outcome = train_cnn_outcome(_changed(trained, tmp_path, CNN, balanced_accuracy=0.1))
    (finding,) = outcome.findings
    assert finding.severity == "warning"
    assert "does not beat majority" in finding.message


def test_an_empty_tuning_part_is_a_warning(trained: Path, tmp_path: Path) -> None:
    for model, outcome_of in ((CNN, train_cnn_outcome), (LSTM, train_lstm_outcome)):
        record = model.metrics.read(trained).training.model_copy(update={"tuned_on": "train"})
        outcome = outcome_of(_changed(trained, tmp_path, model, training=record))
        assert outcome.findings[-1].severity == "warning"
        assert "the best epoch was chosen on the training part" in outcome.findings[-1].message


def test_the_outcome_of_an_lstm_names_the_weakness_of_its_accuracy(trained: Path) -> None:
    metrics, outcome = LSTM.metrics.read(trained), train_lstm_outcome(trained)
    values = outcome.metrics.model_dump()
    assert (values["lstm_accuracy"], values["lstm_mae"]) == (round(metrics.accuracy, 4), round(metrics.mae, 4))
    assert (values["lstm_rmse"], values["lstm_r2"]) == (round(metrics.rmse, 4), round(metrics.r2 or 0, 4))
    assert outcome.statistics == {"lstm_accuracy": values["lstm_accuracy"]}
    assert "a constant scores" in outcome.findings[0].message
    assert [row[0] for row in outcome.tables[0].rows] == ["LSTM", "persistence", "climatology", "training mean"]


def test_an_lstm_that_does_not_beat_a_naive_forecast_is_a_warning(trained: Path, tmp_path: Path) -> None:
    outcome = train_lstm_outcome(_changed(trained, tmp_path, LSTM, mae=0.9, climatology_fallback=0.25))
    messages = [finding.message for finding in outcome.findings]
    assert any("does not beat persistence" in message for message in messages)
    assert any(message.startswith("LSTM: 25% of the sequences have no earlier date") for message in messages)
