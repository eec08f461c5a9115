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


def history(*readings):
    """Readings at minutes after midnight, written when the register moved."""
    stamps = [f"2026-01-05T{minute // 60:02}:{minute % 60:02}Z,{value}" for minute, value in readings]
    return "\n".join(["t,v", *stamps]) + "\n"


def hourly(done):
    return {row["timestamp"][11:13]: row["power_consumption"] for row in done.records}


def test_a_register_written_on_change_is_interpolated_where_that_is_asked_for(convert):
    moved = history((10, "100"), (50, "101"), (80, "104"), (121, "106"), (200, "106"))
    done = convert(moved, columns=COLUMNS, resample="1h")
    assert hourly(done) == {"01": "3.95122", "02": "0.04878"}, "102 at 01:00, 105.95122 at 02:00, 106 at 03:00"
    assert (done.source.interval_seconds, done.source.resampled) == (3600, "1h")
    assert "5 readings of registers were resampled" in done.messages


def test_a_register_written_on_change_is_refused_with_the_option_that_resamples_it(convert):
    moved = history(*((minute, number) for number, minute in enumerate((0, 7, 29, 71, 93, 140, 161, 230))))
    with pytest.raises(BadInputError, match="written on change need --resample 1h"):
        convert(moved, columns=COLUMNS)


def test_energy_that_cannot_be_spread_over_time_belongs_to_no_interval(convert):
    readings = [(0, 10), (60, 11), (300, 19), (360, 20), (420, 3), (480, 4), (900, 4), (960, 5)]
    done = convert(history(*readings), columns=COLUMNS, resample="1h")
    known = set(hourly(done))
    assert known == {"00", "05", "07", *(f"{hour:02}" for hour in range(8, 16))}, "but 01 to 05, and 06, which fell"
    assert hourly(done)["08"] == "0.0", "the register did not move for seven hours: nothing was used"
    assert "the 8.000 kWh between them belong to no interval" in done.messages
    assert "Registers fell 1 times (the first: A, from 20 to 3 at 2026-01-05 07:00 UTC)" in done.messages
    longer = convert(history(*readings), columns=COLUMNS, resample="1h", resample_limit_hours=4)
    assert [hourly(longer)[hour] for hour in ("01", "02", "03", "04")] == ["2.0"] * 4


def test_what_says_that_nothing_was_read_is_no_reading_and_reaches_as_far_as_its_stamp(convert):
    readings = [(0, 10), (60, 11), (90, "unavailable"), (120, 12), (130, "broken"), (200, "unknown")]
    done = convert(history(*readings), columns=COLUMNS, resample="1h")
    assert hourly(done) == {"00": "1.0", "01": "1.0", "02": "broken"}
    assert "such as unavailable, were left out: 2" in done.messages
    assert done.source.spans["A"].last.hour == 3


def test_only_registers_are_resampled(convert):
    energy = history(*((minute, minute % 7) for minute in range(0, 600, 60)))
    with pytest.raises(BadInputError, match="holds energy or power of intervals, and --resample interpolates"):
        convert(energy, columns=COLUMNS.replace("register", "energy"), resample="1h")


ROLLED = ["99997", "99998", "99999", "1", "2"]


def test_a_register_rolls_over_where_its_digits_are_stated(convert):
    done = convert(table(*ROLLED), columns=COLUMNS, register_digits=5)
    assert [power for _, power, _ in converted(done)] == ["1.0", "1.0", "2.0", "1.0"]
    assert not any(fault for _, _, fault in converted(done))
    assert done.source.rolled_over == 1
    assert "Roll-overs of registers, which begin again at zero after their last number: 1." in done.messages


def test_a_register_that_falls_is_rejected_and_the_option_is_named(convert):
    done = convert(table(*ROLLED), columns=COLUMNS)
    assert [fault for _, _, fault in converted(done)] == ["", "", "register_reset", ""]
    assert "rolled over needs its number of digits: --register-digits 5" in done.messages


@pytest.mark.parametrize("stated", [{}, {"limit_kw": 100}])
def test_an_advance_that_is_not_plausible_is_no_roll_over(convert, stated):
    done = convert(table("50000", "50001", "50002", "3", "4"), columns=COLUMNS, register_digits=5, **stated)
    assert [fault for _, _, fault in converted(done)] == ["", "", "register_reset", ""]
    assert "a roll-over of the stated digits would be more than is plausible" in done.messages


def test_a_limit_says_what_is_plausible(convert):
    done = convert(table("99997", "99998", "99999", "40", "41"), columns=COLUMNS, register_digits=5, limit_kw=50)
    assert [power for _, power, _ in converted(done)] == ["1.0", "1.0", "41.0", "1.0"]


def test_readings_with_more_digits_than_stated_are_refused(convert):
    with pytest.raises(BadInputError, match="reads 100000 at 2026-01-05 02:00:00 UTC, and with the stated number of"):
        convert(table("99998", "99999", "100000", "100001"), columns=COLUMNS, register_digits=5)


REPLACED = """
[meters.A]
devices = [
    { id = "SN-1", until = 2026-01-05T03:00:00Z },
    { id = "SN-2", from = 2026-01-05T03:00:00Z },
]
"""


def test_each_device_of_a_connection_point_has_its_own_register(convert):
    rows = ["00:00Z,SN-1,50", "01:00Z,SN-1,51", "02:00Z,SN-1,53", "03:00Z,SN-1,54"]
    rows += ["03:00Z,SN-2,0", "04:00Z,SN-2,2", "05:00Z,SN-2,5", "06:00Z,SN-2,6"]
    content = "\n".join(["t,m,v", *(f"2026-01-05T{row}" for row in rows)]) + "\n"
    columns = "timestamp=t,household_id=m,register_kwh=v"
    done = convert({"meter.csv": content, "meters.toml": REPLACED}, columns=columns, meters="meters.toml")
    assert {row["household_id"] for row in done.records} == {"A"}
    assert hourly(done) == {"00": "1.0", "01": "2.0", "02": "1.0", "03": "2.0", "04": "3.0", "05": "1.0"}
    assert done.source.left_out == 2, "the last reading of each device"
    resampled = convert(
        {"meter.csv": content, "meters.toml": REPLACED}, columns=columns, meters="meters.toml", resample="1h"
    )
    assert hourly(resampled) == hourly(done), "the change is no hole, for both were read at its time"


@pytest.mark.parametrize("resample", [None, "1h"])
def test_a_change_of_device_between_two_readings_has_no_energy(convert, resample):
    content = table("50", "51", "52", "0", "1", "3", hours=[0, 1, 2, 4, 5, 6])
    done = convert(
        {"meter.csv": content, "meters.toml": REPLACED}, columns=COLUMNS, meters="meters.toml", resample=resample
    )
    assert hourly(done) == {"00": "1.0", "01": "1.0", "04": "1.0", "05": "2.0"}
    assert not any(fault for _, _, fault in converted(done))


def test_a_file_whose_only_reading_begins_no_interval_is_counted_with_none(convert):
    second = "t,v\n2026-01-05T04:00Z,14\n"
    done = convert({"a.csv": table("10", "11", "12", "13"), "b.csv": second}, columns=COLUMNS)
    assert [file.records for file in done.source.files] == [4, 0]
