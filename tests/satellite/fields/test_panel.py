"""Tables of observations and fields as arrays, and the seasons of crops."""

from datetime import date

import numpy as np
import pandas as pd

from include.satellite.fields.panel import Season, panel_of, to_date, to_days


def observations(*rows):
    return pd.DataFrame(rows, columns=["field_id", "date", "clear_share", "status", "ndvi_mean"])


def fields(*rows):
    return pd.DataFrame(rows, columns=["field_id", "crop", "valid_from", "valid_to", "lon", "lat"])


def test_passes_that_are_not_clear_hold_no_value_and_the_clearer_scene_of_a_day_counts():
    panel = panel_of(
        observations(
            ("a", date(2024, 5, 1), 0.8, "ok", 0.5),
            ("a", date(2024, 5, 1), 0.9, "ok", 0.6),
            ("a", date(2024, 5, 6), 0.2, "cloudy", 0.1),
            ("b", date(2024, 5, 6), 1.0, "ok", 0.7),
        ),
        fields(("a", "wheat", None, None, 5.0, 50.0), ("b", None, None, None, 5.0, 50.0)),
        date(2024, 5, 6),
        "ndvi",
    )
    assert panel.days.tolist() == to_days(pd.Series([date(2024, 5, 1), date(2024, 5, 6)])).tolist()
    np.testing.assert_array_equal(panel.values, [[0.6, np.nan], [np.nan, 0.7]])
    assert panel.covered.tolist() == [[True, True], [False, True]]
    assert panel.crop.tolist() == [[0, 0], [-1, -1]]


def test_an_annual_crop_has_its_own_season_and_a_permanent_one_calendar_years():
    seen = observations(*(("a", date(year, 6, 1), 1.0, "ok", 0.5) for year in (2023, 2024)))
    rotated = fields(
        ("a", "wheat", date(2022, 10, 1), date(2023, 7, 31), 5.0, 50.0),
        ("a", "maize", date(2024, 4, 1), date(2024, 10, 31), 5.0, 50.0),
    )
    panel = panel_of(seen, rotated, date(2024, 6, 1), "ndvi")
    assert [(panel.crops[s.crop], to_date(s.first), to_date(s.last), s.annual) for s in panel.seasons] == [
        ("wheat", date(2022, 10, 1), date(2023, 7, 31), True),
        ("maize", date(2024, 4, 1), date(2024, 10, 31), True),
    ]
    assert [panel.crops[code] for code in panel.crop[0]] == ["wheat", "maize"]
    north = panel_of(seen, fields(("a", "grass", None, None, 5.0, 50.0)), date(2024, 6, 1), "ndvi").seasons
    south = panel_of(seen, fields(("a", "grass", None, None, 5.0, -30.0)), date(2024, 6, 1), "ndvi").seasons
    assert [to_date(s.last) for s in north] == [date(2023, 12, 31), date(2024, 12, 31)]
    assert [to_date(s.last) for s in south] == [date(2023, 6, 30), date(2024, 6, 30)]
    assert north[0] == Season(0, 0, panel.days[0], north[0].last, annual=False)
