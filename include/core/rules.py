"""Check what a definition states of an output beyond its format: columns, unique keys, ranges, rows, a JSON schema.

A step of our own is checked by recomputing what it did. Of a foreign step only its definition can state what its
records must fulfil; these rules are checked over all records, streaming, so that memory stays bounded.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Literal

from include.core import strict_json
from include.core.errors import ContractError
from include.core.tables import (
    CHECK_MEMORY,
    Rule,
    Table,
    check_rules,
    file_argument,
    identifier,
    literal,
    number_sql,
    open_table,
    readable,
    table_format,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from jsonschema.protocols import Validator  # type: ignore[import-untyped]

    from include.core.contracts import Artifact

Relation = Literal["same", "fewer", "per-key"]
_BROKEN: dict[Relation, str] = {
    "same": "written <> read",
    "fewer": "written > read",
    "per-key": "written <> least(read, 1)",
}
_WORDS: dict[Relation, str] = {
    "same": "must hold as many records of each {key} as {of}",
    "fewer": "must hold no more records of any {key} than {of}",
    "per-key": "must hold one record of each {key} in {of}, and no other",
}
_THREADS = 2
"""Each needs its share of the memory limit."""
PATTERN_SECONDS = 60
"""How long documents may be checked against a schema with patterns."""
GROUPED_RECORDS = 2_000_000
"""How many records are grouped at once; of more, the keys are written to the disk and grouped part by part."""


@dataclass(frozen=True)
class Range:
    """The bounds of a column of numbers, both inclusive; None for an open one."""

    column: str
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class RowRelation:
    """How the records of an output relate to those of an input.

    Args:
        of: The input, a table.
        relation: `same`: each key as often as in the input; `fewer`: at most as often; `per-key`: once.
        key: The columns that identify a record in both tables.
    """

    of: str
    relation: Relation
    key: tuple[str, ...]


@dataclass(frozen=True)
class OutputRules:
    """What an output must fulfil beyond its format.

    Args:
        schema: A JSON Schema as text, for the document of a JSON file or for each line of JSON Lines.
        keys: Columns that the table must have (of JSON Lines: keys of every record).
        unique: Columns that together identify a record; none of them is empty in any record.
        ranges: Columns that hold a finite number within bounds in every record.
        rows: How its records relate to those of an input.
    """

    schema: str | None = None
    keys: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()
    rows: RowRelation | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that a rule names."""
        named = (*self.keys, *self.unique, *(bounds.column for bounds in self.ranges))
        return tuple(dict.fromkeys((*named, *(self.rows.key if self.rows else ()))))


def check_declared(files: Path, artifact: Artifact[Any]) -> None:
    """Check an output against the rules that are declared of it; its format was checked before.

    Args:
        files: A folder that holds the step's inputs and outputs under their documented names.
        artifact: The output.

    Raises:
        ContractError: Names the file, the rule and the record that breaks it.
    """
    rules, path = artifact.rules, artifact.at(files)
    if rules is None or (artifact.optional and not path.exists()):
        return
    if rules.schema is not None:
        _check_schema(path, artifact.path, rules.schema)
    if rules.columns:
        import duckdb

        with (
            TemporaryDirectory(prefix="groundtruth-") as spill,
            duckdb.connect(config={"memory_limit": CHECK_MEMORY, "temp_directory": spill, "threads": _THREADS}) as db,
        ):
            db.execute("SET TimeZone = 'UTC'")
            _check_columns(db, Path(spill, "keys.parquet"), files, artifact.path, rules)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_columns(db: DuckDBPyConnection, keys: Path, files: Path, name: str, rules: OutputRules) -> None:
    path = files / name
    with readable(path, name):
        table = _table_with(db, files, name, rules.columns)
        needed = rules.keys if table_format(name) == "jsonl" else ()  # of records that need not all have the same keys
        filled = dict.fromkeys((*needed, *rules.unique))
        check_rules(db, table, name, [*map(_filled, filled), *(_in_range(table, bounds) for bounds in rules.ranges)])
        if rules.unique:
            _check_unique(db, keys, table, name, rules.unique)
    if rules.rows is not None:
        with readable(files / rules.rows.of, rules.rows.of):
            source = _table_with(db, files, rules.rows.of, rules.rows.key)
            db.execute(f"SELECT count(*) FROM {source.relation}")  # a fault of the input is not one of the output
        with readable(path, name):
            _check_rows(db, keys, table, source, name, rules.rows)


