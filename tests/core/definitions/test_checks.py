"""The checks of a definition's graph, and of what each step declares."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from include.core.definitions.checks import graph_faults, step_faults
from include.core.definitions.document import DefinitionError, ParsedFile, read_file
from include.core.definitions.graph import build_nodes
from include.core.definitions.load import load_definition
from include.core.definitions.model import ListDocument
from tests.core.definitions.documents import FILES, REGISTERED, assert_messages, container, document

FAULTS = {
    "no-containers": {"$.containers": "has no containers"},
    "duplicate-ids": {
        "$.containers[1].id": "'measure' is already used by $.containers[0]",
        "$.containers[2].id": "upper and lower case",
    },
    "unusable-ids": {
        "$.containers[0].id": "Airflow task id",
        "$.containers[1].id": "reserved for a task that every pipeline has",
        "$.containers[2].id": "Airflow task id",
    },
    "unknown-dependency": {
        "$.containers[1].depends_on[0]": "'measur'; did you mean 'measure'?",
        "$.containers[1].depends_on[1]": "'split'; the ids are measure, mean",
    },
    "cycle": {
        "$.containers[0]": "measure → mean → join → measure",
        "$.containers[3].depends_on[0]": "depends on itself",
    },
    "no-provider": {
        "$.containers[1].input_file[0]": "did you mean 'readings.csv'?",
        "$.containers[1].input_file[1]": "add 'meters.csv' to $.sources",
        "$.containers[1].input_file[2]": "provide it as a source",
        "$.sources[0]": "no container reads source/unread.csv",
    },
    "two-writers": {
        "$.containers[1].output_file[0]": "a.csv is already written by 'measure'",
        "$.containers[1].output_file[1]": "needs a folder where 'a.csv' is a file",
    },
    "reads-own-output": {"$.containers[0].output_file": "reads its own output a.csv"},
    "leaves-data": {
        "$.containers[0].input_file[0]": "leaves /data through '..'",
        "$.containers[0].input_file[1]": "lies outside /data; write a relative path",
        "$.containers[0].input_file[2]": "backslash",
        "$.containers[0].input_file[3]": "drive or a URL",
        "$.containers[0].input_file[4]": "drive or a URL",
        "$.containers[0].input_file[5]": "does not name a file",
        "$.containers[0].input_file[6]": "does not name a file",
        "$.containers[0].input_file[7]": "name that begins with a dot",
        "$.containers[0].input_file[8]": "lies outside /data",
        "$.containers[0].output_file[1]": "source/ is reserved for the input files of a run",
    },
    "unreachable": {
        "$.containers.measure.next_node[0]": "no container has the id 'nowhere'",
        "$.containers.alone": "cannot be reached from start_node 'measure'",
        "$.service_registry.ghost": "no container has the id 'ghost'",
    },
    "unknown-start": {"$.start_node": "did you mean 'measure'?"},
    "publish-of-nothing": {"$.publish[1]": "no container writes b.csv"},
    "reserved-name": {"$.publish[1]": "the name is reserved for what states whose results are published"},
    "nothing-to-run": {
        "$.containers[0]": "needs a command",
        "$.containers[1]": "declares no output_file",
        "$.containers[2].command": "must not be empty",
        "$.containers[2].image": "not an image name",
    },
    "broken-contract": {
        "$.containers[0].output_file": "energy.csv is not in the contract of the step 'energy-generator'",
        "$.containers[0].records": "has its own record accounting",
        "$.containers[0].environment": "whose contract names what it needs; remove this key",
    },
    "broken-records": {
        "$.containers[1].records.read": "b.csv is not listed in input_file",
        "$.containers[1].records.rejected": "is not a .csv file",
    },
    "broken-checks": {
        "$.containers[0].checks['a.csv'].opaque": "a.csv can be checked as csv; remove opaque",
        "$.containers[0].checks['a.csv'].schema": "is opaque, so nothing in it is checked; remove schema",
        "$.containers[0].checks['/data/b.json']": "b.json already has checks at $.containers[0].checks['b.json']",
        "$.containers[0].checks['c.png'].keys": "c.png is not a table",
        "$.containers[0].checks['d.bin'].ranges": "d.bin is opaque, so nothing in it is checked",
        "$.containers[0].checks['e.csv'].rows.of": "other.csv is not listed in input_file",
        "$.containers[0].checks['f.json'].schema": "schemas/none.json: cannot be read: No such file or directory",
        "$.containers[0].checks['g.json'].schema": "schemas/faulty.json: is not a JSON schema: $.type",
        "$.containers[0].checks['g.json'].unique": "g.json is not a table (CSV, Parquet or JSON Lines)",
        "$.containers[0].checks['z.csv']": "z.csv is not listed in output_file",
        "$.containers[0].checks['z.csv'].rows.of": "source/notes.txt is not a table",
        "$.containers[0].output_file[7]": 'declare that nobody checks it: "checks": {"h": {"opaque": true}}',
    },
    "uncheckable": {
        "$.containers.train.output_file[0]": "model.bin has no format that can be checked; write one of csv, ",
        "$.containers.train.output_file[1]": '"checks": {"scaler": {"opaque": true}}',
        "$.containers['energy-generator'].checks": "are checked by its contract; remove this key",
    },
    "many-faults": {
        "$.workflow_name": "must begin",
        "$.containers[0].timeout_seconds": "at least 1",
        "$.containers[1].output_file": "reads its own output",
        "$.containers[1].depends_on[0]": "'nobody'",
        "$.publish[0]": "z.csv",
    },
}


def parsed(content: dict[str, Any]) -> ParsedFile:
    return ParsedFile(content, ListDocument.model_validate(content))


def test_every_faulty_file_has_its_messages():
    assert {file.stem for file in (FILES / "faulty").glob("*.json")} == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_a_file_is_reported_at_once_with_its_place(name: str):
    assert_messages(FILES / "faulty" / f"{name}.json", FAULTS[name])


@pytest.mark.parametrize("file", sorted((FILES / "valid").glob("*.json")), ids=lambda file: file.stem)
def test_a_valid_file_has_no_faults(file: Path):
    read = read_file(file)
    nodes = build_nodes(read, REGISTERED)
    assert not [*graph_faults(read, nodes), *step_faults(read, nodes, REGISTERED)]


def test_a_cycle_is_reported_with_the_reason_for_each_edge():
    looped = parsed(document(container("a", depends_on=["b"]), container("b", input_file="a.csv")))
    [fault] = graph_faults(looped, build_nodes(looped, {}))
    assert fault.path == "$.containers[0]"
    assert fault.message == (
        "the containers form a cycle: a → b → a (b reads a.csv, which a writes; a depends on b); "
        "remove one of these dependencies"
    )


def faults_of(*containers: dict[str, Any], **fields: Any) -> dict[str, str]:
    content = parsed(document(*containers, **fields))
    nodes = build_nodes(content, REGISTERED)
    faults = [*graph_faults(content, nodes), *step_faults(content, nodes, REGISTERED)]
    return {fault.path: fault.message for fault in faults}


def test_a_container_that_is_not_registered_needs_a_command_or_a_function_and_no_image():
    assert faults_of({"id": "a", "output_file": "a.csv"}) == {
        "$.containers[0]": "'a' is not a registered step, so it needs a command; add 'command', or 'function'"
    }
    assert faults_of({"id": "a", "output_file": "a.csv", "command": "true"}) == {}
    both = faults_of(container("a", function="steps/a.py:write"))
    assert both == {"$.containers[0].function": "'a' has a command and a function; remove one of them"}


def test_what_starts_runs_is_stated_once_and_to_some_effect():
    nightly = {"name": "north", "schedule": "@daily"}
    assert faults_of(container("a"), schedule="@daily", triggers=["x"]).keys() == {"$.triggers"}
    assert faults_of(container("a"), timezone="Europe/Berlin").keys() == {"$.timezone"}
    assert faults_of(container("a"), timezone="Europe/Berlin", schedules=[nightly]) == {}
    assert faults_of(container("a"), schedules=[nightly, nightly]).keys() == {"$.schedules[1].name"}


def test_a_variable_has_one_source_and_a_registered_step_gets_none():
    twice = faults_of(container("a", environment="TOKEN", secrets={"TOKEN": "crm.password"}))
    assert twice == {"$.containers[0].secrets.TOKEN": "TOKEN is also in environment; keep one of them"}
    own = faults_of({"id": "energy-generator", "secrets": {"TOKEN": "crm.password"}, "network": "crm"})
    assert own.keys() == {"$.containers[0].secrets", "$.containers[0].network"}


def test_a_declared_parameter_reaches_a_command_and_is_none_of_a_registered_step_s():
    count = {"count": {"type": "integer", "default": 1}}
    assert faults_of(container("a"), params=count) == {}
    assert faults_of({"id": "energy-generator"}, params=count).keys() == {"$.params"}


def test_a_registered_step_needs_neither_image_nor_files():
    bare = parsed(document({"id": "energy-generator"}))
    assert not list(step_faults(bare, build_nodes(bare, REGISTERED), REGISTERED))


@pytest.mark.parametrize("names", [("a.csv", "A.csv"), ("caf\u00e9.csv", "cafe\u0301.csv")])
def test_two_outputs_that_some_file_systems_take_for_one_are_refused(tmp_path, names):
    path = tmp_path / "twins.json"
    containers = [{"id": name, "image": "a:1", "output_file": file} for name, file in zip("xy", names, strict=True)]
    path.write_text(json.dumps({"workflow_name": "twins", "containers": containers}))
    with pytest.raises(DefinitionError, match="may be the same file as"):
        load_definition(path, {})


SERVICES = {"analyzer": {"url": "http://127.0.0.1:8102"}}
PLAIN = {"id": "a", "output_file": "a.csv"}


@pytest.mark.parametrize(
    ("step", "services", "faults"),
    [
        (
            {"service": "analyser"},
            SERVICES,
            {
                "$.containers[0].service": "did you mean 'analyzer'?",
                "$.services.analyzer": "no container names the service 'analyzer'",
            },
        ),
        (
            {"service": "other"},
            {},
            {"$.containers[0].service": "no service has the name 'other'; declare it in $.services"},
        ),
        (
            {"image": "a:1", "command": ["a"]},
            SERVICES,
            {"$.services.analyzer": "no container names the service 'analyzer'"},
        ),
        (
            {"service": "analyzer", "image": "a:1", "environment": ["A"]},
            SERVICES,
            {
                "$.containers[0].image": "is done by the service 'analyzer'",
                "$.containers[0].environment": "a service has its own; remove this key",
            },
        ),
        (
            {"image": "a:1", "command": ["a"], "priority": 7, "parameters": {"a": 1}},
            {},
            {
                "$.containers[0].priority": "whose work no service does",
                "$.containers[0].parameters": "whose work no service does",
            },
        ),
        (
            {"id": "energy-generator", "output_file": [], "service": "analyzer", "parameters": {"a": 1}},
            SERVICES,
            {"$.containers[0].parameters": "are those of the run"},
        ),
        (
            {"service": "analyzer"},
            {"analyzer": {"url": "ftp://a", "port": 1}},
            {
                "$.services.analyzer.url": "http://host:port",
                "$.services.analyzer.port": "use one of url, connection, protocol, slots",
            },
        ),
    ],
)
def test_services_that_do_not_fit_are_faults(tmp_path, step, services, faults):
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps({"workflow_name": "w", "services": services, "containers": [PLAIN | step]}))
    assert_messages(file, faults)


THEIRS = {
    "workflow_name": "w",
    "start_node": "a",
    "execution_mode": "grpc",
    "service_registry": {"a": "a:1", "b": "b:2"},
    "containers": {
        "a": {"output_file": "a.csv", "next_node": "b"},
        "b": {"input_file": "a.csv", "output_file": "b.csv", "next_node": None},
    },
}


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"service_registry": {"a": "a:1"}}, {"$.service_registry": "'b' has no service here; add \"b\""}),
        (
            {"service_registry": {"a": "a:1", "b": "b:2", "bb": "b:2"}},
            {"$.service_registry.bb": "no container has the id 'bb'; did you mean 'b'?"},
        ),
        ({"service_registry": {"a": "a:1", "b": "b"}}, {"$.service_registry.b": "write it as host:port"}),
        (
            {"service_registry": {"a": "a:1", "b": {"image": "b:1", "command": "true"}}},
            {
                "$.service_registry.b": "needs the address of its service",
                "$.service_registry.b.image": "a service does the work of 'b'; remove this key",
                "$.service_registry.b.command": "a service does the work of 'b'; remove this key",
            },
        ),
        ({"containers.b.next_node": "a"}, {"$.containers.a": "the containers form a cycle: a → b → a"}),
        (
            {"containers.c": {"output_file": "c.csv"}, "service_registry.c": "c:3"},
            {"$.containers.c": "cannot be reached from start_node 'a'"},
        ),
        ({"containers.b.timeout_seconds": 0}, {"$.containers.b.timeout_seconds": "must be at least 1"}),
        ({"containers.b.output_file": None}, {"$.containers.b": "declares no output_file"}),
        ({"containers.b.priority": 3}, {"$.containers.b.priority": "has no queue with priorities"}),
        (
            {"containers.b.service": "b"},
            {"$.containers.b.service": "the service of 'b' is the one of service_registry"},
        ),
        ({"containers.b.environment": {"A": "1"}}, {"$.containers.b.environment": "a service has its own"}),
        (
            {"execution_mode": "parallel", "service_registry": {"a": {"address": "a:1"}, "b": {"connection": "b"}}},
            {
                "$.service_registry.a": "needs a command",
                "$.service_registry.b": "needs a command",
                "$.service_registry.a.address": 'does nothing unless execution_mode is "grpc"',
                "$.service_registry.b.connection": 'does nothing unless execution_mode is "grpc"',
            },
        ),
    ],
)
def test_what_execution_mode_grpc_needs_is_named_with_file_and_key(tmp_path, changes, faults):
    content = json.loads(json.dumps(THEIRS))
    for key, value in changes.items():
        *path, last = key.split(".")
        place = content
        for part in path:
            place = place[part]
        place[last] = value
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(content))
    assert_messages(file, faults)
    with pytest.raises(DefinitionError, match=re.escape(str(file))):
        load_definition(file, {})


def test_a_registered_step_that_a_path_is_passed_for_names_its_output(tmp_path):
    containers = {"energy-generator": {"next_node": None}}
    content = {"start_node": "energy-generator", "service_registry": {"energy-generator": "a:1"}}
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(THEIRS | content | {"containers": containers}))
    assert_messages(file, {"$.containers['energy-generator']": "is given the path of an output"})


def test_a_list_has_no_registry_so_it_has_no_mode_grpc(tmp_path):
    (tmp_path / "w.json").write_text(
        json.dumps({"workflow_name": "w", "execution_mode": "grpc", "containers": [PLAIN]})
    )
    with pytest.raises(DefinitionError, match="must be 'parallel' or 'sequential'"):
        load_definition(tmp_path / "w.json", {})
