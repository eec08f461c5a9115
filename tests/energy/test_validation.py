"""Validation: each record is accepted, rejected with a reason, or outside the window."""

import io
import json
import zipfile
from datetime import datetime

import pytest

from include.core.errors import BadInputError, ContractError
from include.energy import validation
from include.energy.analyzer import analyze
from include.energy.audit.analysis import prove_analyzer
from include.energy.db import connect
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from include.energy.schemas import SOURCE, EnergySource
from include.energy.validation import limit_of, timestamp
from tests.energy.analysis import DAY, HEADER, Analyzed, analyzed, series, stamp, varied
from tests.energy.workbook_files import write_xlsx

NOT_MEASURED = {"required_columns": ()}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (",A,1.0,230,5", "missing_timestamp"),
        ("{t},,1.0,230,5", "missing_household_id"),
        ("{t},A,,230,5", "missing_power_consumption"),
        ("{t},A,1.0, ,5", "missing_voltage"),
        ("{t},A,1.0,230,", "missing_current"),
        ("yesterday,A,1.0,230,5", "unparsable_timestamp"),
        ("2026-13-05T10:00:00Z,A,1.0,230,5", "unparsable_timestamp"),
        ("2026-01-05T10:15:00,A,1.0,230,5", "missing_time_zone"),
        ("2026-01-05,A,1.0,230,5", "missing_time_zone"),
        ("0026-01-05T10:15:00Z,A,1.0,230,5", "unparsable_timestamp"),
        ("99999-01-05T10:15:00Z,A,1.0,230,5", "unparsable_timestamp"),
        ("0026-01-05T10:15:00,A,1.0,230,5", "unparsable_timestamp"),
        ("2026-12-31T23:59:60Z,A,1.0,230,5", "unparsable_timestamp"),
        ("{t},A,ERR,230,5", "unparsable_power_consumption"),
        ("{t},A,1_000,230,5", "unparsable_power_consumption"),
        ("{t},A,1e1_0,230,5", "unparsable_power_consumption"),
        ("{t},A,+-5,230,5", "unparsable_power_consumption"),
        ("{t},A,0x10,230,5", "unparsable_power_consumption"),
        ("{t},A,１２,230,5", "unparsable_power_consumption"),
        ("{t},A,true,230,5", "unparsable_power_consumption"),
        ("{t},A,NULL,230,5", "unparsable_power_consumption"),
        ("{t},A,5 kW,230,5", "unparsable_power_consumption"),
        ("{t},A,1.0,--,5", "unparsable_voltage"),
        ("{t},A,1.0,230,five", "unparsable_current"),
        ("{t},A,nan,230,5", "not_finite_power_consumption"),
        ("{t},A,1e999,230,5", "not_finite_power_consumption"),
        ("{t},A,1.0,inf,5", "not_finite_voltage"),
        ("{t},A,1.0,230,-inf", "not_finite_current"),
        ("{t},A,-0.001,230,5", "negative_power"),
        ("{t},A,1.0,230", "malformed_record"),
        ("{t},A,1.0,230,5,6", "malformed_record"),
    ],
)
def test_a_faulty_record_is_rejected_with_its_reason_and_raw_text(files, record, reason):
    faulty = record.format(t="2026-01-05T10:15:00Z")
    result = analyzed(files, [*series(varied(48)), faulty])
    assert result.rejected == [{"file": "energy_data.csv", "line": "50", "column": "", "raw": faulty, "reason": reason}]
    assert result.document.rejected_by_reason == {reason: 1}
    assert (result.document.records_in, result.document.records_out) == (49, 48)


@pytest.mark.parametrize(
    ("text", "power"),
    [("+5", 5.0), (" 5 ", 5.0), (".5", 0.5), ("5.", 5.0), ("5E-1", 0.5), ("0012", 12.0), ("-0.0", 0.0)],
)
def test_a_number_is_read_as_a_person_would(files, text, power):
    result = analyzed(files, [*series(varied(48)), f"2026-01-06T00:00:00Z,A,{text},230,30"])
    assert str(result.records[-1]["power"]) == str(power), "and zero has no sign"
    assert result.records[-1]["efficiency"] == round(power / 6.9, 4)


