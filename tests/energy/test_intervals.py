"""The interval of a meter: the modal difference of its stamps, if nine in ten share it."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy.intervals import choose_intervals, define_slots, infer_intervals

START = datetime(2026, 1, 1)  # noqa: DTZ001 (DuckDB's TIMESTAMP has no zone)


def infer(**minutes):
    rows = [(home, START + timedelta(minutes=m)) for home, moments in minutes.items() for m in moments]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE stamps (household_id VARCHAR, timestamp TIMESTAMP)")
        connection.executemany("INSERT INTO stamps VALUES (?, ?)", rows)
        return infer_intervals(connection, "stamps", "meter.csv")


def test_each_household_has_its_own():
    assert infer(a=range(0, 300, 15), b=range(0, 300, 30)) == {"a": 900, "b": 1800}


def test_order_and_duplicates_do_not_matter():
    assert infer(a=[45, 0, 15, 15, 30, 0, 60]) == {"a": 900}


def test_one_gap_in_ten_is_allowed():
    assert infer(a=[*range(0, 46, 5), 95]) == {"a": 300}


def test_more_gaps_are_not():
    with pytest.raises(BadInputError) as refused:
        infer(ok=range(0, 300, 5), home7=[0, 5, 10, 15, 20, 25, 30, 35, 40, 95])
    assert str(refused.value) == (
        "meter.csv: household home7: the readings have no common interval: the most frequent difference, 300 s, is "
        "shared by 88.9% of the differences, at least 90 % are needed; candidates: 300 s (89%), 3300 s (11%)"
    )


@pytest.mark.parametrize("few", [[7], [7, 500]])
def test_a_household_with_less_than_two_differences_takes_that_of_the_file(few):
    assert infer(a=range(0, 300, 15), b=few) == {"a": 900, "b": 900}


def test_two_readings_are_enough_and_one_is_not():
    assert infer(a=[0, 30]) == {"a": 1800}
    with pytest.raises(BadInputError, match="cannot be told: no household has two readings a second or more apart"):
        infer(a=[0, 0], b=[30])


def test_seconds_may_waver_and_nothing_is_finer():
    assert infer(a=[0, 0.9999 / 60, 2.0001 / 60]) == {"a": 1}
    with pytest.raises(BadInputError, match="a second or more apart"):
        infer(a=[number / 120 for number in range(20)])


def test_counted_differences_give_the_same_interval():
    assert choose_intervals([("a", None, 1), ("a", 900, 19), ("a", 1800, 1), ("b", None, 1)], "x") == {
        "a": 900,
        "b": 900,
    }


@pytest.fixture
def accepted():
    """Two households; b's first record is at 01:30."""
    with duckdb.connect() as db:
        db.execute("CREATE TYPE household AS ENUM ('a', 'b')")
        db.execute("CREATE TABLE accepted (household household, ts TIMESTAMP)")
        rows = [(home, START + timedelta(minutes=m)) for home, m in (("a", 0), ("a", 44), ("a", 45), ("b", 90))]
        db.executemany("INSERT INTO accepted VALUES (?, ?)", rows)
        yield db


def test_intervals_begin_with_the_window_or_the_first_record(accepted):
    start = int(START.replace(tzinfo=UTC).timestamp())
    assert define_slots(accepted, {"a": 900, "b": 1800}, None) == {"a": start, "b": start + 5400}


def test_a_slot_is_the_number_of_the_households_interval(accepted):
    window = (START.replace(hour=0, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    origins = define_slots(accepted, {"a": 900, "b": 1800}, window)
    assert set(origins.values()) == {int(window[0].timestamp())}
    query = "SELECT slot(household, ts), interval_of(household) FROM accepted"
    assert accepted.execute(query).fetchall() == [(0, 900), (2, 900), (3, 900), (3, 1800)]
