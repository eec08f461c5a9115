"""Late starts against neighbours and against own seasons."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from include.satellite.fields.comparison import by_crop
from include.satellite.fields.panel import panel_of, to_date
from include.satellite.fields.starts import late_starts


def panel(starts, crop="wheat"):
    """Return fields side by side whose index jumps on a day of each year; starts by field and year."""
    rows, fields = [], []
    for i, years in enumerate(starts):
        for year, start in enumerate(years):
            first = date(2020 + year, 1, 1)
            fields.append((f"f{i}", crop, first, date(first.year, 12, 31), 5 + i / 1000, 50.0))
            rows += [
                (f"f{i}", first + timedelta(days=day), 1.0, "ok", 0.7 if day >= start else 0.3)
                for day in range(0, 360, 5)
            ]
    observations = pd.DataFrame(rows, columns=["field_id", "date", "clear_share", "status", "ndvi_mean"])
    table = pd.DataFrame(fields, columns=["field_id", "crop", "valid_from", "valid_to", "lon", "lat"])
    return panel_of(observations, table, observations["date"].max(), "ndvi")


def late(*starts):
    fields = panel(starts)
    return [(start.field, to_date(start.day), start) for start in late_starts(fields, by_crop(fields))]


def test_a_field_is_late_when_most_neighbours_have_started_long_before():
    [(field, day, start)] = late(*[[100]] * 6, [140])
    assert (field, day) == (6, date(2020, 5, 5)), "the pass after day 105, which confirms the others, and 15 days"
    assert (start.compared, start.neighbours, start.limit - start.expected) == (6, True, 15)
    assert start.value == pytest.approx(0.3)


def test_a_start_that_neighbours_share_or_whose_days_spread_is_none():
    assert late(*[[100]] * 6, [115]) == []
    assert late(*[[140]] * 7) == []
    assert late(*[[day] for day in (70, 85, 100, 115, 130, 145)], [160]) == []


def test_own_seasons_count_where_there_are_too_few_neighbours():
    assert late([100, 105, 110, 150])[0][2].compared == 3
    assert not late([100, 105, 110, 150])[0][2].neighbours
    assert late([100, 105, 150]) == []


def test_a_field_that_was_not_seen_is_not_late():
    fields = panel([[100]] * 6 + [[140]])
    fields.values[6, fields.days > fields.days[0] + 100] = np.nan
    assert late_starts(fields, by_crop(fields)) == []
