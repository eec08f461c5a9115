"""Stamps in UTC: which local times a zone skips, which it shows twice, and what a file's order says of them."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.core.errors import BadInputError
from include.core.windows import parse_zone
from include.energy.stamps import iso, pieces, plausible

KWH = "timestamp=time,household_id=meter,energy_kwh=kwh"
BERLIN = {"columns": KWH, "timezone": "Europe/Berlin"}


def table(*rows):
    return "\n".join(["time,meter,kwh", *rows]) + "\n"


def series(*times, meter="a", day="2026-10-25"):
    return [f"{day} {time},{meter},{number}" for number, time in enumerate(times)]


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


class TestEndOfDaylightSaving:
    QUARTERS = ("01:45", "02:00", "02:15", "02:30", "02:45")
    TWICE = ("02:00", "02:15", "02:30", "02:45", "03:00")

    def test_times_that_occur_twice_resolve_by_order(self, convert):
        done = convert(table(*series(*self.QUARTERS, *self.TWICE)), **BERLIN)
        assert done.column("timestamp") == [
            f"2026-10-{day}:00Z"
            for day in (
                *(["24T23:45"] + [f"25T00:{minute}" for minute in ("00", "15", "30", "45")]),
                *([f"25T01:{minute}" for minute in ("00", "15", "30", "45")] + ["25T02:00"]),
            )
        ]
        assert (done.source.ambiguous_times, done.source.ambiguous_pairs) == (8, 4)

    def test_files_with_the_newest_record_first_are_read_backwards(self, convert):
        rows = series(*self.QUARTERS, *self.TWICE)
        forwards, backwards = convert(table(*rows), **BERLIN), convert(table(*reversed(rows)), **BERLIN)
        assert backwards.column("timestamp") == forwards.column("timestamp")[::-1]
        assert backwards.column("power_consumption") == forwards.column("power_consumption")[::-1]

    def test_a_lone_one_is_the_second_if_a_later_time_stands_before_it(self, convert):
        times = [*self.QUARTERS, *self.TWICE]
        del times[2]
        done = convert(table(*series(*times)), **BERLIN)
        assert "2026-10-25T00:15:00Z" not in done.column("timestamp")
        assert "2026-10-25T01:15:00Z" in done.column("timestamp")
        assert len(set(done.column("timestamp"))) == len(times)

    def test_households_are_told_apart_and_other_rows_may_stand_between(self, convert):
        rows = series("02:00", "03:00", "00:00", "01:00", "02:00") + series("01:00", "02:00", "03:00", meter="b")
        done = convert(table(*rows), **BERLIN)
        assert [stamp[11:16] for stamp in done.column("timestamp")] == [
            *("00:00", "02:00", "22:00", "23:00", "01:00"),
            *("23:00", "00:00", "02:00"),
        ]


class TestStartOfDaylightSaving:
    SKIPPED = table(*series("01:00", "02:00", "03:00", "04:00", day="2026-03-29"))

    def test_skipped_times_that_a_fixed_offset_explains_are_refused(self, convert):
        with pytest.raises(BadInputError, match=r"no hour occurs twice either.*--timezone \+01:00 would explain that"):
            convert(self.SKIPPED, **BERLIN)

    def test_skipped_times_are_passed_on_where_the_user_insists(self, convert):
        done = convert(self.SKIPPED, **BERLIN, as_mapped=True)
        assert done.column("timestamp")[1] == "2026-03-29 02:00"
        assert done.column("source_fault") == ["", "non_existent_time", "", ""]
        assert done.source.non_existent_times == 1

    def test_interval_ends_are_recognised_where_they_explain_it(self, convert):
        rows = series(*(f"{hour:02}:00" for hour in range(22, 24)), "23:30", day="2026-03-28")[:2]
        rows += series("00:00", "01:00", "02:00", "04:00", "05:00", day="2026-03-29")
        done = convert(table(*rows), **BERLIN)
        assert done.source.non_existent_times == 0
        assert "the end of the interval, for days on which clocks change have no other explanation" in done.messages
        assert done.column("timestamp")[-3:] == [f"2026-03-29T0{hour}:00:00Z" for hour in (0, 1, 2)]

    def test_a_fixed_offset_skips_nothing(self, convert):
        rows = series("01:00", "02:00", "03:00", day="2026-03-29")
        done = convert(table(*rows), columns=KWH, timezone="UTC+10")
        assert done.column("timestamp")[1] == "2026-03-28T16:00:00Z"
        assert "does not exist" not in done.messages


def test_a_zone_that_nothing_needed_is_reported(convert):
    done = convert(table("2026-01-01T00:00Z,a,1", "2026-01-01T01:00Z,a,1"), **BERLIN)
    assert done.messages.startswith(
        "--timezone Europe/Berlin moved no stamp: each names its own zone. Profiles and plots follow it."
    )


@pytest.mark.parametrize(
    ("clock", "text"),
    [("2026-01-05 10:00", "2026-01-05T10:00:00Z"), ("2026-01-05 10:00:00.25", "2026-01-05T10:00:00.250000Z")],
)
def test_a_fraction_of_a_second_is_written_only_where_there_is_one(clock, text):
    assert duckdb.execute(f"SELECT {iso('utc')} FROM (SELECT ?::TIMESTAMP AS utc)", [clock]).fetchone() == (text,)


@pytest.mark.parametrize(("year", "kept"), [(1899, False), (1900, True), (2199, True), (2200, False)])
def test_only_years_that_a_meter_can_have_are_plausible(year, kept):
    query = f"SELECT {plausible('clock')} FROM (SELECT ?::TIMESTAMP AS clock)"
    assert (duckdb.execute(query, [f"{year}-06-01"]).fetchone()[0] is not None) is kept


def marked_stamps(spelling, *, ends, reverse):
    """Quarter-hours of a day of 25 hours, of which those of the repeated hour are marked."""
    zone, lines = ZoneInfo("Europe/Zurich"), []
    for number in range(100):
        local = (datetime(2024, 10, 26, 22, tzinfo=UTC) + timedelta(minutes=15 * (number + ends))).astimezone(zone)
        repeated = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
        lines.append(f"{spelling(local, 'AB'[local.fold] if repeated else '', repeated)},a,{number % 7}")
    return table(*(lines[::-1] if reverse else lines))


SPELLINGS = {
    "02:15A": lambda local, mark, _: f"{local:%d.%m.%Y %H:%M}{mark}",
    "02A:15": lambda local, mark, _: f"{local:%Y-%m-%d %H}{mark}:{local:%M}",
    "02:15 (CEST)": lambda local, _, repeated: f"{local:%d/%m/%Y %H:%M}" + f" ({local.tzname()})" * repeated,
    "all CET or CEST": lambda local, *_: f"{local:%Y-%m-%d %H:%M} {local.tzname()}",
}  # fmt: skip


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_stamps_that_name_the_occurrence_of_a_repeated_hour(convert, spelling, reverse, ends):
    lines = marked_stamps(SPELLINGS[spelling], ends=ends, reverse=reverse)
    done = convert(lines, columns=KWH, timezone="Europe/Zurich", stamp="end" if ends else "start")
    first = datetime(2024, 10, 26, 22, tzinfo=UTC)
    expected = [f"{first + timedelta(minutes=15 * number):%Y-%m-%dT%H:%M:%SZ}" for number in range(100)]
    assert done.column("timestamp") == (expected[::-1] if reverse else expected)
    assert "meter.csv: stamps say which occurrence of a repeated hour they mean: " in done.messages


def test_a_lone_occurrence_needs_no_order(convert):
    done = convert(table("2024-10-27 01:00,a,1", "2024-10-27 02:00B,a,2", "2024-10-27 03:00,a,3",
                         *(f"2024-10-27 {hour:02}:00,a,{hour % 3}" for hour in range(4, 24))),
                   columns=KWH, timezone="Europe/Zurich")  # fmt: skip
    assert done.column("timestamp")[1] == "2024-10-27T01:00:00Z"


def test_an_occurrence_of_a_time_that_is_not_repeated_stays_unread(convert):
    rows = [f"2024-10-27 {hour:02}:00,a,{hour % 3}" for hour in range(4, 24)]
    done = convert(table("2024-10-27 03:00A,a,1", *rows), columns=KWH, timezone="Europe/Zurich")
    assert done.column("timestamp")[0] == "2024-10-27 03:00A"
    plain = convert(
        table("2024-10-26 03:00A,a,1", "2024-10-26 04:00B,a,1", *rows), columns=KWH, timezone="Europe/Zurich"
    )
    assert plain.column("timestamp")[:2] == ["2024-10-26T01:00:00Z", "2024-10-26 04:00B"]
    fixed = convert(table("2024-10-27 02:00A,a,1", *rows), columns=KWH, timezone="+01:00")
    assert fixed.column("timestamp")[0] == "2024-10-27 02:00A"
