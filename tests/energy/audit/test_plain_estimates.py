"""The plain rules of estimation."""

import pytest

from include.core.windows import parse_zone
from include.energy.audit.plain_estimates import Advance, Estimate, estimate_plainly
from include.energy.timeline import Stretch, Timeline

HOUR = 3600
TIMELINE = Timeline({"A": (Stretch(0, HOUR),)}, {})


def estimates(series, advances=(), limit_kw=None, timeline=TIMELINE):
    return estimate_plainly("A", series, timeline, parse_zone("UTC"), advances, limit_kw)


def test_a_short_gap_is_interpolated_and_its_end_is_not():
    series = [(0, 1.0), (3 * HOUR, 4.0)]
    assert estimates(series) == {HOUR: Estimate(2.0, "linear"), 2 * HOUR: Estimate(3.0, "linear")}
    open_end = Timeline({"A": (Stretch(0, HOUR),)}, {"A": 4 * HOUR})
    assert set(estimates(series, timeline=open_end)) == {HOUR, 2 * HOUR}


def test_the_average_of_like_days_takes_the_same_hour_of_the_same_kind_of_day():
    """1970 began on a Thursday: Saturday and Sunday are the days 2 and 3."""
    series = [(day * 86400 + hour * HOUR, float(day + hour)) for day in range(10) for hour in range(24)]
    gap = {2 * 86400 + hour * HOUR for hour in range(24)}
    made = estimates([reading for reading in series if reading[0] not in gap])
    assert set(made) == gap
    assert made[2 * 86400 + 5 * HOUR] == Estimate(9.0 + 5.0, "like_day", 1)


def test_values_are_rounded_to_the_milliwatt_and_halves_away_from_zero():
    assert estimates([(0, 0.000001), (2 * HOUR, 0.000002)]) == {HOUR: Estimate(0.000002, "linear")}
    assert estimates([(0, -0.000001), (2 * HOUR, -0.000002)]) == {HOUR: Estimate(-0.000002, "linear")}


@pytest.mark.parametrize(
    ("advance", "limit_kw", "powers"),
    [
        (Advance(HOUR, 3 * HOUR, 10_000_000), None, [4.0, 6.0]),
        (Advance(HOUR, 3 * HOUR, 10_000_000), 5.0, [4.0, 6.0]),
        (Advance(HOUR, 3 * HOUR, 10_000_000), 4.9, []),
        (Advance(HOUR, None, 10_000_000), None, []),
        (Advance(HOUR, 4 * HOUR, 10_000_000), None, []),
    ],
    ids=["scaled", "within the limit", "above the limit", "no end", "over a reading"],
)
def test_estimates_that_a_register_brackets_are_scaled_or_removed(advance, limit_kw, powers):
    made = estimates([(0, 1.0), (3 * HOUR, 4.0)], [advance], limit_kw)
    assert [value.power for value in made.values()] == pytest.approx(powers)
    assert {value.method for value in made.values()} <= {"linear_to_register"}
