"""Maps on the page: a drawing (SVG) of areas by state, in the Web Mercator projection, as tiles of basemaps are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from include.core.charts import MapChart

WIDTH, HEIGHT, MARGIN = 1000.0, 560.0, 14.0
"""Of the drawing, in units of its own."""
LETTER = (8.5, 14.0)
"""Width and height of a letter of a name, in units of the drawing."""
ON_PHONES = 2.8
"""Names are so many times as large on a narrow screen, where the drawing is smaller (figures.css, report.js)."""
EQUATOR_KM = 40_075.017
NORTHMOST = 85.051
"""Degrees of latitude at which Web Mercator ends."""


@dataclass(frozen=True)
class DrawnArea:
    """An area in the drawing.

    Args:
        path: Path data.
        middle: Where its name stands.
        fits_at: Magnification at which its name fits into it.
        text: Name, state, and what is known of it.
    """

    path: str
    middle: tuple[float, float]
    fits_at: float
    text: str

    @property
    def name_classes(self) -> str:
        """Classes of its name: `off` where it does not fit, `tight` where it does not on a narrow screen."""
        return "name" + " off" * (self.fits_at > 1) + " tight" * (self.fits_at * ON_PHONES > 1)


@dataclass(frozen=True)
class MapDrawing:
    """A map as shapes of an SVG of 1000 × 560.

    Args:
        areas: One for each area of the chart, in its order.
        counts: Number of areas by state.
        left: The drawing's left edge in Web Mercator, where the world is 0 to 1 from west to east.
        top: Its upper edge, 0 to 1 from north to south.
        scale: Units of the drawing for the width of the world.
        unit_km: Length of a unit on the ground, in the middle of the map, km.
    """

    areas: tuple[DrawnArea, ...]
    counts: dict[str, int]
    left: float
    top: float
    scale: float
    unit_km: float


def drawn_map(chart: MapChart) -> MapDrawing:
    """Return the drawing of a map: all areas as large as they fit, in its middle."""
    projected = [[[_mercator(point) for point in ring] for ring in area.rings] for area in chart.areas]
    points = [point for rings in projected for ring in rings for point in ring]
    west, east = min(x for x, _ in points), max(x for x, _ in points)
    north, south = min(y for _, y in points), max(y for _, y in points)
    scale = min(
        (WIDTH - 2 * MARGIN) / max(east - west, 1e-12),
        (HEIGHT - 2 * MARGIN) / max(south - north, 1e-12),
    )
    left, top = (west + east) / 2 - WIDTH / 2 / scale, (north + south) / 2 - HEIGHT / 2 / scale
    areas = []
    for area, rings in zip(chart.areas, projected, strict=True):
        drawn = [[(round((x - left) * scale, 1), round((y - top) * scale, 1)) for x, y in ring] for ring in rings]
        path = "".join(f"M{' '.join(f'{x:g},{y:g}' for x, y in ring[:-1])}Z" for ring in drawn)
        xs, ys = [x for x, _ in drawn[0]], [y for _, y in drawn[0]]
        text = f"{area.label}: {area.state}" + (f", {area.text}" if area.text else "")
        middle = round((min(xs) + max(xs)) / 2, 1), round((min(ys) + max(ys)) / 2, 1)
        room = min((max(xs) - min(xs)) / (LETTER[0] * (len(area.label) + 1)), (max(ys) - min(ys)) / (2 * LETTER[1]))
        areas.append(DrawnArea(path, middle, round(1 / max(room, 1e-3), 2), text))
    return MapDrawing(
        areas=tuple(areas),
        counts={state: sum(area.state == state for area in chart.areas) for state in chart.states},
        left=left,
        top=top,
        scale=scale,
        unit_km=EQUATOR_KM / scale / math.cosh(math.pi * (1 - (north + south))),
    )


def _mercator(point: Sequence[float]) -> tuple[float, float]:
    """Return a point in Web Mercator, the world being 0 to 1 from west to east and from north to south."""
    latitude = math.radians(min(max(point[1], -NORTHMOST), NORTHMOST))
    return point[0] / 360 + 0.5, 0.5 - math.asinh(math.tan(latitude)) / (2 * math.pi)
