"""The step that analyses observations: its tables follow from them, and each alert is new once."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from include.core.errors import ContractError
from include.satellite.artifacts import (
    ALERTS,
    ANALYSIS,
    EARLY_WARNINGS,
    FIELD_SERIES,
    FIELDS,
    OBSERVATIONS,
    VALIDATED,
)
from include.satellite.fields.monitoring import (
    alert_notice,
    alerts_path,
    analyse_fields,
    analyse_fields_outcome,
    fields_table,
    keep_alerts,
    last_day,
    mark_new,
    recompute_analysis,
)
from include.satellite.fields.params import AnalyseParams
from include.satellite.fields.schemas import AlertRow, FieldSet, ObservationRow, SeriesRow
from include.satellite.fields.store import read_table, write_table
from include.satellite.forecast.latest import keep_latest
from tests.satellite.fields.squares import field, make_imagery, outline
from tests.satellite.forecast.test_latest import forecast

PARAMS = AnalyseParams(no_data_days=20)


@pytest.fixture
def files(data_dir, tmp_path):
    """A season of one field whose passes end two months before the window does."""
    imagery = make_imagery(data_dir, tmp_path, dates=1)
    farm = [field("A", outline(imagery.grid, 5, 5, 12, 14), valid_from=date(2026, 1, 1), valid_to=date(2026, 12, 31))]
    FIELDS.write(tmp_path, FieldSet(file="farm.gpkg", fields=farm, findings=[]))
    end = datetime(2026, 9, 1, tzinfo=UTC)
    VALIDATED.write(tmp_path, imagery.model_copy(update={"start": datetime(2026, 3, 1, tzinfo=UTC), "end": end}))
    days = [date(2026, 3, 2) + timedelta(days=5 * number) for number in range(24)]
    ndvi = 0.2 + 0.5 * np.sin(np.linspace(0, np.pi, len(days)))
    rows = pd.DataFrame(
        {"field_id": "A", "crop": "wheat", "date": days, "scene": "S2", "pixels": 120, "clear_share": 1.0}
    )
    rows = rows.assign(status="ok", outline=farm[0].outline, scene_sha256="a" * 64, is_new=True, ndvi_mean=ndvi)
    write_table(OBSERVATIONS.at(tmp_path), rows, ObservationRow)
    return tmp_path


def test_the_tables_follow_from_the_observations(files):
    analyse_fields(files, PARAMS)
    recompute_analysis(files, PARAMS)
    assert all(artifact.at(files).is_file() for artifact in ANALYSIS)
    series = read_table(FIELD_SERIES.at(files))
    assert series["observed"].notna().sum() == 24
    series.loc[3, "smoothed"] += 1e-3
    write_table(FIELD_SERIES.at(files), series, SeriesRow)
    with pytest.raises(ContractError, match="must state the smoothed"):
        recompute_analysis(files, PARAMS)


def test_a_field_without_data_is_an_alert_that_is_new_once(files, data_dir):
    analyse_fields(files, PARAMS)
    outcome = analyse_fields_outcome(files)
    assert (outcome.metrics.fields_without_data, outcome.metrics.alerts_new) == (1, 1)
    assert any(
        "field A" in finding.message and "no clear pass since" in finding.message for finding in outcome.findings
    )
    notice = alert_notice(outcome)
    assert notice.subject == "1 new field alert"
    assert "no clear pass since 2026-06-25" in notice.facts["A, no data"]
    keep_alerts(files, PARAMS)
    assert (data_dir / alerts_path(VALIDATED.read(files))).is_file()
    analyse_fields(files, PARAMS)
    recompute_analysis(files, PARAMS)
    again = analyse_fields_outcome(files)
    assert (again.metrics.alerts_current, again.metrics.alerts_new) == (1, 0)
    assert alert_notice(again) is None
    before = (data_dir / alerts_path(VALIDATED.read(files))).read_bytes()
    keep_alerts(files, PARAMS)
    assert (data_dir / alerts_path(VALIDATED.read(files))).read_bytes() == before


def test_an_alert_of_another_date_is_new_and_a_past_one_is_not(files):
    analyse_fields(files, PARAMS)
    alerts = read_table(ALERTS.at(files)).drop(columns="is_new")
    known = alerts.assign(date=date(2026, 1, 1))
    assert mark_new(alerts, None)["is_new"].tolist() == [True]
    assert mark_new(alerts, known)["is_new"].tolist() == [True]
    assert mark_new(alerts, alerts)["is_new"].tolist() == [False]
    assert mark_new(alerts.assign(is_current=False), None)["is_new"].tolist() == [False]


def test_current_alerts_are_warnings_and_past_ones_a_remark(files):
    analyse_fields(files, PARAMS)
    alerts = read_table(ALERTS.at(files))
    past = alerts.assign(field_id="B", date=date(2026, 5, 1), is_current=False, past_because="older than 30 days")
    write_table(ALERTS.at(files), pd.concat([past.assign(is_new=False), alerts]), AlertRow)
    outcome = analyse_fields_outcome(files)
    assert [finding.severity for finding in outcome.findings] == ["warning", "info", "info"], "the last: no forecast"
    assert outcome.findings[1].message.startswith("1 past alert, the last one of field B on 2026-05-01")
    assert (outcome.metrics.alerts_current, outcome.metrics.alerts_past) == (1, 1)
    assert (outcome.metrics.fields_without_data, outcome.metrics.alerts_new) == (1, 1)
    [table] = outcome.tables
    assert [(row[0], row[4]) for row in table.rows] == [("A", "current"), ("B", "past: older than 30 days")]
    assert list(alert_notice(outcome).facts) == ["A, no data"]


def test_the_analysis_ends_with_the_last_day_of_the_window_and_knows_where_fields_lie(files):
    assert last_day(VALIDATED.read(files)) == date(2026, 8, 31)
    [row] = fields_table(FIELDS.read(files).fields).to_dict("records")
    assert (row["field_id"], row["crop"], row["valid_from"]) == ("A", "wheat", date(2026, 1, 1))
    assert row["lon"] == pytest.approx(76.05, abs=0.02)
    assert row["lat"] == pytest.approx(30.91, abs=0.02)


def test_fields_that_are_too_small_are_no_alert(files):
    table = read_table(OBSERVATIONS.at(files)).assign(status="too small", ndvi_mean=np.nan)
    write_table(OBSERVATIONS.at(files), table, ObservationRow)
    analyse_fields(files, PARAMS)
    recompute_analysis(files, PARAMS)
    assert analyse_fields_outcome(files).metrics.alerts_current == 0
    assert alert_notice(analyse_fields_outcome(files)) is None


def test_without_a_forecast_the_report_says_how_to_get_one(files):
    analyse_fields(files, PARAMS)
    recompute_analysis(files, PARAMS)
    outcome = analyse_fields_outcome(files)
    assert any("No forecast of these fields" in finding.message for finding in outcome.findings)
    assert [table.title for table in outcome.tables] == ["Alerts"]
    assert not EARLY_WARNINGS.at(files).exists()


def test_the_report_shows_the_warnings_of_the_latest_forecast_and_its_age(files):
    keep_latest(forecast(as_of=date(2026, 6, 1)))
    analyse_fields(files, PARAMS)
    recompute_analysis(files, PARAMS)
    outcome = analyse_fields_outcome(files)
    stated = {finding.message: finding.severity for finding in outcome.findings}
    assert stated["early warning for field A0: NDVI 0.30 on 2026-09-01"] == "warning"
    (old,) = (text for text in stated if "older than the last pass, 2026-06-25" in text)
    assert "by forecaster 20260701T120000Z-0a1b2c3d" in old
    assert outcome.tables[1].rows == (("A0", "fall", "2026-09-01", "NDVI 0.30 on 2026-09-01"),)
    assert alert_notice(outcome).subject == "1 new field alert", "a forecast's warning is no alert"


def test_a_copied_forecast_that_is_none_of_the_kept_ones_is_found(files):
    keep_latest(forecast(as_of=date(2026, 6, 1)))
    analyse_fields(files, PARAMS)
    EARLY_WARNINGS.write(files, forecast(as_of=date(2026, 6, 1), warnings=0))
    with pytest.raises(ContractError, match="must be the latest forecast of the fields"):
        recompute_analysis(files, PARAMS)
    analyse_fields(files, PARAMS)
    keep_latest(forecast(as_of=date(2026, 7, 1)))
    recompute_analysis(files, PARAMS)  # a later forecast was kept meanwhile
