"""Check tables against the model of one record, in one streaming query, at the speed of the reader.

The fields of the pydantic model are the table's leading columns, in order. Its rules for a column (type, optional or
not, bounds, allowed values) become SQL, so that 10 million records are checked in seconds at constant memory, and the
same model documents the file.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import re
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from include.core import strict_json
from include.core.errors import ContractError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SQL_TYPES: dict[Any, str] = {float: "DOUBLE", int: "BIGINT", bool: "BOOLEAN", date: "DATE", datetime: "TIMESTAMPTZ"}
_WORDS: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    date: "a date",
    datetime: "a time with zone",
}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_TABLES = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet", **dict.fromkeys(_JSON_LINES, "jsonl")}
MAX_HEADER_BYTES = 1024**2
CHECK_MEMORY = "512MB"
"""What a check of a file may take, however big the file is."""
CUT_SHORT = "must end with a line break (a file that was cut short does not)"
_OFFSET = r":\d\d(\.\d+)?[+-]\d\d(:?\d\d)?$"


class Rule(NamedTuple):
    """What every value of a column must be, in SQL and in words; `typed` where a typed table holds no text there."""

    column: str
    sql: str
    words: str
    typed: bool = False


class Table(NamedTuple):
    """A table in a file, as DuckDB reads it.

    Args:
        relation: What stands after FROM.
        columns: The SQL type of each column, by name; all text in formats that hold text.
        is_text: Whether the format holds text (CSV, JSON Lines).
    """

    relation: str
    columns: dict[str, str]
    is_text: bool


def table_format(name: str) -> str | None:
    """Return the format of a table by the name of its file, compressed or not; None for a file of another format.

    >>> table_format("readings.CSV.gz"), table_format("records.parquet"), table_format("plot.png")
    ('csv', 'parquet', None)
    """
    return next((kind for suffix, kind in _TABLES.items() if name.lower().endswith(suffix)), None)


def check_table(path: Path, name: str, model: type[BaseModel] | None) -> int:
    """Check a CSV or Parquet file and count its records.

    Args:
        path: The file, under whatever name.
        name: What messages call it (its path below the run's `files/`); its suffix names the format.
        model: One record; None checks only that the file reads to its end.

    Returns:
        The number of records.

    Raises:
        ContractError: It does not open, or breaks a rule of the model; names the column, the record and the value.
    """
    with connect(CHECK_MEMORY) as db, readable(path, name):
        table = open_table(db, path, name)
        rules = _rules(model, table, name) if model else []
        return check_rules(db, table, name, rules)


@contextmanager
def connect(memory_limit: str = "80%") -> Iterator[DuckDBPyConnection]:
    """Yield a connection to a database in memory that reads and writes files, in UTC; its tables are temporary ones.

    Connections that a process has open at once share a database, for to create one costs more than to read a small
    table. It keeps nothing of a file: the next reader sees the file as it is then.

    Args:
        memory_limit: DuckDB's own limit, of all connections that share it.
    """
    import duckdb

    with duckdb.connect(
        f":memory:{memory_limit}-{os.getpid()}",
        config={"memory_limit": memory_limit, "enable_external_file_cache": False},
    ) as db:
        db.execute("SET TimeZone = 'UTC'")
        yield db


@contextmanager
def readable(path: Path, name: str) -> Iterator[None]:
    """Turn a fault of DuckDB while it reads a table into one of the table.

    Args:
        path: The file.
        name: What messages call it.

    Raises:
        ContractError: The file cannot be read in its format.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        reason = " ".join(str(error).replace(str(path), name).splitlines()[:2])
        raise ContractError(name, f"must open as {(table_format(name) or '').upper()}", reason) from error


def open_table(db: DuckDBPyConnection, path: Path, name: str, fields: Iterable[str] = ()) -> Table:
    """Return the table in a file.

    Args:
        db: Of `connect`.
        path: The file, under whatever name.
        name: What messages call it; its suffix names the format.
        fields: The keys to read of JSON Lines, whose records need not all have the same; one becomes a column.

    Raises:
        ContractError: The header is missing or unusable.
    """
    compression = "gzip" if name.lower().endswith(".gz") else "none"
    match table_format(name):
        case "csv":
            columns = dict.fromkeys(_header(path, name), "VARCHAR")
            return Table(_read_csv(path, columns, compression), columns, is_text=True)
        case "jsonl":
            columns = dict.fromkeys(fields, "VARCHAR")
            return Table(_read_json_lines(path, columns, compression), columns, is_text=True)
    relation = f"read_parquet({file_argument(path)})"
    described = db.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return Table(relation, {str(row[0]): str(row[1]) for row in described}, is_text=False)


def check_rules(db: DuckDBPyConnection, table: Table, name: str, rules: list[Rule]) -> int:
    """Check that every record keeps to rules, and read every column to its end.

    Returns:
        The number of records.

    Raises:
        ContractError: Names the first rule that is broken, the record and the value.
    """
    records = _count_sound(db, table, rules)
    if records is None:
        raise ContractError(name, *_first_break(db, table, rules))
    return records


def literal(value: str | Path) -> str:
    """Return a text as an SQL literal.

    >>> literal("O'Neill")
    "'O''Neill'"
    """
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as a quoted SQL identifier.

    >>> identifier("Main meter")
    '"Main meter"'
    """
    return '"' + name.replace('"', '""') + '"'


def file_argument(path: Path) -> str:
    """Return the first arguments of a DuckDB reader for one file, which is read by its content alone.

    `*`, `?` and `[` in its path are no pattern, and a folder named `day=2026-11-20` fills no column `day`.

    >>> file_argument(Path("meters[1].csv"))
    "'meters[[]1].csv', hive_partitioning = false"
    """
    return f"{file_literal(path)}, hive_partitioning = false"


def file_literal(path: Path) -> str:
    """Return a path as an SQL literal that DuckDB does not take for a pattern."""
    return literal(re.sub(r"([*?[])", r"[\1]", str(path)))


def number_sql(text: str) -> str:
    """Return SQL of a text as a number (also infinity, NaN), NULL for what only DuckDB calls one: `1_000`, `+-5`."""
    return f"CASE WHEN NOT contains({text}, '_') AND NOT starts_with({text}, '+-') THEN try_cast({text} AS DOUBLE) END"


def _count_sound(db: DuckDBPyConnection, table: Table, rules: list[Rule]) -> int | None:
    """Return the number of records if none breaks a rule, else None; in one parallel scan of all columns."""
    import duckdb

    sound = " AND ".join(f"({rule.sql})" for rule in rules) or "true"
    unread = [] if table.is_text else set(table.columns) - {rule.column for rule in rules}  # text is read by lines
    read = "".join(f", bit_xor(hash({identifier(column)}))" for column in unread)
    query = f"SELECT count(*), count(*) FILTER (NOT coalesce({sound}, false)){read} FROM {table.relation}"
    try:
        records, faulty, *_ = db.execute(query).fetchall()[0]
    except duckdb.ConversionException:  # where DuckDB lets its CSV reader cast, a cast that fails is an error
        return None
    return None if faulty else int(records)


def _first_break(db: DuckDBPyConnection, table: Table, rules: list[Rule]) -> tuple[str, str]:
    """Return the first rule that is broken, in words, and the first value that breaks it."""
    number = identifier("record of " + ", ".join(table.columns))  # longer than any column's name
    breaks = "".join(
        f", min({number}) FILTER (NOT coalesce({rule.sql}, false))"
        f", arg_min({identifier(rule.column)}::VARCHAR, {number}) FILTER (NOT coalesce({rule.sql}, false))"
        for rule in rules
    )
    query = f"SELECT count(*){breaks} FROM (SELECT *, row_number() OVER () AS {number} FROM {table.relation})"
    row = db.execute(query).fetchall()[0]
    for position, rule in enumerate(rules):
        record, value = row[1 + 2 * position : 3 + 2 * position]
        if record is not None:
            return f"column {rule.column} must hold {rule.words}", f"{value!r} in record {record}"
    raise AssertionError(f"no rule is broken, and yet the table is not sound: {rules}")


def _header(path: Path, name: str) -> list[str]:
    packed = name.lower().endswith(".gz")
    if not packed:  # the end of a compressed file is found where it is unpacked
        with path.open("rb") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                raise ContractError(name, CUT_SHORT)
    with gzip.open(path) if packed else path.open("rb") as file:
        start = file.read(MAX_HEADER_BYTES)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)
        columns = next(csv.reader(io.StringIO(text, newline="")), [])
    except UnicodeDecodeError as error:
        raise ContractError(name, "must be UTF-8 text", str(error)) from error
    except csv.Error as error:
        raise ContractError(name, "must begin with a CSV header", str(error)) from error
    if not any(columns):
        raise ContractError(name, "must begin with a CSV header", "an empty line")
    if len({column.casefold() for column in columns}) < len(columns):
        raise ContractError(name, "must name each column once, also without regard to letter case", ", ".join(columns))
    return columns


def _read_csv(path: Path, columns: Iterable[str], compression: str) -> str:
    types_of = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv({file_argument(path)}, header=true, auto_detect=false, delim=',', quote='\"', escape='\"', "
        f"strict_mode=true, null_padding=false, compression={literal(compression)}, columns={{{types_of}}})"
    )


def _read_json_lines(path: Path, fields: Iterable[str], compression: str) -> str:
    pointers = {field: "/" + field.replace("~", "~0").replace("/", "~1") for field in fields}
    columns = ", ".join(f"json ->> {literal(pointer)} AS {identifier(field)}" for field, pointer in pointers.items())
    return (
        f"(SELECT {columns or 'json'} FROM read_json_objects({file_argument(path)}, format='newline_delimited', "
        f"maximum_object_size={strict_json.MAX_LINE_BYTES}, compression={literal(compression)}))"
    )


def _rules(model: type[BaseModel], table: Table, name: str) -> list[Rule]:
    expected, columns = list(model.model_fields), list(table.columns)
    if columns[: len(expected)] != expected:
        raise ContractError(name, f"must begin with the columns {', '.join(expected)}", ", ".join(columns))
    rules = [_rule(column, field, as_text=table.is_text) for column, field in model.model_fields.items()]
    for rule in rules:
        if rule and rule.typed and not table.is_text and table.columns[rule.column] in ("VARCHAR", "BLOB"):
            raise ContractError(name, f"column {rule.column} must hold {rule.words}, by its type", "texts")
    return [rule for rule in rules if rule is not None]


def _rule(column: str, field: FieldInfo, *, as_text: bool) -> Rule | None:
    options = get_args(field.annotation) if get_origin(field.annotation) in (Union, types.UnionType) else ()
    optional = type(None) in options
    kind = next((option for option in options if option is not type(None)), field.annotation)
    cell = identifier(column)
    if get_origin(kind) is Literal:
        allowed = get_args(kind)
        sql = f"{cell}::VARCHAR IN ({', '.join(literal(str(value)) for value in allowed)})"
        words = "one of " + ", ".join(map(str, allowed))
    elif kind in _SQL_TYPES:
        value = f"try_cast({cell} AS {_SQL_TYPES[kind]})"
        sql, words = f"{value} IS NOT NULL", _WORDS[kind]
        if as_text and kind in (float, int):
            sql = f"{number_sql(cell)} IS NOT NULL AND {sql}"
        if kind is float:
            sql += f" AND isfinite({value})"
        if kind is int:
            sql += f" AND {value} = try_cast({cell} AS DOUBLE)"
        if kind is datetime and as_text:
            sql += f" AND (suffix({cell}, 'Z') OR regexp_matches({cell}, {literal(_OFFSET)}))"
        for name, operator in _BOUNDS.items():
            for bound in [getattr(rule, name) for rule in field.metadata if hasattr(rule, name)]:
                sql += f" AND {value} {operator} {bound}"
                words += f" {operator} {bound:g}"
    elif kind is not str:
        raise TypeError(f"column {column}: tables cannot be checked for {kind}")
    elif optional:
        return None
    else:
        sql, words = f"coalesce({cell}, '') <> ''", "a text that is not empty"
    if optional:
        sql, words = f"({cell} IS NULL OR {sql})", f"{words}, or nothing"
    return Rule(column, sql, words, typed=kind in _SQL_TYPES)
