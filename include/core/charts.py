"""Charts of a report: values, titles and units; how they are drawn is the report's matter.

A domain names a function (`Domain.charts`) that computes them from the accepted files of a run. Every value is finite
or None, which leaves a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Value = float | None


@dataclass(frozen=True)
class Line:
    """A line of a chart, one value for each place.

    Args:
        label: In the legend.
        values: In the unit of the chart.
        low: Lowest value at each place, for a band around the line; empty without one.
        high: Highest value at each place.
        estimated: The values are estimates: points on a dashed line.
    """

    label: str
    values: Sequence[Value]
    low: Sequence[Value] = ()
    high: Sequence[Value] = ()
    estimated: bool = False


@dataclass(frozen=True)
class Panel:
    """What a chart shows for one choice of its reader, such as one meter.

    Args:
        label: In the list of choices.
        start: Place of the first value: seconds since 1970 (UTC) on a time axis.
        step: Distance between two places.
        lines: At least one, all of the same length.
        marks: Index and value of points that stand out.
        note: What each value is: a reading, or the mean of some time.
    """

    label: str
    start: float
    step: float
    lines: tuple[Line, ...]
    marks: tuple[tuple[int, float], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class LineChart:
    """Lines over time, or over another quantity.

    Args:
        name: Identifies the chart on its page; a word.
        title: Of the chart.
        unit: Of the values.
        axis: `time`, or what the horizontal axis shows, with its unit.
        panels: The first one is shown first.
        marked: What the marks are.
        note: A sentence below the title.
    """

    name: str
    title: str
    unit: str
    axis: str
    panels: tuple[Panel, ...]
    marked: str = ""
    note: str = ""


@dataclass(frozen=True)
class BarChart:
    """Bars by name, such as months.

    Args:
        name: Identifies the chart on its page; a word.
        title: Of the chart.
        unit: Of the values.
        labels: One for each bar.
        values: In the unit.
        heading: What the labels are.
        note: A sentence below the title.
        estimated: The part of each value that is estimated, which is hatched; empty without estimates.
    """

    name: str
    title: str
    unit: str
    labels: Sequence[str]
    values: Sequence[float]
    heading: str
    note: str = ""
    estimated: Sequence[float] = ()


Chart = LineChart | BarChart


@dataclass(frozen=True)
class Charts:
    """The charts of a report.

    Args:
        charts: The first one stands on the first screen.
        replaces: Plots that show less than these charts, by their files' paths.
    """

    charts: tuple[Chart, ...] = ()
    replaces: tuple[str, ...] = ()
