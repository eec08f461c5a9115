from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.axes import Axes

from include.satellite.datasets.sequences import load_sequences
from include.satellite.models.documents import Classification, ClassScore, CnnMetrics, Epoch, TrainingRecord
from include.satellite.models.evaluation import evaluate_lstm
from include.satellite.models.plots import plot_confusion, plot_forecast, plot_training
from tests.satellite.models.small_data import DAYS, write_sequences


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
        Axes, "text", lambda self, x, y, said, **options: texts.append(said) or text(self, x, y, said, **options)
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
        metrics = evaluate_lstm(dataset, rows, forecast, _record([1.0]), 0.8)
        assert metrics.mae == pytest.approx(0.1, abs=1e-6)
        assert (metrics.r2 is None) == (len(rows) == 1)
        plot_forecast(tmp_path / "plot.png", dataset, rows, forecast, metrics)
        assert (tmp_path / "plot.png").stat().st_size > 10_000
