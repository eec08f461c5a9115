"""Charts on the page: a drawing (SVG) that needs no script, and the values that the page's script draws from.

The drawing is of the first panel, in as many columns as it is wide: each shows the mean, the lowest and the highest
value of its points, so that no peak is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from markupsafe import Markup

from include.core.charts import BarChart, Chart, Charts, Line, LineChart, MapChart, Panel, Value
from include.core.contracts import imported
from include.domains import DOMAINS
from include.reporting.maps import MapDrawing, drawn_map
from include.reporting.model import PipelineReport
from include.reporting.overview import accepted_files

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 800, 260, 58, 30, 8, 8
COLUMNS = 360
TICKS_Y, TICKS_X = 5, 6
MOST_LABELS = 10
Advance = Callable[[datetime], datetime]


@dataclass(frozen=True)
class Tick:
    """A tick of an axis: its place in the drawing, and its text."""

    place: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """A chart as shapes of an SVG of 800 × 260.

    Args:
        bands: Paths of areas, each with the number of its colour.
        lines: Paths of lines, each with the number of its colour.
        marks: Path of the points that stand out.
        bars: x, y, width, height and text of each bar.
        hatched: x, y, width and height of the parts of bars that are estimated.
        x_ticks: Of the horizontal axis.
        y_ticks: Of the vertical axis.
        legend: Labels of the lines, where there are several.
    """

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bands: tuple[tuple[int, str], ...] = ()
    lines: tuple[tuple[int, str], ...] = ()
    marks: str = ""
    bars: tuple[tuple[float, float, float, float, str], ...] = ()
    hatched: tuple[tuple[float, float, float, float], ...] = ()
    legend: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownChart:
    """A chart of the page.

    Args:
        chart: As the domain computed it.
        drawing: What is seen without a script.
        values: JSON for the script; None for bars and maps, which need none.
        summary: What the chart shows, in words.
    """

    chart: Chart
    drawing: Drawing | MapDrawing
    values: Markup | None
    summary: str


def charts_of(report: PipelineReport, files: Path) -> Charts:
    """Return the charts of a run's domain; none where its steps did not come far enough."""
    accepted, steps = accepted_files(report, files), {step.id for step in report.steps}
    for domain in DOMAINS:
        if domain.charts and steps & domain.steps.keys():
            charts = imported(domain.charts)(accepted)
            if isinstance(charts, Charts) and charts.charts:
                return charts
    return Charts()


def shown_chart(chart: Chart, zone: tzinfo) -> ShownChart:
    """Return a chart with its drawing.

    Args:
        chart: At least one value of it is known.
        zone: Of the times of the drawing.
    """
    if isinstance(chart, MapChart):
        drawing = drawn_map(chart)
        counts = ", ".join(f"{count} {state}" for state, count in drawing.counts.items() if count)
        return ShownChart(chart, drawing, None, f"{len(chart.areas)} areas, of which {counts}")
    if isinstance(chart, BarChart):
        return ShownChart(chart, _bars(chart), None, _summary(chart.values, chart.unit))
    first = chart.panels[0]
    values = [value for line in first.lines for part in (line.values, line.low, line.high) for value in part]
    return ShownChart(chart, _lines(chart, first, zone), _json(chart, zone), _summary(values, chart.unit))


def _summary(values: Sequence[Value], unit: str) -> str:
    known = [value for value in values if value is not None]
    return f"from {min(known):,.4g} to {max(known):,.4g} {unit}"


