"""The page Fields: a map of the fields by state, and a table with the series of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.errors import ContractError
from include.core.run_folder import RunFolder
from include.core.tables import file_argument
from include.satellite.artifacts import ALERTS, FIELD_SERIES, FIELDS, FIELDS_TABLE

if TYPE_CHECKING:
    from include.env_file import EnvFile
    from include.satellite.fields.schemas import CropField

WIDTH, HEIGHT = 1000.0, 620.0
"""Of the map, in units of its own."""
SPARK = (180.0, 36.0)
SPARK_DAYS = 400
"""The series of a row shows the days before the latest one."""
STATES = ("alert", "in order", "cloudy", "no data")


@dataclass(frozen=True)
class ShownField:
    """A field as the page shows it.

    Args:
        number: Names its row on the page.
        state: One of `alert`, `in order`, `cloudy`, `no data`.
        outline: Path data of the map.
        place: Where its sign stands on the map.
        alert: What its current alert says, if it has one.
        past: Kinds and dates of its past alerts, the latest first.
        line: Points of the smoothed series.
        dots: Path data of the observations.
    """

    number: int
    field_id: str
    crop: str | None
    area_ha: float
    state: str
    latest: date | None
    ndvi: float | None
    outline: str
    place: tuple[float, float]
    alert: str
    past: str
    line: str
    dots: str


def fields_page(env_file: EnvFile, runs: Iterable[Path]) -> dict[str, Any]:
    """Return the page's own variables: `fields` of the latest run that has some, `run`, `states` with their number.

    Args:
        env_file: Not used.
        runs: Run folders of the pipeline, latest first.
    """
    for run in runs:
        files = RunFolder(run).files
        if all(artifact.at(files).is_file() for artifact in (FIELDS, FIELDS_TABLE, FIELD_SERIES, ALERTS)):
            try:
                shown = shown_fields(files)
            except ContractError:
                continue
            counts = {state: sum(field.state == state for field in shown) for state in STATES}
            return {"fields": shown, "run": run.name, "states": counts, "width": WIDTH, "height": HEIGHT}
    return {"fields": [], "run": None, "states": {}, "width": WIDTH, "height": HEIGHT}


def shown_fields(files: Path) -> list[ShownField]:
    """Return the fields of a run, those with an alert first.

    Raises:
        ContractError: A file is of another version.
    """
    import duckdb

    with duckdb.connect() as db:
        try:
            table = db.execute(
                "SELECT field_id, crop, valid_from, area_ha, state, latest, ndvi_mean FROM "
                f"read_parquet({file_argument(FIELDS_TABLE.at(files))})"
            ).fetchall()
            current: dict[str, str] = {}
            past: dict[str, list[str]] = {}
            for name, day, kind, text, is_current in db.execute(
                "SELECT field_id, date, kind, text, is_current FROM "
                f"read_parquet({file_argument(ALERTS.at(files))}) ORDER BY date DESC"
            ).fetchall():
                if is_current:
                    current.setdefault(name, f"{_day(day)}: {text}")
                else:
                    past.setdefault(name, []).append(f"{kind} {_day(day)}")
            series: dict[str, list[tuple[date, float | None, float | None]]] = {}
            for name, *point in db.execute(
                "SELECT field_id, date, observed, smoothed FROM "
                f"read_parquet({file_argument(FIELD_SERIES.at(files))}) ORDER BY field_id, date"
            ).fetchall():
                series.setdefault(name, []).append((_day(point[0]), _number(point[1]), _number(point[2])))
        except duckdb.Error as error:
            raise ContractError(FIELDS_TABLE.path, "must hold the fields of this version", str(error)) from None
    outlines = {(field.field_id, field.valid_from): field for field in FIELDS.read(files).fields}
    draw = _projection(list(outlines.values()))
    end = max((point[0] for points in series.values() for point in points), default=date.min)
    rows = []
    for name, crop, valid_from, area, state, latest, ndvi in table:
        field = outlines.get((name, None if valid_from is None else _day(valid_from)))
        if field is None:
            continue
        outline, place = draw(field)
        line, dots = _spark(
            [point for point in series.get(name, []) if point[0] > end - timedelta(days=SPARK_DAYS)], end
        )
        texts = current.get(name, ""), ", ".join(past.get(name, []))
        rows.append(
            (state != "alert", name, crop, area, state, latest, _number(ndvi), outline, place, *texts, line, dots)
        )
    rows.sort(key=lambda row: row[:2])
    return [
        ShownField(number, name, crop, area, state, None if latest is None else _day(latest), *rest)
        for number, (_, name, crop, area, state, latest, *rest) in enumerate(rows, 1)
    ]


def _day(value: Any) -> date:
    return value if type(value) is date else date.fromisoformat(str(value)[:10])


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _rings(field: CropField) -> list[Sequence[Sequence[float]]]:
    """Return the rings of an outline."""
    coordinates = field.geometry["coordinates"]
    polygons = [coordinates] if field.geometry["type"] == "Polygon" else coordinates
    return [ring for polygon in polygons for ring in polygon]


def _projection(fields: list[CropField]) -> Any:
    """Return the function that draws a field: path data and centre, north up, the map filled as far as it goes."""
    points = [point for field in fields for ring in _rings(field) for point in ring]
    west, east = min(point[0] for point in points), max(point[0] for point in points)
    south, north = min(point[1] for point in points), max(point[1] for point in points)
    narrow = math.cos(math.radians((south + north) / 2))
    scale = min((WIDTH - 20) / max((east - west) * narrow, 1e-9), (HEIGHT - 20) / max(north - south, 1e-9))
    left = (WIDTH - (east - west) * narrow * scale) / 2
    top = (HEIGHT - (north - south) * scale) / 2

    def at(point: Sequence[float]) -> tuple[float, float]:
        return round((point[0] - west) * narrow * scale + left, 1), round((north - point[1]) * scale + top, 1)

    def draw(field: CropField) -> tuple[str, tuple[float, float]]:
        rings = [[at(point) for point in ring[:-1]] for ring in _rings(field)]
        outline = "".join(f"M{' '.join(f'{x:g},{y:g}' for x, y in ring)}Z" for ring in rings)
        xs, ys = [x for x, _ in rings[0]], [y for _, y in rings[0]]
        return outline, ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)

    return draw


def _spark(points: list[tuple[date, float | None, float | None]], end: date) -> tuple[str, str]:
    """Return the points of the smoothed line and path data of the observations; NDVI from 0 to 1."""
    width, height = SPARK

    def at(day: date, value: float) -> tuple[float, float]:
        x = width - 4 - (end - day).days / SPARK_DAYS * (width - 8)
        return round(x, 1), round(height - 3 - min(max(value, 0.0), 1.0) * (height - 6), 1)

    line = " ".join("{:g},{:g}".format(*at(day, smoothed)) for day, _, smoothed in points if smoothed is not None)
    dots = "".join("M{:g} {:g}h0".format(*at(day, seen)) for day, seen, _ in points if seen is not None)
    return line, dots
