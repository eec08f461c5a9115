"""The intervals of a meter: the differences of its stamps that come in runs, and where they change."""

from datetime import datetime, timedelta

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy.intervals import Piece, add_months, choose_intervals, infer_intervals

START = datetime(2026, 1, 1)  # noqa: DTZ001 (DuckDB's TIMESTAMP has no zone)


def records(rows):
    """Return a database with `records` of household, minutes from the start (or a time) and value."""
    db = duckdb.connect()
    db.execute("CREATE TABLE records (file INTEGER, household_id VARCHAR, clock TIMESTAMP, power VARCHAR)")
    times = [(home, moment if isinstance(moment, datetime) else START + timedelta(minutes=moment), value)
             for home, moment, value in rows]  # fmt: skip
    db.executemany("INSERT INTO records VALUES (0, ?, ?, ?)", times)
    return db


def infer(ends=False, **minutes):
    rows = [(home, m, "1") for home, moments in minutes.items() for m in moments]
    with records(rows) as db:
        return infer_intervals(db, "meter.csv", ends=ends)


def constant(**minutes):
    return {home: piece.seconds for home, (piece,) in infer(**minutes).items()}


def test_each_household_has_its_own():
    assert constant(a=range(0, 300, 15), b=range(0, 300, 30)) == {"a": 900, "b": 1800}


def test_order_and_duplicates_do_not_matter():
    assert constant(a=[45, 0, 15, 15, 30, 0, 60]) == {"a": 900}


def test_readings_may_be_missing_here_and_there():
    assert constant(a=[*range(0, 46, 5), 95]) == {"a": 300}
    assert constant(a=[m for m in range(0, 3000, 30) if m % 210 not in (60, 180)]) == {"a": 1800}


def test_differences_that_are_no_multiples_are_no_gaps():
    with pytest.raises(BadInputError) as refused:
        infer(ok=range(0, 300, 5), home7=[0, 5, 10, 15, 17, 20, 25, 30, 35, 40])
    assert str(refused.value) == (
        "meter.csv: household home7: the readings have no common interval: the most frequent difference, 300 s, and "
        "its multiples are 77.8% of the differences, at least 90 % are needed; candidates: 300 s (78%), 120 s (11%), "
        "180 s (11%). Readings of a register that is written on change need --resample 1h (or another interval) and "
        "--columns register_kwh=…"
    )


@pytest.mark.parametrize(("ends", "change"), [(False, 24 * 60), (True, 24 * 60 + 15)])
def test_an_interval_may_change_and_the_first_stamp_of_the_new_one_is_named(ends, change):
    minutes = [*range(0, 24 * 60, 60), *range(24 * 60, 48 * 60, 15)]
    assert infer(ends=ends, a=minutes)["a"] == [Piece(None, 3600), Piece(START + timedelta(minutes=change), 900)]


def test_a_gap_of_one_reading_is_no_change():
    assert len(infer(a=[m for m in range(0, 3000, 15) if m not in (600, 1500)])["a"]) == 1


@pytest.mark.parametrize(("ends", "days"), [(False, [31, 28, 31]), (True, [31, 31, 28])])
def test_months_are_pieces(ends, days):
    rows = [("a", datetime(2026, month, 1), "1") for month in (1, 2, 3)]  # noqa: DTZ001
    with records(rows) as db:
        pieces = infer_intervals(db, "meter.csv", ends=ends)["a"]
    assert [piece.seconds // 86400 for piece in pieces] == days


def test_the_same_day_of_another_month():
    assert add_months(datetime(2026, 1, 5, 6), -1) == datetime(2025, 12, 5, 6)  # noqa: DTZ001


@pytest.mark.parametrize("few", [[7], [7, 500]])
def test_a_household_with_less_than_two_differences_takes_that_of_the_file(few):
    assert constant(a=range(0, 300, 15), b=few) == {"a": 900, "b": 900}


def test_two_readings_are_enough_and_one_is_not():
    assert constant(a=[0, 30]) == {"a": 1800}
    with pytest.raises(BadInputError, match="cannot be told: no household has two readings a second or more apart"):
        infer(a=[0, 0], b=[30])


def test_seconds_may_waver_and_nothing_is_finer():
    assert constant(a=[0, 0.9999 / 60, 2.0001 / 60]) == {"a": 1}
    with pytest.raises(BadInputError, match="a second or more apart"):
        infer(a=[number / 120 for number in range(20)])


RISING = [("a", minute, str(1000 + minute)) for minute in range(0, 26 * 15, 15)]


def test_energy_that_never_falls_is_a_register_unless_the_user_insists():
    with records(RISING) as db:
        with pytest.raises(
            BadInputError, match=r"household a: the values rise 25 times and never fall.*register_kwh=…"
        ):
            infer_intervals(db, "m.csv", energy=frozenset({0}))
        assert infer_intervals(db, "m.csv", energy=frozenset({0}), insist=True) == infer_intervals(db, "m.csv")
    with records([*RISING, ("a", 26 * 15, "0.5")]) as db:
        assert infer_intervals(db, "m.csv", energy=frozenset({0})) == {"a": [Piece(None, 900)]}


def test_different_values_of_the_same_times_are_refused():
    twice = [("a", minute, value) for minute in range(0, 3 * 1440, 60) for value in ("1", "2")]
    with records(twice) as db:
        with pytest.raises(
            BadInputError, match="72 records give another value for a time that the household has already"
        ):
            infer_intervals(db, "m.csv")
        assert infer_intervals(db, "m.csv", insist=True) == {"a": [Piece(None, 3600)]}
    with records([(home, minute, "1") for home, minute, _ in twice]) as db:
        assert infer_intervals(db, "m.csv", insist=True) == {"a": [Piece(None, 3600)]}


def test_equal_values_of_most_times_are_refused_and_of_some_are_not(convert):
    header, hours = (
        "time,kWh\n",
        [f"2026-01-{day:02} {hour:02}:00,{hour * 7 % 5}\n" for day in (5, 6) for hour in range(24)],
    )
    for second in (hours, [header, *hours], ["\n", *hours], [line.replace(",0", ",0.0") for line in hours], hours[:30]):
        with pytest.raises(BadInputError, match="the tables of two meters stand below each other, or one stands there"):
            convert(header + "".join([*hours, *second]), timezone="UTC")
    insisting = convert(header + "".join(hours * 2), timezone="UTC", as_mapped=True)
    assert len(insisting.records) == 96
    assert len(convert(header + "".join([*hours, *hours[-20:]]), timezone="UTC").records) == 68


def test_the_hour_that_clocks_show_twice_is_no_contradiction():
    minutes = [*range(0, 180, 15), *range(120, 300, 15)]
    with records([("a", minute, str(number)) for number, minute in enumerate(minutes)]) as db:
        assert infer_intervals(db, "m.csv") == {"a": [Piece(None, 900)]}


def test_counted_differences_give_the_same_interval():
    assert choose_intervals([("a", None, 1), ("a", 900, 19), ("a", 1800, 1), ("b", None, 1)], "x") == {
        "a": 900,
        "b": 900,
    }


def test_counted_differences_must_be_alike():
    with pytest.raises(BadInputError, match=r"shared by 80.0% of the differences, at least 90 % are needed"):
        choose_intervals([("a", 900, 8), ("a", 1800, 2)], "x")
