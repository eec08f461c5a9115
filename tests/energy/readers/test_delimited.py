"""Delimited text as a meter reader: what it accepts, and what it makes of columns and numbers."""

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy.params import GeneratorParams
from include.energy.readers.base import Reading, take_sample
from include.energy.readers.delimited import READER

OWN = GeneratorParams()
MAPPED = GeneratorParams(files=("m.csv",), columns="timestamp=time,household_id=@A,energy_kwh=kwh,voltage=u")


@pytest.fixture
def sample(tmp_path):
    def sample(content):
        (tmp_path / "m.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return take_sample(tmp_path / "m.csv", "m.csv")

    return sample


@pytest.mark.parametrize(
    ("content", "score", "reason"),
    [
        ("a,b\n1,2\n", 0.5, "is text with a first line that may be a header"),
        ("\n \n", 0, "is empty; a header line and at least one record are needed"),
        (b"PK\x03\x04", 0, "is a ZIP archive or an Excel workbook, not CSV; unpack it or export it as CSV"),
        ("a,b".encode("utf-16"), 0, "is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 m.csv > utf8.csv"),
    ],
)
def test_any_text_may_be_delimited(sample, content, score, reason):
    assert READER.sniff(sample(content), OWN) == (score, reason)


def test_bytes_that_are_no_text_are_refused_with_their_line(sample):
    confidence = READER.sniff(sample(b"a,b\n1,\0\n"), OWN)
    assert confidence.score == 0
    assert confidence.reason.startswith("line 2: holds a NUL byte (offset 6); the file is damaged, binary, or UTF-16")


def read(sample, params):
    with duckdb.connect() as db:
        data = READER.read(sample, params, db)
        columns = ", ".join(Reading._fields)  # `zoned` and `clock` may follow
        return data, [Reading(*row) for readings in data.batches for row in readings.project(columns).fetchall()]


def test_the_mapped_columns_become_readings_with_their_line(sample):
    data, readings = read(sample("\nkwh,u,time\n1.5,230,2026-01-01T00:00Z\n\n2,2026\n"), MAPPED)
    assert readings == [
        Reading(3, "A", "2026-01-01T00:00Z", "1.5", "230", None, malformed=False),
        Reading(5, None, None, None, malformed=True),
    ]
    assert (data.unit, data.columns, data.delimiter) == ("kWh", ("kwh", "u", "time"), ",")
    assert data.all_malformed.startswith("none of its records has as many fields as its header, which names 3; ")


def test_without_a_mapping_the_columns_are_those_of_the_pipeline(sample, own_header):
    data, readings = read(sample(own_header + "2026-01-01T00:00Z,a,0.5,230.1,2.2\n"), OWN)
    assert readings == [Reading(2, "a", "2026-01-01T00:00Z", "0.5", "230.1", "2.2", malformed=False)]
    assert (data.unit, data.drops_empty, data.measured) == ("kW", False, ("voltage", "current"))
    data, _ = read(sample("timestamp,household_id,power_consumption\n2026-01-01T00:00Z,a,0.5\n"), OWN)
    assert data.measured == ()


def test_a_decimal_comma_shows_in_the_numbers(sample):
    _, readings = read(sample("time;kwh;u\n2026-01-01T00:00Z;1,5;-230,0\n2026-01-01T01:00Z;1.500;1\n"), MAPPED)
    assert [(reading.power, reading.voltage) for reading in readings] == [("1.5", "-230.0"), ("1500", "1")]
    _, readings = read(sample('time,kwh,u\n2026-01-01T00:00Z,"1,5",2\n'), MAPPED)
    assert readings[0].power == "1.5"


def test_a_number_of_another_spelling_is_never_read(sample):
    rows = [f"2026-01-{day:02}T{hour:02}:00Z;1,5;2" for day in range(1, 30) for hour in range(24) for _ in range(4)]
    content = "time;kwh;u\n" + "\n".join([*rows, "2026-02-01T00:00Z;1.5;2", rows[0]]) + "\n"
    _, readings = read(sample(content), MAPPED.model_copy(update={"decimal": ","}))
    assert readings[-2].power == "1.5 (no decimal comma)"
    with pytest.raises(BadInputError, match=r"its numbers cannot be read alike: '1,5', '1\.5' contradict"):
        read(sample("time;kwh;u\n2026-01-01T00:00Z;1,5;2\n2026-01-01T01:00Z;1.5;2\n"), MAPPED)


def test_missing_columns_are_named_with_what_may_be_meant(sample):
    with pytest.raises(BadInputError) as refused:
        read(sample("Time,kilowatthours,u\n2026-01-01,2,3\n"), MAPPED)
    assert str(refused.value) == (
        "m.csv: has no column 'time' and no column 'kwh'; its columns are 'Time', 'kilowatthours', 'u'; "
        "did you mean 'Time' instead of 'time'?"
    )


WIDE = "time,Main_A,Main_B\n2026-01-01T00:00Z,1,2\n2026-01-01T01:00Z,,4\n"


def test_each_column_may_be_a_household(sample):
    params = GeneratorParams(files=("m.csv",), columns="household_id=*", unit="kWh")
    data, readings = read(sample(WIDE), params)
    assert [(r.line, r.household_id, r.power) for r in readings] == [
        (2, "Main_A", "1"), (2, "Main_B", "2"), (3, "Main_A", None), (3, "Main_B", "4"),
    ]  # fmt: skip
    assert data.drops_empty


def test_several_columns_of_one_household_are_added_up_exactly(sample):
    params = GeneratorParams(files=("m.csv",), columns="household_id=@H,energy_kwh=T1,energy_kwh=T2")
    content = "time,T1,T2\n" + "".join(
        f"2026-01-01T0{hour}:00Z,{pair}\n" for hour, pair in enumerate(("0.1,0.2", "x,1", ",", "3,"))
    )
    _, readings = read(sample(content), params)
    assert [reading.power for reading in readings] == ["0.300000000", "x", None, "incomplete sum"]


def test_times_may_be_the_header(sample):
    content = "sensor,unit,2026-01-01T00:00Z,2026-01-01T01:00Z,2026-01-01T02:00Z\nS1,kWh,1,2,3\n"
    _, readings = read(sample(content), GeneratorParams(files=("m.csv",)))
    assert [(r.household_id, r.stamp, r.power) for r in readings] == [
        ("S1", f"2026-01-01T0{hour}:00Z", str(hour + 1)) for hour in range(3)
    ]


def test_rows_are_chosen_and_estimates_are_marked(sample):
    content = "time,kWh,Type,Status\n" + "".join(
        f"2026-01-01T0{hour}:00Z,{hour},{kind},{status}\n"
        for hour in range(3)
        for kind, status in (("Actual", "E" if hour == 1 else "A"), ("Forecast", "A"))
    )
    params = GeneratorParams(files=("m.csv",), where=("Type=Actual",))
    _, readings = read(sample(content), params)
    assert [(r.line, r.estimated) for r in readings] == [(2, False), (4, True), (6, False)]


def test_the_text_of_a_column_of_qualities_is_the_quality_of_each_reading(sample):
    rows = "".join(f"2026-01-01T0{hour}:00Z,{hour},{status}\n" for hour, status in enumerate(["A", "E", "", "A"]))
    data, readings = read(sample("time,kWh,Status\n" + rows), GeneratorParams(files=("m.csv",)))
    assert data.states_quality
    assert [r.quality for r in readings] == ["A", "E", None, "A"]


def test_qualities_of_several_meters_in_one_row_are_not_attributed(sample):
    rows = "".join(f"2026-01-01T0{hour}:00Z,{hour},A,{hour + 1},E\n" for hour in range(4))
    data, readings = read(sample("time,m1 kWh,m1 status,m2 kWh,m2 status\n" + rows), GeneratorParams(files=("m.csv",)))
    assert not data.states_quality
    assert {r.quality for r in readings} == {None}
    assert len({r.household_id for r in readings}) == 2


def test_an_open_question_is_refused_with_its_options(sample):
    with pytest.raises(
        BadInputError, match=r"m\.csv: nothing says what unit 'value' is in: say which with --unit kWh or"
    ):
        read(sample("time,value\n2026-01-01T00:00Z,1\n2026-01-01T01:00Z,2\n"), GeneratorParams(files=("m.csv",)))


def days_with_totals(total, off=0.0, missing=False):
    """Fourteen days of hours, 3.00 kWh each, with the total of each day; the fourth's is off."""
    header = ["date", *(f"{hour:02}:00" for hour in range(24)), total]
    hours = ["0.12" if hour % 2 else "0.13" for hour in range(24)]
    lines = [
        [f"2026-01-{day:02}", *hours[:-1], "" if missing and day == 4 else "0.12", f"{3 + off * (day == 4):.2f}"]
        for day in range(1, 15)
    ]
    return "\n".join(",".join(line) for line in [header, *lines]) + "\n"


@pytest.mark.parametrize(
    ("content", "unit", "message"),
    [
        (days_with_totals("Total"), "kWh", "the day totals in 'Total' are the sums of the values, on 14 days."),
        (days_with_totals("Daily kWh"), "kW", "the day totals in 'Daily kWh' are the sums of the values, on 14 days."),
        (days_with_totals("Total", off=0.12), "kWh", "are the sums of the values, on 14 days."),
        (days_with_totals("Total", off=0.5, missing=True), "kWh", "are the sums of the values, on 13 days."),
        (
            days_with_totals("Total", off=0.13),
            "kWh",
            "differ in 1 of 14 days from the sum of the values, by more than rounding explains (0.125); the first: "
            "line 5, 3.13 for 3. The values count.",
        ),
        (days_with_totals("Total Wh"), "kWh", "differ in 14 of 14 days"),
    ],
)
def test_totals_of_days_are_compared_with_the_sums_of_their_values(convert, content, unit, message):
    done = convert(content, columns="household_id=@A", unit=unit, timezone="UTC")
    assert message in done.messages
    assert sum(float(power or 0) for power in done.column("power_consumption")) == pytest.approx(
        14 * 3, abs=0.12 * content.count(",,")
    )


def test_totals_in_an_open_unit_are_not_compared(convert):
    done = convert(days_with_totals("Total"), columns="household_id=@A", unit="kW", timezone="UTC")
    assert "day totals" not in done.messages
