"""The charts of a report on fields: a map by state, and the series of the field that its reader chooses."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from include.core.charts import Charts, Line, LineChart, Panel
from include.core.errors import ContractError
from include.core.tables import connect, file_argument
from include.satellite.artifacts import ALERTS, FIELD_SERIES, FORECAST_TABLE, FORECASTS, NDVI_FORECAST
from include.satellite.fields.analysis import GRID_D
from include.satellite.fields.shown import NEEDED, field_map, shown_fields

if TYPE_CHECKING:
    from include.core.overview import AcceptedFiles

MOST_FIELDS, MOST_DAYS = 200, 730
DAY_S = 86400.0

Point = tuple[date, float | None, float | None]
"""Day, observed and smoothed value."""


def charts(accepted: AcceptedFiles) -> Charts:
    """Return the map of the fields and the chart of their series, or of their forecast; less of a run that failed."""
    if accepted.holds(FORECAST_TABLE) and accepted.holds(FORECASTS) and accepted.holds(NDVI_FORECAST):
        from include.satellite.forecast.charts import forecast_charts

        shown = forecast_charts(accepted.folder)
        return Charts(charts=shown, leading=len(shown))
    if not (accepted.holds(FIELD_SERIES) and accepted.holds(ALERTS)):
        return Charts()
    try:
        fields = shown_fields(accepted.folder) if all(map(accepted.holds, NEEDED)) else []
        drawn = (*((field_map(fields),) if fields else ()), *series_chart(accepted.folder))
    except ContractError:  # a file of another version, with other columns
        return Charts()
    return Charts(charts=drawn, leading=len(drawn))


def series_chart(files: Path) -> list[LineChart]:
    """Return the chart of the fields' series, those with a current alert first; none without any value.

    Raises:
        ContractError: A file is of another version.
    """
    import duckdb

    series, alerts = (file_argument(artifact.at(files)) for artifact in (FIELD_SERIES, ALERTS))
    try:
        with connect() as db:
            total = db.execute(f"SELECT count(DISTINCT field_id) FROM read_parquet({series})").fetchall()[0][0]
            rows = db.execute(
                f"WITH s AS (FROM read_parquet({series})), "
                f"latest AS (SELECT field_id, max(date) AS day FROM read_parquet({alerts}) "
                "WHERE is_current GROUP BY 1), "
                "chosen AS (SELECT DISTINCT s.field_id, latest.day FROM s LEFT JOIN latest USING (field_id) "
                f"ORDER BY 2 DESC NULLS LAST, 1 LIMIT {MOST_FIELDS}) "
                "SELECT field_id, date, observed, smoothed FROM s JOIN chosen USING (field_id) "
                f"WHERE date > (SELECT max(date) FROM s) - INTERVAL {MOST_DAYS} DAY "
                "ORDER BY chosen.day DESC NULLS LAST, field_id, date"
            ).fetchall()
    except duckdb.Error as error:
        raise ContractError(FIELD_SERIES.path, "must hold the series of this version", str(error)) from None
    points: dict[str, list[Point]] = {}
    for name, day, observed, smoothed in rows:
        points.setdefault(name, []).append((day, _finite(observed), _finite(smoothed)))
    panels = tuple(_panel(name, series) for name, series in points.items())
    panels = tuple(panel for panel in panels if any(value is not None for value in panel.lines[0].values))
    if not panels:
        return []
    shown = f"{len(points)} of {total:,} fields, those with a current alert first" if total > len(points) else ""
    chart = LineChart(
        name="fields",
        title="Series by field",
        unit="NDVI",
        axis="time",
        panels=panels,
        marked="observed on a clear pass",
        note=shown,
    )
    return [chart]


def _panel(name: str, points: list[Point]) -> Panel:
    """Return a field's daily smoothed series, linear between its points, with the observations as marks."""
    first = points[0][0]
    values: list[float | None] = [None] * ((points[-1][0] - first).days + 1)
    for (day, _, value), (next_day, _, next_value) in pairwise([*points, points[-1]]):
        at, days = (day - first).days, (next_day - day).days
        values[at] = value
        if value is not None and next_value is not None and days <= GRID_D:
            for step in range(1, days):
                values[at + step] = round(value + (next_value - value) * step / days, 3)
    marks = tuple(((day - first).days, observed) for day, observed, _ in points if observed is not None)
    start = datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()
    return Panel(name, start, DAY_S, (Line("smoothed", values),), marks, "smoothed, a value a day")


def _finite(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else round(value, 3)
