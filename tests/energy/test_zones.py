"""Wall clocks: which local times a zone skips, and which it shows twice."""

from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.zones import parse_zone
from include.energy.zones import pieces


def cut(zone, day):
    return [
        (f"{piece.from_time:%H:%M}", piece.kind, piece.first_offset / 3600, piece.second_offset / 3600)
        for piece in pieces(parse_zone(zone), [day])
    ]


def test_nearly_all_days_are_one_piece():
    assert cut("Europe/Berlin", date(2026, 7, 1)) == [("00:00", "normal", 2, 2)]
    assert cut("+05:30", date(2026, 7, 1)) == [("00:00", "normal", 5.5, 5.5)]


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        (
            "Europe/Berlin",
            date(2026, 3, 29),
            [("00:00", "normal", 1, 1), ("02:00", "non_existent", 1, 2), ("03:00", "normal", 2, 2)],
        ),
        (
            "Europe/Berlin",
            date(2026, 10, 25),
            [("00:00", "normal", 2, 2), ("02:00", "ambiguous", 2, 1), ("03:00", "normal", 1, 1)],
        ),
        (
            "Australia/Lord_Howe",
            date(2026, 10, 4),
            [("00:00", "normal", 10.5, 10.5), ("02:00", "non_existent", 10.5, 11), ("02:30", "normal", 11, 11)],
        ),
        ("America/Havana", date(2026, 3, 8), [("00:00", "non_existent", -5, -4), ("01:00", "normal", -4, -4)]),
        ("America/Santiago", date(2026, 4, 4), [("00:00", "normal", -3, -3), ("23:00", "ambiguous", -3, -4)]),
        ("Pacific/Apia", date(2011, 12, 30), [("00:00", "non_existent", -10, 14)]),
    ],
)
def test_days_on_which_clocks_change(zone, day, expected):
    assert cut(zone, day) == expected


@given(
    zone=st.sampled_from(
        ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tehran"]
    ),
    day=st.dates(date(1990, 1, 1), date(2037, 12, 31)),
)
def test_pieces_cover_the_day_and_lead_back_to_the_wall_clock(zone, day):
    found = list(pieces(ZoneInfo(zone), [day]))
    assert found[0].from_time == datetime.combine(day, datetime.min.time())
    assert found[-1].until_time == found[0].from_time + timedelta(days=1)
    assert all(a.until_time == b.from_time for a, b in pairwise(found))
    for piece in found:
        for offset in {piece.first_offset, piece.second_offset}:
            utc = (piece.from_time - timedelta(seconds=offset)).replace(tzinfo=ZoneInfo("UTC"))
            shown = utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            assert (shown == piece.from_time) == (piece.kind != "non_existent")


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
