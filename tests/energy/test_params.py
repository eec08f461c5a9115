"""Parameters of the energy steps."""

import pytest
from pydantic import ValidationError

from include.energy.params import AnalyzerParams, GeneratorParams, answers_of, parse_columns


def test_a_mapping_that_cannot_be_read_is_refused():
    with pytest.raises(ValidationError, match="'a' is not FIELD=COLUMN"):
        GeneratorParams(files=("a.csv",), columns="a")


def test_what_users_state_of_files_becomes_answers():
    params = GeneratorParams(files=("a.csv", "b.csv"), columns="energy_wh=E", unit=None, where=("A=b",), decimal=",")
    answers = answers_of(params)
    assert (answers.mapping.values, answers.where, answers.decimal) == (("E",), ("A=b",), ",")
    assert answers.several_files


def test_settings_for_files_are_refused_without_files():
    with pytest.raises(ValueError, match="columns, stamp: would do nothing without files"):
        GeneratorParams(columns="timestamp=t,household_id=h,energy_kwh=e", stamp="end")
    assert GeneratorParams(timezone="+01:00").timezone == "+01:00", "it is also the clock of profiles and of --date"


def test_impossible_parameters_are_refused():
    for wrong in (
        {"timezone": "Mars/Base"},
        {"columns": "a"},
        {"required_columns": ("volts",)},
        {"nominal_voltage": 0},
        {"high_usage_kw": float("inf")},
        {"outlier_threshold": float("inf")},
    ):
        with pytest.raises(ValidationError):
            AnalyzerParams(**wrong)


@pytest.mark.parametrize("text", ["7min", "1d", "24h", "0h", "h", "1.5h", "60"])
def test_an_interval_that_does_not_divide_half_a_day_is_refused(text):
    with pytest.raises(ValidationError, match="is not an interval such as 15min or 1h that divides half a day"):
        GeneratorParams(files=("a.csv",), resample=text)


def test_required_columns_are_those_that_are_measured_or_named_and_always_time_household_and_power():
    always = ("timestamp", "household_id", "power_consumption")
    assert AnalyzerParams().required(None) == (*always, "voltage", "current")
    assert AnalyzerParams().required(("voltage",)) == (*always, "voltage")
    assert AnalyzerParams(required_columns=("current",)).required(("voltage",)) == (*always, "current")
    assert parse_columns("timestamp=t,household_id=@A,power_kw=p,voltage=u").measured == ("voltage",)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"households": 0}, "greater than or equal to 1"),
        ({"interval_minutes": 7}, "interval_minutes must divide a day of 1440 minutes, and 7 does not"),
        ({"faulty_share": 0.5}, "less than or equal to 0.1"),
        ({"files": ("a.csv",), "timezone": "Mars/Base"}, "'Mars/Base' is neither an IANA zone"),
        ({"files": ("a.csv",), "timezone": "+25:00"}, "nor a fixed offset such as"),
        ({"stamp": "middle"}, "'start' or 'end'"),
        ({"home": 3}, "Extra inputs are not permitted"),
    ],
)
def test_impossible_params_are_refused_in_words(params, message):
    with pytest.raises(ValidationError, match=message):
        GeneratorParams(**params)


def test_every_param_is_described_and_belongs_to_a_section_of_the_form():
    own = {name: f for name, f in GeneratorParams.model_fields.items() if name not in ("start", "end")}
    assert {f.json_schema_extra["section"] for f in own.values()} == {"Generated data", "Your own files"}
    assert all(f.description and f.description.endswith((".", ")")) for f in own.values())
