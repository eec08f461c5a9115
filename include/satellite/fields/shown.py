"""The fields of a run as its report and the page Fields show them: state, latest values, alerts, series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from include.core.charts import Area, Look, MapChart
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.tables import connect, file_argument
from include.satellite.artifacts import ALERTS, FIELD_SERIES, FIELDS, FIELDS_TABLE

NEEDED: tuple[Artifact[Any], ...] = (FIELDS, FIELDS_TABLE, FIELD_SERIES, ALERTS)
SPARK = (180.0, 36.0)
SPARK_DAYS = 400
"""The series of a row shows the days before the latest one."""
LOOKS: dict[str, Look] = {"alert": "alert", "in order": "plain", "cloudy": "pale", "no data": "empty"}
"""States of fields, and how the map draws them."""


@dataclass(frozen=True)
class ShownField:
    """A field as it is shown.

    Args:
        number: Names its row on the page.
        state: One of `LOOKS`.
        geometry: Its outline, GeoJSON.
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
    geometry: dict[str, Any]
    alert: str
    past: list[str]
    line: str
    dots: str

    @property
    def text(self) -> str:
        """What is known of it beside its state."""
        ndvi = None if self.ndvi is None else f"NDVI {self.ndvi:.2f} on {self.latest}"
        return ", ".join(filter(None, (self.crop, f"{self.area_ha:.2f} ha", ndvi, self.alert)))


def field_map(fields: Sequence[ShownField], *, linked: bool = False) -> MapChart:
    """Return the map of fields by state; a press on one chooses its series.

    Args:
        fields: At least one.
        linked: Each leads to its row on the page.
    """
    areas = [
        Area(field.field_id, field.state, rings(field.geometry), field.text, f"#field-{field.number}" if linked else "")
        for field in fields
    ]
    return MapChart("map", "Fields by state", LOOKS, areas, chooses="fields")


def shown_fields(files: Path) -> list[ShownField]:
    """Return the fields of a run, those with an alert first.

    Raises:
        ContractError: A file is of another version.
    """
    import duckdb

    with connect() as db:
        try:
            table = db.execute(
                "SELECT field_id, crop, valid_from, area_ha, state, latest, ndvi_mean FROM "
                f"read_parquet({file_argument(FIELDS_TABLE.at(files))}) ORDER BY state <> 'alert', field_id"
            ).fetchall()
            current: dict[str, str] = {}
            past: dict[str, list[str]] = {}
            for name, day, kind, text, is_current in db.execute(
                "SELECT field_id, date, kind, text, is_current FROM "
                f"read_parquet({file_argument(ALERTS.at(files))}) ORDER BY date DESC"
            ).fetchall():
                if is_current:
                    current.setdefault(name, f"{kind} of {_day(day)}: {text}")
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
    end = max((point[0] for points in series.values() for point in points), default=date.min)
    fields: list[ShownField] = []
    for name, crop, valid_from, area, state, latest, ndvi in table:
        field = outlines.get((name, None if valid_from is None else _day(valid_from)))
        if field is None:
            continue
        points = [point for point in series.get(name, []) if point[0] > end - timedelta(days=SPARK_DAYS)]
        line, dots = _spark(points, end)
        fields.append(
            ShownField(
                number=len(fields) + 1,
                field_id=name,
                crop=crop,
                area_ha=area,
                state=state,
                latest=None if latest is None else _day(latest),
                ndvi=_number(ndvi),
                geometry=field.geometry,
                alert=current.get(name, ""),
                past=past.get(name, []),
                line=line,
                dots=dots,
            )
        )
    return fields


def _day(value: Any) -> date:
    return value if type(value) is date else date.fromisoformat(str(value)[:10])


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def rings(geometry: dict[str, Any]) -> list[Sequence[Sequence[float]]]:
    """Return the rings of a GeoJSON Polygon or MultiPolygon, holes too."""
    coordinates = geometry["coordinates"]
    polygons = [coordinates] if geometry["type"] == "Polygon" else coordinates
    return [ring for polygon in polygons for ring in polygon]


def _spark(points: list[tuple[date, float | None, float | None]], end: date) -> tuple[str, str]:
    """Return the points of the smoothed line and path data of the observations; NDVI from 0 to 1."""
    width, height = SPARK

    def at(day: date, value: float) -> tuple[float, float]:
        x = width - 4 - (end - day).days / SPARK_DAYS * (width - 8)
        return round(x, 1), round(height - 3 - min(max(value, 0.0), 1.0) * (height - 6), 1)

    line = " ".join("{:g},{:g}".format(*at(day, smoothed)) for day, _, smoothed in points if smoothed is not None)
    dots = "".join("M{:g} {:g}h0".format(*at(day, seen)) for day, seen, _ in points if seen is not None)
    return line, dots
