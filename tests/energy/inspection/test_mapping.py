"""`--columns`: which column of an input file holds what."""

import pytest

from include.energy.inspection.mapping import ColumnMapping, parse_columns


def test_all_fields_and_names_with_spaces():
    text = "timestamp=Reading time, household_id=Meter = id,energy_kwh=kWh,voltage=U,current=I"
    assert parse_columns(text) == ColumnMapping(("Reading time",), "Meter = id", None, "energy_kwh", ("kWh",), "U", "I")


def test_names_may_hold_commas():
    mapping = parse_columns("timestamp=Data,power_kw=Consumo registado, Ativa (kW),household_id=@A")
    assert mapping.values == ("Consumo registado, Ativa (kW)",)


def test_a_constant_household_needs_no_column():
    mapping = parse_columns("timestamp=Time,household_id=@VIC,power_mw=Demand")
    assert (mapping.household, mapping.household_id, mapping.unit) == ("VIC", None, "MW")
    assert mapping.names == ("Time", "Demand")


def test_dates_and_times_and_tariffs_may_be_several_columns():
    mapping = parse_columns("timestamp=Date,timestamp=Time,register_wh=T1,register_wh=#4")
    assert (mapping.timestamps, mapping.values) == (("Date", "Time"), ("T1", "#4"))
    assert (mapping.unit, mapping.cumulative) == ("Wh", True)


def test_what_is_not_mapped_is_left_open():
    assert parse_columns("energy_kwh=*") == ColumnMapping(field="energy_kwh", values=("*",))
    assert (parse_columns("timestamp=").timestamps, parse_columns("household_id=*").names) == (("",), ())
    assert parse_columns("household_id=@A").unit is None


def test_measured_are_the_columns_that_are_mapped():
    assert parse_columns("timestamp=t,household_id=@A,power_kw=p,voltage=u").measured == ("voltage",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not FIELD=COLUMN"),
        ("timestamp", "'timestamp' is not FIELD=COLUMN"),
        ("power_kw=", "'power_kw=' is not FIELD=COLUMN"),
        (
            "time=a",
            "'time' is not a field; the fields are timestamp, household_id, power_kw, power_w, power_mw, energy",
        ),
        ("household_id=a,household_id=b", "household_id is given twice"),
        ("household_id=@b\nc,power_kw=d", "a name is one line of text"),
        ("timestamp=@now", "only household_id takes a constant"),
        ("household_id=@", "only household_id takes a constant"),
        ("power_kw=p,energy_kwh=e", "power_kw and energy_kwh cannot be given together"),
    ],
)
def test_faults_are_sentences(text, message):
    with pytest.raises(ValueError, match=message):
        parse_columns(text)


def test_what_is_fed_in_and_generated_is_mapped_beside_what_is_drawn():
    mapping = parse_columns("energy_kwh=A,export_kwh=B,export_kwh=C,generation_kwh=D")
    assert mapping.flows == {"export_kwh": ("B", "C"), "generation_kwh": ("D",)}
    assert mapping.names == ("A", "B", "C", "D")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("energy_kwh=A,export_kwh=B,export_wh=C", "export_kwh and export_wh cannot be given together"),
        ("household_id=*,energy_kwh=A,export_kwh=B", "which of several households it belongs to is open"),
    ],
)
def test_exports_that_cannot_be_assigned_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_columns(text)


def test_registers_in_rows_are_mapped_by_their_column_and_texts():
    mapping = parse_columns("register=Kind,import=T1|T2,export=Out,energy_kwh=kWh")
    assert (mapping.register, mapping.roles) == ("Kind", {"import": ("T1", "T2"), "export": ("Out",)})
    assert mapping.names == ("kWh", "Kind")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import=T1", "columns: import: needs register beside it"),
        ("register=Kind,export=Out", "columns: export: needs import beside it"),
        ("register=Kind,import=A|A", "columns: the register 'A' has two roles"),
        ("register=Kind,import=A,energy_kwh=a,export_kwh=b", "columns: export_kwh: a register stands in rows"),
        ("register=Kind,import=A,household_id=*", "columns: register: rows of several registers name their household"),
    ],
)
def test_roles_that_cannot_hold_are_refused(text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("*", r"\*")):
        parse_columns(text)