def _table_with(db: DuckDBPyConnection, files: Path, name: str, columns: tuple[str, ...]) -> Table:
    """Return a table that has these columns."""
    table = open_table(db, files / name, name, columns)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        found = ", ".join(table.columns)
        raise ContractError(name, f"must have the columns {', '.join(columns)}", f"no {', '.join(missing)} in {found}")
    return table


def _filled(column: str) -> Rule:
    return Rule(column, f"coalesce({identifier(column)}::VARCHAR, '') <> ''", "a value, for the definition requires it")


def _in_range(table: Table, bounds: Range) -> Rule:
    """Return the rule that a cell holds a finite number within bounds."""
    cell = identifier(bounds.column)
    value = number_sql(cell) if table.columns[bounds.column] == "VARCHAR" else f"try_cast({cell} AS DOUBLE)"
    limits = {">=": bounds.min, "<=": bounds.max}
    compared = "".join(f" AND {value} {sign} {limit!r}" for sign, limit in limits.items() if limit is not None)
    words = "".join(f" {sign} {limit:g}" for sign, limit in limits.items() if limit is not None)
    return Rule(bounds.column, f"isfinite({value}){compared}", f"a number{words}")


def _check_unique(db: DuckDBPyConnection, keys: Path, table: Table, name: str, key: tuple[str, ...]) -> None:
    records = f"SELECT {_keys(table, table, key)}, 0 AS read, 1 AS written FROM {table.relation}"
    if group := _first_group(db, keys, records, len(key), "written > 1"):
        _, number, *values = group
        raise ContractError(name, f"must hold each {_joined(key)} once", f"{number:,} records of {_named(key, values)}")


def _check_rows(db: DuckDBPyConnection, keys: Path, table: Table, source: Table, name: str, rows: RowRelation) -> None:
    records = (
        f"SELECT {_keys(source, table, rows.key)}, 1 AS read, 0 AS written FROM {source.relation} UNION ALL "
        f"SELECT {_keys(table, source, rows.key)}, 0, 1 FROM {table.relation}"
    )
    if group := _first_group(db, keys, records, len(rows.key), _BROKEN[rows.relation]):
        read, written, *values = group
        rule = _WORDS[rows.relation].format(key=_joined(rows.key), of=rows.of)
        found = f"{written:,} of {_named(rows.key, values)}, where {rows.of} has {read:,}"
        raise ContractError(name, rule, found)


def _first_group(db: DuckDBPyConnection, keys: Path, records: str, width: int, broken: str) -> tuple[Any, ...] | None:
    """Return how often a key was read and written, and the key, of the first group that breaks a rule.

    Args:
        db: Of `connect`.
        keys: Where the keys of all records are written meanwhile; equal keys fall into the same part.
        records: Query of the records: `k0, k1, …, read, written`.
        width: How many columns the key has.
        broken: The condition on `read` and `written` of a group.
    """
    [(number,)] = db.execute(f"COPY ({records}) TO {literal(keys)} (FORMAT parquet)").fetchall()
    parts = number // GROUPED_RECORDS + 1
    columns = ", ".join(f"k{position}" for position in range(width))
    for part in range(parts):
        groups = (
            f"SELECT sum(read)::BIGINT AS read, sum(written)::BIGINT AS written, {columns} "
            f"FROM read_parquet({file_argument(keys)}) WHERE hash({columns}) % {parts} = {part} GROUP BY {columns}"
        )
        query = f"SELECT * FROM ({groups}) WHERE {broken} LIMIT 1"
        for group in db.execute(query).fetchall():
            return tuple(group)
    return None


def _keys(table: Table, other: Table, key: tuple[str, ...]) -> str:
    """Return the key of a table's records as `k0, k1, …`, as text where one of the tables is text.

    A text stands for a value of the other table's type only where it is that value: 1.4 is no whole number, and a day
    with a time is no date.
    """
    cells = []
    for position, column in enumerate(key):
        cell = identifier(column)
        if table.is_text and not other.is_text:
            kind = other.columns[column]
            cell = f"coalesce(CASE WHEN {_is_exact(cell, kind)} THEN try_cast({cell} AS {kind})::VARCHAR END, {cell})"
        elif other.is_text and not table.is_text:
            cell = f"{cell}::VARCHAR"
        cells.append(f"{cell} AS k{position}")
    return ", ".join(cells)


