"""A pipeline binds a definition to the contracts of its steps, and checks a run's parameters before anything runs."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from include.core.contracts import Artifact, Group, Step, StepParams, Window
from include.core.definitions.model import RecordFiles
from include.core.errors import BadInputError, ContractError
from include.core.pipeline import foreign_step
from include.core.rules import OutputRules
from include.core.run_folder import StepInfo
from include.core.runner import run_step
from tests.core.small_pipeline import (
    ANALYZE,
    ATTEMPT,
    MEASURE,
    READINGS,
    measured,
    pipeline,
    plan,
    spec,
    table,
    writing,
)


class MeasureParams(Window):
    """Parameters of a step that can read input files."""

    households: int = Field(20, ge=1, description="How many.")
    files: tuple[str, ...] = ()


class AnalyzeParams(StepParams):
    """Parameters of the step after it, one of which both take."""

    households: int = Field(20, ge=1)
    high_usage_kw: float | None = Field(5.0, gt=0)


OURS = pipeline(known=(replace(MEASURE, params=MeasureParams), replace(ANALYZE, params=AnalyzeParams)))
FOREIGN = spec(
    "mean", image="debian", command=("sh", "-c", "true"), inputs=("source/readings.csv",), outputs=("mean.csv",)
)
THEIRS = pipeline(FOREIGN, sources=("readings.csv",))


def faults(of, given) -> list[str]:
    with pytest.raises(BadInputError) as error:
        of.check_params(given)
    return str(error.value).split("; ")


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_s_parameters_are_the_union_of_what_its_steps_take():
    assert list(OURS.params) == ["start", "end", "households", "files", "high_usage_kw", "audit", "publish"]


def test_parameters_that_are_left_out_take_their_defaults():
    assert OURS.check_params({}) == {
        "start": None,
        "end": None,
        "households": 20,
        "files": [],
        "high_usage_kw": 5.0,
        "audit": False,
        "publish": False,
    }


def test_values_are_json_whatever_they_were_given_as():
    given = {"households": "3", "files": ("a.csv",), "start": "2026-01-01T00:00:00+10:00", "end": "2026-01-02T00:00Z"}
    assert OURS.check_params(given) == {
        "start": "2026-01-01T00:00:00+10:00",
        "end": "2026-01-02T00:00:00Z",
        "households": 3,
        "files": ["a.csv"],
        "high_usage_kw": 5.0,
        "audit": False,
        "publish": False,
    }


@given(st.fixed_dictionaries({}, optional={"households": st.integers(1), "files": st.lists(st.text()).map(tuple)}))
def test_checked_parameters_are_checked_again_to_the_same(given):
    once = OURS.check_params(given)
    assert OURS.check_params(once) == once


def test_an_unknown_parameter_is_refused_with_the_one_that_was_meant():
    assert faults(OURS, {"housholds": 3}) == ["housholds: no such parameter", "did you mean households?"]
    assert faults(OURS, {"zzz": 3}) == [
        "zzz: no such parameter",
        "the parameters are audit, end, files, high_usage_kw, households, publish, start",
    ]


def test_every_fault_is_named_at_once():
    found = faults(OURS, {"housholds": 1, "high_usage": 2, "high_usage_kw": -1, "start": "yesterday"})
    assert [fault.split(":")[0] for fault in found if ":" in fault] == [
        "housholds",
        "high_usage",
        "start",
        "high_usage_kw",
    ]
    assert found[-1] == "high_usage_kw: Input should be greater than 0 (got -1)"


def test_a_parameter_is_named_once_in_its_fault():
    class Both(StepParams):
        columns: str = ""

        @field_validator("columns")
        @classmethod
        def _never(cls, value: str) -> str:
            raise ValueError(f"columns: {value!r} is no mapping; give one")

    two = pipeline(known=(replace(MEASURE, params=Both), replace(ANALYZE, params=AnalyzeParams)))
    assert faults(two, {"columns": "x"}) == ["columns: 'x' is no mapping", "give one (got 'x')"]


def test_a_fault_that_two_steps_share_is_named_once():
    assert faults(OURS, {"households": 0}) == ["households: Input should be greater than or equal to 1 (got 0)"]


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ({"start": "2026-01-01T00:00:00Z"}, "parameters: start and end go together: give both or neither"),
        (
            {"start": "2026-01-02T00:00Z", "end": "2026-01-01T00:00Z"},
            r"start 2026-01-02T00:00:00\+00:00 must be before",
        ),
        ({"start": "2026-01-01T00:00Z", "end": "2026-01-01T00:00Z"}, "must be before end"),
        (
            {"start": "0001-01-01T00:00+14:00", "end": "2026-01-01T00:00Z"},
            "no data of the year 1; years are 1900 to 2199",
        ),
        ({"start": "2026-01-01T00:00Z", "end": "9999-12-31T23:59-10:00"}, "no data of the year 9999"),
        ({"start": "2026-01-01", "end": "2026-01-02"}, "start: .*timezone"),
    ],
)
def test_an_impossible_interval_is_refused(interval, message):
    assert re.search(message, "; ".join(faults(OURS, interval)))


def test_a_former_name_of_a_parameter_is_accepted_but_not_beside_its_present_one():
    aliased = replace(OURS, aliases={"homes": "households", "csv": "files", "other": "unknown"})
    assert aliased.rename_params({"homes": 3, "other": 1}) == {"households": 3, "other": 1}
    assert aliased.rename_params({"csv": ["a.csv"], "files": []}) == {"files": ["a.csv"]}
    with pytest.raises(BadInputError, match="homes: is a former name of households"):
        aliased.rename_params({"homes": 3, "households": 4})


def test_parameters_are_completed_by_those_that_follow_from_them():
    completing = replace(OURS, complete=f"{__name__}:completed", aliases={"homes": "households"})
    assert completing.complete_params({"homes": 3}) == {"households": 3, "high_usage_kw": 6}
    assert completing.check_params({"households": 3})["high_usage_kw"] == 6
    assert OURS.complete_params({"households": 3}) == {"households": 3}


def completed(params):
    return {**params, "high_usage_kw": 2 * params["households"]}


def test_files_are_a_parameter_of_a_pipeline_that_reads_some():
    assert set(OURS.params) == {"start", "end", "households", "files", "high_usage_kw", "audit", "publish"}
    assert set(THEIRS.params) == {"start", "end", "files", "audit", "publish"}
    assert set(pipeline(replace(FOREIGN, inputs=())).params) == {"start", "end", "audit", "publish"}


@pytest.mark.parametrize("of", [OURS, THEIRS], ids=["registered steps", "foreign steps"])
def test_every_pipeline_can_be_audited(of):
    given = {"files": ["readings.csv"]}
    assert of.check_params(given)["audit"] is False
    assert of.check_params(given | {"audit": True})["audit"] is True
    assert faults(of, given | {"audit": "perhaps"}) == [
        "audit: Input should be a valid boolean, unable to interpret input (got 'perhaps')"
    ]


def test_parameters_that_each_name_one_file_are_marked_in_their_model():
    class MaskParams(StepParams):
        mask: str | None = Field(None, json_schema_extra={"file": True})
        files: tuple[str, ...] = ()

    assert pipeline(known=(replace(MEASURE, params=MaskParams), ANALYZE)).file_params == ["mask"]


@pytest.mark.parametrize("files", ["a.csv", 5, {"a.csv": 1}, ["a.csv", 5]])
def test_files_are_a_list_of_names_and_nothing_else(files):
    assert f"files: must be a list of files (got {files!r})" in faults(THEIRS, {"files": files})
    assert any(fault.startswith("files") for fault in faults(OURS, {"files": files}))


def test_a_pipeline_that_names_its_files_needs_each_of_them():
    assert faults(THEIRS, {}) == ["files: the pipeline needs a file named readings.csv"]
    assert faults(THEIRS, {"files": ["other.csv"]}) == ["files: the pipeline needs a file named readings.csv"]
    assert THEIRS.check_params({"files": ["/inbox/readings.csv"]})["files"] == ["/inbox/readings.csv"]


def test_a_pipeline_that_reads_no_files_takes_none():
    neither = pipeline(replace(FOREIGN, inputs=()))
    assert "files" not in neither.params
    assert faults(neither, {"files": ["a.csv"]}) == [
        "files: no such parameter",
        "the parameters are audit, end, publish, start",
    ]


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pipeline_starts_by_its_schedule_or_after_its_triggers_or_on_request():
    assert replace(pipeline(schedule="@daily"), triggers=("one",)).starts == "@daily"
    assert replace(pipeline(), triggers=("one", "two")).starts == "after one or two"
    assert pipeline().starts == "on request"


def test_the_tasks_of_a_group_are_one_step_of_the_plan():
    group = Group("both", "Measure and analyze", "Does both.")
    grouped = pipeline(known=(replace(MEASURE, group=group), replace(ANALYZE, group=group)))
    assert grouped.plan == [
        StepInfo(id="both", title="Measure and analyze", description="Does both.", parts=["measure", "analyze"])
    ]
    assert [info.id for info in pipeline().plan] == ["measure", "analyze"]


def test_a_container_of_ours_keeps_its_contract_under_the_definition_s_name():
    own = pipeline(spec("measure", name="Read the meters", description="Of all homes.")).steps[0].step
    assert own == replace(MEASURE, title="Read the meters", description="Of all homes.")


def test_a_container_that_we_did_not_build_is_held_to_what_its_definition_declares():
    step = foreign_step(replace(FOREIGN, outputs=("mean.csv", "plot.png")))
    assert step == Step(
        id="mean",
        title="Mean",
        description="Writes mean.csv, plot.png",
        version="1",
        params=Window,
        function="",
        reads=(Artifact("source/readings.csv"),),
        writes=(Artifact("mean.csv"), Artifact("plot.png")),
    )


def test_what_is_declared_of_an_output_belongs_to_the_contract_of_a_foreign_step():
    declared = Artifact("mean.csv", max_bytes=9, rules=OutputRules(unique=("hour",)))
    step = foreign_step(replace(FOREIGN, outputs=("mean.csv", "plot.png"), declared=(declared,)))
    assert step.writes == (declared, Artifact("plot.png"))


def test_other_rules_for_an_output_make_another_version_of_a_foreign_step():
    versions = [
        foreign_step(replace(FOREIGN, declared=declared)).version
        for declared in ((), (Artifact("mean.csv", max_bytes=9),), (Artifact("mean.csv", max_bytes=8),))
    ]
    assert versions[0] == "1"
    assert len(set(versions)) == 3


def test_a_foreign_step_is_held_to_its_declared_rules(folder):
    measured(folder)
    rules = OutputRules(unique=("timestamp", "household"))
    step = foreign_step(
        replace(COUNTED, records=None, outputs=("good.csv",), declared=(Artifact("good.csv", rules=rules),))
    )
    with pytest.raises(
        ContractError, match=r"good\.csv: must hold each \(timestamp, household\) once; found 90 records"
    ):
        run_step(step, folder, ATTEMPT, writing(good_csv=table(*[{}] * 90)))


COUNTED = spec(
    "split",
    inputs=("in.csv",),
    outputs=("good.csv", "bad.csv"),
    records=RecordFiles(read="in.csv", accepted="good.csv", rejected="bad.csv"),
)


def test_records_of_a_foreign_step_are_counted_in_the_files_it_declared(folder):
    measured(folder)
    step = foreign_step(COUNTED)
    verdict = run_step(step, folder, ATTEMPT, writing(good_csv=table({}, {}), bad_csv=table({})))
    assert verdict.records.model_dump() == {
        "read": 3, "accepted": 2, "rejected": 1, "outside": 0, "rejected_by_reason": {"rejected by the step": 1},
    }  # fmt: skip


def test_a_foreign_step_may_reject_nothing_but_not_everything(folder):
    measured(folder)
    step = foreign_step(COUNTED)
    assert run_step(step, folder, ATTEMPT, writing(good_csv=READINGS, bad_csv=table())).records.rejected == 0
    with pytest.raises(ContractError, match=r"good\.csv: must hold at least one record; found a header alone"):
        run_step(step, folder, replace(ATTEMPT, generation=1), writing(good_csv=table(), bad_csv=READINGS))


@pytest.mark.parametrize("bad", [table(), table({}, {})], ids=["one lost", "one twice"])
def test_a_foreign_step_that_loses_records_fails(folder, bad):
    measured(folder)
    with pytest.raises(ContractError, match="split: records read must equal accepted"):
        run_step(foreign_step(COUNTED), folder, ATTEMPT, writing(good_csv=table({}, {}), bad_csv=bad))


def test_a_step_is_imported_only_when_it_runs():
    step = replace(MEASURE, function="json.decoder:JSONDecoder")
    assert step.load() is json.JSONDecoder
    with pytest.raises(ModuleNotFoundError):
        replace(MEASURE, function="no.such.module:step").load()


def test_a_step_is_a_program_of_its_package():
    step = replace(MEASURE, function="include.energy.generator:generate")
    assert step.program == ("python", "-m", "include.energy", "measure")


def test_a_foreign_step_that_reads_what_nobody_handed_in_is_refused(folder):
    plan(folder)
    step = foreign_step(FOREIGN)
    (folder.files / "source").mkdir()
    Path(folder.files / "source/readings.csv").write_text(READINGS)
    with pytest.raises(ContractError, match=r"source/readings\.csv: must come from a step of this run"):
        run_step(step, folder, ATTEMPT, writing(mean_csv=READINGS))
