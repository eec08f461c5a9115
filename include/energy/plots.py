"""The report's plots, drawn from the aggregates of `output1.json`: their cost does not grow with the records.

Colours are those of Okabe and Ito (2008), distinct also for colour-blind readers; the heat map's is cividis. What is
estimated is hatched, so that it can be told in black and white too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from include.core.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, figure_file
from include.core.text import printable
from include.energy.schemas import ANOMALY_LABELS, PLOTS, Analysis, AnomalyReason

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS: dict[AnomalyReason, tuple[str, str]] = {
    "outlier": (VERMILLION, "o"),
    "voltage_outside_band": (ORANGE, "s"),
    "power_factor": (PURPLE, "^"),
    "flat_line": (GREEN, "D"),
}
HATCH = "////"
NAMED_HOUSEHOLDS = 25
LEAST_ROWS = 4


def draw_plots(analysis: Analysis, files: Path) -> list[str]:
    """Draw the five plots.

    Returns:
        Their file names below `files`.
    """
    for name, artifact in PLOTS.items():
        with figure_file(artifact.at(files)) as figure:
            DRAW[name](figure, analysis)
    return [artifact.path for artifact in PLOTS.values()]


def load_curve(figure: Figure, analysis: Analysis) -> None:
    """Draw mean and highest power over time."""
    curve, axes = analysis.load_curve, figure.subplots()
    factor, unit = power_unit(curve.peak_kw)
    times, mean, peak = _with_gaps(analysis, factor)
    axes.fill_between(times, mean, peak, color=SKY, alpha=0.35, linewidth=0, label="up to the highest reading")
    axes.plot(times, mean, color=BLUE, linewidth=1.4, label="mean")
    axes.set_title(f"Load curve, {_period(curve.period_seconds)}")
    axes.set_ylabel(f"Power ({unit}{_per_household(analysis)})")
    axes.set_ylim(bottom=min(0, float(np.nanmin(mean))))
    _hatch_estimates(axes, analysis)
    axes.legend(loc="upper right", ncols=3)
    _time_axis(axes, analysis)


def heat_map(figure: Figure, analysis: Analysis) -> None:
    """Draw the mean power by day and hour of the local clock."""
    data, axes = analysis.heat_map, figure.subplots()
    days = [(start - data.start[0]).days // data.period_days for start in data.start]
    cells = np.full((24, days[-1] + 1), np.nan)
    cells[:, days] = np.array(data.kw, dtype=float).T
    factor, unit = power_unit([float(np.nanmax(cells))])
    edges = [data.start[0] + timedelta(days=data.period_days * number) for number in range(days[-1] + 2)]
    axes.set_facecolor("#DDDDDD")
    mesh = axes.pcolormesh(
        np.array(edges, "datetime64[D]"), np.arange(25), cells * factor, cmap="cividis", rasterized=True
    )
    _hatch_cells(axes, [(days[row], hour) for row, hour in data.estimated], edges)
    axes.grid(visible=False)
    axes.set_yticks(range(0, 25, 3), [f"{hour:02d}:00" for hour in range(0, 25, 3)])
    axes.invert_yaxis()
    axes.set_ylabel(f"Hour of day ({analysis.timezone})")
    rows = "day" if data.period_days == 1 else f"{data.period_days} days"
    marks = "; grey: no data" * bool(np.isnan(cells).any()) + "; hatched: holds estimates" * bool(data.estimated)
    axes.set_title(f"Mean power by {rows} and hour{marks}")
    figure.colorbar(mesh, ax=axes, label=f"Power ({unit}{_per_household(analysis)})", pad=0.01)
    _time_axis(axes, analysis)


def households(figure: Figure, analysis: Analysis) -> None:
    """Draw energy and peak of each household, largest first."""
    homes = sorted(analysis.households, key=lambda home: (-home.energy_kwh, home.household_id))
    left, right = figure.subplots(1, 2)
    estimates = [home.energy_kwh - home.energy_without_estimates_kwh for home in homes]
    _ranked(left, [home.energy_kwh for home in homes], BLUE, "Energy ({}h)", estimates)
    _ranked(right, [home.peak_kw or 0.0 for home in homes], ORANGE, "Highest reading ({})")
    left.set_title(f"Households compared ({len(homes)})" if len(homes) > 1 else "The household")
    if len(homes) <= NAMED_HOUSEHOLDS:
        left.set_yticks(range(len(homes)), [shorten(home.household_id) for home in homes])
        right.set_yticks(range(len(homes)), [""] * len(homes))
        figure.set_figheight(1.6 + 0.24 * max(len(homes), LEAST_ROWS))
    else:
        left.set_ylabel("Rank by energy")


def _ranked(axes: Axes, values_kw: Sequence[float], color: str, label: str, estimates: Sequence[float] = ()) -> None:
    few = len(values_kw) <= NAMED_HOUSEHOLDS
    factor, unit = power_unit(values_kw)
    values = [value * factor for value in values_kw]
    height = 0.7 if few else 1.0
    bars = axes.barh(range(len(values)), values, color=color, height=height)
    if any(estimates):
        parts = [estimate * factor for estimate in estimates]
        left = [value - part for value, part in zip(values, parts, strict=True)]
        axes.barh(
            range(len(values)),
            parts,
            height=height,
            left=left,
            color="none",
            edgecolor="white",
            hatch=HATCH,
            linewidth=0,
        )
        label += ", hatched: estimated"
    axes.set_ylim(max(len(values), LEAST_ROWS) - 0.4, -0.6)
    axes.set_xlabel(label.format(unit))
    axes.grid(visible=False, axis="y")
    if few:
        axes.bar_label(bars, labels=[f" {number(value)}" for value in values], fontsize=9)
        axes.margins(x=0.12)


def anomalies(figure: Figure, analysis: Analysis) -> None:
    """Draw the highest readings over time with the anomalies, and how many there are."""
    from matplotlib.ticker import MaxNLocator

    curve = analysis.load_curve
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    factor, unit = power_unit(curve.peak_kw)
    times, mean, peak = _with_gaps(analysis, factor)
    top.plot(times, peak, color=GREY, linewidth=0.8, label="highest reading")
    top.plot(times, mean, color="#C8C8C8", linewidth=0.8, label="mean")
    stacked = np.zeros(len(curve.start))
    starts, width = np.array(curve.start, "datetime64[s]"), np.timedelta64(curve.period_seconds, "s")
    for reason, (color, marker) in MARKS.items():
        points = [point for point in curve.anomalies if point.reason == reason]
        if not points:
            continue
        periods = [point.period for point in points]
        counts = np.bincount(periods, [point.records for point in points], len(starts))
        top.scatter(
            starts[periods],
            [point.peak_kw * factor for point in points],
            s=16,
            color=color,
            marker=marker,
            label=f"{ANOMALY_LABELS[reason]} ({analysis.anomalies_by_reason[reason]:,})",
            zorder=3,
            linewidths=0,
        )
        bottom.bar(starts + width // 2, counts, width=width, bottom=stacked, color=color, linewidth=0)
        stacked += counts
    _hatch_estimates(top, analysis)
    top.set_title(f"Anomalies on the load curve: {analysis.anomalies:,} of {analysis.records_out:,} records")
    top.set_ylabel(f"Power ({unit})")
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    bottom.set_ylabel("Records")
    bottom.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    _time_axis(bottom, analysis)


def records(figure: Figure, analysis: Analysis) -> None:
    """Draw how many records were accepted, rejected and left out, and how many are missing."""
    reasons = sorted(analysis.rejected_by_reason.items(), key=lambda item: (-item[1], item[0]))
    panels = figure.subplots(1, 2 if reasons else 1, squeeze=False)[0]
    went = {
        "accepted": (analysis.records_out, BLUE),
        "rejected": (analysis.records_rejected, VERMILLION),
        "outside the window": (analysis.records_outside_window, GREY),
        "expected, but missing": (analysis.missing, ORANGE),
    }
    counts = [count for count, _ in went.values()]
    shares = [f" {count:,}  ({count / analysis.records_in:.2%})" for count in counts[:3]] + [
        f" {analysis.missing:,}  of {analysis.expected:,} intervals"
    ]
    _counted(panels[0], list(went), counts, [color for _, color in went.values()], shares)
    panels[0].set_title(f"{analysis.records_in:,} records read")
    if reasons:
        names, numbers = [name.replace("_", " ") for name, _ in reasons], [count for _, count in reasons]
        _counted(panels[1], names, numbers, [VERMILLION] * len(names), [f" {count:,}" for count in numbers])
        panels[1].set_title("Why records were rejected")


def _counted(axes: Axes, names: list[str], counts: list[int], colors: list[str], labels: list[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    bars = axes.barh(names, counts, color=colors, height=0.6)
    axes.bar_label(bars, labels=labels, fontsize=9)
    axes.set_ylim(max(len(names), LEAST_ROWS) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, max(*counts, 1) * 1.45)
    axes.set_xlabel("Records")
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


DRAW: dict[str, Callable[[Figure, Analysis], None]] = {
    draw.__name__: draw for draw in (load_curve, heat_map, households, anomalies, records)
}


def power_unit(values_kw: Sequence[float]) -> tuple[float, str]:
    """Return factor and unit in which values of kW read well.

    >>> power_unit([4382825.2])
    (1e-06, 'GW')
    """
    largest = max((abs(value) for value in values_kw), default=0.0)
    steps = ((1e10, 1e-9, "TW"), (1e7, 1e-6, "GW"), (1e4, 1e-3, "MW"), (0.1, 1.0, "kW"), (0.0, 1e3, "W"))
    return next((factor, unit) for least, factor, unit in steps if largest >= least or least == 0)


def number(value: float) -> str:
    """Return a number as plots show it: four digits, with thousands separated.

    >>> number(12345.678), number(4.56789)
    ('12,346', '4.568')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def shorten(name: str, length: int = 28) -> str:
    """Return a name as a plot shows it: signs that cannot be seen escaped, and a long one cut in its middle."""
    name = printable(name)
    return name if len(name) <= length else f"{name[: length - 13]}…{name[-12:]}"


