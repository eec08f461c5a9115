"""What a definition declares of an output holds for every record, whatever the format of the tables."""

import gzip
import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core import rules
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.rules import OutputRules, Range, RowRelation, check_declared, schema_validator

ROWS = [{"meter": meter, "hour": hour, "kwh": 1.5 + hour} for meter in "ab" for hour in range(3)]
TABLES = ["csv", "csv.gz", "parquet", "jsonl", "jsonl.gz"]


def write(files: Path, name: str, rows: list[dict[str, object]]) -> None:
    """Write a table of rows that all have the same keys."""
    path = files / name
    lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
    if ".jsonl" in name:
        lines = [json.dumps(row) for row in rows]
    content = "".join(f"{line}\n" for line in lines).encode()
    if name.endswith(".parquet"):
        path.with_suffix(".made").write_text("\n".join(json.dumps(row) for row in rows))
        duckdb.execute(f"COPY (FROM read_json('{path.with_suffix('.made')}')) TO '{path}' (FORMAT parquet)")
    else:
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)


def broken(files: Path, name: str, rules: OutputRules) -> str | None:
    """Return how a file breaks its rules, or None."""
    try:
        check_declared(files, Artifact(name, rules=rules))
    except ContractError as error:
        return str(error)
    return None


CHANGES = {
    "as it should be": ROWS,
    "one row ninety times": ROWS[:1] * 90,
    "a row twice": [*ROWS, ROWS[2]],
    "a row for another, counts right": [*ROWS[:5], ROWS[0]],
    "a row lost": ROWS[:5],
    "a row invented": [*ROWS, {"meter": "c", "hour": 0, "kwh": 1}],
    "an empty key": [*ROWS[:5], ROWS[5] | {"hour": None}],
    "an empty value": [*ROWS[:5], ROWS[5] | {"kwh": None}],
    "a value too large": [*ROWS[:5], ROWS[5] | {"kwh": 1e9}],
}
RULES: dict[str, tuple[OutputRules, dict[str, str]]] = {
    "unique": (
        OutputRules(unique=("meter", "hour")),
        {
            "one row ninety times": "must hold each (meter, hour) once; found 90 records of meter='a', hour='0'",
            "a row twice": "must hold each (meter, hour) once; found 2 records of meter='a', hour='2'",
            "a row for another, counts right": "must hold each (meter, hour) once; found 2 records of meter='a'",
            "an empty key": "column hour must hold a value, for the definition requires it; found None in record 6",
        },
    ),
    "ranges": (
        OutputRules(ranges=(Range("kwh", 0, 100),)),
        {
            "an empty value": "column kwh must hold a number >= 0 <= 100; found None in record 6",
            "a value too large": "column kwh must hold a number >= 0 <= 100; found '1000000000.0' in record 6",
        },
    ),
    "same": (
        OutputRules(rows=RowRelation("in.csv", "same", ("meter", "hour"))),
        {
            "one row ninety times": "must hold as many records of each (meter, hour) as in.csv",
            "a row twice": "found 2 of meter='a', hour='2', where in.csv has 1",
            "a row for another, counts right": "must hold as many records of each (meter, hour) as in.csv",
            "a row lost": "found 0 of meter='b', hour='2', where in.csv has 1",
            "a row invented": "found 1 of meter='c', hour='0', where in.csv has 0",
            "an empty key": "must hold as many records of each (meter, hour) as in.csv",
        },
    ),
    "fewer": (
        OutputRules(rows=RowRelation("in.csv", "fewer", ("meter", "hour"))),
        {
            "one row ninety times": "must hold no more records of any (meter, hour) than in.csv; found 90 of meter='a'",
            "a row twice": "found 2 of meter='a', hour='2', where in.csv has 1",
            "a row for another, counts right": "found 2 of meter='a', hour='0', where in.csv has 1",
            "a row invented": "found 1 of meter='c', hour='0', where in.csv has 0",
            "an empty key": "found 1 of meter='b', hour='None', where in.csv has 0",
        },
    ),
}


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("rule", RULES)
def test_a_lie_about_records_is_refused_where_a_rule_is_declared(tmp_path, rule, change, form):
    rules, messages = RULES[rule]
    write(tmp_path, "in.csv", ROWS)
    write(tmp_path, f"out.{form}", CHANGES[change])
    found = broken(tmp_path, f"out.{form}", rules)
    assert (found is None) == (change not in messages)
    if found is not None:
        assert found.startswith(f"out.{form}: ")
        assert messages[change] in found


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("source", TABLES)
def test_tables_of_different_formats_are_compared_by_value(tmp_path, source, form):
    write(tmp_path, f"in.{source}", ROWS)
    write(tmp_path, f"out.{form}", ROWS)
    assert (
        broken(tmp_path, f"out.{form}", OutputRules(rows=RowRelation(f"in.{source}", "same", ("meter", "hour"))))
        is None
    )


