"""The report of a training: its outcome (metrics, findings, tables) and its plots.

Colours of the plots are those of Okabe and Ito (2008).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from include.core.outcome import Finding, Severity, StepMetrics, StepOutcome, Table
from include.core.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, figure_file
from include.satellite.artifacts import CNN, LSTM
from include.satellite.training.schemas import Classification, CnnMetrics, LstmMetrics, ModelKind, TrainingRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from include.satellite.datasets.sequences import SequenceDataset

LOSSES: dict[ModelKind, str] = {"cnn": "Cross-entropy", "lstm": "Mean absolute error"}
SCORES: dict[ModelKind, str] = {"cnn": "Accuracy", "lstm": "Mean absolute error (NDVI)"}
DATE_COLORS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
Rounded = Annotated[float, AfterValidator(partial(round, ndigits=4))]
Statement = tuple[Severity, str]
Rows = NDArray[np.int64]
Forecast = NDArray[np.floating]


class TrainingMetrics(StepMetrics, extra="forbid"):
    """Metrics of a training that both models have in common."""

    epochs: int
    best_epoch: int
    train_samples: int
    tune_samples: int
    device: str
    precision: str
    evaluation_dates: int


class TrainCnnMetrics(TrainingMetrics):
    """Metrics of the step `train_cnn`."""

    cnn_accuracy: Rounded
    cnn_balanced_accuracy: Rounded
    expected_calibration_error: Rounded


class TrainLstmMetrics(TrainingMetrics):
    """Metrics of the step `train_lstm`."""

    lstm_accuracy: Rounded
    lstm_mae: Rounded
    lstm_rmse: Rounded
    lstm_r2: Rounded | None


def train_cnn_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `train_cnn` from `cnn_metrics.json`."""
    metrics = CNN.metrics.read(files)
    values = TrainCnnMetrics(
        cnn_accuracy=metrics.accuracy,
        cnn_balanced_accuracy=metrics.balanced_accuracy,
        expected_calibration_error=metrics.expected_calibration_error,
        **_shared(metrics),
    )
    return StepOutcome(
        metrics=values,
        statistics={"cnn_accuracy": values.cnn_accuracy},
        findings=_findings("CNN", metrics.training, _cnn_statements(metrics)),
        tables=(_cnn_table(metrics), _class_table(metrics)),
    )


def train_lstm_outcome(files: Path) -> StepOutcome:
    """Read the outcome of the step `train_lstm` from `lstm_metrics.json`."""
    metrics = LSTM.metrics.read(files)
    values = TrainLstmMetrics(
        lstm_accuracy=metrics.accuracy,
        lstm_mae=metrics.mae,
        lstm_rmse=metrics.rmse,
        lstm_r2=metrics.r2,
        **_shared(metrics),
    )
    return StepOutcome(
        metrics=values,
        statistics={"lstm_accuracy": values.lstm_accuracy},
        findings=_findings("LSTM", metrics.training, _lstm_statements(metrics)),
        tables=(_lstm_table(metrics),),
    )


def _shared(metrics: CnnMetrics | LstmMetrics) -> dict[str, Any]:
    return metrics.training.fields_of(TrainingMetrics) | {"evaluation_dates": len(metrics.evaluation_dates)}


def _findings(model: str, record: TrainingRecord, statements: Iterable[Statement]) -> tuple[Finding, ...]:
    """Return statements about a model as findings, and one more if no tuning part chose its best epoch."""
    if record.tuned_on == "train":
        statements = (*statements, ("warning", "no tuning part; the best epoch was chosen on the training part."))
    return tuple(Finding(severity=severity, message=f"{model}: {message}") for severity, message in statements)


def _cnn_statements(metrics: CnnMetrics) -> Iterator[Statement]:
    if not metrics.required:
        yield "info", "the class of the next date is the series model's; the CNN's is reported, and is not promoted."
    if metrics.accuracy < metrics.minimum_accuracy and not metrics.required:
        yield (
            "info",
            f"accuracy {metrics.accuracy:.3f} is below {metrics.minimum_accuracy:g}, which is reported, not required, "
            "for labels of the next date.",
        )
    ahead = [
        f"{_name(name)} {naive.balanced_accuracy:.3f}"
        for name, naive in metrics.baselines.items()
        if naive.balanced_accuracy >= metrics.balanced_accuracy
    ]
    if ahead:
        yield "warning", f"balanced accuracy {metrics.balanced_accuracy:.3f} does not beat {', '.join(ahead)}."
    outside = [score.name for score in metrics.classes if not score.in_gate]
    if outside:
        yield "warning", f"too few training samples for {', '.join(outside)}: left out of the gate."


