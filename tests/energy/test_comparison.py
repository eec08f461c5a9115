from datetime import date, timedelta

from include.energy.comparison import compare
from include.energy.figure_schemas import Total


def days(count, coverage=lambda number: 1.0, kwh=lambda number: 10.0 + number):
    """Totals of days from a Monday on."""
    return [
        Total(start=date(2025, 1, 6) + timedelta(days=number), energy_kwh=kwh(number), coverage=coverage(number))
        for number in range(count)
    ]


def test_two_weeks_are_compared_week_with_week():
    before, year = compare(days(14))
    assert (before.days, before.days_back, before.days_compared) == (7, 7, 7)
    assert (before.first, before.last) == (date(2025, 1, 13), date(2025, 1, 19))
    assert (before.energy_kwh, before.energy_before_kwh) == (sum(range(17, 24)), sum(range(10, 17)))
    assert before.change == round(140 / 91 - 1, 4)
    assert (year.change, year.energy_kwh) == (None, None)
    assert year.note == "The data do not reach 364 days back."


def test_days_with_too_few_readings_are_left_out_in_both_periods():
    before, _ = compare(days(14, coverage=lambda number: 0.94 if number in (1, 9) else 1.0))
    assert before.days_compared == 5
    assert before.energy_before_kwh == sum(10 + number for number in (0, 3, 4, 5, 6))
    assert before.energy_kwh == sum(10 + number for number in (7, 10, 11, 12, 13))


def test_periods_with_few_alike_days_are_not_compared():
    before, _ = compare(days(14, coverage=lambda number: 1.0 if number > 10 or number < 5 else 0.5))
    assert (before.days_compared, before.energy_kwh, before.change) == (1, None, None)
    assert before.note == "Only 1 of 7 days have enough readings in both periods."


def test_the_longest_period_that_fits_twice_is_compared():
    assert [(c.days, c.days_back) for c in compare(days(60))] == [(28, 28), (28, 364)]
    assert [(c.days, c.days_back) for c in compare(days(400))] == [(28, 28), (28, 364)]
    assert [(c.days, c.days_back) for c in compare(days(800))] == [(364, 364)]


def test_a_year_before_has_the_same_weekdays():
    _, year = compare(days(400, kwh=lambda number: float(number % 7)))
    assert (year.days_compared, year.change) == (28, 0.0)
    assert year.first.weekday() == (year.first - timedelta(days=year.days_back)).weekday()


def test_nothing_is_compared_with_nothing():
    assert list(compare([])) == []
    before, _ = compare(days(14, kwh=lambda number: 0.0))
    assert (before.energy_kwh, before.change, before.note) == (0.0, None, None)
