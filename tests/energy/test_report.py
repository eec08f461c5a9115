import csv
from datetime import date

import pytest

from include.energy.params import ReportParams
from include.energy.report import Figures, describe, write_report
from include.energy.schemas import REPORT, EnergyReport, ReportRow
from tests.energy.analysis import analyzed, series, stamp, varied

COLUMNS = [
    *("timestamp", "household_id", "power", "efficiency", "status"),
    *("anomaly_detected", "anomaly_reasons", "state", "quality", "method", "export", "generation"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report on two households whose records lie mixed up in the file."""
    files = tmp_path_factory.mktemp("report")
    lines = [*series(varied(48), home="B"), *series([*varied(46), 9.5, 0.35], home="A")]
    lines += [f"{stamp(48)},A,0.040,201.0,0.09", f"{stamp(49)},A,ERR,230,5"]
    result = analyzed(files, lines[::-1])
    write_report(files, ReportParams())
    with (files / "energy_report.csv").open(encoding="utf-8", newline="") as file:
        return result.document, list(csv.DictReader(file)), files


def test_rows_are_sorted_by_household_and_time_with_the_promised_columns(report):
    _, rows, files = report
    assert (
        (files / "energy_report.csv").read_text().splitlines()[0]
        == ",".join(COLUMNS)
        == ",".join(ReportRow.model_fields)
    )
    assert [(row["household_id"], row["timestamp"]) for row in rows] == [
        *(("A", stamp(number)) for number in range(49)),
        *(("B", stamp(number)) for number in range(48)),
    ]


def test_fractions_of_a_second_and_awkward_names_come_through(files, quick_plots):
    names = ["A,B", 'the "big" one', "O'Neill", "<script>alert(1)</script>", "$\\frac{", "x" * 500, "#1", "NULL"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    lines = [line for name in quoted for line in series(varied(12), home=name)]
    analyzed(files, [line.replace(":00Z", ":00.25Z") for line in lines])
    write_report(files, ReportParams())
    with (files / "energy_report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["household_id"] for row in rows} == set(names)
    assert rows[0]["timestamp"] == "2026-01-05T00:00:00.250000Z"


def test_a_row_says_what_was_found(report):
    _, rows, _ = report
    assert (
        list(rows[46].values()) == [stamp(46), "A", "9.5", "0.95", "high_usage", "true", "outlier", "valid"] + [""] * 4
    )
    assert list(rows[48].values()) == [
        stamp(48),
        "A",
        "0.04",
        "",
        "normal",
        "true",
        "voltage_outside_band;power_factor",
        "valid",
        *[""] * 4,
    ]
    sound = [stamp(0), "A", "0.3", rows[0]["efficiency"], "normal", "false", "", "valid"]
    assert list(rows[0].values()) == sound + [""] * 4


def test_the_document_says_it_in_plain_words(report):
    document, rows, files = report
    written = EnergyReport.model_validate_json((files / "output2.json").read_bytes())
    assert written == describe(document, Figures(written.usage), written.plots)
    assert written.records == len(rows) == 97
    messages = " ".join(finding.message for finding in written.findings)
    assert "1 of 98 records (1 %) were rejected: 1 unparsable_power_consumption" in messages
    assert "far above what is usual at that hour (outlier)" in messages
    assert [table.title for table in written.tables] == ["Households", "Rejected records"]
    assert written.tables[0].rows[0][:2] == ("A", document.households[0].energy_kwh)
    assert all((files / name).stat().st_size > 5000 for name in written.plots)
    assert len(written.plots) == 5


def test_made_up_readings_are_called_so(report):
    document, _, files = report
    found = Figures(REPORT.read(files).usage)
    generated = document.model_copy(update={"source": "generated"})
    assert (
        describe(generated, found, []).findings[0].message
        == "The readings are synthetic: produced by the generator, not measured."
    )
    assert all("synthetic" not in finding.message for finding in describe(document, found, []).findings)


def test_the_report_is_the_same_to_the_byte(report, quick_plots):
    _, _, files = report
    before = [
        (files / name).read_bytes()
        for name in ("energy_report.csv", "energy_report.parquet", "energy_totals.parquet", "output2.json")
    ]
    write_report(files, ReportParams())
    assert [
        (files / name).read_bytes()
        for name in ("energy_report.csv", "energy_report.parquet", "energy_totals.parquet", "output2.json")
    ] == before


def test_many_households_are_cut_to_the_largest(report):
    document, _, files = report
    home = document.households[0]
    homes = [home.model_copy(update={"household_id": f"H{n:03d}", "energy_kwh": float(n)}) for n in range(100)]
    many = document.model_copy(update={"households": homes})
    usage = REPORT.read(files).usage
    usage.households = [usage.households[0].model_copy(update={"household_id": own.household_id}) for own in homes]
    table = describe(many, Figures(usage), []).tables[0]
    assert (table.title, len(table.rows), table.rows[0][0]) == ("The 25 largest of 100 households", 25, "H099")


def test_households_show_their_base_load_and_the_energy_of_each_year(report):
    document, _, files = report
    usage = REPORT.read(files).usage
    years = [usage.years[0].model_copy(update={"start": date(year, 1, 1), "energy_kwh": 5.0}) for year in (2025, 2026)]
    usage.years, usage.households[0].years, usage.households[0].base_load_kw = years, years[1:], 0.125
    table = describe(document, Figures(usage), []).tables[0]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["Base load (kW)"], row["Energy 2026 (kWh)"]) == (0.125, 5.0)
    assert "Energy 2025 (kWh)" not in row, "no household has energy of that year"


FORMULAS = ['=HYPERLINK("http://x";"y")', "+1+2", "-3", "@SUM(A1)"]


@pytest.mark.parametrize(("escape", "mark"), [(False, ""), (True, "'")])
def test_names_that_a_spreadsheet_would_run_are_escaped_on_request(files, quick_plots, escape, mark):
    harmless = ["A=1", "Haus 3-a"]
    quoted = ['"' + name.replace('"', '""') + '"' for name in (*FORMULAS, *harmless)]
    analyzed(files, [line for name in quoted for line in series(varied(12), home=name)])
    write_report(files, ReportParams(escape_formulas=escape))
    with (files / "energy_report.csv").open(encoding="utf-8", newline="") as file:
        written = {row["household_id"] for row in csv.DictReader(file)}
    assert written == {*(mark + name for name in FORMULAS), *harmless}
