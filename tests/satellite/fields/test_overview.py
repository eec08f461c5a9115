"""The page Fields: the latest run that can be shown, and why later ones cannot."""

import re
from datetime import UTC, date

import duckdb

from include.core.run_folder import RunFolder
from include.core.settings import ROOT
from include.core.tables import literal
from include.reporting.charts import shown_chart
from include.reporting.html import TEMPLATES, template_environment
from include.satellite.artifacts import FIELDS_TABLE
from include.satellite.domain import SATELLITE_DOMAIN
from include.satellite.fields.overview import fields_page
from include.satellite.forecast.latest import keep_latest, latest_path
from tests.satellite.fields.shown_run import write_run
from tests.satellite.forecast.test_latest import forecast, warning


def rendered(runs):
    page = fields_page(None, runs)
    charts = [shown_chart(chart, UTC) for chart in page.pop("charts")]
    folders = next(page.templates for page in SATELLITE_DOMAIN.pages if page.name == "fields"), TEMPLATES
    environment = template_environment(ROOT / "plugins" / "reports" / "web" / "templates", *folders)
    template = environment.get_template("fields.html.j2")
    return template.render(base="", dag_id="field_monitoring", charts=charts, basemap=None, **page)


def test_the_page_has_a_map_series_and_rows_and_escapes_what_files_state(tmp_path):
    write_run(tmp_path / "run")
    page = fields_page(None, [tmp_path / "run"])
    assert (page["run"], page["passed_over"]) == ("run", [])
    assert [chart.name for chart in page["charts"]] == ["map", "fields"]
    html = rendered([tmp_path / "run"])
    assert '<b>&"' not in html
    assert 'href="#field-1"' in html
    assert 'id="field-1"' in html
    assert "earlier run" not in html


def test_later_runs_that_cannot_be_shown_are_named_with_the_reason(tmp_path):
    write_run(tmp_path / "good")
    old = FIELDS_TABLE.at(write_run(tmp_path / "old"))
    with duckdb.connect() as db:
        db.execute(f"COPY (SELECT 'south' AS field_id) TO {literal(str(old))} (FORMAT parquet)")
    RunFolder(tmp_path / "running").files.mkdir(parents=True)
    runs = [tmp_path / "running", tmp_path / "old", tmp_path / "good"]
    page = fields_page(None, runs)
    assert page["run"] == "good"
    assert page["passed_over"] == [
        ("running", "it is running, or failed before it wrote fields.json"),
        ("old", "its files are of another version, or damaged (fields.parquet must hold the fields of this version)"),
    ]
    html = rendered(runs)
    assert "those of an earlier run" in html
    assert "2 later runs have none that can be shown" in html
    assert str(tmp_path) not in html


def test_where_no_run_can_be_shown_the_page_says_why_and_what_to_do(tmp_path):
    html = rendered([tmp_path / "failed"])
    assert "No run has fields that can be shown" in html
    assert "./pipeline run fields" in html
    assert "<table" not in html


def test_without_a_run_the_page_says_how_to_start_one():
    assert fields_page(None, [])["fields"] == []
    assert "No run of <code>field_monitoring</code> is there yet" in rendered([])


def test_the_page_states_the_latest_forecast_and_leads_to_the_fields_that_it_warns_of(tmp_path, data_dir):
    write_run(tmp_path / "run")
    page = fields_page(None, [tmp_path / "run"])
    assert page["forecast"].startswith("No forecast of these fields")
    assert page["warnings"] == []
    warnings = [warning("south"), warning("<i>gone")]
    keep_latest(forecast(date(2026, 5, 1), file="f.geojson").model_copy(update={"warnings": warnings}))
    html = rendered([tmp_path / "run"])
    assert "It is older than the last pass, 2026-05-06" in html
    assert re.search(r'<a href="#field-\d">south</a>', html)
    assert "<i>gone" not in html
    assert "&lt;i&gt;gone" in html


def test_a_forecast_of_another_version_leaves_the_page_with_a_sentence(tmp_path, data_dir):
    write_run(tmp_path / "run")
    path = data_dir / latest_path("f.geojson")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert "latest forecast is of another version, or damaged" in fields_page(None, [tmp_path / "run"])["forecast"]