def _is_exact(text: str, kind: str) -> str:
    """Return SQL of whether nothing is lost where a text is read as an SQL type."""
    if kind == "BOOLEAN":
        return f"lower({text}) IN ('true', 'false')"
    if kind.startswith(("DATE", "TIMESTAMP")):
        return f"try_cast({text} AS {kind})::TIMESTAMP = try_cast({text} AS TIMESTAMP)"
    if kind.endswith("INT") or kind.startswith(("INTEGER", "UINTEGER", "FLOAT", "DOUBLE", "DECIMAL")):
        return f"try_cast({text} AS {kind})::DOUBLE = {number_sql(text)}"
    return "false"


def _joined(key: tuple[str, ...]) -> str:
    return key[0] if len(key) == 1 else f"({', '.join(key)})"


def _named(key: tuple[str, ...], values: Iterable[Any]) -> str:
    return ", ".join(f"{column}={str(value)[:80]!r}" for column, value in zip(key, values, strict=True))


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def schema_validator(text: str) -> Validator:
    """Return the validator of a JSON schema, of the draft that it names (default: 2020-12).

    Args:
        text: The schema, a JSON document.

    Raises:
        ValueError: It is not a JSON schema, or refers to something outside of itself.
    """
    from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    schema = strict_json.parse(text.encode())
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"is not a JSON schema: {error.json_path}: {error.message[:200]}") from error
    own = Registry().with_resource("", DRAFT202012.create_resource(schema))
    for reference in _references(schema):
        try:
            own.resolver().lookup(reference)
        except Unresolvable:
            remedy = "a schema may refer to its own parts alone (#/$defs/…)"
            raise ValueError(f"refers to {reference}, which it does not have; {remedy}") from None
    validator: Validator = kind(schema, registry=Registry())
    return validator


def _references(schema: Any) -> Iterator[str]:
    """Yield what a schema refers to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _check_schema(path: Path, name: str, schema: str) -> None:
    written_plainly = json.dumps(strict_json.parse(schema.encode()))  # a key may be escaped
    find = _limited_fault if '"pattern' in written_plainly else _first_fault
    fault = find(path, name, schema)
    if fault is not None:
        raise ContractError(name, *fault)


def _limited_fault(path: Path, name: str, schema: str) -> list[str] | None:
    """Return the first fault as a process of its own finds it, for some texts keep a pattern busy for ever."""
    command = [sys.executable, "-m", __name__, str(path), name]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, input=schema.encode(), stdout=subprocess.PIPE, env=environment, timeout=PATTERN_SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        hint = "A pattern such as (a+)+ may take for ever: write a simpler one, or check the text in the step."
        rule = f"must be checked against the patterns of its declared schema in {PATTERN_SECONDS} s"
        raise ContractError(name, rule, "no end", hint=hint) from None
    fault: list[str] | None = json.loads(done.stdout)
    return fault


def _first_fault(path: Path, name: str, schema: str) -> list[str] | None:
    """Return rule and value of the first fault of a document, None where there is none."""
    validator = schema_validator(schema)
    with _opened(path, name) as file:
        if table_format(name) == "jsonl":
            documents = ((line, f" in record {number}") for number, line in enumerate(strict_json.lines(file), 1))
            return next(filter(None, (_fault(validator, line, where) for line, where in documents)), None)
        return _fault(validator, file.read(strict_json.MAX_BYTES + 1), "")


def _fault(validator: Validator, content: bytes, where: str) -> list[str] | None:
    try:
        error = next(validator.iter_errors(strict_json.parse(content)), None)
    except RecursionError:
        return ["must have a declared schema that does not refer to itself without end"]
    if error is None:
        return None
    rule = f"must keep to its declared schema: {error.json_path}: {error.message[:200]}"
    return [rule, f"{json.dumps(error.instance)[:80]}{where}"]


def _opened(path: Path, name: str) -> IO[bytes]:
    return gzip.open(path) if name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_first_fault(Path(sys.argv[1]), sys.argv[2], sys.stdin.read())))
