"""Clocks that drift or jump: readings keep their energy and find their interval, or the file is refused."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from include.core.errors import BadInputError
from include.energy.clock_drift import find_drift

COLUMNS = "timestamp=time,household_id=@A,energy_kwh=kWh"


def stamps(step, count=96, start="2026-01-05 00:00:03", jumps=()):
    """Stamps of a clock that shows `step` seconds between readings; `jumps` are (reading, seconds)."""
    time, shown = datetime.fromisoformat(start), []
    for number in range(count):
        time += timedelta(seconds=sum(size for reading, size in jumps if reading == number))
        shown.append(time)
        time += timedelta(seconds=step)
    return shown


def file(times):
    return "time,kWh\n" + "".join(f"{time:%Y-%m-%d %H:%M:%S},0.{number % 5 + 1}\n" for number, time in enumerate(times))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (stamps(902), "drifts by +192 s a day against the grid of 900 s (it is off by +3 to +193 s)"),
        (stamps(898), "drifts by -192 s a day against the grid of 900 s (it is off by -187 to +3 s)"),
        (stamps(900, jumps=[(40, 37)]), "jumped 1 time against the grid of 900 s (the first: at 2026-01-05 10:00:40"),
        (
            stamps(902, jumps=[(40, -80), (70, -60)]),
            "jumped 2 times against the grid of 900 s (the first: at 2026-01-05 10:00:03, by -78 s)",
        ),
    ],
)
def test_a_reading_counts_for_the_interval_that_is_nearest(convert, times, message):
    done = convert(file(times), columns=COLUMNS, timezone="UTC")
    begin = datetime.fromisoformat("2026-01-05 00:00:00")
    assert done.column("timestamp") == [f"{begin + timedelta(minutes=15 * n):%Y-%m-%dT%H:%M:%SZ}" for n in range(96)]
    assert sum(map(float, done.column("power_consumption"))) / 4 == pytest.approx(
        sum(n % 5 + 1 for n in range(96)) / 10
    )
    assert message in done.messages
    assert done.source.interval_seconds == 900


def test_a_second_a_day_is_a_drift_and_no_jump(convert):
    done = convert(file(stamps(900 + 1 / 96, count=960)), columns=COLUMNS, timezone="UTC")
    assert "drifts by +0.9" in done.messages
    assert "jumped" not in done.messages


def test_gaps_stay_gaps(convert):
    times = [time for number, time in enumerate(stamps(901)) if number not in (5, 6, 7)]
    done = convert(file(times), columns=COLUMNS, timezone="UTC")
    assert done.column("timestamp")[4:6] == ["2026-01-05T01:00:00Z", "2026-01-05T02:00:00Z"]


def test_a_clock_that_is_off_by_half_an_interval_is_refused(convert):
    with pytest.raises(BadInputError, match=r"off by half an interval at 2026-01-07 08:\d\d:\d\d, so it is open which"):
        convert(file(stamps(902, count=300)), columns=COLUMNS, timezone="UTC")


@pytest.mark.parametrize(
    "times",
    [
        stamps(900),  # off, and steadily so
        stamps(61),  # an interval of its own
        stamps(900, jumps=[(40, 3600)]),  # a gap
        stamps(900, jumps=[(40, 1800)]),  # clocks that change by half an hour
        [time + timedelta(seconds=number * number % 11) for number, time in enumerate(stamps(900))],  # scattered
        stamps(902, count=20),  # too few to tell
    ],
)
def test_what_is_no_drift_is_left_alone(times):
    assert find_drift(np.array([time.timestamp() for time in times])) is None


def test_hours_on_a_grid_of_half_hours_stay_there():
    drift = find_drift(np.array([time.timestamp() for time in stamps(3601, start="2026-01-05 18:30:02")]))
    assert drift is not None
    assert set(drift.grid % 3600) == {1800}


def test_ends_of_intervals_are_corrected_too(convert):
    times = stamps(902, start="2026-01-05 00:15:03")
    done = convert(file(times), columns=COLUMNS, timezone="UTC", stamp="end")
    assert done.column("timestamp")[0] == "2026-01-05T00:00:00Z"
    assert done.column("timestamp")[-1] == "2026-01-05T23:45:00Z"
