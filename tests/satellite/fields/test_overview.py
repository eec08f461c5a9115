"""What the page Fields shows of a run's files."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from include.core.run_folder import RunFolder
from include.core.settings import ROOT
from include.core.tables import literal
from include.reporting.html import template_environment
from include.satellite.artifacts import ALERTS, FIELD_SERIES, FIELDS, FIELDS_TABLE
from include.satellite.domain import SATELLITE_DOMAIN
from include.satellite.fields.overview import fields_page, shown_fields
from include.satellite.fields.schemas import CropField, FieldSet

HOSTILE = "<b>&\"'"


def square(name, west, south):
    ring = [[west, south], [west + 0.01, south], [west + 0.01, south + 0.01], [west, south + 0.01], [west, south]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    values = {"valid_from": None, "valid_to": None, "outline": "0", "area_ha": 2.0}
    return CropField(field_id=name, crop="wheat", geometry=geometry, **values)


@pytest.fixture
def files(tmp_path):
    """The files of a run with two fields: one in the north-east with an alert, and one in the south-west."""
    folder = RunFolder(tmp_path / "run").files
    folder.mkdir(parents=True)
    fields = [square("south", 5.0, 50.0), square(HOSTILE, 5.02, 50.02)]
    FIELDS.at(folder).write_text(FieldSet(file="f.geojson", fields=fields, findings=[]).model_dump_json())
    day = "DATE '2026-05-06'"
    fields_rows = (
        "('south', 'wheat', NULL::DATE, 2.0, 'cloudy', DATE '2026-05-01', 0.5::DOUBLE), "
        f"($name, NULL, NULL, 2.0, 'alert', {day}, 'NaN')"
    )
    series_rows = (
        "('south', DATE '2026-05-01', 0.5::DOUBLE, 0.5::DOUBLE), "
        f"('south', {day}, NULL, 1.0), ($name, DATE '2024-01-01', 0.1, 0.1)"
    )
    columns = "field_id, crop, valid_from, area_ha, state, latest, ndvi_mean"
    tables = {
        FIELDS_TABLE: f"SELECT * FROM (VALUES {fields_rows}) t({columns})",
        ALERTS: f"SELECT *, 'fall' AS kind FROM (VALUES ($name, {day}, '0.12 lower than expected', true), "
        "('south', DATE '2026-02-03', '0.30 lower', false)) t(field_id, date, text, is_current)",
        FIELD_SERIES: f"SELECT * FROM (VALUES {series_rows}) t(field_id, date, observed, smoothed)",
    }
    with duckdb.connect() as db:
        for artifact, query in tables.items():
            named = query.replace("$name", literal(HOSTILE))
            db.execute(f"COPY ({named}) TO {literal(str(artifact.at(folder)))} (FORMAT parquet)")
    return folder


def test_fields_with_an_alert_come_first_with_what_it_says(files):
    first, second = shown_fields(files)
    assert (first.number, first.field_id, first.state, first.alert) == (
        1,
        HOSTILE,
        "alert",
        "2026-05-06: 0.12 lower than expected",
    )
    assert (second.alert, second.past) == ("", "fall 2026-02-03")
    assert (second.field_id, second.state, second.latest, second.ndvi) == ("south", "cloudy", date(2026, 5, 1), 0.5)
    assert first.ndvi is None


def test_north_is_up_and_east_is_right(files):
    first, second = shown_fields(files)
    assert first.place[0] > second.place[0]
    assert first.place[1] < second.place[1]
    assert second.outline.count(",") == 4


def test_the_series_ends_at_the_latest_day_and_leaves_older_ones_out(files):
    first, second = shown_fields(files)
    assert second.line.split(" ")[-1] == "176,3", "1.0, at the upper edge"
    assert second.dots.count("M") == 1
    assert (first.line, first.dots) == ("", "")


def test_the_page_escapes_what_files_state_and_counts_states(files):
    page = fields_page(None, [Path(files).parent / "nothing", RunFolder(files.parent).path])
    assert page["states"] == {"alert": 1, "in order": 0, "cloudy": 1, "no data": 0}
    templates = next(page.templates for page in SATELLITE_DOMAIN.pages if page.name == "fields")
    text = template_environment(ROOT / "plugins" / "reports" / "web" / "templates", templates).get_template(
        "fields.html.j2"
    )
    html = text.render(base="", dag_id="field_monitoring", **page)
    assert '<b>&"' not in html
    assert 'href="#field-1"' in html
    assert 'id="field-1"' in html


def test_without_a_run_the_page_says_how_to_start_one(tmp_path):
    assert fields_page(None, [tmp_path])["fields"] == []
