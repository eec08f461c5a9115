"""Contracts: artifacts with a name and a type, instances of mapped steps, windows."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from include.core.contracts import Artifact, StepParams, Window, imported
from include.core.errors import ContractError
from include.core.outcome import Proof, StepMetrics, StepOutcome
from tests.core.small_pipeline import MEASURE


class Totals(BaseModel):
    energy: float


TOTALS = Artifact("totals.json", Totals)


def test_an_artifact_is_read_as_the_document_that_was_written(tmp_path):
    TOTALS.write(tmp_path, Totals(energy=2.5))
    assert TOTALS.read(tmp_path) == Totals(energy=2.5)
    assert TOTALS.at(tmp_path) == tmp_path / "totals.json"
    assert TOTALS.format == "json"


def test_a_missing_document_is_an_error_or_none(tmp_path):
    assert TOTALS.find(tmp_path) is None
    with pytest.raises(ContractError, match=r"totals\.json: must exist; found no such file"):
        TOTALS.read(tmp_path)


def test_another_document_is_named_with_its_fault(tmp_path):
    (tmp_path / "totals.json").write_text('{"energy": "much"}')
    with pytest.raises(ContractError, match=r"totals\.json: must keep to its schema; found energy: .*much"):
        TOTALS.find(tmp_path)
    with pytest.raises(TypeError, match="without a schema"):
        Artifact("totals.json").find(tmp_path)


def test_an_instance_of_a_mapped_step_writes_files_of_its_own():
    mapped = replace(MEASURE, mapped=True, writes=(Artifact("parts/{index}.csv"),))
    instance = mapped.instance(7)
    assert (instance.id, instance.mapped, instance.index) == ("measure.007", False, 7)
    assert [artifact.path for artifact in instance.writes] == ["parts/007.csv"]


def test_a_step_is_a_program_of_its_domain_and_an_instance_has_its_number():
    step = replace(MEASURE, function="include.weather.steps:measure")
    assert step.domain == "weather"
    assert step.program == ("python", "-m", "include.weather", "measure")
    assert step.instance(7).program == ("python", "-m", "include.weather", "measure", "7")


def names(files: Path) -> list[str]:
    return ["one", "two"]


def work(files, params, index=None):
    return (files, params, index)


def outcome(files: Path) -> StepOutcome:
    return StepOutcome(metrics=StepMetrics(files=1))


def recompute(files, params, *, audit):
    return [Proof(artifact=f"{params}.csv", sampled=None if audit else "half")]


def test_a_step_names_the_files_that_it_reads_and_writes():
    step = replace(MEASURE, reads=(Artifact("scenes/*"), Artifact("plan.json")), writes=(Artifact("{index}.csv"),))
    assert (step.inputs, step.outputs) == (("scenes/*", "plan.json"), ("{index}.csv",))
    assert step.instance(2).outputs == ("002.csv",)


def test_functions_are_imported_when_they_are_needed(tmp_path):
    step = replace(MEASURE, fans_out=f"{__name__}:names", function=f"{__name__}:work", outcome=f"{__name__}:outcome")
    assert imported(f"{__name__}:names") is names
    assert step.things(tmp_path) == ["one", "two"]
    assert MEASURE.things(tmp_path) == []
    assert step.load()(tmp_path, None) == (tmp_path, None, None)
    assert step.instance(7).load()(tmp_path, None) == (tmp_path, None, 7)
    assert step.read_outcome(tmp_path).scalars() == {"files": 1}
    assert MEASURE.read_outcome(tmp_path) == StepOutcome()


def test_what_a_step_states_is_recomputed_by_the_function_that_its_contract_names(tmp_path):
    step = replace(MEASURE, recompute=f"{__name__}:recompute")
    assert step.prove(tmp_path, "data") == (Proof(artifact="data.csv", sampled="half"),)
    assert step.prove(tmp_path, "data", audit=True) == (Proof(artifact="data.csv"),)
    assert MEASURE.prove(tmp_path, "data") == ()


def test_a_window_has_both_ends_in_order():
    assert Window().start is None
    for values, message in (
        ({"start": "2026-01-01T00:00Z"}, "go together"),
        ({"start": "2026-01-02T00:00Z", "end": "2026-01-01T00:00Z"}, "must be before end"),
        ({"start": "1066-01-01T00:00Z", "end": "2026-01-01T00:00Z"}, "no data of the year 1066"),
    ):
        with pytest.raises(ValidationError, match=message):
            Window(**values)
    with pytest.raises(ValidationError):
        StepParams(unknown=1)
