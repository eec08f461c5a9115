"""The account of a conversion."""

from datetime import UTC, datetime

from tests.energy.test_conversion import hours


def test_records_households_and_the_time_that_empty_readings_stretch_are_counted(convert):
    files = {
        "one.csv": hours("kWh", lambda hour: hour % 5 if hour < 20 else ""),
        "two.csv": hours("kWh", lambda hour: hour % 3, meter="b"),
    }
    source = convert(files, timezone="UTC").source
    assert [(file.records, file.households, file.empty) for file in source.files] == [(20, 1, 4), (24, 1, 0)]
    assert (source.records_written, source.households, source.interval_seconds) == (44, 2, 3600)
    assert source.files[0].last == datetime(2026, 1, 5, 19, tzinfo=UTC)
    assert {name: span.last for name, span in source.spans.items()} == {"a": datetime(2026, 1, 5, 23, tzinfo=UTC)}


def test_what_was_assumed_is_stated_once_for_all_files(convert):
    messages = convert({name: hours("kWh", str) for name in ("one.csv",)}, timezone="UTC", as_mapped=True).messages
    assert "household" not in messages
    one = "t,kWh\n" + "".join(f"2026-01-05T{hour:02}:00:00Z,{hour * 7 % 5}\n" for hour in range(7, 20))
    assert "Assumed of home.csv: household: home" in convert({"home.csv": one}).messages
