"""What a column may hold."""

import pytest

from include.energy.inspection.columns import CHOICE, ESTIMATED, EXPORT, IMPORT, METER, TARIFF, profile, spaced
from include.energy.inspection.layout import find_table


@pytest.fixture
def columns(tmp_path):
    def columns(header, *rows):
        (tmp_path / "m.csv").write_text("\n".join([header, *rows]) + "\n")
        return {column.name: column for column in profile(find_table(tmp_path / "m.csv", "m.csv"))}

    return columns


def test_cells_show_what_a_column_holds(columns):
    header = "from;to;Date;Hour;unix;E;Unit;Status;empty;Range"
    row = "2026-01-01 0{0}:00;2026-01-01 0{1}:00;2026-01-01;0{0}:00;132537{0}000;{0},5;kWh;A;;"
    row += "2026-01-01 0{0}:00 to 0{1}:00"
    found = columns(header, *(row.format(hour, hour + 1) for hour in range(8)))
    assert [column.shape for column in found.values()] == [
        "stamp", "stamp", "date", "time", "unix", "number", "unit", "text", "empty", "range",
    ]  # fmt: skip
    assert (found["from"].is_start, found["to"].is_end, found["E"].is_time) == (True, True, False)
    assert (found["E"].may_be_value, found["Status"].distinct, found["E"].texts[0]) == (True, ("A",), "0,5")


def test_fillers_do_not_hide_numbers(columns):
    found = columns("time,kWh", "2026-01-01 00:00,1.5", *(f"2026-01-01 0{hour}:00,-" for hour in range(1, 9)))
    assert found["kWh"].shape == "number"


@pytest.mark.parametrize("text", ["(1.5)", "#N/A", "1.5*", "~1.5"])
def test_texts_among_numbers_do_not_hide_a_column(columns, text):
    cells = [text, "1.5", text, "2.5"]
    found = columns("time,A kWh,Load,Status", *(f"2026-01-0{n}T00:00Z,{c},{c},{c}" for n, c in enumerate(cells, 1)))
    assert [column.may_be_value for column in found.values()] == [False, True, True, False]
    found = columns("time,A kWh,Load", *(f"2026-01-0{n}T00:00Z,{text},{text}" for n in range(1, 5)), "x,1,x")
    assert [column.may_be_value for column in found.values()] == [False, True, False]


def test_a_meter_that_begins_further_down_is_seen(columns):
    rows = (f"2026-01-01T00:00Z,1.5,{1.5 if n > 4000 else '-' * (n % 2)}" for n in range(5000))
    assert columns("time,A kWh,B kWh", *rows)["B kWh"].may_be_value


def test_prices_gas_and_reactive_energy_are_no_values(columns):
    row = ",".join(["1.5"] * 5)
    found = columns("t,Price,Gas m³,kvarh,Load", *(f"2026-01-01 0{hour}:00{row[3:]}" for hour in range(5)))
    assert [name for name, column in found.items() if column.may_be_value] == ["Load"]


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (EXPORT, ["Injectie Dag", "Electricity 1 Returned", "Profil -A [kW]", "Feed-in"], ["Afname Dag", "Import"]),
        (IMPORT, ["Afname Nacht", "Consumption (kwh)", "Profil +A [kW]"], ["Injectie Dag"]),
        (TARIFF, ["Import T1 kWh", "Low Tariff", "Afname Nacht"], ["Total kWh"]),
        (CHOICE, ["ACTUAL", "Forecast", "7DA"], ["Main", "A"]),
        (METER, ["MPAN", "household", "entity_id", "Meter Id"], ["kWh", "time"]),
        (ESTIMATED, ["E", "Geschat", "estimated"], ["A", "R", "Gevalideerd"]),
    ],
)
def test_words_of_many_languages(pattern, matching, others):
    assert all(pattern.search(text) for text in matching)
    assert not any(pattern.search(text) for text in others)


def test_words_of_a_name_are_told_apart():
    assert (spaced("areaTypeCode"), spaced("area_type")) == ("area Type Code", "area type")