def _lines(chart: LineChart, panel: Panel, zone: tzinfo) -> Drawing:
    parts = [part for line in panel.lines for part in (line.values, line.low, line.high)]
    known = [value for part in parts for value in part if value is not None] + [value for _, value in panel.marks]
    count = len(panel.lines[0].values)
    y_ticks, to_y = _vertical(min(0.0, *known), max(known))
    width = WIDTH - LEFT - RIGHT
    scale = width / max(count - 1, 1)
    lines, bands = [], []
    for number, line in enumerate(panel.lines):
        columns = list(_columns(line, min(count, COLUMNS)))
        points = [(LEFT + place * scale, mean) for place, mean, _, _ in columns]
        lines.append((number, _path([(x, to_y(mean) if mean is not None else None) for x, mean in points])))
        if count > COLUMNS or line.low:
            bands.append((number, _band(columns, scale, to_y)))
    return Drawing(
        x_ticks=tuple(_time_ticks(panel, zone, scale) if chart.axis == "time" else _number_ticks(panel, scale)),
        y_ticks=y_ticks,
        bands=tuple(bands),
        lines=tuple(lines),
        marks="".join(f"M{LEFT + index * scale:.1f} {to_y(value):.1f}h0" for index, value in panel.marks),
        legend=tuple(line.label for line in panel.lines) if len(panel.lines) > 1 else (),
    )


def _columns(line: Line, most: int) -> Iterator[tuple[float, Value, Value, Value]]:
    """Yield place, mean, lowest and highest value of each column; None where it holds no value."""
    count = len(line.values)
    low, high = line.low or line.values, line.high or line.values
    for number in range(most):
        part = slice(number * count // most, (number + 1) * count // most)
        mean = [value for value in line.values[part] if value is not None]
        least = [value for value in low[part] if value is not None]
        greatest = [value for value in high[part] if value is not None]
        place = (part.start + part.stop - 1) / 2
        if mean:
            yield place, sum(mean) / len(mean), min(least), max(greatest)
        else:
            yield place, None, None, None


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    """Return the path of a line that a missing value interrupts; a value between two missing ones is a dash."""
    path, pen_down = [], False
    for x, y in points:
        if y is not None:
            path.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}" + ("" if pen_down else "h.1"))
        pen_down = y is not None
    return "".join(path)


def _band(columns: Sequence[tuple[float, Value, Value, Value]], scale: float, to_y: ToY) -> str:
    """Return the path of the areas between lowest and highest values, one for each stretch without a gap."""
    stretches: list[list[tuple[float, float, float]]] = [[]]
    for place, _, low, high in columns:
        if low is None or high is None:
            stretches.append([])
        else:
            stretches[-1].append((LEFT + place * scale, to_y(low), to_y(high)))
    path = []
    for stretch in filter(None, stretches):
        outline = [(x, high) for x, _, high in stretch] + [(x, low) for x, low, _ in reversed(stretch)]
        path.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in outline) + "Z")
    return "".join(path)


