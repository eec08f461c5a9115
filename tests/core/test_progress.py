"""Progress of steps: lines of the log, events in the records, the latest of them."""

import json
import logging
from datetime import UTC, datetime

import pytest

from include.core import progress
from include.core.progress import Progress, ProgressEvent, counted, latest, record, recording, report


class Seconds:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Seconds()


def test_what_is_done_is_reported_every_five_seconds_with_pace_and_time_left(clock, tmp_path, caplog):
    reading = Progress("reading meters.csv", "records", 1_000_000, clock=clock)
    with recording(tmp_path), caplog.at_level(logging.INFO):
        for clock.now in range(1, 11):
            reading.add(50_000)
    events = [json.loads(line) for line in (tmp_path / progress.FILE).read_text().splitlines()]
    assert [event["done"] for event in events] == [250_000, 500_000]
    assert events[-1] | {"at": ""} == {
        "at": "", "text": "reading meters.csv: 500,000 of 1,000,000 records, 50,000/s, about 10 s left",
        "done": 500_000, "total": 1_000_000, "unit": "records", "per_second": 50_000, "seconds_left": 10,
    }  # fmt: skip
    assert caplog.messages == [event["text"] for event in events]


def test_a_slow_thing_is_stated_in_seconds_and_an_unknown_end_not_at_all(clock):
    mapping = Progress("mapping", "dates", clock=clock)
    mapping.add(2)
    assert mapping.event(8).text == "mapping: 2 dates, 4.0 s each"


def test_what_is_complete_has_no_time_left(clock):
    reading = Progress("reading", "records", 10, clock=clock)
    reading.add(10)
    assert reading.event(5).text == "reading: 10 of 10 records, 2/s"


def test_items_are_counted_as_they_are_done(clock, monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "INTERVAL_S", 0)
    monkeypatch.setattr(Progress.__init__, "__defaults__", (None, 0.0, clock))
    with recording(tmp_path):
        assert list(counted(["a", "b"], "mapping", "dates")) == ["a", "b"]
    event = latest(tmp_path)
    assert event is not None
    assert (event.done, event.total, event.unit) == (2, 2, "dates")


def test_only_what_is_recorded_is_the_latest_event(tmp_path):
    assert latest(tmp_path) is None
    report(ProgressEvent(at=datetime.now(UTC), text="nobody records this"))
    record(tmp_path, {"at": "yesterday"})
    record(tmp_path, None)
    record(tmp_path / "none", "no such folder")
    assert latest(tmp_path) is None
    for number in range(2000):
        record(tmp_path, f"{number} of 2000 |{'#' * 20}|")
    event = latest(tmp_path)
    assert event is not None
    assert event.text.startswith("1999 of 2000")


def test_a_damaged_record_is_no_event(tmp_path):
    (tmp_path / progress.FILE).write_text('{"at": 1')
    assert latest(tmp_path) is None
