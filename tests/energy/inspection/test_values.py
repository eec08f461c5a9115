"""Which columns hold power or energy, in which unit and spelling, and whether they are registers."""

import pytest

from include.core.errors import BadInputError
from include.energy.inspection.values import as_number

HOURS = [f"2026-01-0{day}T{hour:02}:00Z" for day in (5, 6) for hour in range(24)]


def rows(*values):
    return [f"{t};{';'.join(str(value(number)) for value in values)}" for number, t in enumerate(HOURS)]


def varying(number):
    return f"{number * 7 % 5},25"


def rising(number):
    return f"{1000 + number},5"


def test_import_is_read_and_export_is_left_out(understood):
    found = understood("t;Import kWh;Export kWh", *rows(varying, varying))
    assert found.plan.values == (1,)
    assert {s.topic: s.value for s in found.statements}["not selected"] == "'Export kWh'"


@pytest.mark.parametrize("name", ["PV generation (kWh)", "Erzeugung kWh", "Opwek kWh", "Export kWh"])
@pytest.mark.parametrize("mapped", [True, False])
def test_generation_alone_is_said_to_count_as_consumption(statements, name, mapped):
    stated = statements(f"t;{name}", *rows(varying), columns=f"energy_kwh={name}" if mapped else None)["direction"]
    assert stated.assumed
    assert stated.value.startswith(f"{name!r} counts as drawn from the grid")


def test_consumption_and_feeders_are_read_without_a_word(statements):
    assert "direction" not in statements("t;Feeder load kWh", *rows(varying))


def test_tariffs_are_added_up_and_meters_are_not(understood):
    tariffs = understood("t;Import T1 kWh;Import T2 kWh", *rows(varying, varying)).plan
    assert (tariffs.values, tariffs.household) == ((1, 2), "m")
    meters = understood("t;MT_001;MT_002", *rows(varying, varying), unit="kWh").plan
    assert (meters.values, meters.household, meters.meter) == ((1, 2), None, None)


def test_columns_of_years_are_no_meters(understood):
    rows = [f"2026-01-05 {hour:02}:00,{hour % 5},{hour % 3}" for hour in range(24)]
    (question,) = understood("t,2025 kWh,2026 kWh", *rows).questions
    assert question.topic == "values"
    assert understood("t,A1 kWh,A2 kWh", *rows).questions == ()


def test_a_total_beside_its_parts_is_left_out(understood):
    found = understood("t;A_1;A_2;Total", *rows(lambda n: n % 5, lambda n: 1, lambda n: n % 5 + 1), unit="kW")
    assert found.plan.values == (1, 2)


@pytest.mark.parametrize("text", ["(1.5)", "#N/A", "1,5 E"])
def test_texts_among_its_numbers_take_no_column_out_of_a_sum_or_a_table(understood, text):
    def faulty(number):
        return text if number % 4 == 1 else varying(number)

    assert understood("t;Import T1 kWh;Import T2 kWh", *rows(varying, faulty)).plan.values == (1, 2)
    assert understood("t;MT_001;MT_002;MT_003", *rows(varying, varying, faulty), unit="kWh").plan.values == (1, 2, 3)


def test_columns_that_nothing_tells_apart_are_asked_about(understood):
    (question, *_) = understood("t;Grid load;Car", *rows(varying, varying), unit="kWh").questions
    assert question.topic == "values"
    assert question.options[0] == '--columns "energy_kwh=Grid load"'


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        (
            "t;Import T1 kWh;Import T2 kWh",
            "energy_kwh=Import T1 kWh",
            "'Import T2 kWh' is not mapped, and may belong to",
        ),
        (
            "t;Hog_A;Hog_B",
            "household_id=@X,energy_kwh=Hog_A,energy_kwh=Hog_B",
            "look like meters, and would be added up",
        ),
        ("t;Load kWh;x", "power_kw=Load kWh", r'the file says kWh: .*write --columns "energy_kwh=Load kWh"'),
        ("t;Gas m³;x", "energy_kwh=Gas m³", "'Gas m³' is in m³, which is not energy in kWh"),
    ],
)
def test_a_mapping_that_the_file_contradicts_is_refused(understood, header, columns, message):
    content = rows(varying, varying)
    with pytest.raises(BadInputError, match=message):
        understood(header, *content, columns=columns)
    assert understood(header, *content, columns=columns, as_mapped=True).plan is not None


def test_a_series_that_never_falls_is_a_register(understood):
    assert understood("t;Meter kWh", *rows(rising)).plan.cumulative
    assert not understood("t;Meter kWh", *rows(varying)).plan.cumulative
    assert not understood("t;Load kW", *rows(rising)).plan.cumulative
    with pytest.raises(BadInputError, match=r'never falls, and rises 47 times: .*--columns "register_kwh=Meter kWh"'):
        understood("t;Meter kWh", *rows(rising), columns="energy_kwh=Meter kWh")
    assert understood("t;Meter kWh", *rows(varying), columns="register_kwh=Meter kWh").plan.cumulative


def test_an_open_decimal_mark_is_asked_and_an_answer_is_checked(understood):
    thousands = rows(lambda n: ("500", "1.410")[n % 2])
    (question,) = understood("t;kWh", *thousands).questions
    assert question.options == ("--decimal .", "--decimal ,")
    assert (understood("t;kWh", *thousands, decimal=",").plan.thousands) == "."
    with pytest.raises(BadInputError, match=r"--decimal \. contradicts the file: '0,25' can only have a comma"):
        understood("t;kWh", *rows(varying), decimal=".")


