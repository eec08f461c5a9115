"""JSON documents and JSON Lines as delimited text: one line a record, after a header of the records' keys.

The records are the objects of the one list of a document that looks like readings, wherever it stands, or its lists of
values of equal length (`[time, value]`), whose columns are called 0, 1 and so on. Record n stands in line n + 1.
Objects in records are flattened (`period.start`), numbers keep their text, null is empty.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from include.core.errors import BadInputError
from include.core.files import setup_errors
from include.energy.lines import read_chunks

MAX_BYTES = 128 * 1024**2
"""Limit of a document, which is read at once and takes about eight times its size; JSON Lines have none."""

_BEGINNING = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[\s*[\[{"\d\]-]|\{\s*["}])')
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_SHOWN = 5
_PROBED = 20
Record = dict[str, str]


def is_json(head: bytes) -> bool:
    r"""Return whether a file that begins with these bytes is JSON or JSON Lines, not text with a bracket.

    >>> is_json(b'{"data": []}'), is_json(b"[Meter 7]\ntime;kWh")
    (True, False)
    """
    return _BEGINNING.match(head) is not None


def write_records(path: Path, name: str, target: Path) -> None:
    """Write the records of a JSON document, or of JSON Lines, as delimited text.

    Args:
        path: A UTF-8 file, plain or gzip.
        name: What messages call it.
        target: The file to write: a header with all keys in the order of their first appearance, then one line a
            record.

    Raises:
        BadInputError: The file is damaged or too large, or holds no list of records, or more than one.
        SetupError: The target cannot be written.
    """
    if _is_json_lines(path, name):
        _write(lambda: _json_lines(path, name), target)
    else:
        table = _only_table(_document(path, name), name)
        _write(lambda: _flat(table, name), target)


def _is_json_lines(path: Path, name: str) -> bool:
    """Return whether the first line is a complete object and another one follows."""
    first, _, rest = next(read_chunks(path, name)).removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    try:
        return isinstance(json.loads(first), dict) and rest.lstrip().startswith(b"{")
    except (ValueError, RecursionError):
        return False


def _json_lines(path: Path, name: str) -> Iterator[Record]:
    for number, line in enumerate(_lines(path, name), 1):
        if line.strip():
            record = _parse(line, f"{name}: line {number}")
            if not isinstance(record, dict):
                raise BadInputError(f"{name}: line {number}: is not an object, as the lines before it are")
            yield _flat_record(record, f"{name}: line {number}")


def _lines(path: Path, name: str) -> Iterator[bytes]:
    rest = b""
    for chunk in read_chunks(path, name):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        if len(rest) > MAX_BYTES:
            raise BadInputError(f"{name}: holds a line of more than {MAX_BYTES // 1024**2} MiB")
    yield rest


def _document(path: Path, name: str) -> Any:
    content = bytearray()
    for chunk in read_chunks(path, name):
        content += chunk
        if len(content) > MAX_BYTES:
            raise BadInputError(
                f"{name}: is a JSON document of more than {MAX_BYTES // 1024**2} MiB; write its records as JSON Lines, "
                f"which have no limit, for example: jq -c '.[]' {name} > records.jsonl"
            )
    return _parse(bytes(content), name)


def _parse(content: bytes, where: str) -> Any:
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            parse_float=str,
            parse_int=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise BadInputError(f"{where}: the JSON is nested too deeply") from None
    except ValueError as error:
        raise BadInputError(f"{where}: is not valid JSON ({error}); fetch it again") from None


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError(f"an object has a key twice, among {', '.join(key for key, _ in pairs[:_SHOWN])}")
    return members


def _only_table(document: Any, name: str) -> list[Any]:
    """Return the one list of records of a document."""
    tables = list(_tables(document, ""))
    likely = [(place, table) for place, table in tables if _may_hold_readings(table, name)] or tables
    if not likely:
        raise BadInputError(
            f"{name}: holds no list of records: a list of objects, or of values such as [time, value]; write one "
            "record a reading"
        )
    if len(likely) > 1:
        shown = ", ".join(f"{place} ({len(table)})" for place, table in likely[:_SHOWN])
        more = f" and {len(likely) - _SHOWN} more" if len(likely) > _SHOWN else ""
        raise BadInputError(
            f"{name}: holds {len(likely)} lists of records, and nothing says which one is meant: {shown}{more}; write "
            f"each one into its own file, for example: jq '{likely[0][0]}' {name} > one.json"
        )
    return likely[0][1]


def _tables(node: Any, place: str) -> Iterator[tuple[str, list[Any]]]:
    """Yield each list of records with its place, in the notation of jq.

    A list whose only record holds lists of records is a wrapper of these; with more records, it is a list like them.
    """
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _tables(value, f"{place}.{key}" if key.isidentifier() else f"{place or '.'}[{json.dumps(key)}]")
    elif isinstance(node, list) and node:
        inner = [table for number, item in enumerate(node) for table in _tables(item, f"{place or '.'}[{number}]")]
        yield from inner
        is_records = all(isinstance(item, dict) for item in node) or _is_rows(node)
        if is_records and not (inner and len(node) == 1):
            yield place or ".", node


def _is_rows(node: list[Any]) -> bool:
    """Return whether all items are lists of at least two plain values, alike in number."""
    return all(
        isinstance(item, list)
        and len(item) == len(node[0]) >= 2
        and not any(isinstance(value, dict | list) for value in item)
        for item in node
    )


def _may_hold_readings(table: list[Any], name: str) -> bool:
    """Return whether some of the first records state a number and something else."""
    probed = list(_flat(table[:_PROBED], name))
    return any(len(record) >= 2 and any(map(_NUMBER.fullmatch, record.values())) for record in probed)


def _members(item: Any) -> dict[str, Any]:
    return item if isinstance(item, dict) else {str(number): value for number, value in enumerate(item)}


def _flat(table: list[Any], name: str) -> Iterator[Record]:
    for number, item in enumerate(table, 1):
        yield _flat_record(_members(item), f"{name}: record {number}")


def _flat_record(members: dict[str, Any], where: str) -> Record:
    record: Record = {}
    for key, value in _leaves(members, ""):
        if key in record:
            raise BadInputError(f"{where}: has the key {key!r} twice, once as an object in an object")
        record[key] = _text(value)
    return record


def _leaves(members: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in members.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join((value if isinstance(value, str) else json.dumps(value)).splitlines())


def _write(records: Callable[[], Iterable[Record]], target: Path) -> None:
    """Write records, which are read twice: for the header, and for the lines."""
    columns = list(dict.fromkeys(chain.from_iterable(records())))
    with setup_errors(target, "written"), target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(" ".join(column.splitlines()) for column in columns)
        writer.writerows([record.get(column, "") for column in columns] for record in records())
