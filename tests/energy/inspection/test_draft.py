"""What is being understood of a file: names of columns, statements, questions, contradictions."""

from dataclasses import replace

import pytest

from include.core.errors import BadInputError
from include.energy.inspection.draft import Draft
from include.energy.inspection.layout import find_table
from include.energy.inspection.mapping import parse_columns
from include.energy.inspection.plan import Answers, Choice
from include.energy.presets import packaged


@pytest.fixture
def draft(tmp_path):
    def draft(columns=None, *, header="time,Usage,Usage", row="2026-01-01 00:00,1,1", **answers):
        (tmp_path / "m.csv").write_text(f"{header}\n{row}\n{row}\n")
        mapping = parse_columns(columns) if columns else None
        return Draft(find_table(tmp_path / "m.csv", "m.csv"), Answers(mapping=mapping, **answers), lambda *_: None)

    return draft


def test_columns_are_named_by_name_or_by_place(draft):
    found = draft()
    assert (found.position("time", "timestamp"), found.position("#3", "energy_kwh")) == (0, 2)
    assert (found.names([0, 1]), found.optional(None), found.optional("time")) == (["time", "#2"], None, 0)
    assert draft(header=",kWh,x").position("Unnamed: 0", "timestamp") == 0


def test_columns_of_one_name_must_hold_the_same(draft):
    assert draft().position("Usage", "energy_kwh") == 1
    with pytest.raises(
        BadInputError, match=r"names 'Usage' 2 times, and they differ; .*energy_kwh=#2 holds 1; .*=#3 holds 2"
    ):
        draft(row="2026-01-01 00:00,1,2").position("Usage", "energy_kwh")


@pytest.mark.parametrize("name", ["#9", "nothing"])
def test_a_column_that_is_not_there_is_refused(draft, name):
    with pytest.raises(BadInputError, match=rf"m\.csv: has no column '?{name}"):
        draft().position(name, "timestamp")


def test_all_missing_columns_are_named_at_once(draft):
    with pytest.raises(BadInputError, match=r"no column 'Time' and no column 'kw'.*'time' instead of 'Time'"):
        draft("timestamp=Time,power_kw=kw").require_columns()
    draft("timestamp=time,power_kw=#2").require_columns()


def test_statements_questions_and_roles_are_kept(draft):
    found = draft("timestamp=time,energy_kwh=Usage")
    found.state("unit", "kWh", "its name", assumed=True)
    found.ask("zone", "which?", "--timezone A", "--timezone B")
    assert found.statements[0].assumed
    assert found.questions[0].options == ("--timezone A", "--timezone B")
    assert [found.role(name) for name in ("time", "Usage")] == ["timestamp", "energy_kwh"]


def test_a_contradiction_is_refused_unless_the_user_insists(draft):
    with pytest.raises(BadInputError, match=r"m\.csv: it is kW; write power_kw, or insist with --as-mapped"):
        draft().contradict("it is kW", "write power_kw")
    found = draft(as_mapped=True)
    found.contradict("it is kW", "write power_kw")
    assert found.statements[0].evidence == "it is kW"
    assert str(found.refuse("is wrong")) == "m.csv: is wrong"


def test_rows_that_do_not_count_decide_nothing(draft):
    found = draft(header="time,Usage,Kind", row="2026-01-01 00:00,1,In")
    found.select([Choice(2, ("In",), is_read=False)])
    assert found.columns[1].texts == ("1", "1"), "an empty sample would decide nothing"
    found.layout = replace(found.layout, rows=(*found.layout.rows, ("2026-01-01 01:00", "2", "Out")))
    found.select([Choice(2, ("Out",))])
    assert (found.columns[1].texts, found.choices[-1]) == (("2",), (2, ("Out",), True))


def test_a_statement_says_whether_the_user_or_a_preset_states_it(draft):
    preset = packaged()["aemo"]
    found = draft(preset=preset, by_preset=frozenset({"stamp"}))
    assert (found.stated_by("stamp"), found.stated_by("unit")) == (
        "the format aemo states it", "stated by the user",
    )  # fmt: skip
    assert (found.option("stamp", "--stamp"), found.option("unit", "--unit")) == ("the format aemo", "--unit")
