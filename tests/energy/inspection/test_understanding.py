"""A file understood: the plan, or a question; and the mapping that states what was understood."""

from include.energy.inspection.mapping import parse_columns

HOURS = [f"2026-01-05 {hour:02}:00" for hour in range(24)]


def test_a_plan_holds_what_was_understood(understood):
    found = understood("Time;Meter Id;kWh;Status;U", *(f"{t};M1;0,{n % 7};A;230" for n, t in enumerate(HOURS)),
                       columns="voltage=U")  # fmt: skip
    plan = found.plan
    assert (plan.stamps, plan.meter, plan.values, plan.voltage, plan.decimal) == ((0,), 1, (2,), 4, ",")
    assert plan.quality == (3, ())
    assert not found.questions


def test_there_is_no_plan_while_a_question_is_open(understood):
    found = understood("Time;Load", *(f"{t};{n % 7}" for n, t in enumerate(HOURS)))
    assert (found.plan, [question.topic for question in found.questions]) == (None, ["unit"])


def test_the_mapping_states_what_was_understood(understood):
    rows = [f"{t};0,{n % 7};1,{n % 5}" for n, t in enumerate(HOURS)]
    found = understood("Time;T1 kWh;T2 kWh", *rows)
    assert found.mapping == "timestamp=Time,household_id=@m,energy_kwh=T1 kWh,energy_kwh=T2 kWh"
    again = understood("Time;T1 kWh;T2 kWh", *rows, columns=found.mapping)
    assert (again.plan.values, again.plan.household) == (found.plan.values, found.plan.household)
    assert parse_columns(found.mapping).unit == "kWh"


def test_estimated_readings_are_named(understood):
    found = understood("t,kWh,Quality", *(f"{t},{n % 7},{'E' if n % 2 else 'A'}" for n, t in enumerate(HOURS)))
    assert found.plan.quality == (2, ("E",))
