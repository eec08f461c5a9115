"""The first screen of a satellite report: decision, imagery, models, map."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import duckdb
import pytest

from include.core.overview import Headline
from include.core.run_folder import write_json
from include.satellite.artifacts import (
    ALERTS,
    CONFIGURATION,
    EARLY_WARNINGS,
    FIELDS,
    HEALTH_MAP,
    LSTM,
    NDVI_FORECAST,
    VALIDATED,
    VALIDATION_REPORT,
)
from include.satellite.fields.schemas import CropField, FieldSet
from include.satellite.imagery.schemas import DateReport, Gap, Grid, Imagery, IndexRange, ValidationReport
from include.satellite.overview import (
    _classifier_check,
    forecast_overview,
    map_overview,
    overview,
    place_in_words,
)
from include.satellite.schemas import Configuration, HealthMap
from include.satellite.training.schemas import LstmMetrics, Skill, TrainingRecord
from tests.accepted import accepted
from tests.satellite.forecast.test_latest import forecast as fields_forecast

RING = [[75.8, 30.9], [75.9, 30.9], [75.9, 31.0], [75.8, 31.0], [75.8, 30.9]]
IMAGERY = Imagery(
    collection="sentinel-2-l2a",
    source="demo",
    grid=Grid(crs="EPSG:32643", resolution=10, bounds=(0, 0, 9500, 11000), width=950, height=1100),
    geometry={"type": "Polygon", "coordinates": [RING]},
    bands=["B04", "B08", "SCL"],
    start=datetime(2026, 1, 1, tzinfo=UTC),
    end=datetime(2026, 12, 31, tzinfo=UTC),
    synthetic=True,
    acquisitions=[],
    unusable=[],
    units_spent=0,
    units_estimated=0,
)
NDVI = IndexRange(name="ndvi", mean=0.54, low=0.2, median=0.5, high=0.8, out_of_range=0, undefined=0)
DATE = DateReport(
    date=date(2026, 6, 1), file=None, accepted=True, reason=None, checks=[], indices=[NDVI], synthetic=True
)
REPORT = ValidationReport(
    skipped=False, passed=True, usable_dates=20, min_dates=15, excluded_dates=0, never_data=0,
    longest_gap=Gap(days=40, after=date(2026, 6, 1), before=date(2026, 7, 11)), coverage_by_month={},
    synthetic=True, allow_synthetic=True, dates=[DATE], findings=[],
)  # fmt: skip
MAP = HealthMap(
    date=date(2026, 6, 1), place="75.800E_30.900N_75.900E_31.000N", drawn_by="ndvi_rule", why="", model_version=None,
    label_source=None,
    synthetic=True, notes=[], env_file=".env", crs="EPSG:32643", resolution=10, not_assessed=25, outside=0,
    hectares={"Healthy": 500.0, "Moderate": 100.0, "Stressed": 75.0, "Critical": 300.0}, mean_confidence=None,
)  # fmt: skip
TRAINING = TrainingRecord(
    epochs=1, most_epochs=1, best_epoch=1, stopped_early=False, samples_an_epoch=1, train_samples=1, tune_samples=1,
    tuned_on="tune", device="cpu", precision="float32", history=[],
)  # fmt: skip


def forecast(mae: float) -> LstmMetrics:
    naive = {
        "persistence": Skill(mae=0.05, rmse=0.1, skill=1 - mae / 0.05),
        "mean": Skill(mae=0.2, rmse=0.2, skill=0.5),
    }
    return LstmMetrics(
        samples=10, mae=mae, rmse=0.1, r2=-1.1, accuracy=0.95, minimum_accuracy=0.8, baselines=naive,
        climatology_fallback=0, evaluation_dates=[date(2026, 6, 1)], training=TRAINING,
    )  # fmt: skip


def states(tmp_path, report=REPORT, lstm=None, configuration=None):
    write_json(VALIDATED.at(tmp_path), IMAGERY)
    write_json(VALIDATION_REPORT.at(tmp_path), report)
    for artifact, document in ((LSTM.metrics, lstm), (CONFIGURATION, configuration)):
        if document is not None:
            write_json(artifact.at(tmp_path), document)
    return overview(accepted(tmp_path))


def test_a_refused_promotion_and_simulated_imagery_stand_first(tmp_path):
    refused = Configuration(promoted=False, reasons=["gate x failed"], env_file=".env", synthetic=True)
    assert states(tmp_path, configuration=refused).notices == (
        "Not promoted: gate x failed",
        "Simulated imagery: no result says anything about real fields.",
    )
    promoted = refused.model_copy(update={"promoted": True, "version": "v7"})
    assert states(tmp_path, configuration=promoted).notices[0] == "Promoted: .env now names model v7."
    alone = promoted.model_copy(update={"models": ["lstm"]})
    assert states(tmp_path, configuration=alone).notices[0] == "Promoted: .env now names the LSTM of model v7."


def test_area_vegetation_and_dates_are_stated(tmp_path):
    made = states(tmp_path)
    assert [(headline.label, headline.value) for headline in made.headlines] == [
        ("Area", "104 km²"),
        ("Mean NDVI", "0.54"),
    ]
    assert made.checks[0].statement == (
        "20 of 20 dates are usable; 15 are needed. Longest gap: 40 days, 2026-06-01 to 2026-07-11."
    )
    assert made.assumptions["Grid"] == "950 × 1,100 pixels of 10 m, EPSG:32643"


def test_current_alerts_are_counted_first_and_past_ones_only_in_the_note(tmp_path):
    rows = "('A', 'fall', 5, true), ('B', 'no data', 6, true), ('A', 'fall', 1, false)"
    alerts = f"SELECT * FROM (VALUES {rows}) t(field_id, kind, date, is_current)"
    duckdb.sql(alerts).write_parquet(str(ALERTS.at(tmp_path)))
    headline = states(tmp_path).headlines[0]
    assert headline == Headline(label="Current alerts", value="2", note="no data of B, fall of A, 1 past")


def test_the_fields_that_are_monitored_are_counted(tmp_path):
    square = {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}
    rows = [("a", "wheat"), ("a", "maize"), ("b", None)]
    fields = [
        CropField(field_id=name, crop=crop, valid_from=None, valid_to=None, geometry=square, outline="0", area_ha=1)
        for name, crop in rows
    ]
    write_json(FIELDS.at(tmp_path), FieldSet(file="own.gpkg", fields=fields, findings=[]))
    made = states(tmp_path, REPORT.model_copy(update={"min_dates": 0}))
    assert made.headlines[0] == Headline(label="Fields", value="2", note="2 crops, outlines from own.gpkg")
    assert made.checks[0].statement.startswith("20 of 20 dates are usable. Longest gap")


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({}, "pass"),
        ({"skipped": True}, "warn"),
        ({"excluded_dates": 1}, "warn"),
        ({"longest_gap": Gap(days=61, after=date(2026, 1, 1), before=date(2026, 3, 3))}, "warn"),
        ({"passed": False}, "fail"),
    ],
)
def test_imagery_is_judged_by_its_dates(tmp_path, change, level):
    assert states(tmp_path, REPORT.model_copy(update=change)).checks[0].level == level


@pytest.mark.parametrize(("mae", "level", "skill"), [(0.04, "pass", "+20 %"), (0.06, "warn", "−20 %")])
def test_a_forecast_counts_against_the_best_naive_one(tmp_path, mae, level, skill):
    made = states(tmp_path, lstm=forecast(mae))
    assert made.checks[1].level == level
    assert "persistence, 0.050" in made.checks[1].statement
    assert made.headlines[-1].value == skill


@pytest.mark.parametrize(("months", "level"), [(2, "warn"), (6, "pass")])
def test_a_classifier_that_too_few_spells_measured_is_not_passed(months, level):
    metrics = SimpleNamespace(
        baselines={"ndvi_rule": SimpleNamespace(balanced_accuracy=0.4)},
        balanced_accuracy=0.9,
        evaluation_dates=[date(2026, 1, 1) + timedelta(days=30 * month) for month in range(months)],
    )
    check = _classifier_check(metrics)
    assert (check.level, "2 spells of 30 days; 6 are needed" in check.statement) == (level, months == 2)


def test_a_map_leads_with_its_date_and_areas(tmp_path):
    write_json(HEALTH_MAP.at(tmp_path), MAP)
    made = overview(accepted(tmp_path))
    assert [(headline.label, headline.value) for headline in made.headlines] == [
        ("Date of the image", "2026-06-01"),
        ("Healthy", "500 ha"),
        ("Critical", "300 ha"),
        ("Area", "1,000 ha"),
    ]
    assert made.lead_plots == ("plot_health_map.png",)
    assert made.checks[0].statement.startswith("2 % of the area has no class")


def test_a_map_of_little_or_with_low_confidence_warns():
    doubtful = MAP.model_copy(update={"not_assessed": 900.0, "mean_confidence": 0.5, "model_version": "v7"})
    assert [check.level for check in map_overview(doubtful).checks] == ["warn", "warn"]
    assert map_overview(doubtful).headlines[0].note == "drawn by model v7"


def test_a_run_that_validated_nothing_has_no_overview(tmp_path):
    assert overview(accepted(tmp_path)) is None


def test_a_place_south_and_west_keeps_its_signs():
    assert place_in_words("58.400W_34.700S_58.300W_34.600S") == "34.700° S 58.400° W to 34.600° S 58.300° W"


def test_a_forecast_leads_with_its_warnings_interval_and_what_that_held(tmp_path):
    NDVI_FORECAST.write(tmp_path, fields_forecast())
    made = overview(accepted(tmp_path))
    assert [(headline.label, headline.value, headline.note) for headline in made.headlines] == [
        ("Fields with early warnings", "1", "fall of A0"),
        ("Forecast for", "2026-09-06", "by forecaster 20260701T120000Z-0a1b2c3d"),
        ("Interval", "± 0.10", "NDVI, 90 % of observations"),
        ("Last preview", "2026-08-30", "of 90 usable ones"),
    ]
    assert [(check.subject, check.level) for check in made.checks] == [("90 % interval", "pass"), ("Fields", "pass")]
    assert "not of each field" in made.checks[0].statement
    assert made.notices == ()
    document = fields_forecast(synthetic=True, forecasts=3, warnings=5)
    low = document.model_copy(update={"interval": document.interval.model_copy(update={"coverage": 0.8})})
    made = forecast_overview(low)
    assert [check.level for check in made.checks] == ["warn", "warn"]
    assert made.headlines[0].note == "fall of A0, fall of A1, fall of A2, 2 more"
    assert made.notices
    fall = document.warnings[0]
    both = document.model_copy(update={"warnings": [fall, fall.model_copy(update={"kind": "below season"})]})
    assert forecast_overview(both).headlines[0].value == "1"
    assert forecast_overview(both).headlines[0].note == "fall and below season of A0"


def test_field_monitoring_counts_the_fields_that_the_latest_forecast_warns_of(tmp_path):
    EARLY_WARNINGS.write(tmp_path, fields_forecast(warnings=2))
    headlines = states(tmp_path).headlines
    assert Headline(label="Fields with early warnings", value="2", note="forecast for 2026-09-06") in headlines
