"""Intervals that an exporter leaves out, through the generator."""

import pytest

from include.core.errors import BadInputError

COLUMNS = "timestamp=t,household_id=m,energy_kwh=v"
HOURS = {"A": [0, 1, 2, 4, 5, 6, 9, 10, 11, 12], "B": [2, 3, 4, 5]}


def left_out(hours=HOURS):
    rows = [f"2026-01-05T{hour:02}:00Z,{home},0.5" for home, several in hours.items() for hour in several]
    return "\n".join(["t,m,v", *rows]) + "\n"


def test_intervals_that_are_left_out_are_zero_where_the_user_says_so(convert):
    done = convert(left_out(), columns=COLUMNS, zeros_omitted=True)
    zeros = [r for r in done.records if r["power_consumption"] == "0.0"]
    assert [(r["household_id"], r["timestamp"][11:13]) for r in zeros] == [("A", "03"), ("A", "07"), ("A", "08")]
    assert {r["quality"] for r in zeros} == {"zero: left out of the file"}
    assert {r["source_file"] for r in zeros} == {""}
    assert (done.source.zeros_omitted, done.source.records_written) == (3, 17)
    assert "3 intervals that the files leave out were read as zero" in done.messages


def test_they_stay_missing_where_nobody_says_so(convert):
    done = convert(left_out(), columns=COLUMNS)
    assert (len(done.records), done.source.zeros_omitted) == (14, 0)
    assert "quality" not in done.records[0]


def test_an_empty_cell_is_not_left_out_of_the_file(convert):
    content = left_out().replace("T04:00Z,A,0.5", "T04:00Z,A,")
    done = convert(content, columns=COLUMNS, zeros_omitted=True)
    assert [r["timestamp"][11:13] for r in done.records if r["power_consumption"] == "0.0"] == ["03", "07", "08"]


def test_registers_whose_readings_are_left_out_are_refused(convert):
    rows = [f"2026-01-05T{hour:02}:00Z,A,{10 + hour}" for hour in range(8)]
    with pytest.raises(BadInputError, match="holds readings of registers, of which an interval that is left out"):
        convert("\n".join(["t,m,v", *rows]) + "\n", columns=COLUMNS.replace("energy", "register"), zeros_omitted=True)


def test_an_interval_that_changes_leaves_open_what_is_left_out(convert):
    rows = [f"2026-01-05T{hour:02}:00Z,A,1" for hour in range(12)]
    rows += [f"2026-01-05T{12 + n // 4:02}:{n % 4 * 15:02}Z,A,1" for n in range(40)]
    with pytest.raises(BadInputError, match="household A: its interval changes, so it is open how many"):
        convert("\n".join(["t,m,v", *rows]) + "\n", columns=COLUMNS, zeros_omitted=True)