def test_of_equal_stamps_the_first_in_the_file_is_kept(files):
    lines = series(varied(48))
    again = f"{stamp(3)},A,9.9,230,50"
    faulty = f"{stamp(5)},A,,230,5"
    result = analyzed(files, [faulty, *lines, again])
    assert [(row["line"], row["reason"]) for row in result.rejected] == [
        ("2", "missing_power_consumption"),
        ("51", "duplicate_timestamp"),
    ]
    assert [record["power"] for record in result.records] == varied(48), "neither fault displaces a good record"


def test_an_offset_is_read_as_such(files):
    result = analyzed(files, [line.replace("Z", "+00:00") for line in series(varied(4))])
    assert result.records[0]["timestamp"] == stamp(0)
    moved = analyzed(files, [line.replace("Z", "+02:00") for line in series(varied(4), start=4)])
    assert moved.records[0]["timestamp"] == stamp(0)


def test_records_outside_the_window_are_neither_accepted_nor_rejected(files):
    lines = [*series(varied(96), start=-24), f"{stamp(-30)},A,ERR,,"]
    document = analyzed(files, lines, **DAY).document
    assert (document.records_in, document.records_out, document.records_outside_window) == (97, 48, 49)
    assert document.records_rejected == 0


def test_raw_text_of_peoples_files_comes_from_them(files):
    (files / "source" / "meter.csv").write_text("t;kWh\n2026-01-05 00:00;0,3\nbroken;0,4\n", encoding="utf-8")
    header = f"{HEADER},source_file,source_line,source_fault"
    lines = [f"{line},meter.csv,2," for line in series(varied(48))]
    lines += ["broken,A,0.4,230,5,meter.csv,3,", f"{stamp(99)},A,0.4,230,5,meter.csv,2,non_existent_time"]
    result = analyzed(files, lines, header=header)
    assert result.rejected == [
        {"file": "meter.csv", "line": "3", "column": "", "raw": "broken;0,4", "reason": "unparsable_timestamp"},
        {"file": "meter.csv", "line": "2", "column": "", "raw": "2026-01-05 00:00;0,3", "reason": "non_existent_time"},
    ]


def test_a_source_file_outside_the_runs_folder_is_never_read(files):
    (files.parent / "secret.csv").write_text("a\nsecret\n")
    header = f"{HEADER},source_file,source_line,source_fault"
    lines = [*(f"{line},x.csv,2," for line in series(varied(8))), "bad,A,1,230,5,../../secret.csv,2,"]
    rejected = analyzed(files, lines, header=header).rejected
    assert [(row["file"], row["raw"]) for row in rejected] == [("energy_data.csv", lines[-1])]


def test_the_interval_holds_in_a_window_too_short_to_tell_it(files):
    """What the generator found in all of the data counts, also where one reading lies within the window."""
    lines = series([1.0] * 20, minutes=1440)
    with pytest.raises(BadInputError, match="cannot be told"):
        analyzed(files, lines, **DAY)
    source = EnergySource(source="files", records_written=20, households=1, interval_seconds=86400)
    (files / "energy_source.json").write_text(source.model_dump_json())
    document = analyzed(files, lines, **DAY).document
    assert (document.records_out, document.records_outside_window, document.energy_kwh) == (1, 19, 24.0)
    source = source.model_copy(update={"interval_seconds": None, "intervals_by_household": {"A": 43200}})
    (files / "energy_source.json").write_text(source.model_dump_json())
    assert analyzed(files, lines, **DAY).document.missing == 1


