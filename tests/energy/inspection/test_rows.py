"""Whose readings a file holds, and which rows count."""

import pytest

from include.core.errors import BadInputError

HOURS = [f"2026-01-05T{hour:02}:00Z" for hour in range(24)]


def test_households_are_named_by_a_column_or_by_the_file(understood):
    plan = understood("t,MPAN,kWh", *(f"{t},{m},1" for m in ("A1", "A2") for t in HOURS)).plan
    assert (plan.meter, plan.household) == (1, None)
    found = understood("t,kWh", *(f"{t},1" for t in HOURS))
    assert found.plan.household == "m"
    assert {statement.topic for statement in found.statements if statement.assumed} == {"household"}


def test_several_files_without_a_meter_are_asked_about(understood):
    (question,) = understood("t,kWh", *(f"{t},1" for t in HOURS), several_files=True).questions
    assert question.options == ('--columns "household_id=@HOME"', '--columns "household_id=@{file}"')
    plan = understood("t,kWh", *(f"{t},1" for t in HOURS), several_files=True, columns="household_id=@{file}").plan
    assert plan.household == "m"


def test_a_column_of_signs_is_asked_about(understood):
    rows = [f"{t},{'-' if number > 12 else '+'},{number % 5}" for number, t in enumerate(HOURS)]
    (question,) = understood("t,Sign,kWh", *rows).questions
    assert question.options == ('--where "Sign=+"', '--where "Sign=-"')
    assert understood("t,Sign,kWh", *rows, where=("Sign=+",)).questions == ()


def test_rows_are_chosen_by_their_text(understood):
    rows = [f"{t},{kind},1" for t in HOURS for kind in ("Actual", "Forecast")]
    (question,) = understood("t,Type,kWh", *rows).questions
    assert question.options == ('--where "Type=Actual"', '--where "Type=Forecast"')
    assert understood("t,Type,kWh", *rows, where=("Type=Actual",)).plan.where == ((1, ("Actual",), True),)
    with pytest.raises(
        BadInputError, match="--where Type=Real: no record holds 'Real'; 'Type' holds 'Actual', 'Forecast'"
    ):
        understood("t,Type,kWh", *rows, where=("Type=Real",))
    with pytest.raises(BadInputError, match="--where 'Type' is not COLUMN=TEXT"):
        understood("t,Type,kWh", *rows, where=("Type",))


REGISTERS = [f"{t},{register},1" for t in HOURS for register in ("Afname Dag", "Injectie Dag")]


def test_registers_of_import_are_read_and_those_of_export_are_left_out(understood):
    found = understood("t,Register,kWh", *REGISTERS)
    assert found.plan.where == ((1, ("Afname Dag",), True),)
    assert {s.topic: s.value for s in found.statements}["not selected"] == "Injectie Dag"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (REGISTERS, "holds registers, not households: Afname Dag, Injectie Dag; choose rows"),
        (
            [f"{t},{kind},1" for t in HOURS for kind in ("7DA", "ACTUAL")],
            "holds kinds of data, not households: 7DA, ACTUAL",
        ),
    ],
)
def test_a_column_of_something_else_is_no_household(understood, rows, message):
    with pytest.raises(BadInputError, match=message):
        understood("t,Register,kWh", *rows, columns="household_id=Register")
    assert understood("t,Register,kWh", *rows, columns="household_id=Register", as_mapped=True).plan.meter == 1


def test_numbers_of_meters_name_households(understood):
    rows = [f"{1000 + m},{t},{(m + n) % 5}" for m in range(10) for n, t in enumerate(HOURS[:10])]
    assert understood("meter_id,t,kWh", *rows).plan.meter == 0
    loads = [f"{200 + n * 7 % 13},{t},{n % 3}" for n, t in enumerate(HOURS)]
    assert understood("site load,t,kWh", *loads).plan.household == "m", "each number at a time of its own"


def test_a_column_that_says_a_type_names_no_households(understood):
    rows = [f"{t},{kind},FR,{n % 7}" for n, t in enumerate(HOURS) for kind in ("BZN", "CTY", "CTA")]
    (question,) = understood("t,AreaTypeCode,MapCode,MW", *rows).questions
    assert question.options[0] == '--where "AreaTypeCode=BZN"'


