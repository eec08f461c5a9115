"""Pictures of a training and of what it is worth. Colours are those of Okabe and Ito (2008)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.core.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, figure_file
from include.satellite.models.documents import CnnMetrics, LstmMetrics, ModelKind, TrainingRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from include.satellite.datasets.sequences import SequenceDataset

LOSSES: dict[ModelKind, str] = {"cnn": "Cross-entropy", "lstm": "Mean squared error"}
SCORES: dict[ModelKind, str] = {"cnn": "Accuracy", "lstm": "Mean absolute error (NDVI)"}
DATE_COLORS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
MOST_DATES = len(DATE_COLORS)


def plot_training(target: Path, kind: ModelKind, record: TrainingRecord) -> None:
    """Loss and score by epoch, the best epoch marked."""
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch.epoch for epoch in record.history]
    best = record.history[record.best_epoch - 1]
    how = "patience ran out" if record.stopped_early else "all used"
    part = "tuning part" if record.tuned_on == "tune" else "training part, after the epoch"
    with figure_file(target) as figure:
        left, right = figure.subplots(1, 2)
        dots = {"marker": "o", "markersize": 3.5} if len(epochs) <= 30 else {}
        left.plot(epochs, [epoch.train_loss for epoch in record.history], color=BLUE, label="training part", **dots)
        left.plot(epochs, [epoch.tune_loss for epoch in record.history], color=ORANGE, label=part, **dots)
        right.plot(epochs, [epoch.tune_score for epoch in record.history], color=GREEN, **dots)
        for axes, value in ((left, best.tune_loss), (right, best.tune_score)):
            axes.axvline(best.epoch, color=GREY, linestyle=":", linewidth=1.2)
            axes.plot(
                [best.epoch], [value], "o", color=VERMILLION, markersize=7, zorder=3, label=f"best epoch: {value:.3f}"
            )
            axes.set_xlabel(f"Epoch ({how})")
            axes.set_xlim(0.5, max(len(epochs), 2) + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        losses = [value for epoch in record.history for value in (epoch.train_loss, epoch.tune_loss)]
        if min(losses) > 0 and max(losses) > 20 * min(losses):
            left.set_yscale("log")
        left.set_title(f"{kind.upper()}: loss, best in epoch {best.epoch} of {record.epochs}")
        left.set_ylabel(LOSSES[kind])
        left.legend()
        right.legend()
        right.set_title(f"{SCORES[kind]} on the {part}")
        right.margins(y=0.15)
        if kind == "lstm":
            right.set_ylim(bottom=0)


def plot_confusion(target: Path, metrics: CnnMetrics) -> None:
    """Where the predicted class differs from the true one, and each class's scores."""
    names = [each.name for each in metrics.classes]
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
        left.set_xlabel("Predicted")
        left.set_ylabel("True")
        left.set_title(f"Accuracy {metrics.accuracy:.3f}, balanced {metrics.balanced_accuracy:.3f}")
        _class_bars(right, metrics)


def _class_bars(axes: Axes, metrics: CnnMetrics) -> None:
    width = 0.26
    for number, (measure, color) in enumerate((("precision", SKY), ("recall", BLUE), ("f1", ORANGE))):
        values = [getattr(each, measure) for each in metrics.classes]
        positions = np.arange(len(values)) + (number - 1) * width
        label = "F1" if measure == "f1" else measure
        bars = axes.bar(positions, [value or 0 for value in values], width, color=color, label=label)
        axes.bar_label(bars, [f"{value:.2f}" if value is not None else "–" for value in values], fontsize=8, padding=1)
    names = [
        f"{each.name}\n{each.samples:,} patches" + ("" if each.in_gate else "\n(not in the gate)")
        for each in metrics.classes
    ]
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1.18)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.grid(visible=False, axis="x")
    axes.set_title(f"By class, on {len(metrics.evaluation_dates)} held-out dates")
    axes.legend(loc="upper center", ncols=3)


def plot_forecast(
    target: Path,
    dataset: SequenceDataset,
    rows: NDArray[np.int64],
    forecast: NDArray[np.floating],
    metrics: LstmMetrics,
) -> None:
    """Forecast against truth by date, and the error beside those of naive forecasts."""
    with figure_file(target) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
        truth, targets = dataset.y[rows], dataset.target[rows]
        shown = np.unique(targets)
        for position, each in enumerate(shown):
            here = targets == each
            few = len(shown) <= MOST_DATES
            left.scatter(
                truth[here], forecast[here], s=14, alpha=0.65, linewidths=0,
                color=DATE_COLORS[position] if few else BLUE,
                label=f"{dataset.info.dates[each]} ({here.sum()})" if few else None,
            )  # fmt: skip
        both = np.concatenate([truth, forecast])
        low, high = float(both.min()), float(both.max())
        margin = max(0.05 * (high - low), 0.02)
        limits = (low - margin, high + margin)
        left.plot(limits, limits, color=GREY, linewidth=1, zorder=0)
        left.set(xlim=limits, ylim=limits, aspect="equal", xlabel="True NDVI", ylabel="Forecast NDVI")
        explained = "" if metrics.r2 is None else f", R² {metrics.r2:.2f}"
        left.set_title(f"Forecast and truth{explained}")
        if len(shown) <= MOST_DATES:
            left.legend(loc="upper left", fontsize=8, markerscale=1.4, handletextpad=0.2)
        _error_bars(right, metrics)


def _error_bars(axes: Axes, metrics: LstmMetrics) -> None:
    ranked = {"LSTM": metrics.mae} | {name.replace("_", " "): naive.mae for name, naive in metrics.baselines.items()}
    skills = ["", *(_skill(naive.skill) for naive in metrics.baselines.values())]
    bars = axes.barh(list(ranked), list(ranked.values()), color=[BLUE, *[GREY] * len(metrics.baselines)], height=0.6)
    labels = [f" {value:.3f}{skill}" for value, skill in zip(ranked.values(), skills, strict=True)]
    axes.bar_label(bars, labels, fontsize=9)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, max(ranked.values()) * 1.5)
    axes.set_xlabel("Mean absolute error (NDVI); in brackets: skill of the LSTM against it")
    dates = len(metrics.evaluation_dates)
    axes.set_title(f"{metrics.samples:,} sequences, {dates} held-out {'date' if dates == 1 else 'dates'}")


def _skill(value: float | None) -> str:
    return "" if value is None else f"  ({value:+.0%})"
