"""Seasons: the place's own earlier years, and nothing that is not known before the target."""

from datetime import date, timedelta

import numpy as np
import pytest

from include.satellite.datasets.seasons import day_of_year, has_seasons, previous_dates, seasonal_changes, seasons_at

DAYS = np.arange(np.datetime64("2021-01-01"), np.datetime64("2025-01-01"), 10).astype(np.int64)
YEAR = np.sin(2 * np.pi * DAYS / 365.25)


def test_two_years_hold_seasons_and_less_does_not():
    first = date(2023, 1, 1)
    assert has_seasons([first, first + timedelta(days=729)])
    assert not has_seasons([first, first + timedelta(days=728)])
    assert not has_seasons([])


def test_days_of_the_year_begin_at_zero_on_the_first_of_january():
    days = np.array(["2024-01-01", "2024-12-31", "2025-01-01"], "datetime64[D]").astype(np.int64)
    assert day_of_year(days).tolist() == [0, 365, 0]


def test_the_previous_date_is_the_last_one_with_a_value():
    series = np.array([[0.1, np.nan, 0.3, 0.4], [np.nan, np.nan, 0.3, np.nan]], np.float32)
    assert previous_dates(series).tolist() == [[-1, 0, 0, 2], [-1, -1, -1, 2]]


def test_the_change_is_that_of_the_place_in_earlier_years():
    series = np.stack([0.5 + 0.2 * YEAR, 0.5 - 0.2 * YEAR]).astype(np.float32)
    change, weight = seasonal_changes(series, DAYS)
    late = DAYS[0] + 2 * 365 < DAYS
    true = np.diff(series, axis=1, prepend=series[:, :1])
    assert change[:, late] == pytest.approx(true[:, late], abs=0.012)
    assert change[1, late] == pytest.approx(-change[0, late], abs=1e-6)
    assert (weight[:, late] > 0.7).all()


def test_without_an_earlier_year_the_season_says_nothing():
    change, weight = seasonal_changes((0.5 + 0.2 * YEAR)[None].astype(np.float32), DAYS)
    early = DAYS[0] + 200 > DAYS
    assert not change[:, early].any()
    assert not weight[:, early].any()


def test_what_lies_less_than_200_days_before_the_target_changes_nothing():
    series = (0.5 + 0.2 * YEAR)[None].astype(np.float32)
    spoilt, target = series.copy(), 120
    spoilt[:, DAYS[target] - 200 < DAYS] = 0.9
    for before, after in zip(seasonal_changes(series, DAYS), seasonal_changes(spoilt, DAYS), strict=True):
        assert after[:, target] == before[:, target]


def test_the_weight_is_n_over_n_plus_one():
    """One earlier date exactly a year before both dates: the kernel's mass is 1 at the target, less at the last."""
    days = np.array(["2023-03-01", "2024-02-20", "2024-03-01"], "datetime64[D]").astype(np.int64)
    _, weight = seasonal_changes(np.array([[0.4, 0.5, 0.6]], np.float32), days)
    mass = np.exp(-0.5 * (9 / 15) ** 2)
    assert weight[0, 2] == pytest.approx(mass / (mass + 1), rel=0.05)


def test_the_season_of_a_day_is_that_of_the_place_in_earlier_years():
    series = np.stack([0.5 + 0.2 * YEAR, 0.5 - 0.2 * YEAR]).astype(np.float32)
    season, years = seasons_at(series, DAYS)
    late = DAYS[0] + 3 * 366 < DAYS
    assert season[:, late] == pytest.approx(series[:, late], abs=0.012)
    assert set(years[:, late].ravel().tolist()) == {3, 4}, "the end of the fourth year is near the begin of the first"
    first = DAYS[0] + 200 > DAYS
    assert np.isnan(season[:, first]).all()
    assert not years[:, first].any()


def test_a_season_knows_nothing_of_the_last_200_days_and_counts_years_with_a_date_near_the_day():
    series, target = (0.5 + 0.2 * YEAR)[None].astype(np.float32), len(DAYS) - 1
    spoilt = series.copy()
    spoilt[:, DAYS[target] - 200 < DAYS] = 0.9
    assert seasons_at(spoilt, DAYS)[0][0, target] == seasons_at(series, DAYS)[0][0, target]
    gap = series.copy()
    ago = DAYS[target] - DAYS
    gap[:, (ago > 300) & (ago < 430)] = np.nan
    assert seasons_at(series, DAYS)[1][0, target] - seasons_at(gap, DAYS)[1][0, target] == 1


def test_a_season_is_the_level_between_which_the_change_lies():
    """The season's change between two dates is the difference of the seasons at both, seen from the later one."""
    days = np.array(["2022-03-01", "2022-03-20", "2023-03-01", "2023-03-20"], "datetime64[D]").astype(np.int64)
    series = np.array([[0.3, 0.5, 0.35, np.nan]], np.float32)
    change, _ = seasonal_changes(series, days)
    season, _ = seasons_at(series, days)
    assert change[0, 3] == pytest.approx(season[0, 3] - season[0, 2])
