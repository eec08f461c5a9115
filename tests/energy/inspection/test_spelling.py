"""How stamps, numbers and units are written."""

from datetime import datetime, timedelta

import duckdb
import pytest

from include.energy.inspection.spelling import (
    NumberSpelling,
    clock_sql,
    foreign_unit_in,
    is_number,
    number_text_sql,
    parse_stamp,
    shape_of,
    spell_numbers,
    spell_stamps,
    split_range,
    unit_in,
    unit_of,
)

NOON = datetime(2026, 3, 14, 12, 30)  # noqa: DTZ001
DAYS = [NOON + timedelta(hours=6 * number) for number in range(20)]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("2026-03-14T12:30:00+01:00", "stamp"),
        ("14.03.2026 24:00:00", "stamp"),
        ("03/14/2026, 12:30 PM", "stamp"),
        ("14-Mar-2026 12:30", "stamp"),
        ("Mar 14, 2026", "date"),
        ("20260314", "date"),
        ("2018-06-01 00:00:00-05", "stamp"),
        ("12:30", "time"),
        ("1325376000", "unix"),
        ("1325376000000", "unix_ms"),
        ("0.5", "other"),
        ("MT_001", "other"),
    ],
)
def test_what_a_text_may_be_as_a_time(text, shape):
    assert shape_of(text) == shape


@pytest.mark.parametrize(
    ("form", "order"),
    [
        ("%Y-%m-%d %H:%M", "ymd"),
        ("%d/%m/%Y %H:%M", "dmy"),
        ("%m/%d/%Y %H:%M", "mdy"),
        ("%d.%m.%Y %H:%M:%S", "dmy"),
        ("%m/%d/%Y %I:%M %p", "mdy"),
        ("%d-%b-%Y %H:%M", "dmy"),
        ("%d/%m/%y %H:%M", "dmy"),
        ("%Y%m%d %H:%M", "ymd"),
        ("%b %d, %Y %H:%M", "mdy"),
    ],
)
def test_stamps_are_read_as_they_are_written_in_python_and_in_sql(form, order):
    texts = [f"{day:{form}}" for day in DAYS]
    spelling = spell_stamps(texts, "stamp")
    assert spelling.order == order
    assert [parse_stamp(text, order) for text in texts] == DAYS
    sql = clock_sql(spelling, order) or "CAST(stamp AS TIMESTAMP)"
    read = duckdb.execute(f"SELECT {sql} FROM (SELECT unnest(?) AS stamp)", [texts]).fetchall()
    assert [moment for (moment,) in read] == DAYS


def test_midnight_as_24_is_that_of_the_next_day():
    spelling = spell_stamps(["01.07.2026 23:00", "01.07.2026 24:00"], "stamp")
    assert spelling.midnight_24
    ((read,),) = duckdb.execute(
        f"SELECT {clock_sql(spelling, 'dmy')} FROM (SELECT '01.07.2026 24:00' AS stamp)"
    ).fetchall()
    assert read == parse_stamp("01.07.2026 24:00", "dmy") == datetime(2026, 7, 2)  # noqa: DTZ001


def test_unix_times_are_utc():
    for text, shape in (("1325376000", "unix"), ("1325376000000", "unix_ms")):
        sql = clock_sql(spell_stamps([text], shape), "ymd")
        ((read,),) = duckdb.execute(f"SELECT {sql} FROM (SELECT '{text}' AS stamp)").fetchall()
        assert read == parse_stamp(text, "ymd") == datetime(2012, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["03/04/2026 10:00", "03/04/2026 11:00"], None),
        (["03/04/2026", "04/04/2026"], None),
        (["11/01/2025 01:00", "11/01/2025 13:00", "11/02/2025 01:00", "11/02/2025 13:00"], "mdy"),
        (["01/11/2025 01:00", "01/11/2025 13:00", "02/11/2025 01:00", "02/11/2025 13:00"], "dmy"),
        (["01/02/2025", "01/03/2025", "01/04/2025"], None),
    ],
)
def test_day_and_month_are_told_from_neighbours_only_where_days_have_several_stamps(texts, order):
    assert spell_stamps(texts, shape_of(texts[0])).order == order


def test_a_range_is_two_times():
    assert split_range("2025-10-19 00:00 - 2025-10-19 01:00") == ("2025-10-19 00:00", "2025-10-19 01:00")
    assert split_range("01.05.2024 00:00 - 01:00") == ("01.05.2024 00:00", "01:00")
    assert split_range("0.5 - 0.6") is None


@pytest.mark.parametrize(
    ("texts", "decimal", "thousands"),
    [
        (["1", "20"], ".", ""),
        (["0.5", "1.234"], ".", ""),
        (["0,5", "1.234"], ",", "."),
        (["1.234,5"], ",", "."),
        (["1,234.5", "1"], ".", ","),
        (["1.234.567"], ",", "."),
        (["1 234", "1 234,5"], ",", " "),
        (["500", "1.410"], None, "."),
        (["5,000", "7,170"], None, ","),
        (["0,5", "0.5"], None, ""),
        (["0E-20", "1.234"], ".", ""),
    ],
)
def test_marks_are_decimal_thousands_or_either(texts, decimal, thousands):
    spelling = spell_numbers(texts)
    assert (spelling.decimal, spelling.thousands) == (decimal, thousands)
    assert isinstance(spelling, NumberSpelling)


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "read"),
    [
        ("1.234,5", ",", ".", "1234.5"),
        ("-0,5", ",", "", "-0.5"),
        ("1.5", ",", "", "1.5 (no decimal comma)"),
        ("1.5", ",", ".", "1.5 (no decimal comma)"),
        ("1,234.5", ".", ",", "1234.5"),
        ("1,5", ".", ",", "1,5"),
        ("1 234,5", ",", " ", "1234.5"),
        ("1.5", ".", "", "1.5"),
        ("ERR", ",", ".", "ERR"),
    ],
)
def test_numbers_become_plain_text_and_others_stay_unreadable(text, decimal, thousands, read):
    sql = number_text_sql("text", decimal, thousands)
    assert duckdb.execute(f"SELECT {sql} FROM (SELECT ? AS text)", [text]).fetchone() == (read,)


def test_what_may_be_a_number():
    assert [is_number(text) for text in ("1.234,5", "-3", "1e5", "Null", "-", "A1")] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("KWH/hh (per half hour)", "kWh"), ("Netzlast [MWh]", "MWh"), ("watts", "W"), ("AEP_MW", "MW"),
        ("Wh/1000", "kWh"), ("kW and kWh", None), ("Swh", None), ("TOTALDEMAND", None),
    ],
)  # fmt: skip
def test_a_name_states_one_unit_or_none(name, unit):
    assert unit_in(name) == unit


def test_units_alone_and_what_is_no_energy():
    assert [unit_of(text) for text in ("KWH", " mw ", "kvarh")] == ["kWh", "MW", None]
    assert [foreign_unit_in(text) for text in ("Gas m³", "kVArh", "Price (EUR)", "kWh")] == ["m³", "kVArh", "EUR", None]