def _lstm_statements(metrics: LstmMetrics) -> Iterator[Statement]:
    yield "info", metrics.accuracy_note
    ahead = [
        f"{_name(name)} ({naive.mae:.3f})" for name, naive in metrics.baselines.items() if naive.mae <= metrics.mae
    ]
    if ahead:
        yield "warning", f"its error of {metrics.mae:.3f} does not beat {', '.join(ahead)}."
    if metrics.interval:
        yield (
            "info",
            f"its {metrics.interval.level:.0%} interval is the forecast ± {metrics.interval.half_width:.3f} NDVI, "
            f"calibrated on {metrics.interval.dates} later dates; it covers {metrics.interval.coverage:.1%} of the "
            "held-out truths.",
        )
    if metrics.climatology_fallback:
        yield (
            "info",
            f"{metrics.climatology_fallback:.0%} of the sequences have no earlier date within 30 days of the day of "
            "the year; their climatology is the mean over earlier dates.",
        )


def _cnn_table(metrics: CnnMetrics) -> Table:
    scores: dict[str, CnnMetrics | Classification] = {"CNN": metrics, **metrics.baselines}
    rows = [(_name(name), f"{score.accuracy:.3f}", f"{score.balanced_accuracy:.3f}") for name, score in scores.items()]
    return Table(title="CNN on held-out places and dates", columns=("", "accuracy", "balanced accuracy"), rows=rows)


def _class_table(metrics: CnnMetrics) -> Table:
    rows = [
        (score.name, f"{score.samples:,}", _value(score.precision), _value(score.recall), _value(score.f1))
        for score in metrics.classes
    ]
    return Table(title="CNN by class", columns=("class", "patches", "precision", "recall", "F1"), rows=rows)


def _lstm_table(metrics: LstmMetrics) -> Table:
    rows = [("LSTM", f"{metrics.mae:.4f}", f"{metrics.rmse:.4f}", "")]
    for name, naive in metrics.baselines.items():
        rows.append((_name(name), f"{naive.mae:.4f}", f"{naive.rmse:.4f}", _value(naive.skill, "+.1%")))
    columns = ("", "MAE", "RMSE", "skill of the LSTM")
    return Table(title="LSTM on held-out places and later dates", columns=columns, rows=rows)


def _name(model: str) -> str:
    return model.replace("_", " ")


def _value(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)


def plot_training(target: Path, kind: ModelKind, record: TrainingRecord) -> None:
    """Plot loss and score by epoch, with the best epoch marked."""
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch.epoch for epoch in record.history]
    best = record.history[record.best_epoch - 1]
    end = "patience ran out" if record.stopped_early else "all used"
    part = "tuning part" if record.tuned_on == "tune" else "training part, after the epoch"
    train_losses = [epoch.train_loss for epoch in record.history]
    tune_losses = [epoch.tune_loss for epoch in record.history]
    losses = train_losses + tune_losses
    with figure_file(target) as figure:
        left, right = figure.subplots(1, 2)
        dots = {"marker": "o", "markersize": 3.5} if len(epochs) <= 30 else {}
        left.plot(epochs, train_losses, color=BLUE, label="training part", **dots)
        left.plot(epochs, tune_losses, color=ORANGE, label=part, **dots)
        right.plot(epochs, [epoch.tune_score for epoch in record.history], color=GREEN, **dots)
        for axes, value in ((left, best.tune_loss), (right, best.tune_score)):
            axes.axvline(best.epoch, color=GREY, linestyle=":", linewidth=1.2)
            label = f"best epoch: {value:.3f}"
            axes.plot([best.epoch], [value], "o", color=VERMILLION, markersize=7, zorder=3, label=label)
            axes.set(xlabel=f"Epoch ({end})", xlim=(0.5, max(len(epochs), 2) + 0.5))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
        if min(losses) > 0 and max(losses) > 20 * min(losses):
            left.set_yscale("log")
            left.yaxis.set_major_formatter("{x:g}")  # that of the scale writes formulas, which our plots do not parse
            left.yaxis.set_minor_formatter("")
        left.set(title=f"{kind.upper()}: loss, best in epoch {best.epoch} of {record.epochs}", ylabel=LOSSES[kind])
        right.set_title(f"{SCORES[kind]} on the {part}")
        right.margins(y=0.15)
        if kind == "lstm":
            right.set_ylim(bottom=0)


