"""The intervals of households, numbered, also where they change."""

from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from include.energy.schemas import EnergySource, Interval, Span
from include.energy.timeline import Stretch, Timeline, draw_timeline

START = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = int(START.timestamp())
HOUR = 3600


@pytest.fixture
def accepted():
    """Two households; b's first record is at 01:30."""
    with duckdb.connect() as db:
        db.execute("CREATE TYPE household AS ENUM ('a', 'b')")
        db.execute("CREATE TABLE accepted (household household, ts TIMESTAMP, flags UTINYINT)")
        rows = [(home, START + timedelta(minutes=m)) for home, m in (("a", 0), ("a", 44), ("a", 45), ("b", 90))]
        db.executemany("INSERT INTO accepted VALUES (?, ?, 0)", rows)
        yield db


def slots(db):
    return db.execute("SELECT slot(household, ts), interval_of(household, ts) FROM accepted").fetchall()


def test_intervals_begin_with_the_window_or_the_first_record(accepted):
    timeline = draw_timeline(accepted, {"a": 900, "b": 1800}, None, None)
    assert timeline.stretches == {"a": (Stretch(SECONDS, 900),), "b": (Stretch(SECONDS + 5400, 1800),)}
    assert (timeline.constant, timeline.seconds("b"), timeline.shortest, timeline.longest) == (
        True, 1800, [900, 1800], 1800,
    )  # fmt: skip


def test_a_slot_is_the_number_of_the_households_interval(accepted):
    window = (START, START + timedelta(days=1))
    timeline = draw_timeline(accepted, {"a": 900, "b": 1800}, None, window)
    assert slots(accepted) == [(0, 900), (2, 900), (3, 900), (3, 1800)]
    assert (timeline.expected("a", 4), timeline.expected("b", 4)) == (96, 48)


def test_stamps_may_reach_further_than_accepted_records(accepted):
    span = Span(first=START, last=START + timedelta(hours=9))
    source = EnergySource(source="files", records_written=4, households=2, spans={"b": span})
    timeline = draw_timeline(accepted, {"a": 900, "b": 1800}, source, None)
    assert timeline.expected("a", 4) == 4
    assert timeline.expected("b", 4) == 19
    assert timeline.moment("b", 18) == SECONDS + 9 * HOUR


def test_slots_are_numbered_across_a_change(accepted):
    changes = [(START, HOUR), (START + timedelta(minutes=30), 900)]
    stretches = {"a": [Interval(start=start, interval_seconds=seconds) for start, seconds in changes]}
    source = EnergySource(source="files", records_written=4, households=2, stretches=stretches)
    timeline = draw_timeline(accepted, {"a": 3600, "b": 1800}, source, None)
    assert timeline.stretches["a"] == (Stretch(SECONDS, HOUR), Stretch(SECONDS + 1800, 900, 1))
    assert slots(accepted) == [(0, 3600), (1, 900), (2, 900), (0, 1800)]
    assert (timeline.constant, timeline.seconds("a"), timeline.longest) == (False, None, HOUR)
    assert [timeline.moment("a", slot) - SECONDS for slot in range(4)] == [0, 1800, 2700, 3600]
    assert [timeline.slot("a", SECONDS + seconds) for seconds in (0, 1799, 1800, 2700)] == [0, 0, 1, 2]


def test_a_window_cuts_the_stretches():
    stretches = {"a": (Stretch(0, HOUR), Stretch(24 * HOUR, 900, 24))}
    assert Timeline(stretches, {}, end=12 * HOUR).expected("a", 0) == 12
    assert Timeline(stretches, {}, end=25 * HOUR).expected("a", 0) == 28
    assert Timeline(stretches, {}, end=24 * HOUR + 1).expected("a", 0) == 25


def test_a_window_that_begins_after_a_change_forgets_what_was_before(accepted):
    changes = [(START - timedelta(days=1), HOUR), (START - timedelta(hours=1), 900)]
    stretches = {"a": [Interval(start=start, interval_seconds=seconds) for start, seconds in changes]}
    source = EnergySource(source="files", records_written=4, households=2, stretches=stretches)
    timeline = draw_timeline(accepted, {"a": 3600, "b": 1800}, source, (START, START + timedelta(hours=1)))
    assert timeline.stretches["a"] == (Stretch(SECONDS, 900),)
