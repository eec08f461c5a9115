"""Anomalies: outliers, flat lines and runs of zeros among accepted records."""

import pytest

from tests.energy.analysis import analyzed, series, varied


def test_outliers_are_judged_by_hour_of_week_then_hour_of_day_then_household(files):
    weeks = varied(13 * 336)
    weeks[12 * 336 + 20] = 3.0
    result = analyzed(files, series(weeks)).document
    assert (result.anomalies_by_reason["outlier"], result.outlier_not_assessed) == (1, 0)
    days = varied(7 * 48)
    days[5 * 48 + 20] = 3.0
    assert analyzed(files, series(days)).document.anomalies_by_reason["outlier"] == 1, "14 samples an hour of day"
    one_day = [*varied(47), 3.0]
    assert analyzed(files, series(one_day)).document.anomalies_by_reason["outlier"] == 1, "48 samples in all"
    less = analyzed(files, series([*varied(46), 3.0])).document
    assert (less.anomalies_by_reason["outlier"], less.outlier_not_assessed) == (0, 47)


def test_an_outlier_needs_five_scales_and_a_low_reading_is_none(files):
    usual = [1.0] * 24 + [1.01] * 24  # median 1.005, scale 0.25 × median
    lines = series([*usual, 1.005 + 5 * 0.25, 0.0, 2.3])
    assert analyzed(files, lines).reasons()[-3:] == [None, None, "outlier"]


@pytest.mark.parametrize(
    ("middle", "flat"),
    [
        ([0.7] * 12, 12),
        ([0.7] * 11, 0),
        ([0.7] * 6 + [None] + [0.7] * 6, 0),
        ([0.7] * 6 + ["ERR"] + [0.7] * 6, 0),
        ([0.7] * 12 + [None] + [0.7] * 5, 12),
    ],
)
def test_a_flat_line_is_six_hours_of_one_value_without_a_gap(files, middle, flat):
    powers = [*varied(40), *middle, *varied(40)]
    lines = series([1.0 if power == "ERR" else power for power in powers])
    if "ERR" in middle:
        lines[46] = lines[46].replace(",1.0,", ",ERR,")
    assert analyzed(files, lines).document.anomalies_by_reason["flat_line"] == flat


def test_a_flat_line_of_fast_readings_needs_six_hours_and_of_slow_ones_twelve_records(files):
    assert analyzed(files, series([*varied(50), *[0.7] * 71, *varied(9)], minutes=5)).document.anomalies == 0
    assert analyzed(files, series([*varied(50), *[0.7] * 72, *varied(9)], minutes=5)).document.anomalies == 72
    assert analyzed(files, series([*varied(50), *[0.7] * 11, *varied(9)], minutes=60)).document.anomalies == 0


def test_flat_lines_at_the_ends_and_of_neighbours_are_told_apart(files):
    lines = [*series([0.7] * 12 + varied(36), home="A"), *series(varied(41) + [0.7] * 7, home="B")]
    lines += series([0.7] * 7 + varied(29) + [0.7] * 12, home="C")
    by_home = {
        home.household_id: home.anomalies_by_reason["flat_line"] for home in analyzed(files, lines).document.households
    }
    assert by_home == {"A": 12, "B": 0, "C": 12}


def test_zeros_of_a_day_are_shown_apart_and_are_no_anomaly(files):
    result = analyzed(files, series([*varied(50), *[0] * 48, *varied(50), *[0] * 47, *varied(3)]))
    assert (result.document.zero_runs, result.document.zero_run_hours) == (1, 24.0)
    assert sum(result.reasons("zero_run")) == 48
    assert result.document.anomalies_by_reason["flat_line"] == 0
