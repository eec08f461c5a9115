"""The unit of the values, and what shows it."""

import pytest

from include.core.errors import BadInputError
from tests.energy.inspection.test_values import rows, varying


def test_a_unit_stands_in_a_name_a_column_or_the_preamble_or_is_asked(understood):
    assert understood("t;Load MW", *rows(varying)).plan.unit == "MW"
    assert understood("t;Load;Unit", *rows(varying, lambda _: "Wh")).plan.unit == "Wh"
    assert understood("Unite;W", "t;Load", *rows(varying)).plan.unit == "W"
    (question,) = understood("t;Load", *rows(varying)).questions
    assert question.options == tuple(f"--unit {unit}" for unit in ("kWh", "Wh", "MWh", "kW", "W", "MW"))
    with pytest.raises(BadInputError, match="holds different units: MWh, kWh"):
        understood("t;Load;Unit", *rows(varying, lambda n: ("kWh", "MWh")[n % 2]))


@pytest.mark.parametrize(
    "lines",
    [
        ["Unit: Wh", "t;Load kWh"],
        ["Meter;A", "Einheit;Wh", "t;Load kWh"],
        ["Site;A", ";Wh", "t;Load kWh"],
        ["t;Load kWh;Unit"],
    ],
)
def test_a_file_that_names_two_units_is_asked_about_and_the_answer_counts(understood, lines):
    content = rows(varying, lambda _: "Wh") if lines[-1].endswith("Unit") else rows(varying)
    (question,) = understood(*lines, *content).questions
    assert question.options == ("--unit kWh", "--unit Wh")
    assert "contradicts itself: kWh, for the column's name is 'Load kWh', but" in question.text
    assert [understood(*lines, *content, unit=unit).plan.unit for unit in ("kWh", "Wh")] == ["kWh", "Wh"]
    assert understood(*lines, *content, columns="energy_wh=Load kWh").plan.unit == "Wh"
    with pytest.raises(BadInputError, match="states MWh, and the file says kWh"):
        understood(*lines, *content, unit="MWh")


@pytest.mark.parametrize("lines", [["Unit: kWh"], ["Contracted power;5;kW"], ["Unit price;0.25;EUR"]])
def test_lines_that_name_the_same_unit_or_that_of_something_else_are_no_contradiction(understood, lines):
    assert understood(*lines, "t;Load kWh", *rows(varying)).plan.unit == "kWh"


def test_a_unit_below_the_table_counts_too(understood):
    assert understood("t;Load kWh", *rows(varying), "Unit;Wh").questions[0].options == ("--unit kWh", "--unit Wh")
