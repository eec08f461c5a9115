"""The picture of a comparison: what each model is worth, and by how much this run's differs from the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.core.plots import BLUE, GREY, ORANGE, SKY, VERMILLION, figure_file
from include.satellite.models.results import CHAMPION, REAL, SYNTHETIC, Comparison, Difference, in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {REAL: BLUE, SYNTHETIC: SKY, CHAMPION: ORANGE}


def plot_comparison(target: Path, comparison: Comparison) -> None:
    """Scores above, paired differences with their intervals below; the classifiers left, the forecasts right."""
    cnn, lstm = comparison.cnn_comparison, comparison.lstm_comparison
    rivals = max(len(cnn.models), len(lstm.models))
    with figure_file(target, height=2.6 + 0.62 * rivals) as figure:
        (top_left, top_right), (left, right) = figure.subplots(2, 2)
        _scores(top_left, {name: score.balanced_accuracy for name, score in cnn.models.items()})
        _scores(top_right, {name: score.mae for name, score in lstm.models.items()})
        top_left.set_xlim(0, 1.12)
        top_left.set_title(f"CNN on {cnn.samples:,} held-out patches")
        top_left.set_xlabel("Balanced accuracy (more is better)")
        top_right.set_title(f"LSTM on {lstm.samples:,} held-out targets")
        top_right.set_xlabel("MAE of NDVI (less is better)")
        _forest(left, [each for each in cnn.differences if each.metric == "balanced_accuracy"])
        _forest(right, lstm.differences)
        left.set_title("This run's model against …")
        left.set_xlabel(f"Gain in balanced accuracy, 95 % over {_drawn(cnn.blocks, len(cnn.dates))}")
        right.set_title("This run's model against …")
        right.set_xlabel(f"MAE avoided, 95 % over {_drawn(lstm.blocks, len(lstm.dates))}")
        verdict = "all gates passed" if comparison.decision.promote else "not promoted"
        mark = "simulated imagery" if comparison.synthetic else "real imagery"
        figure.suptitle(
            f"Comparison: {verdict} ({mark}, labels: {comparison.label_source})", x=0.01, ha="left",
            fontweight="bold",
        )  # fmt: skip


def _scores(axes: Axes, values: dict[str, float]) -> None:
    bars = axes.barh(
        [in_words(name) for name in values],
        list(values.values()),
        height=0.7,
        color=[COLORS.get(n, GREY) for n in values],
    )
    axes.bar_label(bars, [f" {value:.3f}" for value in values.values()], fontsize=9)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.14)


def _forest(axes: Axes, differences: Sequence[Difference]) -> None:
    for position, each in enumerate(differences):
        low = each.difference if each.low is None else each.low
        high = each.difference if each.high is None else each.high
        color = BLUE if low > 0 else VERMILLION if high < 0 else GREY
        axes.plot([low, high], [position, position], color=color, linewidth=2.2, solid_capstyle="butt")
        axes.plot([each.difference], [position], "o", color=color, markersize=6)
    axes.axvline(0, color="#333333", linewidth=1)
    axes.set_yticks(range(len(differences)), [in_words(each.against) for each in differences])
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)


def _drawn(blocks: int, dates: int) -> str:
    return f"{blocks} block{'s' if blocks > 1 else ''} × {dates} date{'s' if dates > 1 else ''}"
