"""Registers through the generator: the energy between two readings."""

import pytest

from include.core.errors import BadInputError

COLUMNS = "timestamp=t,household_id=@A,register_kwh=v"


def table(*values, hours=None):
    stamps = hours or range(len(values))
    rows = [f"2026-01-05T{hour:02}:00Z,{value}" for hour, value in zip(stamps, values, strict=True)]
    return "\n".join(["t,v", *rows]) + "\n"


def converted(done):
    return [(r["timestamp"][11:13], r["power_consumption"], r["source_fault"]) for r in done.records]


def test_energy_lies_between_two_readings_and_the_last_begins_none(convert):
    done = convert(table("10", "10.5", "12", "12"), columns=COLUMNS)
    assert converted(done) == [("00", "0.5", ""), ("01", "1.5", ""), ("02", "0.0", "")]
    assert done.source.left_out == 1
    assert "Register readings that begin no interval, being the last of their meter: 1." in done.messages


def test_energy_across_missing_readings_and_of_an_exchanged_meter_is_rejected(convert):
    hours = [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    values = ["10", "11", "12", "13", "14", "17", "18", "19", "3", "4", "5", "6"]
    done = convert(table(*values, hours=hours), columns=COLUMNS)
    faults = {hour: fault for hour, _, fault in converted(done) if fault}
    assert faults == {"04": "register_gap", "08": "register_reset"}


def test_unreadable_readings_are_passed_on_and_equal_ones_count_once(convert):
    done = convert(table("10", "unavailable", "12", "12", "13", hours=[0, 1, 2, 2, 3]), columns=COLUMNS)
    assert ("01", "unavailable", "") in converted(done)
    assert [row for row in converted(done) if row[0] == "02"] == [("02", "1.0", "")]


def test_two_values_of_one_time_are_refused(convert):
    with pytest.raises(BadInputError, match=r"household A: its register reads 12 and 13 at 2026-01-05 02:00:00 UTC"):
        convert(table("10", "11", "12", "13", "14", hours=[0, 1, 2, 2, 3]), columns=COLUMNS)
