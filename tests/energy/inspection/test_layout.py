"""Where the table stands within a text."""

import pytest

from include.core.errors import BadInputError
from include.energy.inspection.layout import find_table

HOURS = [f"2026-01-01 {hour:02}:00" for hour in range(24)]


@pytest.fixture
def table(tmp_path):
    def table(*lines):
        (tmp_path / "m.csv").write_text("\n".join(lines) + "\n")
        return find_table(tmp_path / "m.csv", "m.csv")

    return table


def test_preamble_header_and_footer_surround_the_records(table):
    found = table("Name,A", "", "Unit,kWh", "time,kWh", *(f"{hour},1" for hour in HOURS), "Total,24", "made by X")
    assert found.preamble == (("Name", "A"), ("Unit", "kWh"))
    assert (found.file.header_line, found.file.columns, found.has_header) == (4, ("time", "kWh"), True)
    assert (found.footer, found.file.last_line, len(found.rows)) == (("Total,24", "made by X"), 28, 24)
    assert (found.last, found.complete) == ((HOURS[-1], "1"), True)


def test_a_file_may_begin_with_its_first_record(table):
    found = table("1325376000 1200.0", "1325376300 2292.0", "1325376600 1.5")
    assert (found.file.delimiter, found.file.header_line, found.file.columns) == (" ", 0, ("#1", "#2"))
    assert not found.has_header
    assert found.texts(1) == ["1200.0", "2292.0", "1.5"]


@pytest.mark.parametrize(
    ("header", "record", "delimiter", "columns"),
    [
        ("a;b;c", "{};0,1;x", ";", ("a", "b", "c")),
        ("a\tb", "{}\t0,1", "\t", ("a", "b")),
        ("a,b", '{},"0,1"', ",", ("a", "b")),
        (";b;", "{};1;", ";", ("#1", "b", "#3")),
        ("a;b", "{};1;", ";", ("a", "b", "#3")),
        ("a,b,notes", "{},1", ",", ("a", "b", "notes")),
    ],
)
def test_delimiters_and_names_are_found_whatever_stands_at_the_ends_of_lines(table, header, record, delimiter, columns):
    found = table(header, *(record.format(hour) for hour in HOURS))
    assert (found.file.delimiter, found.file.columns, len(found.rows)) == (delimiter, columns, 24)


def test_records_before_the_meter_began_belong_to_the_table(table):
    found = table("time,kWh", f"{HOURS[0]},", f"{HOURS[1]},", *(f"{hour},1" for hour in HOURS[2:]))
    assert (found.file.header_line, len(found.rows)) == (1, 24)


def test_a_first_record_that_cannot_be_read_is_no_header(table):
    found = table(f"{HOURS[0]},(1.5)", *(f"{hour},1.5" for hour in HOURS[1:]))
    assert (found.has_header, found.rows[0]) == (False, (HOURS[0], "(1.5)"))


def test_a_header_that_stands_again_is_named(table):
    found = table("time,kWh", *(f"{hour},1" for hour in HOURS), "time,kWh", "2026-01-02 00:00,1")
    assert (found.file.repeated_header, len(found.rows)) == ("time,kWh", 25)


def test_more_fields_than_names_are_refused(table):
    with pytest.raises(BadInputError, match="its records have 3 fields and its header names 2; is a decimal comma"):
        table("time,kWh", *(f"{hour},0,1" for hour in HOURS))


@pytest.mark.parametrize(("text", "message"), [("", "is empty"), ("time,kWh", "holds a header line and no record")])
def test_a_file_without_a_table_is_refused(table, text, message):
    with pytest.raises(BadInputError, match=message):
        table(text)


def test_a_big_file_is_sampled_from_end_to_end(table):
    lines = [f"{hour},{number}" for number in range(4000) for hour in HOURS]
    found = table("time,kWh", *lines)
    assert not found.complete
    assert found.more
    assert found.last == (HOURS[-1], "3999")
    assert len(found.texts(1, everywhere=True)) > len(found.texts(1))
