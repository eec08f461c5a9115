"""Dates of a season on curves whose dates are known, and the reasons where they are not."""

from datetime import date

import numpy as np
import pytest

from include.satellite.fields.panel import EPOCH, Season
from include.satellite.fields.phenology import phenology

FIRST = (date(2024, 1, 1) - EPOCH).days
YEAR = Season(0, 0, FIRST, FIRST + 365, annual=False)


def triangle(days=366, *, peak=150, low=0.2, high=0.8):
    """Return a curve that rises from day 50 to its peak and falls until day 250."""
    return np.interp(np.arange(days), [50, peak, 250], [low, high, low])


def of(curve, clear=None):
    return phenology(YEAR, curve, FIRST, FIRST + np.arange(0, len(curve), 5) if clear is None else FIRST + clear)


def test_start_peak_end_and_amplitude_at_the_stated_shares():
    result = of(triangle())
    assert (result.start - FIRST, result.peak - FIRST, result.end - FIRST) == (75, 150, 235)
    assert result.amplitude == pytest.approx(0.6)
    assert result.reasons == []


def test_a_date_between_passes_that_are_far_apart_is_not_stated():
    clear = np.array([*range(0, 60, 5), *range(95, 366, 5)])
    result = of(triangle(), clear)
    assert result.start is None
    assert result.peak - FIRST == 150
    assert result.reasons == ["start: no clear pass between 2024-02-25 and 2024-04-05 (40 days)"]


def test_a_season_that_goes_on_has_no_end_yet():
    result = of(triangle()[:190])
    assert (result.start - FIRST, result.peak - FIRST, result.end, result.amplitude) == (75, 150, None, None)
    assert any(reason.startswith("end: ") for reason in result.reasons)


def test_before_the_fall_no_peak_is_known():
    result = of(triangle()[:140])
    assert result.peak is None
    assert "the peak is not known yet" in result.reasons[0]


@pytest.mark.parametrize(
    ("curve", "clear", "reason"),
    [
        (np.full(366, 0.5), None, "it varies by 0.00"),
        (triangle(), np.arange(0, 100, 20), "5 clear passes"),
        (np.full(366, np.nan), None, "no smoothed value"),
    ],
)
def test_a_season_without_a_season_says_why(curve, clear, reason):
    result = of(curve, clear)
    assert (result.start, result.peak, result.end) == (None, None, None)
    assert reason in result.reasons[0]
