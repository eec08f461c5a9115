"""The charts of a forecast: fields by state; forecasts of each, their interval, and what was observed."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from shapely import to_wkb
from shapely.geometry import box

from include.satellite.artifacts import FORECAST_TABLE, FORECASTS, NDVI_FORECAST
from include.satellite.fields.charts import charts
from include.satellite.fields.products import write_geoparquet
from include.satellite.fields.store import write_table
from include.satellite.forecast import charts as module
from include.satellite.forecast.charts import forecast_charts
from include.satellite.forecast.forecasting import DATES, TEXTS
from include.satellite.forecast.schemas import FieldRow, ForecastRow
from tests.accepted import accepted
from tests.satellite.forecast.test_latest import DAY, forecast


def field_row(name, state="as expected", **values):
    stated = dict.fromkeys(FieldRow.model_fields) | {
        "field_id": name, "crop": "rye", "area_ha": 2.0, "state": state, "last_date": DAY, "last": 0.5, "date": DAY,
        "forecast": 0.5, "low": 0.4, "high": 0.6, "expected": 0.55, "expected_low": 0.4, "years": 3, "covered": 8,
        "checked": 9, "geometry": to_wkb(box(5, 50, 5.01, 50.01)),
    }  # fmt: skip
    return stated | values


def write_tables(files, names=("A", "B")):
    """A run with two fields, the second of which is warned of, each with two earlier forecasts and one to come."""
    table = pd.DataFrame([field_row(name, "warning" if name == "B" else "as expected") for name in names])
    table["text"] = ["" if name != "B" else "NDVI 0.30" for name in names]
    write_geoparquet(FORECAST_TABLE.at(files), table, DATES, TEXTS)
    days = [DAY - timedelta(days=14), DAY - timedelta(days=4), DAY + timedelta(days=6), DAY - timedelta(days=900)]
    rows = [
        {
            "field_id": name, "date": day, "last_date": day - timedelta(days=10), "last": 0.5,
            "forecast": 0.5 + number / 10,
            "expected": np.nan if number == 0 else 0.6, "years": 2, "observed": np.nan if number == 2 else 0.45,
            "part": "forecast" if number == 2 else "measured",
        }
        for name in names
        for number, day in enumerate(days)
    ]  # fmt: skip
    write_table(FORECASTS.at(files), pd.DataFrame(rows).sort_values(["field_id", "date"]), ForecastRow)
    NDVI_FORECAST.write(files, forecast())
    return files


def test_fields_with_a_warning_come_first_and_lead_to_their_series(tmp_path):
    shown = charts(accepted(write_tables(tmp_path)))
    fields, lines = shown.charts
    assert shown.leading == 2
    assert [(area.label, area.state) for area in fields.areas] == [("B", "warning"), ("A", "as expected")]
    assert fields.areas[0].text == "rye, 2.00 ha, NDVI 0.30"
    assert fields.chooses == lines.name
    assert [panel.label for panel in lines.panels] == ["B", "A"]


def test_a_panel_has_forecast_interval_season_and_observations(tmp_path):
    panel = forecast_charts(write_tables(tmp_path))[1].panels[0]
    line, season = panel.lines
    assert len(line.values) == 21
    assert (line.values[0], line.values[5], line.values[10], line.values[20]) == (0.5, 0.55, 0.6, 0.7)
    assert (line.low[10], line.high[10]) == pytest.approx((0.5, 0.7))
    assert (season.values[0], season.values[10]) == (None, 0.6)
    assert panel.marks == ((0, 0.45), (10, 0.45)), "the forecast to come was not observed"
    assert datetime.fromtimestamp(panel.start, UTC).date() == DAY - timedelta(days=14), "older ones are left out"


def test_more_fields_than_a_chart_holds_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_FIELDS", 1)
    lines = forecast_charts(write_tables(tmp_path))[1]
    assert [panel.label for panel in lines.panels] == ["B"]
    assert lines.note == "1 of 2 fields, those with a warning first"
