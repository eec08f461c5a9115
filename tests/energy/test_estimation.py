"""Estimation of missing intervals: which are estimated, by which method, and to which values."""

from datetime import datetime, timedelta
from statistics import mean
from zoneinfo import ZoneInfo

import pytest

from include.energy.audit.analysis import prove_analyzer
from include.energy.params import AnalyzerParams
from include.energy.steps import analysis_findings
from tests.energy.analysis import HEADER, MONDAY, analyzed, series, stamp, varied

WEEK = 7 * 48
"""Half-hours of a week."""


def estimated(files, lines, **params):
    """Analyze with estimates, have them proven, and return them: power and method by stamp."""
    header = f"{HEADER},source_file,source_line,source_fault" if lines[0].count(",") > 4 else HEADER
    made = analyzed(files, lines, header=header, estimate=True, **params)
    prove_analyzer(files, AnalyzerParams(estimate=True, **params), audit=True)
    records = [record for record in made.records if record["state"] == "estimated"]
    return made, {record["timestamp"]: (record["power"], record["method"]) for record in records}


def without(powers, first, after):
    return [None if first <= number < after else power for number, power in enumerate(powers)]


def test_nothing_is_estimated_unless_it_is_asked_for(files):
    made = analyzed(files, series(without(varied(48), 10, 12)))
    assert {record["state"] for record in made.records} == {"valid"}
    assert (made.document.estimated, made.document.missing) == (0, 2)
    assert made.document.energy_without_estimates_kwh == made.document.energy_kwh


def test_a_gap_of_up_to_two_hours_lies_on_the_line_between_its_neighbours(files):
    powers = [1.0] * 10 + [None] * 4 + [2.0] * 10
    made, values = estimated(files, series(powers))
    assert values == {stamp(10 + n): (pytest.approx(1.2 + 0.2 * n), "linear") for n in range(4)}
    document = made.document
    assert document.energy_kwh == pytest.approx((10 + 20 + 1.2 + 1.4 + 1.6 + 1.8) / 2)
    assert document.energy_without_estimates_kwh == 15.0
    assert (document.expected, document.received, document.missing, document.estimated) == (24, 20, 4, 4)
    assert document.estimated_by_method == {"linear": 4}


def test_a_longer_gap_is_not_interpolated_and_without_like_days_nothing_is_estimated(files):
    made, values = estimated(files, series(without(varied(40), 10, 15)))
    assert values == {}
    assert made.document.missing == 5


def test_a_gap_of_up_to_seven_days_is_the_average_of_like_days(files):
    """Wednesday 00:00 to Sunday 24:00 of the third of five weeks."""
    powers = [round(0.5 + 0.001 * number, 3) for number in range(5 * WEEK)]
    first, after = 2 * WEEK + 2 * 48, 3 * WEEK
    _, values = estimated(files, series(without(powers, first, after)))
    assert len(values) == after - first

    def like(days, number):
        return mean(powers[day * 48 + number] for day in days)

    weekdays = [day for day in range(35) if day % 7 < 5 and not 16 <= day < 19]
    assert values[stamp(first + 7)] == (pytest.approx(like(weekdays, 7), abs=1e-6), "like_day")
    assert values[stamp(first + 3 * 48 + 7)][0] == pytest.approx(like([5, 12, 26, 33], 7), abs=1e-6)
    assert values[stamp(first + 4 * 48 + 47)][0] == pytest.approx(like([6, 13, 27, 34], 47), abs=1e-6)


