"""The charts of a report on a forecast: a map of the fields by state, and the series of the field that is chosen."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from include.core.charts import Area, Chart, Line, LineChart, Look, MapChart, Panel
from include.core.tables import connect, file_argument
from include.satellite.artifacts import FORECAST_TABLE, FORECASTS, NDVI_FORECAST
from include.satellite.fields.shown import rings
from include.satellite.fields.store import read_table

LOOKS: dict[str, Look] = {"warning": "alert", "as expected": "plain", "no forecast": "empty"}
MOST_FIELDS = 200
SHOWN = timedelta(days=400)
DAY_S = 86400.0
DIGITS = 3


def forecast_charts(files: Path) -> tuple[Chart, ...]:
    """Return the map of the fields by state, and the chart of forecast, season and observations by field.

    Args:
        files: The run's `files/` folder.
    """
    from shapely import from_wkb
    from shapely.geometry import mapping

    document = NDVI_FORECAST.read(files)
    with connect() as db:
        table = db.execute(
            "SELECT field_id, state, crop, area_ha, text, ST_AsWKB(geometry) FROM "
            f"read_parquet({file_argument(FORECAST_TABLE.at(files))}) ORDER BY state <> 'warning', field_id"
        ).fetchall()
    areas = [
        Area(name, state, rings(mapping(from_wkb(bytes(wkb)))), ", ".join(filter(None, (crop, f"{ha:.2f} ha", text))))
        for name, state, crop, ha, text, wkb in table
    ]
    title = f"Fields by forecast for {document.date}"
    shape = MapChart("forecast_map", title, LOOKS, areas, chooses="forecast") if areas else None
    rows = read_table(FORECASTS.at(files))
    rows = rows[rows["date"] > document.as_of - SHOWN]
    by_field = dict(list(rows.groupby("field_id")))
    names = [name for name, *_ in table if name in by_field]
    panels = tuple(
        _panel(name, by_field[name].to_dict("records"), document.interval.half_width) for name in names[:MOST_FIELDS]
    )
    lines = LineChart(
        name="forecast",
        title="Forecast by field",
        unit="NDVI",
        axis="time",
        panels=panels,
        marked="observed",
        note=f"{MOST_FIELDS} of {len(names):,} fields, those with a warning first" if len(names) > MOST_FIELDS else "",
    )
    return (*((shape,) if shape else ()), *((lines,) if panels else ()))


def _panel(name: str, rows: list[dict[Any, Any]], half_width: float) -> Panel:
    """Return what was forecast for each date of a field, with its interval, beside its season and what was observed."""
    first: date = rows[0]["date"]
    count = (rows[-1]["date"] - first).days + 1
    forecast: list[float | None] = [None] * count
    season: list[float | None] = [None] * count
    marks = []
    previous: int | None = None
    for row in rows:
        at = (row["date"] - first).days
        forecast[at] = float(row["forecast"])
        season[at] = None if row["expected"] != row["expected"] else float(row["expected"])
        if row["observed"] == row["observed"]:
            marks.append((at, round(float(row["observed"]), DIGITS)))
        if previous is not None:
            _fill(forecast, previous, at)
            _fill(season, previous, at)
        previous = at
    low, high = (
        [None if value is None else round(value + sign * half_width, DIGITS) for value in forecast] for sign in (-1, 1)
    )
    lines = (
        Line("forecast, 90 % interval", [_short(value) for value in forecast], low, high),
        Line("season of its earlier years", [_short(value) for value in season]),
    )
    start = datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()
    return Panel(name, start, DAY_S, lines, tuple(marks), "forecast from the dates before it; linear between dates")


def _fill(values: list[float | None], begin: int, end: int) -> None:
    """Fill the days between two dates linearly."""
    one, other = values[begin], values[end]
    if one is not None and other is not None:
        for at in range(begin + 1, end):
            values[at] = one + (other - one) * (at - begin) / (end - begin)


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