def test_only_measured_columns_are_required(files):
    lines = [f"{stamp(number)},A,{power},," for number, power in enumerate(varied(48))]
    with pytest.raises(BadInputError, match="48 × missing_voltage"):
        analyzed(files, lines)
    source = EnergySource(source="files", records_written=48, households=1, interval_seconds=900, measured=())
    SOURCE.write(files, source)
    document = analyzed(files, lines).document
    assert (document.records_out, document.mean_power_factor) == (48, None)
    SOURCE.write(files, source.model_copy(update={"measured": ("current",)}))
    with pytest.raises(BadInputError, match="48 × missing_current"):
        analyzed(files, [line.replace(",,", ",230,") for line in lines])


def test_efficiency_is_the_power_factor_where_there_is_load_to_tell(files):
    lines = [*series(varied(48)), f"{stamp(48)},A,0.9,230,4.00", f"{stamp(49)},A,0.04,230,0.21"]
    efficiencies = [record["efficiency"] for record in analyzed(files, lines).records[-2:]]
    assert efficiencies == [0.9783, None], "0.9·1000/(230·4.00), and 48.3 VA is too little"


@pytest.mark.parametrize(("volts", "odd"), [(207.0, False), (206.9, True), (253.0, False), (253.1, True)])
def test_voltage_has_to_stay_within_ten_percent(files, volts, odd):
    result = analyzed(files, [*series(varied(47)), f"{stamp(47)},A,0.3,{volts},1.40"])
    assert result.reasons()[-1] == ("voltage_outside_band" if odd else None)


@pytest.mark.parametrize(
    ("power", "volts", "amperes", "odd"),
    [
        ("0.515", "230.0", "2.22", False),  # 510.6 VA, factor 1.009
        ("0.525", "230.0", "2.22", True),  # 510.6 VA, factor 1.028
        ("0.060", "230.0", "0.25", False),  # 57.5 VA, factor 1.043: 0.0595 kW and 0.255 A would be 1.014
        ("0.0600", "230.0", "0.2500", True),  # the same, read to more decimals
        ("0.1", "230", "0", False),  # 0.05 kW and 0.5 A would do
        ("3.000", "230.0", "0.00", True),  # no rounding explains it
    ],
)
def test_power_factor_above_one_counts_where_rounding_cannot_explain_it(files, power, volts, amperes, odd):
    lines = [*series(varied(47)), f"{stamp(47)},A,{power},{volts},{amperes}"]
    assert ("power_factor" in (analyzed(files, lines, outlier_threshold=1000).reasons()[-1] or "")) is odd


def test_exports_are_accepted_where_allowed(files):
    lines = series([*varied(47), -1.5])
    assert analyzed(files, lines).document.rejected_by_reason == {"negative_power": 1}
    assert analyzed(files, lines, allow_export=True).document.energy_kwh == round((sum(varied(47)) - 1.5) / 2, 3)


@pytest.mark.parametrize(
    ("lines", "params", "message"),
    [
        (
            [f"{stamp(0)},A,ERR,230,5", f"{stamp(1)},A,,230,5"],
            {},
            "none of its 2 records can be accepted: 1 × missing_power_consumption, 1 × unparsable_power_consumption; "
            "for example energy_data.csv line 2: '.*ERR.*' .unparsable_power_consumption",
        ),
        (
            series(varied(4)),
            {"start": "2027-01-01T00:00:00Z", "end": "2027-01-02T00:00:00Z"},
            "4 lie outside the window 2027.* reach from 2026-01-05T00:00:00Z to 2026-01-05T01:30:00Z",
        ),
        ([], {}, "header line and no record"),
        (series([1.0]), {}, "no household has two readings"),
    ],
)
def test_data_without_a_usable_record_is_refused_in_words(files, lines, params, message):
    with pytest.raises(BadInputError, match=message):
        analyzed(files, lines, **params)
    assert [path.name for path in files.iterdir() if path.is_file()] == ["energy_data.csv"], "nothing half-written"
    assert not list(files.glob(".*"))


