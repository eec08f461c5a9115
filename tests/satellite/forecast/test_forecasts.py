"""Forecasts of fields: what they rest on, which intervals hold, and when a field is a warning."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from include.core.errors import BadInputError
from include.satellite.fields.schemas import CropField
from include.satellite.forecast.forecasts import (
    calibrate,
    check_series,
    conformal,
    coverage_findings,
    early_warnings,
    field_rows,
    forecast_rows,
    longest_gap,
    samples_of,
)
from include.satellite.forecast.series import FieldSeries
from tests.satellite.forecast.promoted import APART, DAYS, END, HALF_WIDTH, STEPS, card

CARD = card()
NEXT = END + timedelta(days=5)
IDS = ["A", "B"]


def series_of(*rows, dates=DAYS):
    return FieldSeries(np.array(rows, np.float32), list(dates), [], np.zeros(len(rows), bool))


def yearly(phase=0.0, noise=0.0, seed=0):
    """NDVI that repeats every year."""
    days = np.array([(day - DAYS[0]).days for day in DAYS])
    return (
        0.5 + 0.2 * np.sin(2 * np.pi * days / 365.25 + phase) + np.random.default_rng(seed).normal(0, noise, len(days))
    )


def persistent(steps):
    """The forecaster that adds nothing to anomaly persistence."""
    return steps.expected


def all_rows(series, predict=persistent):
    return forecast_rows(IDS, series, NEXT, END, CARD, predict)


def test_the_longest_gap_is_that_of_the_training_dates():
    assert longest_gap(CARD) == APART


def test_less_than_two_years_and_unknown_features_are_refused():
    check_series(DAYS, CARD)
    with pytest.raises(BadInputError, match=r"20 usable previews span 286 days.*days_back"):
        check_series(DAYS[:20], CARD)
    with pytest.raises(BadInputError, match="do not have: rain"):
        check_series(DAYS, card(inputs=["ndvi", "rain"]))


def test_a_sample_sees_the_dates_before_its_own_and_nothing_later():
    series = series_of(yearly(), yearly(1))
    samples = samples_of(series, NEXT, END, CARD)
    coming = np.flatnonzero(samples.target == len(DAYS))
    assert samples.location[coming].tolist() == [0, 1]
    assert samples.steps.x.shape[1:] == (STEPS, 6)
    assert samples.steps.x[coming[0], :, 0] == pytest.approx(yearly()[-STEPS:], abs=1e-6)
    spoilt = series_of(yearly(), yearly(1))
    spoilt.ndvi[:, -1] = 0.9
    earlier = samples.target < len(DAYS) - 1
    other = samples_of(spoilt, NEXT, END, CARD).steps
    assert np.array_equal(other.x[earlier], samples.steps.x[earlier])
    assert np.array_equal(other.expected[earlier], samples.steps.expected[earlier])


def test_a_field_that_was_not_seen_for_longer_than_any_training_gap_has_no_forecast():
    gone = yearly(1)
    gone[-1] = np.nan
    rows = all_rows(series_of(yearly(), gone))
    assert rows.loc[rows["part"] == "forecast", "field_id"].tolist() == ["A"]


def test_rows_state_what_a_forecast_rests_on():
    rows = all_rows(series_of(yearly(), yearly(1)))
    coming = rows[(rows["part"] == "forecast") & (rows["field_id"] == "A")].iloc[0]
    assert (coming["date"], coming["last_date"], coming["years"]) == (NEXT, END, 3)
    assert np.isnan(coming["observed"])
    day = (NEXT - DAYS[0]).days
    assert coming["expected"] == pytest.approx(0.5 + 0.2 * np.sin(2 * np.pi * day / 365.25), abs=0.02)
    assert coming["forecast"] == pytest.approx(coming["expected"], abs=0.03)
    parts = rows[rows["field_id"] == "A"].groupby("part")["date"].agg(["min", "max", "size"])
    assert parts.loc["measured", "min"] > END - timedelta(days=365) >= parts.loc["calibration", "max"]
    assert parts["size"].to_dict() == {"calibration": 24, "measured": 25, "forecast": 1}


def test_conformal_covers_ninety_percent_of_new_errors():
    random = np.random.default_rng(3)
    covered = [np.mean(np.abs(random.normal(0, 1, 200)) <= conformal(random.normal(0, 1, 100))) for _ in range(400)]
    assert 0.89 < np.mean(covered) < 0.92


def test_fields_that_the_forecaster_misses_by_more_widen_its_interval():
    quiet, _ = calibrate(all_rows(series_of(yearly(), yearly(1))), CARD)
    assert quiet.half_width == quiet.model == HALF_WIDTH
    assert quiet.own < HALF_WIDTH
    assert (quiet.coverage, quiet.warned) == (1.0, 0)
    loud, _ = calibrate(all_rows(series_of(yearly(noise=0.08), yearly(1, 0.08, 1))), CARD)
    assert loud.half_width == loud.own > 0.1
    assert (loud.samples, loud.checked) == (48, 50)
    assert 0.75 < loud.coverage < 1


def test_too_few_earlier_forecasts_leave_the_interval_of_the_training():
    late = yearly(1)
    late[:-6] = np.nan
    rows = all_rows(series_of(late, late))
    interval, season = calibrate(rows, CARD)
    assert (interval.own, interval.half_width) == (None, HALF_WIDTH)
    assert season.own is None
    texts = [
        finding.message
        for finding in coverage_findings(pd.DataFrame({"checked": [0], "covered": [0]}), interval, season)
    ]
    assert "too few to calibrate one" in texts[0]
    assert "no field is compared with its own season" in texts[-1]


def test_a_fall_below_its_own_forecast_is_a_warning_with_its_evidence():
    fallen = yearly()
    fallen[-1] -= 0.2
    rows = all_rows(series_of(fallen, yearly(1)))
    interval, season = calibrate(rows, CARD)
    (warning,) = [warning for warning in early_warnings(rows, interval, season, END) if warning.kind == "fall"]
    assert (warning.field_id, warning.date, warning.last_date) == ("A", END, DAYS[-2])
    assert warning.value == pytest.approx(fallen[-1], abs=1e-6)
    assert warning.value < warning.low == pytest.approx(warning.expected - interval.half_width)
    assert warning.text.startswith(f"NDVI {fallen[-1]:.2f} on {END}, where {warning.expected:.2f} ± 0.06 was forecast")
    assert not [w for w in early_warnings(rows, interval, season, END + timedelta(days=40)) if w.kind == "fall"]


def test_a_forecast_below_the_own_season_is_a_warning_and_needs_two_earlier_years():
    low = yearly()
    low[-4:] -= 0.25
    rows = all_rows(series_of(low, yearly(1)))
    interval, season = calibrate(rows, CARD)
    (warning,) = [warning for warning in early_warnings(rows, interval, season, END) if warning.kind == "below season"]
    assert (warning.field_id, warning.date) == ("A", NEXT)
    assert warning.value < warning.low < warning.expected
    assert "3 earlier years of the field show" in warning.text
    assert not [w for w in early_warnings(rows.assign(years=1), interval, season, END) if w.kind == "below season"]
    uncalibrated = season.model_copy(update={"own": None})
    assert not [w for w in early_warnings(rows, interval, uncalibrated, END) if w.kind == "below season"]


def test_steady_fields_give_no_warning():
    rows = all_rows(series_of(yearly(), yearly(1)))
    assert early_warnings(rows, *calibrate(rows, CARD), END) == []


def rows_of_fields(series, small=False):
    rows = all_rows(series)
    interval, season = calibrate(rows, CARD)
    warnings = early_warnings(rows, interval, season, END)
    fields = [CropField.model_construct(field_id=name, crop="rye", area_ha=2.0, valid_from=None) for name in IDS]
    series.too_small[1] = small
    return list(field_rows(fields, series, rows, warnings, interval, season, NEXT, APART)), interval, season


def test_a_row_states_interval_and_how_often_it_held_for_the_field():
    (a, b), interval, season = rows_of_fields(series_of(yearly(), yearly(1)))
    assert (a["state"], a["date"], a["last_date"], a["covered"], a["checked"]) == ("as expected", NEXT, END, 25, 25)
    assert (a["low"], a["high"]) == (a["forecast"] - interval.half_width, a["forecast"] + interval.half_width)
    assert a["expected_low"] == a["expected"] - season.half_width
    assert (a["text"], b["text"]) == (None, None)


def test_a_field_without_a_forecast_says_why():
    unseen, gone, small = yearly(1), yearly(1), np.full(len(DAYS), np.nan)
    unseen[:-2], gone[-1] = np.nan, np.nan
    states = {}
    for name, row, tiny in (("few", unseen, False), ("gone", gone, False), ("small", small, True)):
        (_, shown), *_ = rows_of_fields(series_of(yearly(), row), tiny)
        assert shown["state"] == "no forecast"
        states[name] = shown["text"]
    assert states["few"] == "2 dates with NDVI; 3 are needed"
    assert states["gone"] == "last seen 20 days before the day of the forecast; the forecaster has seen gaps of 15"
    assert "too small for previews of 60 m" in states["small"]


def test_the_findings_say_that_ninety_percent_is_for_all_fields_together():
    rows, interval, season = rows_of_fields(series_of(yearly(noise=0.08), yearly(1, 0.08, 1)))
    findings = coverage_findings(pd.DataFrame(rows), interval, season)
    text = " ".join(finding.message for finding in findings)
    assert "too narrow for these fields: by 48 earlier forecasts" in text
    assert "promised to no single field" in text
    assert f"held {interval.coverage:.1%} of 50 observations" in text
    narrow = interval.model_copy(update={"coverage": 0.7})
    assert [f.severity for f in coverage_findings(pd.DataFrame(rows), narrow, season)][1] == "warning"


def test_the_last_year_begins_a_day_after_that_of_the_calibration():
    rows = all_rows(series_of(yearly(), yearly(1)))
    assert set(rows["date"]) <= {day for day in DAYS if day > END - timedelta(days=730)} | {NEXT}
    assert date(2026, 1, 1) < END