class ToY:
    """From a value to its height in the drawing, in which y runs down."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.scale = low, (HEIGHT - TOP - BOTTOM) / ((high - low) or 1.0)

    def __call__(self, value: float) -> float:
        """Return y."""
        return HEIGHT - BOTTOM - (value - self.low) * self.scale


def _vertical(low: float, high: float) -> tuple[tuple[Tick, ...], ToY]:
    """Return ticks at round values that include both bounds, and the scale."""
    step = _round_step((high - low) / TICKS_Y or 1.0)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    to_y = ToY(first * step, last * step)
    ticks = tuple(Tick(to_y(number * step), f"{number * step:,.10g}") for number in range(first, last + 1))
    return ticks, to_y


def _round_step(rough: float) -> float:
    """Return the next of 1, 2, 2.5 and 5 times a power of ten.

    >>> _round_step(0.3), _round_step(140)
    (0.5, 200.0)
    """
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)


def _number_ticks(panel: Panel, scale: float) -> Iterator[Tick]:
    """Yield ticks at round values."""
    span = (len(panel.lines[0].values) - 1) * panel.step or panel.step
    step = _round_step(span / TICKS_X)
    for number in range(math.ceil(panel.start / step), math.floor((panel.start + span) / step) + 1):
        yield Tick(LEFT + (number * step - panel.start) / panel.step * scale, f"{number * step:g}")


def _time_ticks(panel: Panel, zone: tzinfo, scale: float) -> Iterator[Tick]:
    """Yield ticks at the start of local hours, days, months or years."""
    count = len(panel.lines[0].values)
    span = (count - 1) * panel.step or panel.step
    start = datetime.fromtimestamp(panel.start, UTC).astimezone(zone)
    moment, form, advance = _calendar(start, span / 86400)
    while (seconds := moment.timestamp() - panel.start) <= span:
        if seconds >= 0:
            yield Tick(LEFT + seconds / panel.step * scale, f"{moment:{form}}")
        wall = advance(moment.replace(tzinfo=None))
        moment = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)


def _calendar(start: datetime, days: float) -> tuple[datetime, str, Advance]:
    """Return the first tick at or before a time, the form of the ticks, and what leads to the next one."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if days <= 2:
        hours = 3 if days <= 1 else 6
        return midnight, "%H:%M", lambda moment: moment + timedelta(hours=hours)
    if days <= 62:
        number = max(1, round(days / 8))
        return midnight, "%b %d", lambda moment: moment + timedelta(days=number)
    months = max(1, round(days / 30 / 8))
    months = next((length for length in (1, 2, 3, 6, 12) if length >= months), -(-months // 12) * 12)
    first = midnight.replace(day=1, month=1)
    return first, "%Y-%m" if months < 12 else "%Y", lambda moment: _months_later(moment, months)


def _months_later(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, 12)
    return moment.replace(year=moment.year + years, month=month + 1)


def _bars(chart: BarChart) -> Drawing:
    count = len(chart.values)
    y_ticks, to_y = _vertical(min(0.0, *chart.values), max(0.0, *chart.values))
    slot = (WIDTH - LEFT - RIGHT) / count
    bars = tuple(
        (
            LEFT + number * slot + 0.1 * slot,
            min(to_y(value), to_y(0)),
            0.8 * slot,
            abs(to_y(value) - to_y(0)),
            f"{label}: {value:,.4g} {chart.unit}{_of_which_estimated(chart, number)}",
        )
        for number, (label, value) in enumerate(zip(chart.labels, chart.values, strict=True))
    )
    hatched = tuple(
        (x, to_y(value), width, to_y(value - part) - to_y(value))
        for (x, _, width, _, _), value, part in zip(bars, chart.values, chart.estimated or [0.0] * count, strict=True)
        if part > 0
    )
    every = -(-count // MOST_LABELS)
    ticks = tuple(
        Tick(LEFT + (number + 0.5) * slot, label) for number, label in enumerate(chart.labels) if number % every == 0
    )
    return Drawing(x_ticks=ticks, y_ticks=y_ticks, bars=bars, hatched=hatched)


def _of_which_estimated(chart: BarChart, number: int) -> str:
    part = chart.estimated[number] if chart.estimated else 0
    return f", of which {part:,.4g} {chart.unit} are estimated" if part else ""


def _json(chart: LineChart, zone: tzinfo) -> Markup:
    """Return the values of a chart as JSON that no parser of HTML takes for the end of a script."""
    now = datetime.now(zone)
    document = {
        "axis": chart.axis,
        "unit": chart.unit,
        "zone": getattr(zone, "key", None) or "UTC",
        "shift": 0 if hasattr(zone, "key") else int((now.utcoffset() or timedelta()).total_seconds()),
        "marked": chart.marked,
        "panels": [
            {
                "label": panel.label,
                "note": panel.note,
                "start": panel.start,
                "step": panel.step,
                "marks": panel.marks,
                "lines": [
                    {"label": line.label, "values": line.values}
                    | ({"low": line.low, "high": line.high} if line.low else {})
                    | ({"estimated": True} if line.estimated else {})
                    for line in panel.lines
                ],
            }
            for panel in chart.panels
        ],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704 - escaped in the line itself
