"""The plots of the validation: a contact sheet of the scenes, and NDVI over time.

Colours are those of Okabe and Ito (2008), distinct also to colour-blind readers.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.core.plots import BLUE, GREEN, GREY, SKY, VERMILLION, figure_file
from include.satellite.imagery.scenes import Scene
from include.satellite.imagery.schemas import Acquisition, DateReport, Imagery
from include.satellite.sensors.indices import NDVI

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Thumbnail = NDArray[np.uint8]
"""(height, width, 3)."""

PAPER, NOTHING = 255, 226
LONGEST_SIDE = 256
COLUMNS, MOST_COLUMNS, CELL_INCHES = 5, 12, 2.2
CAPTION_INCHES, CAPTION_WITH_REASON_INCHES = 0.45, 0.62
REASON_WIDTH, REASON_LINES = 34, 2


def thumbnail(scene: Scene, inside: NDArray[np.bool_]) -> Thumbnail:
    """Draw a scene in true colour, at most 256 pixels a side; grey where there is no data, paler outside the area."""
    step, recipe = max(1, math.ceil(max(inside.shape) / LONGEST_SIDE)), scene.sensor.true_colour
    bands = np.stack([_coarser(scene.band(band), step) for band in recipe.bands], axis=-1)
    colour = np.clip(bands * (scene.sensor.scale / recipe.white), 0, 1) ** recipe.gamma * 255
    colour[_coarser(scene.data, step) < 0.5] = NOTHING
    outside = _coarser(inside, step) < 0.5
    colour[outside] = 0.35 * colour[outside] + 0.65 * PAPER
    picture: Thumbnail = colour.astype(np.uint8)
    return picture


def _coarser(pixels: NDArray[Any], step: int) -> NDArray[np.float64]:
    """Return the means of square cells; the rest of the last row and column is dropped."""
    height, width = (max(1, length // step) for length in pixels.shape)
    rows, columns = min(step, pixels.shape[0]), min(step, pixels.shape[1])
    complete = pixels[: height * rows, : width * columns].reshape(height, rows, width, columns)
    return np.asarray(complete.mean(axis=(1, 3), dtype=np.float64))


def draw_contact_sheet(
    path: Path,
    thumbnails: Sequence[Thumbnail | None],
    reports: Sequence[DateReport],
    unusable: Sequence[Acquisition],
) -> None:
    """Draw one picture a date, with date, cloud and assessment; dates without data keep their place.

    Args:
        path: The PNG file.
        thumbnails: One a report; None where nothing could be read.
        reports: The assessments, by date.
        unusable: Dates that did not get as far as the validation.
    """
    cells: list[tuple[DateReport | Acquisition, Thumbnail | None]] = [*zip(reports, thumbnails, strict=True)]
    cells += [(acquisition, None) for acquisition in unusable]
    cells.sort(key=lambda cell: cell[0].date)
    accepted = sum(report.accepted for report in reports)
    columns = min(MOST_COLUMNS, max(COLUMNS, math.ceil(math.sqrt(len(cells)))), max(len(cells), 1))
    shape = next((picture.shape[0] / picture.shape[1] for picture in thumbnails if picture is not None), 1.0)
    caption = CAPTION_INCHES if accepted == len(cells) else CAPTION_WITH_REASON_INCHES
    rows, height = max(1, math.ceil(len(cells) / columns)), CELL_INCHES * min(shape, 2.0) + caption
    title = f"Scenes in true colour: {accepted} accepted, {len(cells) - accepted} not{_mark(reports)}"
    with figure_file(path, CELL_INCHES * columns, height * rows + 0.6) as figure:
        figure.suptitle(title, x=0.01, ha="left", fontsize=13)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (assessed, picture) in zip(grid, cells, strict=False):
            _draw_cell(axes, assessed, picture, shape)
        for axes in grid[len(cells) :]:
            axes.set_axis_off()


def _mark(reports: Sequence[DateReport]) -> str:
    """Return the mark of simulated imagery for a title."""
    return ", SIMULATED" if any(report.synthetic for report in reports) else ""


def draw_ndvi(path: Path, reports: Sequence[DateReport], imagery: Imagery) -> None:
    """Draw the NDVI of the area over time: mean, and the range that holds the middle 80 % of the pixels."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    measured = [(report, ndvi) for report in reports if (ndvi := report.index(NDVI.name)) is not None]
    days = np.array([report.date for report, _ in measured], "datetime64[D]")
    accepted = np.array([report.accepted for report, _ in measured], bool)
    values = np.array([(ndvi.low, ndvi.mean, ndvi.high) for _, ndvi in measured], float).reshape(-1, 3)
    with figure_file(path) as figure:
        axes: Axes = figure.subplots()
        if accepted.any():
            low, mean, high = values[accepted].T
            range_label = "middle 80 % of the clear pixels"
            axes.fill_between(days[accepted], low, high, color=SKY, alpha=0.35, linewidth=0, label=range_label)
            axes.plot(days[accepted], mean, color=BLUE, marker="o", markersize=4, label="mean")
        if not accepted.all():
            style: dict[str, Any] = {"marker": "x", "linestyle": "none", "markeredgewidth": 2, "color": VERMILLION}
            axes.plot(days[~accepted], values[~accepted, 1], label="mean of an excluded date", **style)
        axes.set_title(f"NDVI over time ({sum(report.accepted for report in reports)} dates){_mark(reports)}")
        axes.set_ylabel("NDVI")
        axes.set_xlim(*np.array([imagery.start.date(), imagery.end.date()], "datetime64[D]"))
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        if measured:
            figure.legend(loc="outside lower left", ncols=3)
        else:
            why = "not measured: the validation was skipped, or no scene could be read"
            axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", color=GREY)


def _draw_cell(axes: Axes, assessed: DateReport | Acquisition, picture: Thumbnail | None, shape: float) -> None:
    title, label, colour = f"{assessed.date}  ", "", GREEN  # the title says how many are accepted
    if isinstance(assessed, DateReport) and assessed.cloud is not None:
        title += f"cloud {assessed.cloud:.1f} %"
    if isinstance(assessed, Acquisition) or not assessed.accepted:
        lines = textwrap.wrap(assessed.reason or "not usable", REASON_WIDTH, max_lines=REASON_LINES, placeholder=" …")
        label, colour = "✗ " + "\n".join(lines), VERMILLION
    if picture is None:
        picture = np.full((max(1, round(32 * shape)), 32, 3), NOTHING, np.uint8)
        axes.text(0.5, 0.5, "no picture", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=9)
    axes.imshow(picture, interpolation="nearest", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set(visible=True, color=colour, linewidth=2)
    axes.set_title(title, fontsize=9, fontweight="normal", loc="left", pad=4)
    axes.set_xlabel(label, fontsize=8, color=colour, loc="left", labelpad=3)
