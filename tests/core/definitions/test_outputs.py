"""What a definition declares of single outputs becomes artifacts; the schemas that it names are read with it."""

import json
from pathlib import Path

import pytest

from include.core.contracts import Artifact
from include.core.definitions.document import ParsedFile
from include.core.definitions.graph import build_nodes
from include.core.definitions.model import ListDocument
from include.core.definitions.outputs import MAX_SCHEMA_BYTES, declared_outputs, read_schemas
from include.core.rules import OutputRules, Range, RowRelation
from tests.core.definitions.documents import container, document


def parsed(checks: dict[str, object], **fields: object) -> ParsedFile:
    content = document(container("a", input_file="source/in.csv", checks=checks, **fields), sources=["in.csv"])
    return ParsedFile(content, ListDocument.model_validate(content))


@pytest.mark.parametrize(
    ("checks", "artifact"),
    [
        ({}, Artifact("a.csv")),
        ({"max_bytes": 5}, Artifact("a.csv", max_bytes=5)),
        ({"opaque": True}, Artifact("a.csv", opaque=True)),
        ({"keys": ["n"]}, Artifact("a.csv", rules=OutputRules(keys=("n",)))),
        ({"unique": ["n", "m"]}, Artifact("a.csv", rules=OutputRules(unique=("n", "m")))),
        ({"ranges": {"n": {"max": 1}}}, Artifact("a.csv", rules=OutputRules(ranges=(Range("n", None, 1),)))),
        (
            {"rows": {"of": "/data/source/in.csv", "relation": "same", "key": ["n"]}},
            Artifact("a.csv", rules=OutputRules(rows=RowRelation("source/in.csv", "same", ("n",)))),
        ),
        ({"schema": "schemas/a.json"}, Artifact("a.csv", rules=OutputRules(schema="{}"))),
    ],
    ids=lambda value: next(iter(value), "nothing") if isinstance(value, dict) else "",
)
def test_each_setting_changes_the_artifact(checks, artifact):
    [node] = build_nodes(parsed({"/data/a.csv": checks}), {})
    assert declared_outputs(node.declared, {"schemas/a.json": "{}"}) == (artifact,)


def faults(tmp_path: Path, content: bytes | None) -> list[tuple[str, str]]:
    if content is not None:
        (tmp_path / "schemas").mkdir()
        (tmp_path / "schemas/a.json").write_bytes(content)
    file = parsed({"/data/a.json": {"schema": "schemas/a.json"}}, output_file="a.json")
    schemas, found = read_schemas(tmp_path, file, build_nodes(file, {}))
    assert schemas == ({} if found else {"schemas/a.json": content.decode()})
    return [(fault.path, fault.message) for fault in found]


def test_a_schema_is_read_from_below_the_folder_of_the_definition(tmp_path):
    assert not faults(tmp_path, b'{"type": "object"}')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory; put the schema there"),
        (b"\xff", "is not UTF-8 at byte 0; save it as UTF-8"),
        (b"{", "Expecting property name"),
        (b'{"type": "objekt"}', "is not a JSON schema: $.type"),
        (json.dumps({"description": "x" * MAX_SCHEMA_BYTES}).encode(), "has more than 1,048,576 bytes"),
    ],
    ids=["missing", "not UTF-8", "not JSON", "no schema", "huge"],
)
def test_a_schema_that_cannot_be_used_is_a_fault_of_the_definition(tmp_path, content, message):
    [(path, found)] = faults(tmp_path, content)
    assert path == "$.containers[0].checks['/data/a.json'].schema"
    assert found.startswith("schemas/a.json: ")
    assert message in found
