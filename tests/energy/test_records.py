"""The table of all readings: one unit, one header, and stamps that can be read."""

import pytest

from include.core.errors import BadInputError
from tests.energy.test_conversion import KWH, hours, series, table


@pytest.mark.parametrize("header", ["time,Temperature,kWh", "time,Wh,Temperature"])
def test_another_header_between_records_is_refused(convert, header):
    records = [f"2026-01-05 {hour:02}:00,{hour % 5}.5,{10 + hour % 3}" for hour in range(24)]
    text = table(*records, header, *records, header="time,kWh,Temperature")
    with pytest.raises(BadInputError, match=f"line 26 is another header, '{header}'"):
        convert(text, timezone="+00:00")


@pytest.mark.parametrize("header", ["time,kWh,Temperature", "time,kWh ,Temperature,"])
def test_the_same_header_again_is_no_other_table(convert, header):
    records = [f"2026-01-{day} {hour:02}:00,{hour % 5}.5,{10 + hour % 3}" for day in ("05", "06") for hour in range(24)]
    done = convert(table(*records[:24], header, *records[24:], header="time,kWh,Temperature"), timezone="+00:00")
    assert done.source.records_written >= 48


@pytest.mark.parametrize(
    ("first", "second", "unit"),
    [
        (("kWh", lambda hour: f"0.{hour % 5}"), ("Wh", lambda hour: hour % 5 * 100), "kWh"),
        (("Wh", lambda hour: hour % 5 * 100), ("MWh", lambda hour: f"0.000{hour % 5}"), "kWh"),
        (("W", lambda hour: hour % 5 * 100), ("kW", lambda hour: f"0.{hour % 5}"), "kW"),
        (("MW", lambda hour: f"0.000{hour % 5}"), ("W", lambda hour: hour % 5 * 100), "kW"),
    ],
)
def test_files_of_different_units_are_put_into_one_and_the_account_says_so(convert, first, second, unit):
    done = convert({"one.csv": hours(*first), "two.csv": hours(*second, meter="b")}, timezone="UTC")
    powers = [float(power) for power in done.column("power_consumption")]
    assert powers[:24] == powers[24:] == pytest.approx([hour % 5 / 10 for hour in range(24)])
    assert [file.unit for file in done.source.files] == [first[0], second[0]]
    assert done.source.unit == unit
    assert f"all were put into {unit}" in done.messages


def test_a_revision_in_another_unit_is_compared_by_its_value(convert):
    changed = hours("Wh", lambda hour: 50 if hour == 3 else hour % 5 * 100)
    done = convert({"one.csv": hours("kWh", lambda hour: f"0.{hour % 5}"), "two.csv": changed}, timezone="UTC")
    assert [record["source_line"] for record in done.records if record["source_fault"] == "superseded"] == ["5"]


def test_energy_and_power_are_run_apart(convert):
    with pytest.raises(BadInputError, match=r"run files of energy and of power apart: one run with --files one\.csv"):
        convert({"one.csv": hours("kWh", str), "two.csv": hours("kW", str, meter="b")}, timezone="UTC")


def test_a_file_without_a_stamp_or_a_value_is_refused_with_its_line(convert):
    stamps = {"columns": "timestamp=time,household_id=meter,energy_kwh=kwh", "timezone": "UTC"}
    with pytest.raises(BadInputError, match="no record holds a value"):
        convert(table(*(f"2026-01-05 {hour:02}:00,a," for hour in range(24))), **stamps)
    with pytest.raises(BadInputError, match="line 2: the stamp '2026-01-05 00:00' names no zone"):
        convert(table(*series("00:00", "01:00", day="2026-01-05")), columns=KWH)


def test_a_column_a_meter_gives_the_readings_of_each_line_in_the_order_of_its_columns(convert):
    rows = [f"2026-01-05 {hour:02}:00;{hour},5; ;{hour};x" for hour in range(3)]
    done = convert("t;M_1 (kWh);M_2 (kWh);M_3 (kWh);Note\n" + "\n".join([*rows, "broken;1;2"]) + "\n", timezone="UTC")
    held = [(r["source_line"], r["source_column"], r["power_consumption"], r["source_fault"]) for r in done.records]
    assert held == [
        *(
            (str(hour + 2), f"M_{meter} (kWh)", value, "")
            for hour in range(3)
            for meter, value in ((1, f"{hour}.5"), (3, f"{hour}.0"))
        ),
        ("5", "", "", "malformed_record"),
    ]