def test_a_missing_column_is_named(files):
    with pytest.raises(BadInputError, match="has no column 'voltage'"):
        analyzed(files, ["2026-01-05T00:00:00Z,A,1"], header="timestamp,household_id,power_consumption")


def test_a_foreign_generators_file_needs_no_more_than_the_columns(files):
    header = "household_id,power_consumption,timestamp"
    lines = [f"Ärzte “1”,{power},{stamp(number)}" for number, power in enumerate(varied(48))]
    assert analyzed(files, lines, header=header, **NOT_MEASURED).document.households[0].household_id == "Ärzte “1”"


def test_a_moment_is_written_in_utc():
    assert timestamp(datetime.fromisoformat("2026-01-05T10:00+02:00")) == "TIMESTAMP '2026-01-05 08:00:00'"


def test_line_numbers_are_right_where_a_file_is_read_in_parallel(files):
    """DuckDB takes a file of more than some megabytes apart on several threads."""
    path = files / "energy_data.csv"
    with path.open("w") as file:
        file.write(f"\n{HEADER}\n")
        for number in range(3, 600_000):
            if number % 1000 == 7:
                file.write("\n")
            else:
                file.write(f"2026-01-05T00:00:00Z,A,{'ERR' if number % 997 == 0 else '0.1234567'},230.0,{number}\n")
    with connect(files) as db:
        validation.parse(db, inspect(path), AnalyzerParams(), None)
        ((records, wrong),) = db.execute(
            "SELECT count(*), count(*) FILTER ((line % 997 = 0) <> (reason IS NOT NULL)) FROM parsed"
        ).fetchall()
    assert (records, wrong) == (599_997 - 600, 0)


def suspects(analysis):
    return [record["timestamp"] for record in analysis.records if record["state"] == "suspect"]


def test_a_reading_above_the_limit_of_its_connection_is_suspect_and_in_no_total(files):
    powers = [*varied(40), 99.0, *varied(7)]
    limited = analyzed(files, series(powers), limit_kw=50.0, **DAY)
    assert suspects(limited) == [stamp(40)]
    assert [record["power"] for record in limited.records if record["state"] == "suspect"] == [99.0]
    document = limited.document
    assert (document.records_out, document.records_rejected, document.suspect) == (48, 0, 1)
    assert document.energy_kwh == pytest.approx(sum(varied(40) + varied(7)) / 2)
    assert document.energy_with_suspect_kwh == pytest.approx(document.energy_kwh + 49.5)
    assert document.peak_kw == max(varied(40))
    assert (document.expected, document.received, document.missing) == (48, 47, 1)
    assert document.hourly_profile_kw[20] == varied(7)[0]


@pytest.mark.parametrize("place", [0, 23, 47], ids=["the first", "in the middle", "the last"])
def test_a_suspect_reading_leaves_the_figures_of_the_others_as_if_it_were_missing(files, place):
    powers = varied(48)
    powers[place] = 99.0
    limited = analyzed(files, series(powers), limit_kw=50.0, **DAY).plain
    powers[place] = None
    missing = analyzed(files, series(powers), **DAY).plain
    different = {"records_in", "records_out", "suspect", "energy_with_suspect_kwh", "households"}
    assert {key for key in missing if missing[key] != limited[key]} == different
    assert missing["households"][0] == limited["households"][0] | {
        "suspect": 0,
        "energy_with_suspect_kwh": missing["energy_kwh"],
    }


def test_without_a_window_suspect_readings_at_the_ends_count_as_expected(files):
    document = analyzed(files, series([99.0, *varied(10), 99.0, 99.0]), limit_kw=50.0).document
    assert (document.expected, document.received, document.suspect) == (13, 10, 3)
    assert (document.end - document.start).total_seconds() == 13 * 1800


def test_a_valid_reading_counts_before_a_suspect_one_of_its_time(files):
    lines = [*series([99.0], start=3), *series(varied(6))]
    limited = analyzed(files, lines, limit_kw=50.0)
    assert suspects(limited) == []
    assert [(row["line"], row["reason"]) for row in limited.rejected] == [("2", "duplicate_timestamp")]
    without = analyzed(files, lines)
    assert [(row["line"], row["reason"]) for row in without.rejected] == [("6", "duplicate_timestamp")]


