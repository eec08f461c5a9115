"""Input files: what is converted, what is passed on as it was found, and what is refused in words."""

import contextlib
import gzip
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core.errors import BadInputError
from include.energy.generator import generate
from include.energy.params import GeneratorParams
from tests.energy.workbook_files import write_xlsx

KWH = "timestamp=time,household_id=meter,energy_kwh=kwh"
BERLIN = {"columns": KWH, "timezone": "Europe/Berlin"}


def table(*rows, header="time,meter,kwh"):
    return "\n".join([header, *rows]) + "\n"


def series(*times, meter="a", day="2026-10-25"):
    return [f"{day} {time},{meter},{number}" for number, time in enumerate(times)]


def test_a_quality_that_a_file_states_follows_each_record_and_files_without_one_have_no_such_column(convert):
    stated = "t,kWh,Status\n" + "".join(f"2026-01-05T0{hour}:00Z,{hour},{'EA'[hour % 2]}\n" for hour in range(4))
    done = convert(stated, columns="timestamp=t,household_id=@A,energy_kwh=kWh")
    assert done.column("quality") == ["E", "A", "E", "A"]
    assert "quality" not in convert(table(*series("00:00", "01:00", "03:00")), **BERLIN).records[0]


def test_the_pipelines_own_columns_pass_through_with_their_origin(convert, own_header):
    done = convert(
        own_header
        + "2026-01-01T00:00:00Z,a,0.5,230.1,2.2\n2026-01-01T01:00:00+01:00,b,,,\n2026-01-01T00:30:00Z,a,1,,\n"
    )
    assert done.records == [
        {
            "timestamp": "2026-01-01T00:00:00Z",
            "household_id": household,
            "power_consumption": power,
            "voltage": voltage,
            "current": current,
            "source_file": "meter.csv",
            "source_line": line,
            "source_fault": "",
        }
        | ({"timestamp": "2026-01-01T00:30:00Z"} if line == "4" else {})
        for household, power, voltage, current, line in (
            ("a", "0.5", "230.1", "2.2", "2"),
            ("b", "", "", "", "3"),
            ("a", "1", "", "", "4"),
        )
    ]
    assert (done.source.unit, done.source.interval_seconds, done.source.households) == ("kW", 1800, 2)


def test_kwh_become_kw_by_each_households_interval_and_megawatts_by_a_thousand(convert):
    rows = ["2026-01-01T00:00Z,a,0.1", "2026-01-01T00:15Z,a,0.2", "2026-01-01T00:30Z,a,0.3"]
    rows += ["2026-01-01T00:00Z,b,1", "2026-01-01T01:00Z,b,2", "2026-01-01T02:00Z,b,x"]
    done = convert(table(*rows), columns=KWH)
    assert done.column("power_consumption") == ["0.4", "0.8", "1.2", "1.0", "2.0", "x"]
    assert done.source.intervals_by_household == {"a": 900, "b": 3600}
    assert done.source.interval_seconds is None
    grid = convert(table(*rows[:3], header="time,meter,load"), columns="timestamp=time,household_id=@VIC,power_mw=load")
    assert grid.column("power_consumption") == ["100.0", "200.0", "300.0"]
    assert set(grid.column("household_id")) == {"VIC"}


@pytest.mark.parametrize(
    ("field", "kilowatts"),
    [("power_w", "0.5"), ("power_kw", "500"), ("power_mw", "500000.0"), ("energy_wh", "2.0"), ("energy_mwh", "2e6")],
)
def test_the_field_of_a_mapping_states_the_unit(convert, field, kilowatts):
    rows = [f"2026-01-01T00:{minutes}Z,a,500" for minutes in ("00", "15", "30")]
    content = table(*rows, header="time,meter,value")
    done = convert(content, columns=f"timestamp=time,household_id=meter,{field}=value")
    assert {float(value) for value in done.column("power_consumption")} == {float(kilowatts)}


def test_only_plain_numbers_are_converted(convert):
    texts = ["1_000", "+-5", "1e1_0", "nan", "0x10"]
    rows = [f"2026-01-01 {hour:02}:00,a,{text}" for hour, text in enumerate([*texts, "1e2"])]
    done = convert(
        table(*rows, header="time,meter,load"),
        columns="timestamp=time,household_id=meter,power_mw=load",
        timezone="+00:00",
    )
    assert done.column("power_consumption") == [*texts, "100000.0"]


