"""Plots of the reports: one style, colours that colour-blind readers can tell apart, complete files or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, SKY, ORANGE, GREEN, VERMILLION, PURPLE, GREY = (
    "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#8A8A8A",
)  # fmt: skip
"""Of Okabe and Ito (2008), and a grey."""
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.parse_math": False,  # a `$` in a name is text: as a formula it may stop the plot
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 110,
    "figure.titleweight": "bold",
}


@contextmanager
def figure_file(target: Path, width: float = 11, height: float = 4.8) -> Iterator[Figure]:
    """Yield a figure to draw on, which is written as a PNG file when the block ends well.

    Args:
        target: The file.
        width: Inches.
        height: Inches.

    Raises:
        SetupError: The file cannot be written; the old one stays.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with atomic_file(target) as partial:
            figure.savefig(partial, format="png", metadata={"Software": None})