def test_of_suspect_readings_of_one_time_the_first_stays(files):
    limited = analyzed(files, [*series(varied(3)), *series([99.0], start=3), *series([88.0], start=3)], limit_kw=50.0)
    assert [record["power"] for record in limited.records if record["state"] == "suspect"] == [99.0]
    assert [row["reason"] for row in limited.rejected] == ["duplicate_timestamp"]


def test_records_that_are_all_suspect_are_refused_and_the_limit_is_named(files):
    with pytest.raises(BadInputError, match=r"all 4 records .* raise --limit-kw"):
        analyzed(files, series([99.0] * 4), limit_kw=50.0)


def test_a_household_with_suspect_readings_alone_has_no_peak(files):
    lines = [*series(varied(4)), *series([99.0] * 4, home="B")]
    home = analyzed(files, lines, limit_kw=50.0).document.households[1]
    assert (home.suspect, home.received, home.expected, home.peak_kw, home.energy_kwh) == (4, 0, 4, None, 0.0)
    assert home.energy_with_suspect_kwh == 198.0


def test_the_limit_of_a_connection_counts_before_that_of_all(files):
    source = EnergySource(source="files", records_written=15, households=3, limits_kw={"A": 10.0, "B": 100.0})
    SOURCE.write(files, source)
    powers = [*varied(4), 60.0]
    lines = [line for home in "ABC" for line in series(powers, home=home)]
    limited = analyzed(files, lines, limit_kw=50.0, estimate=True)
    assert [home.suspect for home in limited.document.households] == [1, 0, 1]
    prove_analyzer(files, AnalyzerParams(limit_kw=50.0, estimate=True), audit=True)
    limited = analyzed(files, lines)
    assert [home.suspect for home in limited.document.households] == [1, 0, 0]
    prove_analyzer(files, AnalyzerParams(), audit=True)
    assert [limit_of(home, AnalyzerParams(limit_kw=50.0), source) for home in ("A", "B", "C")] == [10, 100, 50]
    assert limit_of("C", AnalyzerParams(), source) is limit_of("A", AnalyzerParams(), None) is None


def test_export_below_the_negative_limit_is_suspect_too(files):
    limited = analyzed(files, series([*varied(4), -99.0]), limit_kw=50.0, allow_export=True)
    assert suspects(limited) == [stamp(4)]


def test_the_quality_of_the_input_is_carried_to_each_record(files):
    lines = [f"{line},{quality}" for line, quality in zip(series(varied(4)), ["A", "E", "", "A"], strict=True)]
    carried = analyzed(files, lines, header=f"{HEADER},quality")
    assert [record["quality"] for record in carried.records] == ["A", "E", None, "A"]
    assert carried.document.qualities == {"A": 2, "E": 1}


@pytest.mark.parametrize(
    ("export", "reason"),
    [("ERR", "unparsable_export"), ("inf", "not_finite_export"), ("-0.1", "negative_export")],
)
def test_an_export_that_is_no_sound_number_is_rejected_with_its_reason(files, export, reason):
    rows = [f"{line},0.4" for line in series(varied(48))]
    rows[7] = rows[7][:-3] + export
    done = analyzed(files, rows, header=f"{HEADER},export", **DAY)
    assert [row["reason"] for row in done.rejected] == [reason]
    assert done.document.export_kwh == pytest.approx(47 * 0.2)
    assert done.records[0]["export"] == 0.4


def test_negative_power_beside_a_stated_export_would_count_it_twice(files):
    rows = [f"{line},{export}" for line, export in zip(series([0.5, -1.0, -2.0]), ("0.0", "1.0", ""), strict=True)]
    result = analyzed(files, rows, f"{HEADER},export", allow_export=True)
    assert [(row["line"], row["reason"]) for row in result.rejected] == [("3", "negative_power")]


