"""Charts of a report: values, titles and units; how they are drawn is the report's matter.

A domain names a function (`Domain.charts`) that computes them from the accepted files of a run. Every value is finite
or None, which leaves a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

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


Look = Literal["alert", "plain", "pale", "empty"]
"""How areas of a state are drawn: one look attracts attention, the others differ without colour too."""
Ring = Sequence[Sequence[float]]
"""Points of an outline, longitude and latitude in degrees; the first one is repeated at the end."""


@dataclass(frozen=True)
class Area:
    """An area of a map.

    Args:
        label: Its name.
        state: One of the map's states.
        rings: Its outlines and those of its holes.
        text: What is known of it, beside its state.
        link: Where it leads on its page (`#field-3`); empty: nowhere.
    """

    label: str
    state: str
    rings: Sequence[Ring]
    text: str = ""
    link: str = ""


@dataclass(frozen=True)
class MapChart:
    """Areas by state, north up.

    Args:
        name: Identifies the chart on its page; a word.
        title: Of the chart.
        states: Look of each state, in the order of the legend.
        areas: At least one.
        chooses: Name of the line chart beside it: an area chooses the panel of its label.
        note: A sentence below the title.
    """

    name: str
    title: str
    states: Mapping[str, Look]
    areas: Sequence[Area]
    chooses: str = ""
    note: str = ""


Chart = LineChart | BarChart | MapChart


@dataclass(frozen=True)
class Charts:
    """The charts of a report.

    Args:
        charts: In their order.
        leading: So many of them stand on the first screen.
        replaces: Plots that show less than these charts, by their files' paths.
    """

    charts: tuple[Chart, ...] = ()
    leading: int = 1
    replaces: tuple[str, ...] = ()
