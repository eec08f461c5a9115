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
