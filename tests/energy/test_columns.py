"""`--columns`: which column of people's files holds what."""

import pytest
from pydantic import ValidationError

from include.energy.columns import ColumnMapping, parse_columns
from include.energy.schemas import GeneratorParams


def test_all_fields_and_names_with_spaces():
    assert parse_columns("timestamp=Reading time, household_id=Meter = id,energy_kwh=kWh,voltage=U,current=I") == (
        ColumnMapping("Reading time", "Meter = id", None, "energy_kwh", "kWh", "U", "I")
    )


def test_a_constant_household_needs_no_column():
    mapping = parse_columns("timestamp=Time,household_id=@VIC,power_mw=Demand")
    assert (mapping.household, mapping.household_id, mapping.unit) == ("VIC", None, "MW")
    assert mapping.names == ("Time", "Demand")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not FIELD=COLUMN"),
        ("timestamp", "'timestamp' is not FIELD=COLUMN"),
        ("timestamp=", "'timestamp=' is not FIELD=COLUMN"),
        ("time=a", "'time' is no field; the fields are timestamp, household_id, power_kw, power_mw, energy_kwh"),
        ("timestamp=a,timestamp=b", "timestamp is given twice"),
        ("timestamp=a,household_id=@b\nc,power_kw=d", "a household's name is one line of text"),
        ("timestamp=@now", "only household_id takes a constant"),
        ("household_id=@", "only household_id takes a constant"),
        ("power_kw=p", "timestamp and household_id must be given"),
        ("timestamp=a,power_kw=p", "household_id must be given"),
        ("timestamp=a,household_id=h", "give exactly one of power_kw, power_mw, energy_kwh"),
        ("timestamp=a,household_id=h,power_kw=p,energy_kwh=e", "give exactly one of"),
    ],
)
def test_faults_are_sentences_and_refused_with_the_params(text, message):
    with pytest.raises(ValueError, match=message):
        parse_columns(text)
    with pytest.raises(ValidationError, match=message):
        GeneratorParams(files=("a.csv",), columns=text)
