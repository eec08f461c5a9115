"""The model of a definition, and the values that its documents accept."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from include.core.definitions.model import Definition, ListDocument, RecordFiles, StepSpec, data_path
from tests.core.definitions.documents import container, document

DEFINITION = Definition("energy-pipeline", "", (StepSpec("a", "A"),), Path("a.json"))


@pytest.mark.parametrize(
    ("name", "dag_id", "pipeline"),
    [
        ("Energy Pipeline", "energy_pipeline", "energy"),
        ("energy-pipeline", "energy_pipeline", "energy"),
        ("crops", "crops", "crops"),
        ("pipeline", "pipeline", "pipeline"),
    ],
)
def test_dag_id_comes_from_the_workflow_name(name: str, dag_id: str, pipeline: str):
    definition = replace(DEFINITION, workflow_name=name)
    assert (definition.dag_id, definition.pipeline) == (dag_id, pipeline)


def test_definitions_are_equal_wherever_their_files_lie():
    assert replace(DEFINITION, file=Path("b.json")) == DEFINITION
    assert replace(DEFINITION, schedule="@daily") != DEFINITION


@pytest.mark.parametrize(
    ("path", "relative"),
    [("/data/energy_data.csv", "energy_data.csv"), ("maps/ndvi.png", "maps/ndvi.png"), ("a//b.csv", "a/b.csv")],
)
def test_a_path_is_relative_to_the_data_folder(path: str, relative: str):
    assert data_path(path) == relative


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../a.csv", r"leaves /data through '\.\.'"),
        ("/data/../a.csv", r"leaves /data through '\.\.'"),
        ("/etc/passwd", "lies outside /data; write a relative path"),
        ("a\\b.csv", "contains a backslash"),
        ("C:/a.csv", "is a drive or a URL"),
        ("s3://bucket/a.csv", "is a drive or a URL"),
        ("", "does not name a file"),
        ("folder/", "does not name a file"),
        (".hidden/a.csv", "begins with a dot"),
        ("ä" * 101, "more than 200 bytes"),
        ("a\n.csv", "control character"),
    ],
)
def test_a_path_that_is_not_a_file_below_data_is_rejected(path: str, message: str):
    with pytest.raises(ValueError, match=message):
        data_path(path)


@pytest.mark.parametrize("schedule", ["@hourly", "*/15 * * * *", "0 0 29 2 *", None])
def test_schedules_that_match_a_date_are_accepted(schedule: str | None):
    assert ListDocument.model_validate(document(container("a"), schedule=schedule)).schedule == schedule


@pytest.mark.parametrize("schedule", ["@reboot", "daily", "0 0 31 2 *", "61 * * * *", "0 0 * * * *", "@once", ""])
def test_schedules_that_match_no_date_are_rejected(schedule: str):
    with pytest.raises(ValidationError, match="five cron fields"):
        ListDocument.model_validate(document(container("a"), schedule=schedule))


@pytest.mark.parametrize("source", ["folder/a.csv", "/data/a.csv", ".."])
def test_a_source_is_a_plain_file_name(source: str):
    with pytest.raises(ValidationError, match="sources"):
        ListDocument.model_validate(document(container("a"), sources=[source]))


def test_a_command_line_is_run_by_a_shell():
    [line, words] = ListDocument.model_validate(document(container("a"), container("b", command=["x", "y"]))).containers
    assert (line.command, words.command) == (["sh", "-c", "true"], ["x", "y"])


def test_one_file_stands_for_a_list_of_files():
    [only] = ListDocument.model_validate(document(container("a", input_file=None))).containers
    assert (only.input_file, only.output_file) == ([], ["a.csv"])


def test_the_files_of_record_accounting_are_paths_below_data():
    assert RecordFiles(read="/data/a.csv", accepted="b.csv").read == "a.csv"
    with pytest.raises(ValidationError, match="leaves /data"):
        RecordFiles(read="../a.csv", accepted="b.csv")


@pytest.mark.parametrize("name", ["MY_TOKEN", "SH_CLIENT_SECRET", "_x9"])
def test_a_definition_names_variables_that_its_command_gets(name: str):
    document_of = ListDocument.model_validate(document(container("a", environment=name)))
    assert document_of.containers[0].environment == [name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("AIRFLOW__CORE__FERNET_KEY", "belong to the deployment"),
        ("airflow_conn_x", "belong to the deployment"),
        ("GROUNDTRUTH_DATA_DIR", "belong to the deployment"),
        ("STEP_PARAMS", "belong to the deployment"),
        ("MY-TOKEN", "is not the name of an environment variable"),
        ("A=1", "is not the name of an environment variable"),
        ("", "is not the name of an environment variable"),
    ],
)
def test_variables_of_the_deployment_are_not_passed_on(name: str, message: str):
    with pytest.raises(ValidationError, match=message):
        ListDocument.model_validate(document(container("a", environment=[name])))
