"""Check tables against the model of one record, in one streaming query, at the speed of the reader.

The fields of the pydantic model are the table's leading columns, in order. Its rules for a column (type, optional or
not, bounds, allowed values) become SQL, so that 10 million records are checked in seconds at constant memory, and the
same model documents the file.
"""

from __future__ import annotations

import csv
import re
import types
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from include.core.errors import ContractError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SQL_TYPES: dict[Any, str] = {float: "DOUBLE", int: "BIGINT", bool: "BOOLEAN", datetime: "TIMESTAMPTZ"}
_WORDS: dict[Any, str] = {float: "a number", int: "a whole number", bool: "true or false", datetime: "a time with zone"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_OFFSET = r":\d\d(\.\d+)?[+-]\d\d(:?\d\d)?$"


class Rule(NamedTuple):
    """What every value of a column must be, in SQL and in words."""

    column: str
    sql: str
    words: str


def check_table(path: Path, name: str, model: type[BaseModel] | None) -> int:
    """Check a CSV or Parquet file and count its records.

    Args:
        path: The file.
        name: What messages call it (its path below the run's `files/`).
        model: One record; None checks only that the file opens.

    Returns:
        The number of records.

    Raises:
        ContractError: It does not open, or breaks a rule of the model; names the column, the record and the value.
    """
    import duckdb

    is_csv = path.suffix.lower() == ".csv"
    with duckdb.connect(config={"memory_limit": "512MB"}) as db:
        try:
            db.execute("SET TimeZone = 'UTC'")
            if is_csv:
                columns = _header(path, name)
                relation = _read_csv(path, columns)
            else:
                relation = f"read_parquet({file_literal(path)})"
                columns = [str(row[0]) for row in db.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
            rules = _rules(model, columns, name, as_text=is_csv) if model else []
            records = _count_sound(db, relation, rules)
            if records is None:
                raise ContractError(name, *_first_break(db, relation, columns, rules))
        except duckdb.Error as error:
            reason = " ".join(str(error).splitlines()[:2])
            raise ContractError(name, f"must open as {path.suffix.lstrip('.').upper()}", reason) from error
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


def file_literal(path: Path) -> str:
    """Return a path as an SQL literal that DuckDB does not take for a pattern: `*`, `?` and `[` are escaped.

    >>> file_literal(Path("meters[1].csv"))
    "'meters[[]1].csv'"
    """
    return literal(re.sub(r"([*?[])", r"[\1]", str(path)))


def _count_sound(db: DuckDBPyConnection, relation: str, rules: list[Rule]) -> int | None:
    """Return the number of records if none breaks a rule, else None; in one parallel scan."""
    import duckdb

    broken = " OR ".join(f"NOT coalesce({rule.sql}, false)" for rule in rules) or "false"
    query = f"SELECT count(*), count(*) FILTER ({broken}) FROM {relation}"
    try:
        records, faulty = db.execute(query).fetchall()[0]
    except duckdb.ConversionException:  # where DuckDB lets its CSV reader cast, a cast that fails is an error
        return None
    return None if faulty else int(records)


def _first_break(db: DuckDBPyConnection, relation: str, columns: list[str], rules: list[Rule]) -> tuple[str, str]:
    """Return the first rule that is broken, in words, and the first value that breaks it."""
    number = identifier("record of " + ", ".join(columns))  # longer than any column's name
    breaks = "".join(
        f", min({number}) FILTER (NOT coalesce({rule.sql}, false))"
        f", arg_min({identifier(rule.column)}::VARCHAR, {number}) FILTER (NOT coalesce({rule.sql}, false))"
        for rule in rules
    )
    query = f"SELECT count(*){breaks} FROM (SELECT *, row_number() OVER () AS {number} FROM {relation})"
    row = db.execute(query).fetchall()[0]
    for position, rule in enumerate(rules):
        record, value = row[1 + 2 * position : 3 + 2 * position]
        if record is not None:
            return f"column {rule.column} must hold {rule.words}", f"{value!r} in record {record}"
    raise AssertionError(f"no rule is broken, and yet the table is not sound: {rules}")


def _header(path: Path, name: str) -> list[str]:
    with path.open("rb") as file:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            raise ContractError(name, "must end with a line break (a file that was cut short does not)")
    try:
        with path.open(encoding="utf-8", newline="") as text:
            columns = next(csv.reader(text), [])
    except UnicodeDecodeError as error:
        raise ContractError(name, "must be UTF-8 text", str(error)) from error
    except csv.Error as error:
        raise ContractError(name, "must begin with a CSV header", str(error)) from error
    if not any(columns):
        raise ContractError(name, "must begin with a CSV header", "an empty line")
    if len(set(columns)) < len(columns):
        raise ContractError(name, "must name each column once", ", ".join(columns))
    return columns


def _read_csv(path: Path, columns: list[str]) -> str:
    types_of = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
    return (
        f"read_csv({file_literal(path)}, header=true, auto_detect=false, delim=',', quote='\"', escape='\"', "
        f"strict_mode=true, null_padding=false, columns={{{types_of}}})"
    )


def _rules(model: type[BaseModel], columns: list[str], name: str, *, as_text: bool) -> list[Rule]:
    expected = list(model.model_fields)
    if columns[: len(expected)] != expected:
        raise ContractError(name, f"must begin with the columns {', '.join(expected)}", ", ".join(columns))
    rules = (_rule(column, field, as_text=as_text) for column, field in model.model_fields.items())
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
    return Rule(column, sql, words)