@pytest.mark.parametrize(
    ("meters", "message"),
    [
        (["a", "b"], None),
        (["a"], "must hold one record of each meter in in.csv, and no other; found 0 of meter='b', where in.csv has 3"),
        (["a", "b", "b"], "found 2 of meter='b', where in.csv has 3"),
        (["a", "b", "c"], "found 1 of meter='c', where in.csv has 0"),
    ],
    ids=["each once", "one is missing", "one twice", "one invented"],
)
def test_a_statistic_has_one_record_for_each_key(tmp_path, meters, message):
    write(tmp_path, "in.csv", ROWS)
    write(tmp_path, "out.csv", [{"meter": meter, "mean": 2.5} for meter in meters])
    found = broken(tmp_path, "out.csv", OutputRules(rows=RowRelation("in.csv", "per-key", ("meter",))))
    assert found == message or message in found


@pytest.mark.parametrize(
    ("meter", "day", "same"),
    [
        ("1", "2026-11-20", True),
        ("1.0", "2026-11-20", True),
        ("1.4", "2026-11-20", False),
        ("0x1", "2026-11-20", False),
        ("1", "2026-11-20 23:59:59", False),
        ("1", "20.11.2026", False),
    ],
)
def test_a_text_is_the_key_of_a_typed_record_only_where_nothing_is_lost(tmp_path, meter, day, same):
    duckdb.execute(f"COPY (SELECT 1::BIGINT AS meter, DATE '2026-11-20' AS day) TO '{tmp_path}/in.parquet'")
    write(tmp_path, "out.csv", [{"meter": meter, "day": day}])
    rows = RowRelation("in.parquet", "same", ("meter", "day"))
    assert (broken(tmp_path, "out.csv", OutputRules(rows=rows)) is None) == same


@given(read=st.lists(st.sampled_from("abc"), min_size=1), written=st.lists(st.sampled_from("abcd"), min_size=1))
@settings(max_examples=40, deadline=None)
def test_relations_are_those_of_multisets(tmp_path_factory, read, written):
    files = tmp_path_factory.mktemp("rows")
    write(files, "in.csv", [{"k": key} for key in read])
    write(files, "out.csv", [{"k": key} for key in written])
    keys = set(read) | set(written)
    expected = {
        "same": all(written.count(key) == read.count(key) for key in keys),
        "fewer": all(written.count(key) <= read.count(key) for key in keys),
        "per-key": all(written.count(key) == (key in read) for key in keys),
    }
    for relation, holds in expected.items():
        assert (broken(files, "out.csv", OutputRules(rows=RowRelation("in.csv", relation, ("k",)))) is None) == holds


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_missing_column_is_named(tmp_path, form):
    write(tmp_path, f"out.{form}", ROWS)
    message = f"out.{form}: must have the columns hour, day; found no day in meter, hour, kwh"
    assert broken(tmp_path, f"out.{form}", OutputRules(keys=("hour", "day"))) == message
    assert broken(tmp_path, f"out.{form}", OutputRules(keys=("hour",))) is None


@pytest.mark.parametrize("line", ['{"meter": "a"}', '{"meter": "a", "hour": null}', "[1]", "7"])
def test_each_record_of_json_lines_has_the_keys(tmp_path, line):
    (tmp_path / "out.jsonl").write_text(f'{{"meter": "a", "hour": 1}}\n{line}\n')
    found = broken(tmp_path, "out.jsonl", OutputRules(keys=("hour",)))
    assert found == "out.jsonl: column hour must hold a value, for the definition requires it; found None in record 2"


