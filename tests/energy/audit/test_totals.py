import pytest

from include.core.errors import ContractError
from include.energy.analyzer import analyze
from include.energy.audit.judgements import judge_again
from include.energy.audit.totals import number_intervals, require_equal
from include.energy.db import connect
from include.energy.lines import inspect
from include.energy.params import AnalyzerParams
from include.energy.schemas import ANALYSIS
from tests.energy.analysis import HEADER, series, varied


@pytest.mark.parametrize(
    "lines",
    [
        series(varied(100), minutes=15) + series(varied(90), home="B", minutes=60),
        series(varied(30)) + series([0.5], home="B"),  # B takes the interval of the others
        series(varied(2), minutes=15) + series([-1] * 20, minutes=15, start=2),  # rejected records decide
    ],
    ids=["two intervals", "one record", "rejected records"],
)
def test_intervals_are_those_of_the_analyzer(files, lines):
    (files / "energy_data.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    analyze(files, AnalyzerParams())
    with connect(files) as db:
        judge_again(db, inspect(files / "energy_data.csv"), files, AnalyzerParams(), None)
        timeline = number_intervals(db, AnalyzerParams(), None)
    stated = {home.household_id: home.interval_seconds for home in ANALYSIS.read(files).households}
    assert {household: timeline.seconds(household) for household in timeline.stretches} == stated


@pytest.mark.parametrize(
    ("stated", "place"),
    [
        ({"a": 1, "b": [1, {"c": 2}]}, r"b\[1\].c must be 3"),
        ({"a": 2, "b": [1, {"c": 3}]}, "a must be 1"),
        ({"a": 1, "b": [1]}, "b must be"),
        ({"a": 1, "b": None}, "b must be"),
        ({"a": float("nan"), "b": [1, {"c": 3}]}, "a must be 1"),
        ({"a": True, "b": [1, {"c": 3}]}, "a must be 1"),
    ],
)
def test_the_first_difference_is_named(stated, place):
    with pytest.raises(ContractError, match=f"output1.json: {place}"):
        require_equal("output1.json", stated, {"a": 1, "b": [1, {"c": 3}]})


def test_equal_documents_pass():
    require_equal("output1.json", {"a": [1.5, None, "x"]}, {"a": [1.5, None, "x"]})