def test_import_is_read_whatever_meter_it_belongs_to(understood):
    header = f"entity,type,unit,{','.join(HOURS)}"
    rows = [f"sensor.{kind},{kind},kWh,{','.join('1' for _ in HOURS)}" for kind in ("grid_consumption", "grid_return")]
    found = understood(header, *rows)
    assert found.plan.where == ((1, ("grid_consumption",), True),)
    assert {s.topic: s.value for s in found.statements}["not selected"] == "grid_return"
    (question,) = understood(header, *rows, rows[0].replace("grid_consumption", "battery")).questions
    assert question.options == ('--where "type=grid_consumption"',)


AREAS = [f"{t},{area},{mw}" for n, t in enumerate(HOURS) for area, mw in (("All", 300 + n), ("A", 100 + n), ("B", 200))]


def test_a_household_that_is_the_sum_of_the_others_is_refused(understood):
    with pytest.raises(BadInputError, match=r'sum of A, B, .* --where "area=All" reads the total, --where "area=A\|B"'):
        understood("t,area,MW", *AREAS)
    assert understood("t,area,MW", *AREAS, where=("area=A|B",)).plan.meter == 1
    assert understood("t,area,MW", *AREAS, as_mapped=True).plan.meter == 1
    others = [row.replace("B,200", "B,250") for row in AREAS]
    assert understood("t,area,MW", *others).plan.meter == 1


def test_meters_of_import_and_export_are_no_households(understood):
    rows = [f"{t},sensor.grid_{kind},{n % 5}" for n, t in enumerate(HOURS) for kind in ("import", "export")]
    with pytest.raises(BadInputError, match=r"'entity_id' holds registers, not households: .*; choose rows"):
        understood("t,entity_id,kWh", *rows)
    assert understood("t,entity_id,kWh", *rows, where=("entity_id=sensor.grid_import",)).plan.meter is None
    assert understood("t,entity_id,kWh", *rows, as_mapped=True).plan.meter == 1
    streets = [f"{t},{home},{n % 5}" for n, t in enumerate(HOURS) for home in ("Solar Street", "Loadstone Road")]
    assert understood("t,home,kWh", *streets).plan.meter == 1


def test_a_column_that_is_the_sum_of_the_others_is_refused(understood):
    rows = [f"{t},{n % 5},2,{n % 5 + 2}" for n, t in enumerate(HOURS)]
    columns = "household_id=*,energy_kwh=*"
    with pytest.raises(
        BadInputError, match=r"'C kWh' is at every time the sum of A kWh, B kWh, .*; map the columns that"
    ):
        understood("t,A kWh,B kWh,C kWh", *rows, columns=columns)
    assert understood("t,A kWh,B kWh,D kWh", *(f"{row}0" for row in rows), columns=columns).plan.values == (1, 2, 3)


def test_the_rows_of_a_register_decide_what_its_values_are(understood):
    rows = [f"2026-01-01 {h:02}:00,{name},{value}" for h in range(24) for name, value in (("in", h % 5), ("out", 1))]
    shown = understood("time,kind,kWh", *rows, columns="register=kind,import=in,export=out")
    assert (shown.plan.register, shown.plan.roles) == (1, {"in": "import", "out": "export"})
    assert shown.mapping.endswith("register=kind,import=in,export=out")
    with pytest.raises(BadInputError, match=r"register 'off': no record holds it; 'kind' holds 'in', 'out'"):
        understood("time,kind,kWh", *rows, columns="register=kind,import=in,export=off")


def test_what_is_left_out_as_export_is_proposed_as_a_register(understood):
    rows = [f"2026-01-01 {h:02}:00,{n},{h % 3}" for h in range(24) for n in ("Import T1", "Export T1")]
    shown = understood("time,direction,kWh", *rows)
    assert shown.mapping.endswith("register=direction,import=Import T1,export=Export T1")
    assert shown.where == ()


def test_registers_in_rows_are_among_what_is_proposed(understood):
    rows = [f"{t},{register},{number % 3}" for number, t in enumerate(HOURS) for register in ("1A", "2B")]
    (question,) = [q for q in understood("t,code,kWh", *rows).questions if q.topic == "rows"]
    assert question.options[-1] == '--columns "register=code,import=1A"'


def test_a_column_of_import_and_export_is_known_by_its_words_whatever_it_is_called(understood):
    """Export begins on the second day: few times have two rows."""
    rows = [f"2026-01-01T{h:02}:00Z,Import,{h % 3}" for h in range(24)]
    rows += [f"2026-01-02T{h:02}:00Z,{kind},{h % 3}" for h in range(6) for kind in ("Export", "Import")]
    assert understood("t,dir,kWh", *rows).plan.where == ((1, ("Import",), True),)
