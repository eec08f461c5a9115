"""The model of a definition, and the values that its documents accept."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from include.core.definitions.model import (
    Definition,
    ListDocument,
    ParamSpec,
    RecordFiles,
    StepSpec,
    data_path,
    function_command,
)
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
    assert document_of.containers[0].environment == {name: None}


def test_a_variable_has_the_value_that_its_definition_states():
    stated = ListDocument.model_validate(document(container("a", environment={"MODE": "fast", "TOKEN": None})))
    assert stated.containers[0].environment == {"MODE": "fast", "TOKEN": None}
    with pytest.raises(ValidationError, match="names of variables, or an object"):
        ListDocument.model_validate(document(container("a", environment=[["A"]])))


@pytest.mark.parametrize("place", ["crm.password", "my.crm.login", "crm.extra.api-key"])
def test_a_secret_is_a_field_of_a_connection(place: str):
    assert ListDocument.model_validate(document(container("a", secrets={"TOKEN": place})))


@pytest.mark.parametrize("place", ["hunter2", "crm.", "crm.uri", "crm.extra", "crm.extra.", ".password"])
def test_a_secret_itself_is_not_written_into_a_definition(place: str):
    with pytest.raises(ValidationError, match="must name a field of an Airflow connection"):
        ListDocument.model_validate(document(container("a", secrets={"TOKEN": place})))


@pytest.mark.parametrize("network", ["host", "bridge", "none", "default", "container:db", "a b"])
def test_no_container_joins_a_network_of_the_engine_or_of_another_container(network: str):
    with pytest.raises(ValidationError, match="network"):
        ListDocument.model_validate(document(container("a", network=network)))


@pytest.mark.parametrize("zone", ["Berlin", "UTC+2", "localtime", "../etc/passwd", ""])
def test_a_time_zone_is_one_of_the_iana_database(zone: str):
    with pytest.raises(ValidationError, match="is not an IANA time zone"):
        ListDocument.model_validate(document(container("a"), schedule="@daily", timezone=zone))


def param(**fields: Any) -> ParamSpec:
    return ParamSpec.model_validate({"type": "integer", "default": 3} | fields)


def test_a_parameter_has_the_type_the_bounds_and_the_choices_that_its_definition_declares():
    bounded = TypeAdapter(param(minimum=1, maximum=9).annotation)
    assert bounded.validate_python(9) == 9
    with pytest.raises(ValidationError):
        bounded.validate_python(10)
    choice = TypeAdapter(param(type="string", default=None, enum=["a", "b"]).annotation)
    assert (choice.validate_python("b"), choice.validate_python(None)) == ("b", None)
    with pytest.raises(ValidationError):
        choice.validate_python("c")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"default": "3"}, "its default '3' is not a possible value"),
        ({"default": 0, "minimum": 1}, "its default 0 is not a possible value"),
        ({"default": [1]}, "must be a string, a number, true, false or null"),
        ({"minimum": 5, "maximum": 1}, "no number lies between 5 and 1"),
        ({"type": "boolean", "default": True, "minimum": 0}, "a boolean has no minimum"),
        ({"enum": ["a"]}, "enum lists strings"),
    ],
)
def test_a_parameter_that_no_run_could_have_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        param(**fields)


@pytest.mark.parametrize("name", ["start", "files", "class", "Upper", "a-b", "1a"])
def test_a_parameter_is_named_as_python_names_are_and_not_as_those_of_every_run(name: str):
    with pytest.raises(ValidationError, match="params"):
        ListDocument.model_validate(document(container("a"), params={name: {"type": "integer", "default": 1}}))


def test_a_function_is_called_as_a_program_with_the_folder_and_the_parameters(tmp_path, monkeypatch):
    source = "def count(files, params):\n    (files / 'n.txt').write_text(str(params['n'] + 1))\n"
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STEP_PARAMS", '{"n": 41}')
    subprocess.run(function_command(sys.executable, "steps/count.py:count", source), check=True)
    assert (tmp_path / "n.txt").read_text() == "42"


@pytest.mark.parametrize(
    ("name", "variant", "expected"),
    [
        ("energy-pipeline", "", ("energy_pipeline", "energy")),
        ("energy-pipeline-north", "north", ("energy_pipeline_north", "energy_north")),
        ("field-monitoring-north", "north", ("field_monitoring_north", "field_monitoring_north")),
    ],
)
def test_a_schedule_of_a_name_makes_a_pipeline_of_its_own(name, variant, expected):
    definition = replace(DEFINITION, workflow_name=name, variant=variant)
    assert (definition.dag_id, definition.pipeline) == expected


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
