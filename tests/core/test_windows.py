"""Windows from options, parameters and data intervals."""

from datetime import UTC, datetime, timedelta

import pytest

from include.core.contracts import Window
from include.core.errors import BadInputError
from include.core.windows import IntervalWindow, parse_zone, read_instant, read_zone, same_zone

WINDOW = IntervalWindow()
DAY = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


def test_a_day_is_midnight_to_midnight_of_its_zone():
    day = datetime(2026, 3, 29)  # noqa: DTZ001 - as the command line reads a date
    assert WINDOW.from_options(day, None, None, None, has_files=False) == {
        "start": "2026-03-29T00:00:00Z",
        "end": "2026-03-30T00:00:00Z",
    }
    in_berlin = WINDOW.from_options(day, None, None, "Europe/Berlin", has_files=False)
    assert in_berlin == {"start": "2026-03-28T23:00:00Z", "end": "2026-03-29T22:00:00Z"}, "a day of 23 hours"


def test_start_and_end_go_together_and_exclude_a_date():
    day = datetime(2026, 3, 29)  # noqa: DTZ001 - as the command line reads a date
    both = ("2026-03-29", "2026-03-30T12:00+02:00")
    assert WINDOW.from_options(None, *both, "Europe/Berlin", has_files=True) == {
        "start": "2026-03-28T23:00:00Z",
        "end": "2026-03-30T10:00:00Z",
    }
    with pytest.raises(BadInputError, match="--date is a whole day"):
        WINDOW.from_options(day, *both, None, has_files=False)
    for start, end in ((both[0], None), (None, both[1])):
        with pytest.raises(BadInputError, match="--start and --end go together"):
            WINDOW.from_options(None, start, end, None, has_files=False)


def test_files_without_dates_bring_their_own_window():
    assert WINDOW.from_options(None, None, None, None, has_files=True) == {}


def test_without_options_the_window_is_yesterday():
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    window = WINDOW.from_options(None, None, None, None, has_files=False)
    assert window["end"] == today.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert window["start"] == (today - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_run_covers_its_data_interval_unless_parameters_or_input_files_say_otherwise():
    assert WINDOW.of_run({}, DAY, has_files=False) == Window(start=DAY[0], end=DAY[1])
    assert WINDOW.of_run({}, DAY, has_files=True) == Window()
    stated = {"start": "2026-02-01T00:00:00Z", "end": "2026-02-02T00:00:00Z"}
    assert WINDOW.of_run(stated, DAY, has_files=False) == Window.model_validate(stated)


def test_a_window_is_described_in_words():
    assert WINDOW.describe({"start": "a", "end": "b"}) == "a to b"
    assert WINDOW.describe({"start": None}) == "all that the input files hold"


def test_an_instant_without_an_offset_is_in_the_zone_of_the_option():
    assert read_instant("--end", "2026-01-01", read_zone("+10:00")) == "2025-12-31T14:00:00Z"
    assert read_instant("--end", "2026-01-01T00:00Z", read_zone("+10:00")) == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "message"), [("soon", "'soon' is not an ISO 8601 time"), ("0001-01-01", "no data of the year 1")]
)
def test_an_impossible_instant_names_its_option(text, message):
    with pytest.raises(BadInputError, match=f"--start: .*{message}"):
        read_instant("--start", text, UTC)


def test_an_unknown_zone_is_refused_and_the_default_is_utc():
    assert read_zone(None) is UTC
    with pytest.raises(BadInputError, match="neither an IANA zone"):
        read_zone("Mars/Olympus")


@pytest.mark.parametrize(
    ("text", "hours"),
    [("+10:00", 10), ("-03:30", -3.5), ("UTC+10", 10), ("GMT-2", -2), ("+0530", 5.5), ("Z", 0), ("UTC", 0)],
)
def test_fixed_offsets(text, hours):
    assert parse_zone(text).utcoffset(None) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "+15:00", "+1:75", "Berlin", "europe", "../etc/passwd", "10:00", "localtime"])
def test_what_is_no_zone(text):
    with pytest.raises(ValueError, match="is neither an IANA zone such as Europe/Berlin nor a fixed offset"):
        parse_zone(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Europe/Berlin", "Arctic/Longyearbyen", True),
        ("UTC", "Etc/UTC", True),
        ("+01:00", "Etc/GMT-1", True),
        ("Europe/Berlin", "+01:00", False),
        ("Europe/Berlin", "Europe/Paris", False),  # they had other clocks in the seventies
    ],
)
def test_zones_are_the_same_where_their_clocks_are(one, other, same):
    assert same_zone(one, other) is same