@pytest.mark.parametrize("column", ["a/b", "a~1b", "a b", "ä", '"', "'", "read", "k0", "count", "$.x", "json"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_column_may_have_any_name(tmp_path, column, form):
    for name, rows in {"in.jsonl": [1, 2], f"out.{form}": [1, 1]}.items():
        if name.endswith(".csv"):
            quoted = column.replace('"', '""')
            (tmp_path / name).write_text("".join(f"{line}\n" for line in (f'"{quoted}"', *rows)))
        else:
            write(tmp_path, name, [{column: value} for value in rows])
    assert "2 records" in broken(tmp_path, f"out.{form}", OutputRules(unique=(column,)))
    rows = RowRelation("in.jsonl", "fewer", (column,))
    assert "found 2 of" in broken(tmp_path, f"out.{form}", OutputRules(rows=rows))
    assert broken(tmp_path, f"out.{form}", OutputRules(ranges=(Range(column, 1, 1),))) is None


@pytest.mark.parametrize(
    ("bounds", "value", "holds"),
    [
        (Range("n", 0, 1), "0", True),
        (Range("n", 0, 1), "1", True),
        (Range("n", min=0), "1e300", True),
        (Range("n", max=0), "-1e300", True),
        (Range("n", min=0), "-0.1", False),
        (Range("n", max=0), "0.1", False),
        (Range("n", min=0), "inf", False),
        (Range("n", min=0), "nan", False),
        (Range("n", min=0), "much", False),
        (Range("n", min=1e-300), "1e-301", False),
    ],
)
def test_a_range_holds_finite_numbers_alone(tmp_path, bounds, value, holds):
    (tmp_path / "out.csv").write_text(f"n\n{value}\n")
    assert (broken(tmp_path, "out.csv", OutputRules(ranges=(bounds,))) is None) == holds


def test_without_rules_and_without_an_optional_file_nothing_is_checked(tmp_path):
    check_declared(tmp_path, Artifact("absent.csv"))
    check_declared(tmp_path, Artifact("absent.csv", optional=True, rules=OutputRules(keys=("n",))))


def test_an_input_that_is_no_table_is_named(tmp_path):
    write(tmp_path, "out.csv", ROWS)
    (tmp_path / "in.csv").write_text("meter,hour\na\n")
    found = broken(tmp_path, "out.csv", OutputRules(rows=RowRelation("in.csv", "same", ("meter", "hour"))))
    assert "in.csv: must open as CSV" in found


def test_many_keys_are_grouped_part_by_part(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "GROUPED_RECORDS", 10)
    numbers = list(range(100))
    write(tmp_path, "in.csv", [{"n": number} for number in numbers])
    write(tmp_path, "out.csv", [{"n": number} for number in [*numbers, 57]])
    declared = OutputRules(rows=RowRelation("in.csv", "same", ("n",)))
    assert "found 2 of n='57', where in.csv has 1" in broken(tmp_path, "out.csv", declared)
    assert "found 2 records of n='57'" in broken(tmp_path, "out.csv", OutputRules(unique=("n",)))
    assert broken(tmp_path, "in.csv", declared) is None


# ── JSON schemas ─────────────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = json.dumps(
    {
        "type": "object",
        "required": ["meter"],
        "properties": {"meter": {"$ref": "#/$defs/name"}, "kwh": {"type": "number", "minimum": 0}},
        "$defs": {"name": {"type": "string", "minLength": 1}},
    }
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"meter": "a", "kwh": 1}', None),
        ('{"meter": "a", "kwh": -1}', "$.kwh: -1 is less than the minimum of 0; found -1"),
        ('{"meter": ""}', "$.meter: '' should be non-empty"),
        ("{}", "$: 'meter' is a required property"),
    ],
)
@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.json.gz", "out.jsonl.gz"])
def test_a_document_keeps_to_its_declared_schema(tmp_path, name, content, message):
    lines = f'{{"meter": "a"}}\n{content}\n' if "jsonl" in name else content
    (tmp_path / name).write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
    found = broken(tmp_path, name, OutputRules(schema=SCHEMA))
    assert found == message or f"{name}: must keep to its declared schema: {message}" in found
    assert found is None or found.endswith(" in record 2") == ("jsonl" in name)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "Expecting property name"),
        ('{"type": "objekt"}', r"is not a JSON schema: \$.type"),
        ('{"pattern": "("}', r"is not a JSON schema: \$.pattern"),
        ("[]", "is not a JSON schema"),
        ('{"$ref": "https://example.org/a.json"}', "refers to https://example.org/a.json"),
        ('{"properties": {"a": {"$ref": "other.json"}}}', "refers to other.json"),
        ('{"properties": {"a": {"$ref": "#/$defs/none"}}}', r"refers to #/\$defs/none, which it does not have"),
        ('{"type": "object", "type": "array"}', "the key 'type' appears more than once"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_before_any_run(schema, message):
    with pytest.raises(ValueError, match=message):
        schema_validator(schema)


def test_a_schema_may_name_its_draft():
    exclusive = '{"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 0, "exclusiveMinimum": true}'
    assert not schema_validator(exclusive).is_valid(0)
    with pytest.raises(ValueError, match="is not a JSON schema"):
        schema_validator('{"exclusiveMinimum": true}')


def test_a_schema_that_refers_to_itself_without_end_fails_in_words(tmp_path):
    (tmp_path / "out.json").write_text('{"a": 1}')
    schema = '{"properties": {"a": {"$ref": "#/properties/a"}}}'
    assert "does not refer to itself without end" in broken(tmp_path, "out.json", OutputRules(schema=schema))


PATTERNS = {"type": "object", "properties": {"id": {"type": "string", "pattern": "^(a+)+$"}}}


def test_a_pattern_is_one_however_its_key_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "PATTERN_SECONDS", 3)
    (tmp_path / "out.json").write_text(json.dumps({"id": "a" * 40 + "!"}))
    escaped = json.dumps(PATTERNS).replace('"pattern"', '"p\\u0061ttern"')
    assert "in 3 s; found no end" in broken(tmp_path, "out.json", OutputRules(schema=escaped))


@pytest.mark.parametrize(("text", "message"), [("aaa", None), ("b", "'b' does not match")])
def test_a_pattern_is_checked(tmp_path, text, message):
    (tmp_path / "out.json").write_text(json.dumps({"id": text}))
    found = broken(tmp_path, "out.json", OutputRules(schema=json.dumps(PATTERNS)))
    assert found == message or message in found


def test_a_pattern_that_never_ends_is_no_check_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "PATTERN_SECONDS", 3)
    (tmp_path / "out.json").write_text(json.dumps({"id": "a" * 40 + "!"}))
    found = broken(tmp_path, "out.json", OutputRules(schema=json.dumps(PATTERNS)))
    assert found == "out.json: must be checked against the patterns of its declared schema in 3 s; found no end"
