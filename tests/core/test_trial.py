"""A pipeline tried in this process, without Airflow."""

import json
from dataclasses import replace

import pytest

from include.core.definitions.load import load_definition
from include.core.errors import BadInputError, ContractError
from include.core.pipeline import Pipeline
from include.core.trial import try_pipeline
from tests.core.definitions.documents import document
from tests.core.small_pipeline import MEASURE, READINGS, pipeline, spec

COPY = {
    "id": "copy",
    "command": 'cp source/day.csv out.csv; echo "$TOKEN $MODE"',
    "input_file": "source/day.csv",
    "output_file": "out.csv",
    "environment": {"MODE": "fast"},
    "secrets": {"TOKEN": "crm.password"},
    "checks": {"out.csv": {"unique": ["meter"]}},
}


def measure(files, params):
    """A step of ours."""
    (files / "in.csv").write_text(READINGS)


@pytest.fixture
def copying(tmp_path):
    """A pipeline that copies its input file."""
    (tmp_path / "copy.json").write_text(json.dumps(document(COPY, sources=["day.csv"])))
    return Pipeline(load_definition(tmp_path / "copy.json", {}), {})


def test_each_step_runs_under_its_contract_and_a_secret_stays_out_of_its_log(copying, tmp_path):
    (tmp_path / "day.csv").write_text("meter\na\nb\n")
    said: list[str] = []
    run = tmp_path / "run"
    files = try_pipeline(copying, run, files=[tmp_path / "day.csv"], secrets={"TOKEN": "s3cret"}, log=said.append)
    assert (files / "out.csv").read_text() == "meter\na\nb\n"
    assert said == ["*** fast"]
    assert not [file for file in run.rglob("*.json") if "s3cret" in file.read_text()]


def test_an_output_that_breaks_the_contract_fails(copying, tmp_path):
    (tmp_path / "day.csv").write_text("meter\na\na\n")
    with pytest.raises(ContractError, match="must hold each"):
        try_pipeline(copying, tmp_path / "run", files=[tmp_path / "day.csv"], secrets={"TOKEN": "x"})


def test_our_own_functions_run_as_well_and_a_parameter_is_checked_first(tmp_path):
    own = pipeline(spec("measure"), known=(replace(MEASURE, function=f"{__name__}:measure"),))
    assert (try_pipeline(own, tmp_path / "one", {"factor": 3.0}) / "in.csv").read_text() == READINGS
    with pytest.raises(BadInputError, match="factor"):
        try_pipeline(own, tmp_path / "two", {"factor": 0})