def _with_gaps(analysis: Analysis, factor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, mean and highest power, with a NaN where a period has no records, so that no line bridges a gap."""
    curve = analysis.load_curve
    starts, period = np.array(curve.start, "datetime64[s]"), np.timedelta64(curve.period_seconds, "s")
    gaps = np.flatnonzero(np.diff(starts) > period)
    times = np.insert(starts, gaps + 1, starts[gaps] + period)
    mean, peak = (np.insert(np.multiply(kw, factor), gaps + 1, np.nan) for kw in (curve.mean_kw, curve.peak_kw))
    return times, mean, peak


def _hatch_estimates(axes: Axes, analysis: Analysis) -> None:
    """Hatch the periods of the load curve that hold estimates, over the whole height."""
    curve = analysis.load_curve
    if not curve.estimated:
        return
    periods = np.array(curve.estimated)
    starts, width = np.array(curve.start, "datetime64[s]"), np.timedelta64(curve.period_seconds, "s")
    ends = starts[periods] + width
    runs = np.split(np.arange(len(periods)), np.flatnonzero(starts[periods][1:] > ends[:-1]) + 1)
    for number, run in enumerate(runs):
        label = "holds estimates" if number == 0 else None
        left, right = starts[periods[run[0]]], ends[run[-1]]
        axes.axvspan(left, right, label=label, zorder=0.5, facecolor="none", edgecolor=GREY, hatch=HATCH, linewidth=0)


def _hatch_cells(axes: Axes, cells: Sequence[tuple[int, int]], edges: Sequence[date]) -> None:
    """Hatch cells of the heat map, given as column and hour."""
    from matplotlib.collections import PatchCollection
    from matplotlib.dates import date2num
    from matplotlib.patches import Rectangle

    if not cells:
        return
    lefts = date2num(edges)  # type: ignore[no-untyped-call]
    patches = [Rectangle((lefts[column], hour), lefts[column + 1] - lefts[column], 1) for column, hour in cells]
    axes.add_collection(PatchCollection(patches, facecolor="none", edgecolor="white", hatch=HATCH, linewidth=0))


def _time_axis(axes: Axes, analysis: Analysis) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.margins(x=0.005)
    axes.set_xlabel(f"{'Time' if analysis.timezone == 'UTC' else 'Local time'} ({analysis.timezone})")


def _per_household(analysis: Analysis) -> str:
    return " a household" if len(analysis.households) > 1 else ""


def _period(seconds: int) -> str:
    """Return a period of a quarter of an hour or more, in words.

    >>> _period(900), _period(86400)
    ('15 minutes a point', '1 day a point')
    """
    value, unit = next(
        (seconds // size, name) for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")) if seconds >= size
    )
    return f"{value} {unit}{'' if value == 1 else 's'} a point"