def test_several_files_gzip_quotes_and_order(convert):
    later = gzip.compress(table('"2026-01-02 00:00","a","3"', '"2026-01-01 12:00","a","2"').encode())
    earlier = table("2026-01-01 00:00;a;1,5", header="time;meter;kwh")
    done = convert({"later.csv.gz": later, "earlier.csv": earlier}, columns=KWH, timezone="+00:00")
    assert done.column("timestamp") == ["2026-01-02T00:00:00Z", "2026-01-01T12:00:00Z", "2026-01-01T00:00:00Z"]
    assert done.column("power_consumption") == ["0.25", "0.166667", "0.125"]
    assert done.column("source_file") == ["later.csv.gz", "later.csv.gz", "earlier.csv"]
    assert [(file.name, file.records, file.delimiter) for file in done.source.files] == [
        ("later.csv.gz", 2, ","),
        ("earlier.csv", 1, ";"),
    ]
    assert done.source.files[0].first.isoformat() == "2026-01-01T12:00:00+00:00"


@pytest.mark.parametrize("container", ["archive.zip", "book.xlsx"])
def test_several_files_of_one_archive_or_workbook_without_a_meter_are_asked_about(convert, tmp_path, container):
    rows = [["time", "kWh"], *([f"2026-01-05 {hour:02}:00", str(hour % 5)] for hour in range(24))]
    if container.endswith("zip"):
        with zipfile.ZipFile(tmp_path / container, "w") as archive:
            for name in ("a.csv", "b.csv"):
                archive.writestr(name, "\n".join(map(",".join, rows)))
    else:
        cells = {f"{'AB'[c]}{r}": cell for r, row in enumerate(rows, 1) for c, cell in enumerate(row)}
        write_xlsx(tmp_path / container, {"May": cells, "June": cells})
    content = {container: (tmp_path / container).read_bytes()}
    with pytest.raises(BadInputError, match="several files or sheets: they may be of one household or of one each"):
        convert(content, timezone="+00:00")
    assert convert(content, timezone="+00:00", columns="household_id=@HOME").source.records_written == 48


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
        ("2026-07-01T12:00:00.25Z", "2026-07-01T12:00:00.250000Z"),
        ("2026-07-01 12:00+02:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01 12:00:00 -0530", "2026-07-01T17:30:00Z"),
        ("2026-07-01 12:00 UTC", "2026-07-01T12:00:00Z"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        ("2026/7/1 12:00", "2026-07-01T10:00:00Z"),
        ("1.7.2026 12:00", "2026-07-01T10:00:00Z"),
        ("01.07.2026 12:00:30", "2026-07-01T10:00:30Z"),
        ("2026-07-01", "2026-06-30T22:00:00Z"),
        ("01.07.2026", "2026-06-30T22:00:00Z"),
        ("2026-07-01 24:00", "2026-07-01T22:00:00Z"),
        ("01/07/2026 12:00", "01/07/2026 12:00"),
        ("2026-02-30", "2026-02-30"),
        ("2026-07-01 25:00", "2026-07-01 25:00"),
        ("0026-07-01 12:00", "0026-07-01 12:00"),
        ("infinity", "infinity"),
        ("epoch", "epoch"),
        ("", ""),
    ],
)
def test_stamps_as_people_write_them(convert, stamp, utc):
    done = convert(table("2026-01-01 00:00,a,1", "2026-01-01 01:00,a,1", f"{stamp},b,1"), **BERLIN)
    assert done.column("timestamp")[2] == utc


def test_what_cannot_be_converted_is_passed_on_as_it_was_found(convert):
    rows = [
        "2026-01-01 00:00,a,1",
        "2026-01-01 01:00,a,ERR",
        "soon,a,2",
        ",a,nan",
        "2026-01-01 02:00,,2",
        "1",
        "1,2,3,4",
    ]
    done = convert(table(*rows), **BERLIN)
    kept = [(r["timestamp"], r["household_id"], r["power_consumption"], r["source_fault"]) for r in done.records]
    assert kept == [
        ("2025-12-31T23:00:00Z", "a", "1.0", ""),
        ("2026-01-01T00:00:00Z", "a", "ERR", ""),
        ("soon", "a", "2.0", ""),
        ("", "a", "nan", ""),
        ("2026-01-01T01:00:00Z", "", "2", ""),
        ("", "", "", "malformed_record"),
        ("", "", "", "malformed_record"),
    ]
    assert (done.source.records_written, done.source.malformed_records) == (7, 2)