def test_like_days_lie_within_four_weeks(files):
    """Of Saturdays 1, 2, …, 12 with the powers 1, 2, …, the first is missing: 2, 3, 4 and 5 are near enough."""
    powers = [float(1 + number // WEEK) for number in range(12 * WEEK)]
    _, values = estimated(files, series(without(powers, 5 * 48, 6 * 48)))
    assert values[stamp(5 * 48)] == (3.5, "like_day")


@pytest.mark.parametrize(("days", "count"), [(7, 7 * 48), (8, 0)])
def test_a_gap_of_more_than_seven_days_stays_missing(files, days, count):
    powers = without(varied(6 * WEEK), 2 * WEEK, 2 * WEEK + days * 48)
    assert len(estimated(files, series(powers))[1]) == count


def test_the_ends_of_a_window_have_one_neighbour_and_take_like_days(files):
    window = {"start": MONDAY, "end": MONDAY + timedelta(days=14)}
    powers = without(without(varied(2 * WEEK), 0, 3), 2 * WEEK - 2, 2 * WEEK)
    _, values = estimated(files, series(powers), **window)
    assert {method for _, method in values.values()} == {"like_day"}
    assert sorted(values) == [stamp(0), stamp(1), stamp(2), stamp(2 * WEEK - 2), stamp(2 * WEEK - 1)]


def test_time_of_day_and_kind_of_day_are_those_of_the_local_clock(files):
    """In New York, clocks go forward on Sunday, 8 March 2026; what is missing is Monday the 9th, 08:00 to 11:00."""
    zone, start = ZoneInfo("America/New_York"), datetime(2026, 2, 23, 5, tzinfo=ZoneInfo("UTC"))
    moments = [start + timedelta(hours=number) for number in range(4 * 168)]
    lines = [
        f"{moment:%Y-%m-%dT%H:%M:%SZ},A,{moment.astimezone(zone).hour / 10 + 1},230,5"
        for moment in moments
        if not "2026-03-09T12" <= f"{moment:%Y-%m-%dT%H}" < "2026-03-09T15"
    ]
    _, values = estimated(files, lines, timezone="America/New_York")
    assert values == {f"2026-03-09T{12 + n}:00:00Z": (pytest.approx(1.8 + n / 10), "like_day") for n in range(3)}


def test_other_households_do_not_count(files):
    lines = [*series(without(varied(WEEK), 50, 60)), *series([9.0] * WEEK, home="B")]
    _, values = estimated(files, lines, high_usage_kw=None)
    assert max(power for power, _ in values.values()) < 0.4


def test_a_suspect_reading_is_no_neighbour_and_stays_beside_its_estimate(files):
    powers = [1.0] * 10 + [99.0] + [2.0] * 10
    made, values = estimated(files, series(powers), limit_kw=50.0)
    assert values == {stamp(10): (1.5, "linear")}
    states = [record["state"] for record in made.records if record["timestamp"] == stamp(10)]
    assert states == ["suspect", "estimated"]
    document = made.document
    assert document.energy_kwh == 15.75
    assert document.energy_without_estimates_kwh == 15.0
    assert document.energy_with_suspect_kwh == 15.0 + 49.5
    assert document.peak_kw == 2.0


def test_an_interval_that_changes_is_filled_with_its_own_length(convert, files):
    from include.energy.analyzer import analyze
    from tests.energy.analysis import Analyzed

    rows = [f"2026-01-{5 + n // 24:02}T{n % 24:02}:00Z,{1 + n % 3}" for n in range(72) if n not in (30, 31)]
    rows += [f"2026-01-{8 + n // 96:02}T{n // 4 % 24:02}:{n % 4 * 15:02}Z,1" for n in range(96) if n not in (40, 41)]
    convert("t,kWh\n" + "\n".join(rows) + "\n", columns="timestamp=t,household_id=@A,energy_kwh=kWh")
    analyze(files, AnalyzerParams(estimate=True))
    prove_analyzer(files, AnalyzerParams(estimate=True), audit=True)
    values = {r["timestamp"][8:16]: r["power"] for r in Analyzed(files).records if r["state"] == "estimated"}
    assert values == {"06T06:00": 3.0, "06T07:00": 3.0, "08T10:00": 4.0, "08T10:15": 4.0}


def register(powers, missing, minutes=30, gap="register_gap"):
    """Records of a register whose readings are missing where `missing` says; the advance stands before the gap."""
    lines, number = [], 0
    while number < len(powers):
        after = number + 1
        while after < len(powers) and after in missing:
            after += 1
        power, fault = sum(powers[number:after]), gap if after > number + 1 else ""
        lines.append(f"{stamp(number, minutes)},A,{power:.3f},230,5,a.csv,{number + 2},{fault}")
        number = after
    return lines


def test_estimates_add_up_to_what_a_register_counted_over_the_gap(files):
    powers = [*varied(20), 3.0, 1.0, 2.0, *varied(20)]
    made, values = estimated(files, register(powers, {21, 22}), max_rejected=None)
    assert set(values) == {stamp(20), stamp(21), stamp(22)}
    assert {method for _, method in values.values()} == {"linear_to_register"}
    assert sum(power for power, _ in values.values()) == pytest.approx(6.0, abs=1e-9)
    assert made.document.energy_kwh == pytest.approx(sum(powers) / 2)
    assert made.document.estimated_by_method == {"linear_to_register": 3}


def test_like_days_are_scaled_to_a_register_and_keep_their_shape(files):
    powers = [1.0 if number % 48 < 24 else 3.0 for number in range(3 * WEEK)]
    powers[WEEK + 48 : WEEK + 96] = [2 * power for power in powers[WEEK + 48 : WEEK + 96]]
    missing = set(range(WEEK + 49, WEEK + 96))
    made, values = estimated(files, register(powers, missing), max_rejected=None)
    assert values[stamp(WEEK + 50)] == (pytest.approx(2.0), "like_day_to_register")
    assert values[stamp(WEEK + 90)] == (pytest.approx(6.0), "like_day_to_register")
    assert made.document.energy_kwh == pytest.approx(sum(powers) / 2)


def test_two_gaps_of_a_register_in_a_row_keep_the_energy_of_each(files):
    powers = [*varied(20), 3.0, 1.0, 5.0, 2.0, *varied(20)]
    _, values = estimated(files, register(powers, {21, 23}), max_rejected=None)
    first, second = (sum(values[stamp(n)][0] for n in pair) for pair in ((20, 21), (22, 23)))
    assert (first, second) == (pytest.approx(4.0), pytest.approx(7.0))


def test_what_a_register_counted_while_nothing_was_usual_is_spread_evenly(files):
    powers = [0.0] * 20 + [3.0, 1.0] + [0.0] * 20
    _, values = estimated(files, register(powers, {21}), max_rejected=None)
    assert values == {stamp(n): (2.0, "linear_to_register") for n in (20, 21)}


def test_more_than_the_connection_carries_is_not_spread(files):
    powers = [*varied(20), 300.0, 100.0, *varied(20)]
    _, values = estimated(files, register(powers, {21}), limit_kw=50.0, max_rejected=None)
    assert values == {}


def test_a_gap_of_a_register_whose_end_is_not_known_stays_missing(files):
    window = {"start": MONDAY, "end": MONDAY + timedelta(days=14)}
    lines = register([*varied(WEEK), 1.0, 2.0], {WEEK + 1})
    _, values = estimated(files, lines, max_rejected=None, **window)
    assert values == {}


def test_how_many_like_days_an_estimate_averages_is_counted_and_a_single_one_is_a_warning(files):
    """A gap of three hours, on a Monday to Thursday: the days before it are like days, all of them."""
    days = 4
    made, values = estimated(files, series(without(varied(days * 48), 3 * 48 + 20, 3 * 48 + 26)))
    assert made.document.estimated_by_like_days == {3: len(values)} == {3: 6}
    (finding,) = [f for f in analysis_findings(made.document) if "like days average" in f.message]
    assert (finding.severity, finding.message) == (
        "info",
        "6 estimates by like days average 3 readings of like days each.",
    )


def test_an_estimate_of_a_single_like_day_is_made_and_said(files):
    made, values = estimated(files, series(without(varied(3 * 48), 48 + 20, 2 * 48 + 22)))
    assert made.document.estimated_by_like_days == {1: 4, 2: 46}
    assert len(values) == 50
    (finding,) = [f for f in analysis_findings(made.document) if "like days average" in f.message]
    assert finding.severity == "warning"
    assert "50 estimates by like days average 1 to 2 readings of like days each; 4 of them rest on a single day." in (
        finding.message
    )


def test_an_estimate_on_a_line_averages_no_days(files):
    made, _ = estimated(files, series(without(varied(48), 10, 12)))
    assert made.document.estimated_by_like_days == {}
    assert not [f for f in analysis_findings(made.document) if "like days" in f.message]
