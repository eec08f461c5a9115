"""How durations and key figures went over the latest runs, as points of a small drawing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.reporting.html import seconds, value, words
from include.reporting.listing import Row, State

LATEST = 120
WIDTH, HEIGHT, MARGIN = 320.0, 90.0, 6.0
FEWEST = 2


@dataclass(frozen=True)
class Point:
    """A run in a drawing; x and y in its units, y downwards."""

    x: float
    y: float
    state: State
    text: str


@dataclass(frozen=True)
class Trend:
    """A line over time.

    Args:
        title: What it shows.
        points: Oldest first.
        low: Smallest value, as text.
        high: Largest value, as text.
        latest: Value of the latest run, as text.
        first_day: Start of the first run.
        last_day: Start of the last run.
    """

    title: str
    points: list[Point]
    low: str
    high: str
    latest: str
    first_day: datetime
    last_day: datetime

    @property
    def line(self) -> str:
        """The points of an SVG polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


def duration_trend(rows: Sequence[Row], title: str) -> Trend | None:
    """Durations of the latest runs that have ended; None for fewer than two."""
    return _trend([(row, row.entry.seconds) for row in rows], title, seconds)


def figure_trends(rows: Sequence[Row], most: int = 5) -> list[Trend]:
    """The key figures that at least two runs tell, in the order of the latest run."""
    latest = max(rows, key=lambda row: (bool(row.entry.figures), row.entry.started_at), default=None)
    names = list(latest.entry.figures) if latest else []
    found = (_trend([(row, row.entry.figures.get(name)) for row in rows], words(name), value) for name in names)
    return [trend for trend in found if trend][:most]


def _trend(rows: Sequence[tuple[Row, float | None]], title: str, text: Callable[[float], str]) -> Trend | None:
    told = [(row, number) for row, number in rows if number is not None and math.isfinite(number)]
    told = sorted(told, key=lambda each: each[0].entry.started_at)[-LATEST:]
    if len(told) < FEWEST:
        return None
    numbers = [number for _, number in told]
    low, high = min(numbers), max(numbers)
    step = (WIDTH - 2 * MARGIN) / (len(told) - 1)
    scale = (HEIGHT - 2 * MARGIN) / (high - low) if high > low else 0.0
    points = [
        Point(
            x=MARGIN + place * step,
            y=HEIGHT - MARGIN - (number - low) * scale if scale else HEIGHT / 2,
            state=row.state,
            text=f"{row.entry.started_at:%Y-%m-%d %H:%M}: {text(number)}, {row.state}",
        )
        for place, (row, number) in enumerate(told)
    ]
    first, last = told[0][0].entry.started_at, told[-1][0].entry.started_at
    return Trend(title, points, text(low), text(high), text(numbers[-1]), first, last)
