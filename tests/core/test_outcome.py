"""Outcomes: flat in JSON, typed in code."""

import json

import pytest
from pydantic import ConfigDict, Field, ValidationError

from include.core.outcome import Finding, Proof, StepMetrics, StepOutcome, Table


class Metrics(StepMetrics):
    model_config = ConfigDict(frozen=True, extra="forbid")

    energy_kwh: float
    by_reason: dict[str, int] = Field(default_factory=dict)


TABLE = Table(title="Totals", columns=("what", "kWh"), rows=(("all", 2.5), ("none", None)))
OUTCOME = StepOutcome(
    metrics=Metrics(energy_kwh=2.5, by_reason={"gap": 1}),
    findings=(Finding(severity="warning", message="A gap."),),
    tables=(TABLE,),
    data_start="2026-01-01T00:00:00Z",
    data_end="2026-01-02T00:00:00Z",
    published_as="home",
)


def test_an_outcome_is_one_flat_object_in_json():
    assert json.loads(OUTCOME.model_dump_json()) == {
        "energy_kwh": 2.5,
        "by_reason": {"gap": 1},
        "findings": [{"severity": "warning", "message": "A gap."}],
        "tables": [{"title": "Totals", "columns": ["what", "kWh"], "rows": [["all", 2.5], ["none", None]]}],
        "data_start": "2026-01-01T00:00:00Z",
        "data_end": "2026-01-02T00:00:00Z",
        "published_as": "home",
    }


def test_what_is_not_set_is_left_out_and_false_is_not():
    assert StepOutcome().model_dump(mode="json") == {}
    assert StepOutcome(synthetic=False).model_dump(mode="json") == {"synthetic": False}


def test_an_outcome_that_was_read_back_has_the_same_values_and_gets_its_type_again():
    read = StepOutcome.model_validate_json(OUTCOME.model_dump_json())
    assert read.findings == OUTCOME.findings
    assert read.data_start == OUTCOME.data_start
    assert read.metrics_as(Metrics) == OUTCOME.metrics
    assert OUTCOME.metrics_as(Metrics) is OUTCOME.metrics
    with pytest.raises(ValidationError, match="energy_kwh"):
        StepOutcome().metrics_as(Metrics)


def test_single_values_go_through_xcom_and_lists_do_not():
    assert OUTCOME.scalars() == {
        "energy_kwh": 2.5,
        "data_start": "2026-01-01T00:00:00Z",
        "data_end": "2026-01-02T00:00:00Z",
        "published_as": "home",
    }


def test_a_metric_that_a_step_does_not_name_is_refused():
    with pytest.raises(ValidationError, match="energy_mwh"):
        Metrics(energy_kwh=1, energy_mwh=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_refused(value):
    with pytest.raises(ValidationError, match="finite number"):
        Metrics(energy_kwh=value)


def test_what_could_not_be_recomputed_is_a_finding():
    proofs = Proof(artifact="a.csv", recomputed="3 records"), Proof(artifact="b.csv", not_checked="no seed is stated")
    proven = OUTCOME.proven(proofs)
    assert [finding.message for finding in proven.findings] == [
        "A gap.",
        "b.csv is not fully checked: no seed is stated.",
    ]
    assert StepOutcome.model_validate_json(proven.model_dump_json()).proofs == proofs
