"""The chart of a report on fields."""

from datetime import UTC, datetime

import duckdb
import pytest

from include.core.tables import literal
from include.satellite.artifacts import ALERTS, FIELD_SERIES
from include.satellite.fields import charts as module
from include.satellite.fields.charts import charts
from tests.accepted import accepted
from tests.satellite.fields.shown_run import write_run

SERIES = (
    "('calm', DATE '2026-05-01', 0.4::DOUBLE, 0.4::DOUBLE), ('calm', DATE '2026-05-05', NULL, 0.6), "
    "('calm', DATE '2026-06-30', 0.5, 0.5), ('calm', DATE '2023-01-01', 0.1, 0.1), "
    "('hurt', DATE '2026-06-29', 0.3, 'NaN'), ('hurt', DATE '2026-06-30', NULL, 0.3)"
)


@pytest.fixture
def files(tmp_path):
    """The series of a field without an alert and of one with one."""
    tables = {
        FIELD_SERIES: f"SELECT * FROM (VALUES {SERIES}) t(field_id, date, observed, smoothed)",
        ALERTS: "SELECT * FROM (VALUES ('hurt', DATE '2026-06-30', true), ('calm', DATE '2026-07-01', false)) "
        "t(field_id, date, is_current)",
    }
    with duckdb.connect() as db:
        for artifact, query in tables.items():
            db.execute(f"COPY ({query}) TO {literal(str(artifact.at(tmp_path)))} (FORMAT parquet)")
    return tmp_path


def test_fields_with_a_current_alert_come_first_and_observations_are_marks(files):
    [chart] = charts(accepted(files)).charts
    hurt, calm = chart.panels
    assert (hurt.label, calm.label) == ("hurt", "calm")
    assert hurt.marks == ((0, 0.3),)
    assert hurt.lines[0].values == [None, 0.3]
    assert calm.marks == ((0, 0.4), (60, 0.5))
    assert calm.start == datetime(2026, 5, 1, tzinfo=UTC).timestamp(), "two years are shown"


def test_days_between_points_are_linear_and_a_gap_stays_a_gap(files):
    values = charts(accepted(files)).charts[0].panels[1].lines[0].values
    assert values[:6] == [0.4, 0.45, 0.5, 0.55, 0.6, None]
    assert values[5:60] == [None] * 55
    assert values[60] == 0.5


def test_of_many_fields_the_note_says_which_are_shown(files, monkeypatch):
    monkeypatch.setattr(module, "MOST_FIELDS", 1)
    [chart] = charts(accepted(files)).charts
    assert [panel.label for panel in chart.panels] == ["hurt"]
    assert chart.note.startswith("1 of 2 fields")


def test_the_map_leads_and_chooses_the_series(tmp_path):
    drawn = charts(accepted(write_run(tmp_path / "run")))
    assert [chart.name for chart in drawn.charts] == ["map", "fields"]
    assert drawn.charts[0].chooses == drawn.charts[1].name
    assert drawn.leading == 2


def test_a_run_without_series_has_no_chart(tmp_path):
    assert charts(accepted(tmp_path)).charts == ()
