"""Neighbours and own seasons."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from include.satellite.fields.comparison import (
    MAX_NEIGHBOURS,
    by_crop,
    median_of,
    neighbours,
    picked,
    robust,
    with_neighbours,
    with_own_seasons,
)
from include.satellite.fields.panel import panel_of
from include.satellite.fields.smoothing import smooth


def test_neighbours_lie_within_the_radius_and_the_nearest_are_taken():
    places = np.array(
        [[5.0, 50.0], [5.1, 50.0], [5.0, 50.179], [5.0, 50.181], [180.0 - 0.05, 0.0], [-180.0 + 0.05, 0.0]]
    )
    near = [set(rows[rows >= 0].tolist()) for rows in neighbours(places)]
    assert near == [{1, 2}, {0, 3} - {3}, {0, 3}, {2}, {5}, {4}]
    crowd = np.column_stack([np.linspace(5, 5.1, 100), np.full(100, 50.0)])
    assert sorted(neighbours(crowd)[0].tolist()) == list(range(1, MAX_NEIGHBOURS + 1))
    assert neighbours(places[:1]).shape == (1, 0)


def test_median_and_robust_spread_leave_missing_values_out():
    values = np.array([[1.0, 2.0, 4.0, np.nan], [3.0, np.nan, np.nan, np.nan], [np.nan] * 4, [1.0, 2.0, 3.0, 10.0]])
    np.testing.assert_array_equal(median_of(values), [2.0, 3.0, np.nan, 2.5])
    count, median, spread = robust(values)
    assert count.tolist() == [3, 1, 0, 4]
    np.testing.assert_array_equal(median, [2.0, 3.0, np.nan, 2.5])
    assert spread[0] == pytest.approx(1.4826)
    np.testing.assert_array_equal(picked(np.array([7.0, 8.0]), np.array([[1, -1]])), [[8.0, np.nan]])


def world(crops, values, years=1, first=date(2020, 1, 1)):
    """Return the panel of fields side by side, seen every ten days; values by field and year."""
    rows, table = [], []
    for i, (crop_of_year, value_of_year) in enumerate(zip(crops, values, strict=True)):
        for year in range(years):
            begin = date(first.year + year, 1, 1)
            table.append((f"f{i}", crop_of_year[year], begin, date(begin.year, 12, 31), 5 + i / 1000, 50.0))
            rows += [
                (f"f{i}", begin + timedelta(days=day), 1.0, "ok", value_of_year[year]) for day in range(0, 360, 10)
            ]
    observations = pd.DataFrame(rows, columns=["field_id", "date", "clear_share", "status", "ndvi_mean"])
    fields = pd.DataFrame(table, columns=["field_id", "crop", "valid_from", "valid_to", "lon", "lat"])
    return panel_of(observations, fields, observations["date"].max(), "ndvi")


def test_neighbours_are_those_that_carry_the_same_crop_on_that_day():
    panel = world([["wheat"]] * 3 + [["maize"]] * 2, [[0.5], [0.6], [0.8], [0.1], [0.2]])
    near = with_neighbours(panel, panel.values, by_crop(panel))
    assert near.count[:, 0].tolist() == [2, 2, 2, 1, 1]
    assert near.median[:, 0].tolist() == pytest.approx([0.7, 0.65, 0.55, 0.2, 0.1])


def test_own_seasons_are_those_of_the_same_crop_in_earlier_years():
    crops = [["wheat", "maize", "wheat", "wheat", "wheat"]]
    panel = world(crops, [[0.4, 0.9, 0.5, 0.6, 0.7]], years=5)
    own = with_own_seasons(panel, smooth(panel.days, panel.values, panel.weights))
    middle = [18 + 36 * year for year in range(5)]
    assert own.count[0, middle].tolist() == [0, 0, 1, 2, 3]
    assert own.median[0, middle[4]] == pytest.approx(0.5, abs=0.02)
