"""Progress of steps: lines of the log, events in the records, the latest of them."""

import logging
from datetime import UTC, datetime

import pytest

from include.core import progress
from include.core.progress import Progress, ProgressEvent, counted, record, recording, report
from include.core.sink import read_events


class Seconds:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Seconds()


@pytest.fixture
def records(tmp_path):
    """The folder of a step's records."""
    folder = tmp_path / "run" / "steps" / "analyze"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def unlimited(monkeypatch):
    monkeypatch.setattr(progress, "RECORDED_EVERY_S", 0)


def recorded(records):
    return [event for _, event in read_events(records.parents[1])]


def test_what_is_done_is_reported_every_five_seconds_with_pace_and_time_left(clock, records, unlimited, caplog):
    reading = Progress("reading meters.csv", "records", 1_000_000, clock=clock)
    with recording(records), caplog.at_level(logging.INFO):
        for clock.now in range(1, 11):
            reading.add(50_000)
    events = recorded(records)
    assert [(event.step, event.done) for event in events] == [("analyze", 250_000), ("analyze", 500_000)]
    assert events[-1].model_dump(exclude={"at"}) == {
        "kind": "progress", "step": "analyze",
        "text": "reading meters.csv: 500,000 of 1,000,000 records, 50,000/s, about 10 s left",
        "done": 500_000, "total": 1_000_000, "unit": "records", "per_second": 50_000, "seconds_left": 10,
    }  # fmt: skip
    assert caplog.messages == [event.text for event in events]


def test_a_slow_thing_is_stated_in_seconds_and_an_unknown_end_not_at_all(clock):
    mapping = Progress("mapping", "dates", clock=clock)
    mapping.add(2)
    assert mapping.event(8).text == "mapping: 2 dates, 4.0 s each"


def test_what_is_complete_has_no_time_left(clock):
    reading = Progress("reading", "records", 10, clock=clock)
    reading.add(10)
    assert reading.event(5).text == "reading: 10 of 10 records, 2/s"


def test_items_are_counted_as_they_are_done(clock, monkeypatch, records, unlimited):
    monkeypatch.setattr(Progress.__init__, "__defaults__", (None, 0.0, clock))
    with recording(records):
        assert list(counted(["a", "b"], "mapping", "dates")) == ["a", "b"]
    event = recorded(records)[-1]
    assert (event.done, event.total, event.unit) == (2, 2, "dates")


def test_only_progress_that_is_recorded_is_an_event(records):
    report(ProgressEvent(at=datetime.now(UTC), text="nobody records this"))
    record(records, {"at": "yesterday"})
    record(records, None)
    record(records.parents[1] / "removed" / "steps" / "analyze", "no such folder")
    assert recorded(records) == []


def test_a_program_that_reports_without_end_is_recorded_once_a_second(records):
    for number in range(2000):
        record(records, f"{number} of 2000 |{'#' * 20}|")
    assert [event.text[:9] for event in recorded(records)] == ["0 of 2000"]


def test_the_time_of_an_event_is_that_of_the_orchestrator(records):
    record(records, {"at": "1999-01-01T00:00:00Z", "text": "the clock of the step is wrong"})
    assert (datetime.now(UTC) - recorded(records)[0].at).total_seconds() < 60