def plot_confusion(target: Path, metrics: CnnMetrics) -> None:
    """Plot the confusion matrix, and the scores of each class."""
    names = [score.name for score in metrics.classes]
    counts = np.array(metrics.confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    with figure_file(target) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
        left.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        left.grid(visible=False)
        left.spines[:].set_visible(False)
        for (row, column), count in np.ndenumerate(counts):
            left.text(
                column, row, f"{count:,}\n{shares[row, column]:.0%}" if totals[row, 0] else "–",
                ha="center", va="center", color="white" if shares[row, column] > 0.55 else "#333333",
            )  # fmt: skip
        left.set_xticks(range(len(names)), names)
        left.set_yticks(range(len(names)), names)
        title = f"Accuracy {metrics.accuracy:.3f}, balanced {metrics.balanced_accuracy:.3f}"
        left.set(xlabel="Predicted", ylabel="True", title=title)
        _class_bars(right, metrics)


def _class_bars(axes: Axes, metrics: CnnMetrics) -> None:
    width = 0.26
    for number, (measure, color) in enumerate((("precision", SKY), ("recall", BLUE), ("f1", ORANGE))):
        values = [getattr(score, measure) for score in metrics.classes]
        positions = np.arange(len(values)) + (number - 1) * width
        label = "F1" if measure == "f1" else measure
        bars = axes.bar(positions, [value or 0 for value in values], width, color=color, label=label)
        axes.bar_label(bars, [_value(value, ".2f") for value in values], fontsize=8, padding=1)
    names = [
        f"{score.name}\n{score.samples:,} patches" + ("" if score.in_gate else "\n(not in the gate)")
        for score in metrics.classes
    ]
    axes.set_xticks(range(len(names)), names)
    axes.grid(visible=False, axis="x")
    title = f"By class, on {len(metrics.evaluation_dates)} held-out dates"
    axes.set(ylim=(0, 1.18), yticks=np.arange(0, 1.01, 0.2), title=title)
    axes.legend(loc="upper center", ncols=3)


def plot_forecast(target: Path, dataset: SequenceDataset, rows: Rows, forecast: Forecast, metrics: LstmMetrics) -> None:
    """Plot forecast against truth by date, and the error beside those of naive forecasts."""
    with figure_file(target) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        truth, targets = dataset.y[rows], dataset.target[rows]
        dates = np.unique(targets)
        few = len(dates) <= len(DATE_COLORS)
        for position, date in enumerate(dates):
            rows_of_date = targets == date
            left.scatter(
                truth[rows_of_date], forecast[rows_of_date], s=14, alpha=0.65, linewidths=0,
                color=DATE_COLORS[position] if few else BLUE,
                label=f"{dataset.info.dates[date]} ({rows_of_date.sum()})" if few else None,
            )  # fmt: skip
        both = np.concatenate([truth, forecast])
        low, high = float(both.min()), float(both.max())
        margin = max(0.05 * (high - low), 0.02)
        limits = (low - margin, high + margin)
        left.plot(limits, limits, color=GREY, linewidth=1, zorder=0)
        left.set(xlim=limits, ylim=limits, aspect="equal", xlabel="True NDVI", ylabel="Forecast NDVI")
        explained = "" if metrics.r2 is None else f", R² {metrics.r2:.2f}"
        left.set_title(f"Forecast and truth{explained}")
        if few:
            left.legend(loc="upper left", fontsize=8, markerscale=1.4, handletextpad=0.2)
        _error_bars(right, metrics)


def _error_bars(axes: Axes, metrics: LstmMetrics) -> None:
    names = ["LSTM", *(_name(name) for name in metrics.baselines)]
    errors = [metrics.mae, *(naive.mae for naive in metrics.baselines.values())]
    skills = ["", *("" if naive.skill is None else f"  ({naive.skill:+.0%})" for naive in metrics.baselines.values())]
    bars = axes.barh(names, errors, color=[BLUE, *[GREY] * len(metrics.baselines)], height=0.6)
    axes.bar_label(bars, [f" {error:.3f}{skill}" for error, skill in zip(errors, skills, strict=True)], fontsize=9)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    dates = len(metrics.evaluation_dates)
    axes.set(
        xlim=(0, max(errors) * 1.5),
        xlabel="Mean absolute error (NDVI); in brackets: skill of the LSTM against it",
        title=f"{metrics.samples:,} sequences, {dates} held-out {'date' if dates == 1 else 'dates'}",
    )