def test_a_file_without_energy_is_refused(understood):
    with pytest.raises(BadInputError, match="no column holds power or energy; 'Gas m³' is not active energy"):
        understood("t;Gas m³", *rows(varying))


ROWS = [f"2026-01-05 {hour:02}:00,{0.3 + hour % 5 / 10},{hour % 3},{1000 + hour}" for hour in range(24)] * 2
ROWS = [row.replace("-05 ", f"-0{5 + number // 24} ") for number, row in enumerate(ROWS)]


def both(understood, field, header="t,import kWh,export,count"):
    return understood(header, *ROWS, columns=f"timestamp=t,household_id=@A,energy_kwh=import kWh,{field}")


def test_mapped_exports_are_stated(understood):
    done = both(understood, "export_kwh=export")
    assert done.plan.flows == {"export": (2,)}
    assert done.mapping.endswith("energy_kwh=import kWh,export_kwh=export")


@pytest.mark.parametrize(
    ("field", "header", "message"),
    [
        ("export_wh=export", "t,import kWh,export,count", 'write --columns "export_kwh=export"'),
        ("export_register_kwh=export", "t,import kWh,export,count", 'write --columns "export_kwh=export"'),
        ("export_kwh=export Wh", "t,import kWh,export Wh,count", "'export Wh' is in Wh, not kWh"),
        ("export_kwh=gas m³", "t,import kWh,gas m³,count", "'gas m³' is in m³, not kWh"),
        ("export_kwh=import kWh", "t,import kWh,export,count", "is mapped as what is drawn from the grid, too"),
    ],
)
def test_exports_in_another_unit_or_column_are_refused(understood, field, header, message):
    with pytest.raises(BadInputError, match=message):
        both(understood, field, header)


def test_an_export_that_never_falls_is_no_energy_of_intervals(understood):
    rows = [
        f"2026-01-0{5 + number // 24} {number % 24:02}:00,{0.3 + number % 5 / 10},{1000 + number}"
        for number in range(48)
    ]
    with pytest.raises(BadInputError, match="'out' never falls, and rises 47 times: it looks like a register"):
        understood(
            "t,import kWh,out", *rows, columns="timestamp=t,household_id=@A,energy_kwh=import kWh,export_kwh=out"
        )


def test_exports_that_are_not_read_are_proposed_with_what_is_generated(understood):
    rows = [row.rsplit(",", 1)[0] + ",0.7" for row in ROWS]
    done = understood("t,import kWh,export kWh,PV kWh", *rows)
    assert done.mapping.endswith("energy_kwh=import kWh,export_kwh=export kWh,generation_kwh=PV kWh")
    alone = understood("t,import kWh,generation kWh", *[row.rsplit(",", 1)[0] for row in rows])
    assert "generation_kwh" not in alone.mapping, "it may be generation or export"


def test_texts_of_the_rows_may_state_the_unit(understood, statements):
    rows = [f"{t};0.{n % 7};Active Import Interval (kW)" for n, t in enumerate(HOURS)]
    assert understood("t;Value;Read Type", *rows).plan.unit == "kW"
    assert statements("t;Value;Read Type", *rows)["unit"].evidence == "'Read Type' says 'Active Import Interval (kW)'"
    with pytest.raises(BadInputError, match="states kWh, and the file says kW"):
        understood("t;Value;Read Type", *rows, unit="kWh")
    with pytest.raises(BadInputError, match=r"'Read Type' states different units: .*; choose rows with --where"):
        understood("t;Value;Read Type", *rows, f"{HOURS[0]};1;Active Import Interval (kWh)")
    contract = [f"{t};0.{n % 7};10 kW" for n, t in enumerate(HOURS)]
    assert [q.topic for q in understood("t;Value;Contract", *contract).questions] == ["unit"]


def test_numbers_of_a_sample_are_compared_as_numbers():
    assert (as_number("1.234,5"), as_number("0,5"), as_number("n/a")) == (1234.5, 0.5, None)


def test_a_counter_of_the_day_so_far_is_no_energy_of_intervals(understood):
    days = [f"{t};{n % 24 * 0.5 + (n % 24) ** 2 * 0.01:.2f}" for n, t in enumerate(HOURS)]
    with pytest.raises(BadInputError, match=r"rises all day and begins anew each day.* \"register_kwh=Energy kWh\""):
        understood("t;Energy kWh", *days)
    assert understood("t;Energy kWh", *days, columns="register_kwh=Energy kWh").plan.cumulative
    assert not understood("t;Energy kWh", *days, as_mapped=True).plan.cumulative
    assert understood("t;Energy kWh", *(f"{t};{n % 23 / 4}" for n, t in enumerate(HOURS))).plan.unit == "kWh"


@pytest.mark.parametrize("name", ["Energy (0.1 kWh)", "Energy kWh/1000", "Use kWh/day", "Thousand kWh", "kWh per m²"])
def test_multiples_of_a_unit_are_not_read_as_the_unit(understood, name):
    with pytest.raises(BadInputError, match="is not active energy"):
        understood(f"t;{name}", *rows(varying))
    with pytest.raises(BadInputError, match="which is not energy in kWh; map another column"):
        understood(f"t;{name}", *rows(varying), columns=f"energy_kwh={name}")


def test_milliwatts_are_not_megawatts(understood):
    assert [q.topic for q in understood("t;Power mW", *rows(varying)).questions] == ["unit"]
    assert understood("t;mw", *rows(varying)).plan.unit == "MW"
