"""Reading a definition file: faults of the JSON text and of the format."""

import json
from pathlib import Path

import pytest

from include.core.definitions.document import DefinitionError, Fault, json_path, read_file, suggestion
from include.core.definitions.model import LinkedDocument, ListDocument
from tests.core.definitions.documents import FILES, assert_messages, container, document

FAULTS = {
    "malformed": {"$": "line 4, column 22"},
    "not-an-object": {"$": "must be a JSON object, not a list"},
    "duplicate-key": {"$.containers[0].command": "more than once"},
    "wrong-types": {
        "$.workflow_name": "must be a string, not 7",
        "$.publish": "must be a list, not 'a.csv'",
        "$.containers[0].depends_on": "must be a list, not 'split'",
        "$.containers[0].timeout_seconds": "must be a whole number, not '60'",
        "$.containers[0].cpus": "must be a number, not true",
        "$.containers[0].memory_mb": "must be a whole number, not 256.0",
        "$.containers[1]": "must be an object, not 'split'",
    },
    "unknown-keys": {
        "$.schedul": "did you mean 'schedule'?",
        "$.owner": "use one of $schema, workflow_name",
        "$.containers[0].dependson": "did you mean 'depends_on'?",
    },
    "missing-keys": {"$.workflow_name": "is missing", "$.containers[0].id": "is missing"},
    "nul": {"$.containers[0].output_file": "control character", "$.containers[1].command[1]": "unpaired surrogate"},
    "impossible-limits": {
        "$.containers[0].timeout_seconds": "at least 1, not 0",
        "$.containers[0].memory_mb": "at least 64, not 63",
        "$.containers[0].cpus": "at least 0.01, not 0",
        "$.containers[1].timeout_seconds": "at most 604800",
        "$.containers[1].memory_mb": "a whole number, not true",
        "$.containers[1].cpus": "at most 64, not 65",
        "$.containers[2].timeout_seconds": "a whole number, not inf",
        "$.containers[2].cpus": "a finite number, not nan",
        "$.containers[3].cpus": "at least 0.01, not -1",
    },
    "wrong-checks": {
        "$.containers[0].checks['a.csv'].schema": "must be a file in a folder below that of the definition",
        "$.containers[0].checks['a.csv'].keys": "must be a list, not 'n'",
        "$.containers[0].checks['a.csv'].unique": "names a column more than once",
        "$.containers[0].checks['a.csv'].ranges.a": "has no bound; add min, max, or both",
        "$.containers[0].checks['a.csv'].ranges.b": "no number lies between min 2 and max 1",
        "$.containers[0].checks['a.csv'].ranges.c.min": "must be a number, not '0'",
        "$.containers[0].checks['a.csv'].ranges.d.min": "must be a finite number, not nan",
        "$.containers[0].checks['a.csv'].ranges.e.mim": "did you mean 'min'?",
        "$.containers[0].checks['a.csv'].ranges['']": "must be a string that is not empty",
        "$.containers[0].checks['a.csv'].rows.relation": "must be 'same', 'fewer' or 'per-key', not 'more'",
        "$.containers[0].checks['a.csv'].rows.key": "must be a list that is not empty, not an empty list",
        "$.containers[0].checks['a.csv'].rows.by": "use one of of, relation, key",
        "$.containers[0].checks['a.csv'].max_bytes": "must be at least 1, not 0",
        "$.containers[0].checks['a.csv'].opaque": "must be true or false, not 'yes'",
        "$.containers[0].checks['a.csv'].uniqe": "did you mean 'unique'?",
        "$.containers[0].checks['../b.csv']": "leaves /data through '..'",
        "$.containers[1].checks['b.csv'].schema": "must be a file in a folder below that of the definition",
        "$.containers[1].checks['b.csv'].keys[0]": "must be a string that is not empty",
        "$.containers[1].checks['b.csv'].rows.of": "lies outside /data",
        "$.containers[1].checks['b.csv'].rows.relation": "is missing",
        "$.containers[1].checks['b.csv'].rows.key": "is missing",
    },
    "bad-name": {"$.workflow_name": "becomes the DAG's id"},
    "bad-mode-and-schedule": {
        "$.schedule": "matches no date",
        "$.execution_mode": "must be 'parallel' or 'sequential', not 'turbo'",
    },
}


def test_every_invalid_file_has_its_messages():
    assert {file.stem for file in (FILES / "invalid").glob("*.json")} == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_a_file_is_reported_at_once_with_its_place(name: str):
    assert_messages(FILES / "invalid" / f"{name}.json", FAULTS[name])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe{}", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not usable JSON"),
        (b"null", "must be a JSON object, not null"),
    ],
)
def test_a_file_that_is_not_a_json_object_is_rejected_in_words(tmp_path: Path, content: bytes, message: str):
    file = tmp_path / "pipeline.json"
    file.write_bytes(content)
    with pytest.raises(DefinitionError) as error:
        read_file(file)
    [fault] = error.value.faults
    assert fault.path == "$"
    assert message in fault.message


def test_a_missing_file_is_an_error_in_words(tmp_path: Path):
    with pytest.raises(DefinitionError, match="No such file"):
        read_file(tmp_path / "none.json")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_ignored(tmp_path: Path, encoding: str):
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps(document(container("a"))), encoding=encoding)
    parsed = read_file(file)
    assert parsed.document.workflow_name == "test-pipeline"
    assert not parsed.faults


def test_the_format_follows_from_the_document():
    assert isinstance(read_file(FILES / "valid/list.json").document, ListDocument)
    assert isinstance(read_file(FILES / "valid/linked.json").document, LinkedDocument)


def test_what_is_valid_is_kept_beside_the_faults(tmp_path: Path):
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps(document(container("a", cpus=0), "b", publish="a.csv")))
    parsed = read_file(file)
    assert isinstance(parsed.document, ListDocument)
    assert [each.id for each in parsed.document.containers] == ["a", "unnamed-container-1"]
    assert parsed.removed == {("containers", 0, "cpus"), ("containers", 1), ("publish",)}
    assert not parsed.is_complete("id", "cpus")
    assert parsed.is_complete("id", "image")


def test_a_path_ends_where_one_string_stands_for_a_list(tmp_path: Path):
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps(document(container("a", input_file=["b.csv"]))))
    parsed = read_file(file)
    assert parsed.path("containers", 0, "output_file", 0) == "$.containers[0].output_file"
    assert parsed.path("containers", 0, "input_file", 0) == "$.containers[0].input_file[0]"


def test_a_key_that_is_not_a_name_is_quoted_in_a_path():
    assert json_path({"a b": [1]}, ("a b", 0)) == "$['a b'][0]"
    assert json_path({}, ()) == "$"


def test_an_error_names_the_file_and_every_fault_on_its_own_line(tmp_path: Path):
    error = DefinitionError(tmp_path, [Fault("$.a", "is missing; add it"), Fault("$", "\ud800")])
    assert str(error).splitlines() == [
        f"{tmp_path}: 2 faults in this pipeline definition",
        "  $.a: is missing; add it",
        "  $: \\ud800",
    ]
    assert "1 fault in" in str(DefinitionError(tmp_path, error.faults[:1]))


def test_an_unknown_name_is_answered_with_the_closest_one_or_another_remedy():
    assert suggestion("mesure", ["analyze", "measure"], "add it") == "did you mean 'measure'?"
    assert suggestion("zzz", ["analyze", "measure"], "add it") == "add it"
