"""The latest forecast of a file of fields: the later day wins, and field monitoring states its age."""

from datetime import UTC, date, datetime

import pytest

from include.core.settings import get_settings
from include.satellite.forecast.latest import (
    NAMED,
    early,
    keep_latest,
    latest_forecast,
    latest_path,
    statement,
    table_rows,
)
from include.satellite.forecast.schemas import Calibration, EarlyWarning, NdviForecast

DAY = date(2026, 9, 1)


def warning(name="A"):
    return EarlyWarning(
        field_id=name, kind="fall", date=DAY, value=0.3, expected=0.6, low=0.5, last_date=date(2026, 8, 20),
        text="NDVI 0.30 on 2026-09-01",
    )  # fmt: skip


def forecast(as_of=DAY, warnings=1, **values):
    interval = Calibration(half_width=0.1, own=0.1, samples=50, coverage=0.9, checked=40, warned=2)
    stated = {
        "file": "farm.gpkg", "as_of": as_of, "date": date(2026, 9, 6), "last_pass": date(2026, 8, 30), "dates": 90,
        "first_date": date(2023, 1, 1), "model_version": "20260701T120000Z-0a1b2c3d", "model_sha256": "0",
        "trained_until": datetime(2026, 6, 1, tzinfo=UTC), "hazy": [], "longest_gap_days": 30, "synthetic": False,
        "fields": 12, "forecasts": 10, "interval": interval, "season": interval, "findings": [],
        "warnings": [warning(f"A{number}") for number in range(warnings)],
    }  # fmt: skip
    return NdviForecast.model_validate(stated | values)


def test_the_forecast_of_the_later_day_is_kept(data_dir):
    assert latest_forecast("farm.gpkg") is None
    keep_latest(forecast())
    keep_latest(forecast(date(2026, 8, 1), warnings=3))
    assert latest_forecast("farm.gpkg") == forecast()
    keep_latest(forecast(date(2026, 10, 1), warnings=2))
    assert latest_forecast("farm.gpkg").as_of == date(2026, 10, 1)
    assert (get_settings().data_dir / latest_path("farm.gpkg")).is_file()
    assert latest_path("../x/farm 1.gpkg") == "fields/forecasts/fields.json"


@pytest.mark.parametrize(
    ("document", "last_pass", "words"),
    [
        (None, DAY, "No forecast of these fields: a promoted forecaster draws one"),
        (forecast(), DAY, "from previews until 2026-08-30: 1 early warning for 10 of 12 fields."),
        (forecast(warnings=0), None, ": no early warnings for 10 of 12 fields."),
        (forecast(), date(2026, 9, 5), "It is older than the last pass, 2026-09-05"),
    ],
)
def test_the_statement_has_date_author_and_age(document, last_pass, words):
    text = statement(document, last_pass)
    assert words in text
    assert document is None or "forecaster 20260701T120000Z-0a1b2c3d" in text
    assert ("older" in text) == (last_pass is not None and last_pass > DAY)


def test_findings_are_the_statement_and_the_warnings_and_more_of_them_are_counted():
    (level, text), *warnings = early(forecast(warnings=NAMED + 2), DAY)
    assert (level, text) == ("info", statement(forecast(warnings=NAMED + 2), DAY))
    assert len(warnings) == NAMED + 1
    assert warnings[0] == ("warning", "early warning for field A0: NDVI 0.30 on 2026-09-01")
    assert warnings[-1] == ("warning", "and 2 more early warnings, in the table")
    assert early(forecast(), date(2026, 9, 2))[0][0] == "warning", "it is old"
    assert early(None, DAY) == [("info", statement(None, DAY))]


def test_the_table_has_a_row_for_each_warning():
    assert table_rows(forecast()) == (("A0", "fall", "2026-09-01", "NDVI 0.30 on 2026-09-01"),)
    assert table_rows(None) == ()
