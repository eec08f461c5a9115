"""A meter leaves tables of readings and the lines of input files; totals and what mixes meters do not stay."""

import gzip
import json
from pathlib import Path

import duckdb
import pytest

from include.energy.forgetting import erase_input, erase_results

HEADER = "timestamp,household_id,power\n"


def table(path: Path, *households: str) -> Path:
    path.write_text(HEADER + "".join(f"2026-01-01T00:00:00Z,{name},1\n" for name in households))
    return path


def parquet(path: Path, *households: str | None) -> Path:
    values = ", ".join("(NULL)" if name is None else f"('{name}')" for name in households)
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t(household_id)) TO '{path}' (FORMAT parquet)")
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def test_rows_go_from_csv_and_parquet_and_totals_are_not_written(tmp_path, target):
    (tmp_path / "output2.json").write_text(json.dumps({"households": ["A", "B"], "energy_kwh": 2}))
    files = {
        "energy_report.csv": table(tmp_path / "sealed1", "A", "B", "'A"),
        "energy_report.parquet": parquet(tmp_path / "sealed2", "A", "B"),
        "changes-2.csv": table(tmp_path / "sealed3", "A"),
        "energy_totals.parquet": parquet(tmp_path / "sealed4", "A", "B", None),
        "output2.json": tmp_path / "output2.json",
    }
    assert erase_results(files, "A", target)
    assert sorted(path.name for path in target.iterdir()) == ["energy_report.csv", "energy_report.parquet"]
    assert (target / "energy_report.csv").read_text() == HEADER + "2026-01-01T00:00:00Z,B,1\n"
    rows = duckdb.execute(f"SELECT household_id FROM '{target / 'energy_report.parquet'}'").fetchall()
    assert rows == [("B",)]


@pytest.mark.parametrize("name", ["A1", "a", "1", ""])
def test_a_name_is_that_of_a_meter_only_where_it_is_equal(tmp_path, target, name):
    (tmp_path / "output1.json").write_text(json.dumps({"households": ["A"], "version": "1"}))
    files = {
        "energy_report.csv": table(tmp_path / "rows", "A"),
        "energy_totals.parquet": parquet(tmp_path / "totals", "A", None),
        "plot.png": table(tmp_path / "plot", "A1", "a"),
    }
    assert not erase_results(files, name, target)
    assert list(target.iterdir()) == []


def test_results_without_a_table_of_readings_hold_what_their_totals_or_rejected_records_name(tmp_path, target):
    (tmp_path / "rejected.csv").write_text('file,line,raw\nx.csv,2,"2026,A,ERR"\n')
    assert erase_results({"energy_totals.parquet": parquet(tmp_path / "t", "A")}, "A", target)
    assert erase_results({"rejected.csv": tmp_path / "rejected.csv"}, "A", target)
    assert not erase_results({"rejected.csv": tmp_path / "rejected.csv"}, "B", target)


def lines(*rows: str) -> str:
    return "\n".join(["timestamp,household_id,power_kw", *rows, ""])


def readings(*meters: str) -> list[str]:
    return [f"2026-01-01T{hour:02}:00:00Z,{meter},{hour / 10}" for hour in range(3) for meter in meters]


PARAMS = {"columns": "timestamp=timestamp,household_id=household_id,power_kw=power_kw"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_of_a_meter_leave_a_delimited_file_and_all_others_stay_as_they_are(tmp_path, target, pack):
    file = tmp_path / "both.csv"
    file.write_bytes(pack(lines(*readings("A", "B"), "2026-01-01T03:00:00Z,B,ERR").encode()))
    assert erase_input(file, file.name, "A", PARAMS, target / "out") == "rewritten"
    content = (target / "out").read_bytes()
    content = gzip.decompress(content) if pack is gzip.compress else content
    assert content.decode() == lines(*readings("B"), "2026-01-01T03:00:00Z,B,ERR")


def test_a_file_of_the_meter_alone_is_removed_and_one_of_others_stays(tmp_path, target):
    file = tmp_path / "one.csv"
    file.write_text(lines(*readings("A")))
    assert erase_input(file, file.name, "A", PARAMS, target / "out") == "removed"
    assert erase_input(file, file.name, "B", PARAMS, target / "out") == "absent"


def test_what_cannot_be_written_again_is_kept(tmp_path, target):
    wide = tmp_path / "wide.csv"
    wide.write_text("timestamp,M1A,M2B\n" + "".join(f"2026-01-01T{hour:02}:00:00Z,1,2\n" for hour in range(3)))
    for params in ({"columns": "timestamp=timestamp,household_id=*"}, {}):
        assert erase_input(wide, wide.name, "M1A", params, target / "out") == "kept"
    assert erase_input(wide, wide.name, "M3C", params, target / "out") == "absent"
    unread = tmp_path / "unread.dat"
    unread.write_bytes(b"\x00\x01 meter A, and more")
    assert erase_input(unread, unread.name, "A", {}, target / "out") == "kept"
    assert erase_input(unread, unread.name, "B", {}, target / "out") == "absent"
    assert list(target.iterdir()) == []


def test_a_rejected_line_that_names_the_meter_keeps_the_file(tmp_path, target):
    file = tmp_path / "both.csv"
    file.write_text(lines(*readings("A", "B"), "A,2026,1,2,3"))
    assert erase_input(file, file.name, "A", PARAMS, target / "out") == "kept"