REFUSED = {
    "empty": ("", {}, "is empty"),
    "header_only": ("time,meter,kwh\n", {}, "holds a header line and no record"),
    "nul": ("time,meter,kwh\n\0,a,1\n", {}, "line 2: holds a NUL byte"),
    "latin_1": (
        "time,meter,kwh\nMärz,a,1\n".encode("latin-1"),
        {},
        "none of its stamps can be read; the first is 'März'",
    ),
    "no_column": (
        table("2026-01-01T00:00Z,a,1", header="Time,meter,kwh"),
        {},
        "has no column 'time'; its columns are 'Time', 'meter', 'kwh'; did you mean 'Time' instead of 'time'?",
    ),
    "not_our_columns": (table("1,2,3"), {"columns": None}, "no column holds times; name it with --columns timestamp="),
    "no_zone": (
        table("2026-01-01T00:00Z,a,1", "2026-01-01 01:00,a,1"),
        {},
        "line 3: the stamp '2026-01-01 01:00' names no zone; say which one is meant: --timezone Europe/Berlin for "
        "local clocks, or a fixed offset such as --timezone +10:00",
    ),
    "day_or_month": (
        table("03/04/2026 10:00,a,1", "03/04/2026 11:00,a,1"),
        {},
        "day and month of '03/04/2026 10:00' cannot be told apart: nothing in the file decides: say which with "
        "--date-order dmy or --date-order mdy; ./pipeline inspect meter.csv shows all that is understood",
    ),
    "all_malformed": (
        table("2026-01-01T00:00Z,a,1,5", "2026-01-01T01:00Z,a,1,5"),
        {},
        "its records have 4 fields and its header names 3; is a decimal comma or a name that holds the delimiter not",
    ),
    "no_stamp": (table(",a,1", ",a,2"), {}, "none of its stamps can be read; write them year first"),
    "no_value": (table("2026-01-01T00:00Z,a", "2026-01-01T01:00Z,a"), {}, "no record holds a value"),
    "no_household": (table("2026-01-01T00:00Z,,1", "2026-01-01T01:00Z,,1"), {}, "no record names a household"),
    "no_interval": (table("2026-01-01T00:00Z,a,1"), {}, "the interval between readings cannot be told"),
    "many_intervals": (
        table(*(f"2026-01-01T{hour:02}:00Z,a,1" for hour in (0, 1, 3, 6, 10, 15))),
        {},
        "household a: the readings have no common interval",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_files_are_refused_in_words_and_nothing_is_left_behind(convert, files, case):
    content, params, message = REFUSED[case]
    with pytest.raises(BadInputError) as refused:
        convert(content, **({"columns": KWH} | params))
    assert str(refused.value).startswith("meter.csv: ")
    assert message in str(refused.value)
    assert [path.name for path in files.iterdir()] == ["source"]


field = st.sampled_from(
    ["2026-03-29 02:00", "2026-10-25 02:00", "2026-01-01T00:00Z", "a", "", "1", "-2.5", "ERR", '"', " x "]
)
line = st.lists(field, min_size=1, max_size=5).map(",".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=30
)


@settings(max_examples=40, deadline=None)
@given(lines=st.lists(line, max_size=12), stamp=st.sampled_from(["start", "end"]))
def test_any_text_is_refused_in_words_or_every_line_is_accounted_for(tmp_path_factory, lines, stamp):
    files = tmp_path_factory.mktemp("run")
    (files / "source").mkdir()
    (files / "source" / "meter.csv").write_bytes(table(*lines).encode())
    with contextlib.suppress(BadInputError):
        generate(files, GeneratorParams(files=("meter.csv",), **BERLIN, stamp=stamp))
    if not (files / "energy_source.json").exists():
        assert not (files / "energy_data.csv").exists()
        return
    numbers = [number for number, text in enumerate(lines, start=2) if text.strip(" \t")]
    written = (files / "energy_data.csv").read_text(encoding="utf-8").split("\n")[1:-1]
    assert len(written) == len(numbers)
    assert [int(record.rsplit(",", 2)[1]) for record in written] == numbers


FLOWS = {
    "columns": "timestamp=t,household_id=m,energy_kwh=import,export_kwh=out,generation_kwh=pv",
    "timezone": "UTC",
}


def flows(*rows):
    return "\n".join(["t,m,import,out,pv", *rows]) + "\n"


def half_hours(*values, home="A"):
    return [f"2026-01-05 {number // 2:02}:{number % 2 * 30:02},{home},{value}" for number, value in enumerate(values)]


def test_what_is_fed_in_and_generated_becomes_mean_power_beside_what_is_drawn(convert):
    done = convert(flows(*half_hours("0.5,0,0", "0.25,1.5,2", "0,0.5,1")), **FLOWS)
    assert [(r["power_consumption"], r["export"], r["generation"]) for r in done.records] == [
        ("1.0", "0.0", "0.0"),
        ("0.5", "3.0", "4.0"),
        ("0.0", "1.0", "2.0"),
    ]


def test_a_record_without_its_export_is_rejected_unless_its_household_states_none(convert):
    rows = half_hours("1,2,3", "1,,3", "1,x,3") + half_hours("1,,", "1,,", "1,,", home="B")
    done = convert(flows(*rows), **FLOWS)
    assert done.column("source_fault") == ["", "missing_export", "", "", "", ""]
    assert done.column("export") == ["4.0", "", "x", "", "", ""]


def test_exports_of_several_columns_are_added_up_and_revised_ones_replace_others(convert):
    columns = "timestamp=t,household_id=@A,energy_wh=i,export_wh=t1,export_wh=t2"
    head = "t,i,t1,t2\n"
    early = head + "".join(f"2026-01-05T{hour:02}:00Z,100,10,20\n" for hour in range(4))
    late = head + "".join(f"2026-01-05T{hour:02}:00Z,100,10,{30 if hour == 3 else 20}\n" for hour in range(3, 8))
    done = convert({"a.csv": early, "b.csv": late}, columns=columns)
    kept = [r["export"] for r in done.records if not r["source_fault"]]
    assert kept == ["0.03"] * 3 + ["0.04"] + ["0.03"] * 4


def test_registers_of_both_directions_are_differenced_alike(convert):
    columns = "timestamp=t,household_id=@A,register_kwh=i,export_register_kwh=o"
    rows = ["10,99.5", "11,99.9", "12,0.3", "14,0.3"]
    content = "t,i,o\n" + "".join(f"2026-01-05T{hour:02}:00Z,{row}\n" for hour, row in enumerate(rows))
    done = convert(content, columns=columns, register_digits=2)
    assert done.column("export") == ["0.4", "0.4", "0.0"]
    assert convert(content, columns=columns).column("export") == ["0.4", "-99.6", "0.0"], "which the analyzer rejects"
    with pytest.raises(BadInputError, match="registers of export are not resampled"):
        convert(content, columns=columns, resample="1h")


def test_multipliers_of_transformers_count_for_both_directions(convert):
    described = {"meter.csv": flows(*half_hours("1,2,3", "1,2,3", "1,2,3")), "m.toml": "[meters.A]\nmultiplier = 10\n"}
    done = convert(described, **FLOWS, meters="m.toml")
    assert {(r["power_consumption"], r["export"], r["generation"]) for r in done.records} == {("20.0", "40.0", "60.0")}


def hours(unit, value, meter="a", day="2026-01-05", offset=""):
    """A file of 24 hours; `value` gives the text of each one's value."""
    rows = [f"{day} {hour:02}:00:00{offset},{meter},{value(hour)}" for hour in range(24)]
    return table(*rows, header=f"time,meter,{unit}")


def test_the_zone_of_several_files_is_stated(convert):
    files = {"one.csv": hours("kWh", str), "two.csv": hours("kWh", str, meter="b")}
    done = convert(files, timezone="Europe/Berlin")
    assert "The stamps of one.csv, two.csv name no zone, and all were read in Europe/Berlin" in done.messages


def test_a_file_of_another_zone_is_named_where_its_stamps_show_it(convert):
    berlin, york = hours("kWh", str, offset="+01:00"), hours("kWh", str, meter="b", offset="-05:00")
    done = convert({"berlin.csv": berlin, "york.csv": york}, timezone="Europe/Berlin")
    assert "york.csv: its stamps have another offset than Europe/Berlin" in done.messages
    assert "berlin.csv: its stamps" not in done.messages


def test_a_file_whose_clock_never_changes_is_not_read_in_the_zone_of_the_others(convert):
    """Another file of the run shows a repeated hour, which says nothing of this one."""
    autumn = table(*series(*(f"{hour:02}:00" for hour in (0, 1, 2, 2, 3, 4, 5)), meter="b"))
    files = {"spring.csv": hours("kwh", str, day="2026-03-29"), "autumn.csv": autumn}
    with pytest.raises(BadInputError) as refused:
        convert(files, **BERLIN)
    assert str(refused.value).startswith("spring.csv: 1 record bears a time that does not exist")
    assert "--timezone +01:00 would explain that; run spring.csv apart from the other files" in str(refused.value)
