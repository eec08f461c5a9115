"""Workbooks become text whose lines are the rows of the sheet, and whose cells no locale changes."""

from datetime import date, datetime, time, timedelta

import pytest

from include.core.errors import BadInputError
from include.energy import workbooks
from include.energy.unpack import unpack
from include.energy.workbooks import cell_text, main, write_sheets
from tests.energy.workbook_files import (
    CLOCK,
    DURATION,
    Serial,
    write_ods,
    write_protected,
    write_xls,
    write_xlsb,
    write_xlsx,
)


def texts(path, name="book.xlsx"):
    folder = path.parent / "sheets"
    folder.mkdir()
    return {sheet.title: sheet.path.read_text(encoding="utf-8") for sheet in write_sheets(path, name, folder)}


def test_the_number_of_a_line_is_the_number_of_its_row(tmp_path):
    cells = {"B3": "Data", "C3": "Consumo registado, Ativa (kW)", "B4": "2024/09/13", "C4": 0.4, "B6": "x\ny", "C6": 1}
    assert texts(write_xlsx(tmp_path / "b", {"Folha": cells})) == {
        "Folha": '\n\nData,"Consumo registado, Ativa (kW)"\n2024/09/13,0.4\n\nx y,1\n'
    }


def test_a_hidden_sheet_is_not_read_and_the_text_beside_it_says_so(tmp_path):
    cells = {"A1": "time", "B1": "kWh", "A2": "2026-01-05 00:00", "B2": 1}
    path = write_xlsx(tmp_path / "b", {"Data": cells, "old": cells}, hidden=("old",))
    assert list(texts(path)) == ["Data"]
    (tmp_path / "scratch").mkdir()
    [text] = unpack(path, "book.xlsx", tmp_path / "scratch")
    assert text.containers == ("Excel workbook, sheet Data (hidden, and not read: old)",)


def test_times_lose_the_error_of_their_serials_and_midnights_keep_their_time(tmp_path):
    cells = {
        "A1": Serial(45000.0104166),
        "B1": Serial(0.0104166, CLOCK),
        "C1": Serial(45000),
        "A2": Serial(45001),
        "B2": Serial(0.9999999, CLOCK),
        "C2": Serial(45001),
        "A3": Serial(45001.25),
        "B3": Serial(1, CLOCK),
        "C3": Serial(1.25, DURATION),
    }
    assert texts(write_xlsx(tmp_path / "b", {"S": cells}))["S"].splitlines() == [
        "2023-03-15 00:15:00,00:15:00,2023-03-15",
        "2023-03-16 00:00:00,24:00:00,2023-03-16",
        "2023-03-16 06:00:00,24:00:00,30:00:00",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (30.0, "30"),
        (12345678901.0, "12345678901"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1e16, "10000000000000000"),
        (-0.5, "-0.5"),
        (False, "false"),
        ("", ""),
        ("a\r\nb", "a b"),
        ("1,5", "1,5"),
        (date(2024, 2, 29), "2024-02-29"),
        (datetime.fromisoformat("2024-02-29T23:59:59.9999"), "2024-03-01 00:00:00"),
        (datetime.fromisoformat("2024-02-29T00:00:00.250"), "2024-02-29 00:00:00.250"),
        (datetime.fromisoformat("1900-01-01T00:15"), "24:15:00"),
        (time(0, 14, 59, 999_900), "00:15:00"),
        (timedelta(hours=-1), "-01:00:00"),
        ("PT24H15M00S", "24:15:00"),
    ],
)
def test_a_cell_is_text_that_no_locale_changes(value, text):
    assert cell_text(value) == text


def test_sheets_of_notes_are_left_out_unless_there_is_nothing_else(tmp_path):
    table = {"A1": "t", "B1": "kwh", "A2": "2024", "B2": 1}
    book = {"About": {"A1": "Meter 7"}, "January": table, "Empty": {}, "February": table}
    assert list(texts(write_xlsx(tmp_path / "b", book))) == ["January", "February"]


def test_one_column_of_text_is_a_sheet_if_there_is_no_other(tmp_path):
    assert texts(write_xlsx(tmp_path / "b", {"S": {"A1": "t;kwh", "A2": "2024;1"}})) == {"S": "t;kwh\n2024;1\n"}


def test_excel_97_and_open_document_are_read_too(tmp_path):
    assert texts(write_xls(tmp_path / "b")) == {"S1": "\nt,kwh\n2024-01-01 00:15:00,0.25\n"}
    cells = [
        'office:value-type="date" office:date-value="2024-01-01T00:15:00"',
        'office:value-type="time" office:time-value="PT00H15M00S"',
        'office:value-type="float" office:value="0.25"',
    ]
    (tmp_path / "sheets").rename(tmp_path / "before")
    assert texts(write_ods(tmp_path / "c", [cells, cells])) == {"Data": "2024-01-01 00:15:00,00:15:00,0.25\n" * 2}


def test_excel_s_binary_workbooks_are_read_too(tmp_path):
    rows = [["t", "kwh"], *[[f"2024-01-01 00:{minute:02}", minute / 60] for minute in (0, 15, 30)]]
    path = write_xlsb(tmp_path / "b", rows)
    assert texts(path) == {"Data": "t,kwh\n2024-01-01 00:00,0\n2024-01-01 00:15,0.25\n2024-01-01 00:30,0.5\n"}
    (text,) = unpack(path, "b", tmp_path)
    assert (text.containers, text.locator) == (("Excel workbook, sheet Data",), "row")


def test_a_workbook_with_a_password_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"^m\.xlsx: the workbook has a password; save it without one$"):
        texts(write_protected(tmp_path / "b"), "m.xlsx")


def test_what_a_workbook_is_its_content_says_and_not_its_suffix(tmp_path):
    assert texts(write_xls(tmp_path / "b.xlsx")) == {"S1": "\nt,kwh\n2024-01-01 00:15:00,0.25\n"}
    (tmp_path / "sheets").rename(tmp_path / "before")
    assert texts(write_xlsx(tmp_path / "b.xls", {"S": {"A1": "t;kwh"}})) == {"S": "t;kwh\n"}


def test_a_damaged_workbook_and_one_without_cells_are_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"^m\.xlsx: has no visible sheet with cells$"):
        texts(write_xlsx(tmp_path / "b", {"S": {}}), "m.xlsx")
    (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:400])
    (tmp_path / "sheets").rmdir()
    with pytest.raises(BadInputError, match=r"^m\.xlsx: the workbook is damaged, or has a password \(.*\); save it"):
        texts(tmp_path / "b", "m.xlsx")


def test_a_workbook_that_asks_for_all_memory_is_refused_and_this_process_lives_on(tmp_path):
    path = write_xlsx(tmp_path / "b", {"S": {"A1": "t", "XFD1048576": 1}})
    with pytest.raises(BadInputError, match=r"^m\.xlsx: the workbook is damaged, or needs more than 4 GiB of memory"):
        texts(path, "m.xlsx")


def test_the_separate_process_answers_with_titles_and_files(tmp_path):
    path = write_xlsx(tmp_path / "b", {"S": {"A1": "t"}})
    assert main(str(path), str(tmp_path)) == {"sheets": [("S", str(tmp_path / "1.csv"))], "hidden": []}
    assert main(str(write_protected(tmp_path / "c")), str(tmp_path)) == {
        "fault": "the workbook has a password; save it without one"
    }
    assert workbooks.MAX_MEMORY == 4 * 1024**3