WIDE = "time,M1 kWh,M2 kWh\n" + "".join(
    f"2026-01-05 {hour:02}:00,0.{hour % 5},{'ERR' if hour == 7 else f'0.{hour % 3}'}\n" for hour in range(24)
)
BY_HOUR = ",".join(["date", *(f"{hour:02}:00" for hour in range(24))]) + "".join(
    ",".join([f"\n2026-01-0{day}", *("x" if (day, hour) == (3, 5) else f"0.{hour % 4 + 1}" for hour in range(24))])
    for day in range(1, 6)
)


def rejected_of(convert, files, sources, **params):
    """The rejected records of converted files, which the proof agrees to."""
    convert(sources, timezone="UTC", **params)
    analyze(files, AnalyzerParams(max_rejected=1))
    prove_analyzer(files, AnalyzerParams(max_rejected=1))
    return Analyzed(files).rejected


def zipped(name, text):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, text)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("sources", "params", "place"),
    [
        ({"w.csv": WIDE}, {"columns": "household_id=*,energy_kwh=*"}, ("w.csv", "9", "M2 kWh")),
        (
            {"w.zip": zipped("in/w.csv", WIDE)},
            {"columns": "household_id=*,energy_kwh=*"},
            ("w.zip/in/w.csv", "9", "M2 kWh"),
        ),
        ({"d.csv": BY_HOUR}, {"columns": "household_id=@A", "unit": "kWh"}, ("d.csv", "4", "05:00")),
    ],
)
def test_a_rejected_reading_of_a_wide_table_names_file_member_row_and_column(convert, files, sources, params, place):
    (rejected,) = rejected_of(convert, files, sources, **params)
    assert (rejected["file"], rejected["line"], rejected["column"]) == place
    text = next(text for text in (WIDE, BY_HOUR) if text.splitlines()[int(place[1]) - 1] == rejected["raw"])
    position = text.splitlines()[0].split(",").index(rejected["column"])
    assert rejected["raw"].split(",")[position] in ("ERR", "x")


def test_a_rejected_reading_of_a_sheet_names_its_row_and_column(convert, files, tmp_path):
    rows = [line.split(",") for line in WIDE.splitlines()]
    cells = {f"{'ABC'[place]}{number}": cell for number, row in enumerate(rows, 1) for place, cell in enumerate(row)}
    write_xlsx(tmp_path / "book.xlsx", {"Notes": {"A1": "none"}, "Data": cells})
    content = (tmp_path / "book.xlsx").read_bytes()
    (rejected,) = rejected_of(convert, files, {"book.xlsx": content}, columns="household_id=*,energy_kwh=*")
    assert rejected["file"].startswith("book.xlsx")
    assert (rejected["line"], rejected["column"], rejected["raw"]) == ("9", "M2 kWh", "2026-01-05 07:00,0.2,ERR")


def test_a_rejected_record_of_json_is_the_record_and_not_a_line_of_the_file(convert, files):
    records = [{"time": f"2026-01-05 {hour:02}:00", "kWh": "ERR" if hour == 3 else hour / 10} for hour in range(24)]
    (rejected,) = rejected_of(convert, files, {"j.json": json.dumps(records, indent=1)}, columns="household_id=@A")
    assert (rejected["file"], rejected["line"], rejected["raw"]) == ("j.json", "5", "2026-01-05 03:00,ERR")


def test_a_rejected_reading_must_name_the_column_that_holds_it(convert, files):
    rejected_of(convert, files, {"w.csv": WIDE}, columns="household_id=*,energy_kwh=*")
    stated = (files / "rejected.csv").read_text()
    (files / "rejected.csv").write_text(stated.replace(",M2 kWh,", ",M1 kWh,"))
    with pytest.raises(ContractError, match=r"must list only records that stand in the input"):
        prove_analyzer(files, AnalyzerParams(max_rejected=1))
