"""The plain rules beside the analyzer's SQL, and what they do not decide."""

from datetime import UTC, datetime

import pytest

from include.energy.audit.plain_rules import UndecidedError, judge_record, judge_series
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from include.energy.timeline import Stretch
from tests.energy.analysis import HEADER

NOON = "2026-01-05T12:00:00Z"


@pytest.fixture
def judge(tmp_path):
    (tmp_path / "energy_data.csv").write_text(f"{HEADER}\n{NOON},A,1,230,5\n")
    data = inspect(tmp_path / "energy_data.csv")

    def judge(text, **params):
        return judge_record(text, data, AnalyzerParams(**params), None)

    return judge


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{NOON},A,1,230", "malformed_record"),
        (",A,1,230,5", "missing_timestamp"),
        ("soon,A,1,230,5", "unparsable_timestamp"),
        ("2026-02-30T12:00:00Z,A,1,230,5", "unparsable_timestamp"),
        ("2026-01-05 12:00,A,1,230,5", "missing_time_zone"),
        ("2026-01-04T12:00:00Z,A,ERR,230,5", "outside_window"),
        (f"{NOON},,1,230,5", "missing_household_id"),
        (f"{NOON},A,,230,5", "missing_power_consumption"),
        (f"{NOON},A,1,ERR,", "missing_current"),
        (f"{NOON},A,1,ERR,5", "unparsable_voltage"),
        (f"{NOON},A,1,--,5", "unparsable_voltage"),
        (f"{NOON},A,20000000000,230,5", "not_finite_power_consumption"),
        (f"{NOON},A,-1,230,5", "negative_power"),
        (f"{NOON},A,1,230,5", None),
    ],
)
def test_each_rule(judge, text, reason):
    window = {"start": "2026-01-05T00:00Z", "end": "2026-01-06T00:00Z"}
    assert judge(text, **window).reason == reason


def test_the_values_of_an_accepted_record(judge):
    judged = judge("2026-01-05 17:30:00+05:30, A ,1.1,200,5")
    assert (judged.household, judged.time) == ("A", datetime(2026, 1, 5, 12, tzinfo=UTC))
    assert (judged.power, judged.efficiency) == (1.1, 1.1)
    assert judged.anomalies == {"voltage_outside_band", "power_factor"}


@pytest.mark.parametrize(("limit", "suspect"), [(None, False), (1.1, False), (1.0, True)])
def test_a_reading_above_the_limit_is_suspect(judge, limit, suspect):
    assert judge(f"{NOON},A,1.1,230,5", limit_kw=limit).suspect is suspect
    assert judge(f"{NOON},A,-1.1,230,5", limit_kw=limit, allow_export=True).suspect is suspect


@pytest.mark.parametrize(
    ("text", "anomalies"),
    [
        (f"{NOON},A,1.03,230,4.3", {"power_factor"}),
        (f"{NOON},A,0.03,230,0.1", set()),  # every reading may be off by half its last digit
        (f"{NOON},A,0.05,230,0.1", {"power_factor"}),
        (f"{NOON},A,0,0,0", {"voltage_outside_band"}),
    ],
)
def test_the_power_factor_heeds_the_resolution_of_small_readings(judge, text, anomalies):
    assert judge(text).anomalies == anomalies


@pytest.mark.parametrize(
    "text", [f"{NOON},A,1e3,230,5", "5.1.26,A,1,230,5", f'{NOON},"A"b,1,230,5', f"{NOON},A,1,253,5"]
)
def test_what_the_plain_rules_do_not_decide(judge, text):
    with pytest.raises(UndecidedError):
        judge(text)


def marks(powers, seconds=1800, threshold=5.0):
    series = [(number * seconds, power) for number, power in enumerate(powers) if power is not None]
    return [found for _, found in judge_series(series, UTC, threshold, [Stretch(0, seconds)])]


def test_runs_of_one_value_are_flat_from_six_hours_on():
    assert marks([0.4] * 12 + [0.5]) == [{"flat_line"}] * 12 + [set()]
    assert marks([0.4] * 11 + [0.5]) == [set()] * 12
    assert marks([0.4] * 6 + [None] + [0.4] * 6) == [set()] * 12


def test_runs_of_zeros_count_from_a_day_on():
    assert marks([0.0] * 48) == [{"zero_run"}] * 48
    assert marks([0.0] * 47) == [set()] * 47


def test_an_outlier_lies_far_above_the_median_of_its_hour():
    powers = [0.3 + 0.01 * (number % 7) for number in range(48 * 20)]
    powers[480] = 3.0
    found = marks(powers)
    assert found[480] == {"outlier"}
    assert sum(map(bool, found)) == 1
    assert not any(marks(powers[478:490]))  # too few to tell


@pytest.mark.parametrize(
    ("flows", "reason"),
    [
        ("0.4,", None),
        (",", None),
        ("x,", "unparsable_export"),
        ("1,-2", "negative_generation"),
        ("-1,x", "negative_export"),
    ],
)
def test_export_and_generation_are_judged_by_the_plain_rules_too(tmp_path, flows, reason):
    (tmp_path / "energy_data.csv").write_text(f"{HEADER},export,generation\n{NOON},A,1,230,5,1,1\n")
    data = inspect(tmp_path / "energy_data.csv")
    assert judge_record(f"{NOON},A,1,230,5,{flows}", data, AnalyzerParams(), None).reason == reason
