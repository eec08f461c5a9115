"""Where the table stands within a text: its delimiter, header, first and last record, and a sample of its rows.

A line above the header is part of the preamble, one below the last record part of the footer. What a row is shows in
its cells: it holds a time and a number, or, where times are the header, numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from include.core.errors import BadInputError
from include.energy.inspection.spelling import is_number, shape_of, split_range
from include.energy.lines import DELIMITERS, EMPTY, LineFile, Scan, line_file, scan, split_fields

Row = tuple[str, ...]
LINES_COMPARED = 400
ROWS_AT_MOST = 2500
FOOTER_AT_MOST = 40


@dataclass(frozen=True)
class Layout:
    """A table within a text file.

    Args:
        file: How its lines are split. Columns that the header does not name are called `#1`, `#2`, …
        preamble: The lines above the header, as fields.
        footer: The lines below the last record.
        has_header: Whether a line names the columns.
        rows: Rows from the head of the file, in order.
        more: Rows from all over the rest of the file.
        last: The last row.
        complete: Whether `rows` are all rows of the file.
    """

    file: LineFile
    preamble: tuple[Row, ...]
    footer: tuple[str, ...]
    has_header: bool
    rows: tuple[Row, ...]
    more: tuple[Row, ...]
    last: Row | None
    complete: bool

    def texts(self, position: int, *, everywhere: bool = False) -> list[str]:
        """Return the cells of a column that are not empty, from the head or from everywhere."""
        rows = (*self.rows, *self.more) if everywhere else self.rows
        return [row[position] for row in rows if position < len(row) and row[position]]


def find_table(path: Path, name: str) -> Layout:
    """Find the table within a text file.

    Args:
        path: The file, UTF-8, plain or gzip.
        name: What messages call it.

    Raises:
        BadInputError: It cannot be read (see `include.energy.lines.scan`), is empty, holds no record, or its records
            have more fields than its header.
    """
    scanned = scan(path, name)
    lines = _lines(scanned.head, complete=len(scanned.head) == len(scanned.tail) or scanned.lines < 2)
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line.strip(" \t")]
    if not filled:
        raise BadInputError(f"{name}: {EMPTY}")
    if len(filled) == 1 and scanned.lines <= len(lines):
        raise BadInputError(f"{name}: holds a header line and no record")
    delimiter = _find_delimiter([line for _, line in filled[:LINES_COMPARED]])
    table = [(number, split_fields(line, delimiter)) for number, line in filled[:ROWS_AT_MOST]]
    first = _first_record(table)
    header = _find_header(table, first)
    preamble = tuple(fields for _, fields in table[: first if header is None else header])
    numbered = [(number, fields) for number, fields in table[first:] if any(fields)]
    rows = [fields for _, fields in numbered]
    columns, least = _name_columns(name, table[header][1] if header is not None else None, rows)
    header_line = table[header][0] if header is not None else table[first][0] - 1
    file = line_file(scanned, path, name, delimiter, columns, header_line)
    repeated = header is not None and any(fields == table[header][1] for _, fields in table[first:])
    file = replace(
        file,
        least_fields=least,
        blank_records=True,
        repeated_header=filled[header][1].strip() if repeated and header is not None else None,
    )
    footer = _find_footer(scanned, delimiter, rows, len(columns))
    last = scanned.lines - len(footer)
    if footer:
        file = replace(file, last_line=last)
    further = [line for number, line in filled[ROWS_AT_MOST:] if number <= last]
    further += [line for piece in scanned.pieces for line in _lines(piece)[1:-1]]
    more = [split_fields(line, delimiter) for line in further[:: 1 + len(further) // ROWS_AT_MOST]]
    sample = [
        row for number, row in numbered if number <= last and least <= len(row) <= len(columns) and row != columns
    ]
    return Layout(
        file=file,
        preamble=preamble,
        footer=tuple(line for line in footer if line.strip(f" \t{delimiter}")),
        has_header=header is not None,
        rows=tuple(sample),
        more=tuple(row for row in more if least <= len(row) <= len(columns) and row != columns),
        last=_last_row(scanned, delimiter, len(footer)),
        complete=_is_complete(scanned, table),
    )


def _is_complete(scanned: Scan, table: Sequence[tuple[int, Row]]) -> bool:
    return not scanned.pieces and len(table) < ROWS_AT_MOST and table[-1][0] >= scanned.lines - FOOTER_AT_MOST


def _lines(content: bytes, *, complete: bool = True) -> list[str]:
    """Return the lines of a stretch of a file; the last one only where the stretch ends with the file."""
    lines = re.split(r"\r\n|\r|\n", content.decode("utf-8", "replace").removeprefix("\ufeff"))
    return lines if complete or len(lines) == 1 else lines[:-1]


def _find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that splits most lines alike, into cells that can be recognised."""

    def score(delimiter: str) -> tuple[float, int]:
        rows = [fields for line in lines if len(fields := split_fields(line, delimiter)) > 1]
        counts = Counter(len(row) for row in rows)
        if not counts:
            return 0.0, 0
        width, alike = max(counts.items(), key=lambda item: (item[1], item[0]))
        cells = [cell for row in rows if len(row) == width for cell in row]
        filled = sum(bool(cell) and (_is_time(cell) or is_number(cell)) for cell in cells)
        recognised = filled + cells.count("")
        return (alike / len(lines) * recognised / len(cells) if filled >= alike else 0.0), width

    scores = {mark: score(mark) for mark in DELIMITERS}
    best = max(DELIMITERS, key=scores.__getitem__)
    if scores[best][0] == 0.0 and score(" ")[0] > 0.5:
        return " "
    return best if scores[best][0] else max(DELIMITERS, key=lambda mark: re.sub(r'"[^"]*"', "", lines[0]).count(mark))


@lru_cache(maxsize=65_536)
def _is_time(cell: str) -> bool:
    return shape_of(cell) != "other" or (not is_number(cell) and split_range(cell) is not None)


def _holds_reading(row: Row) -> bool:
    """Return whether a row holds a time and a number, or more numbers than anything else."""
    times = sum(_is_time(cell) for cell in row)
    numbers = sum(is_number(cell) for cell in row)  # a Unix time is both
    unix = sum(shape_of(cell).startswith("unix") for cell in row)
    return (times >= 1 and numbers - unix >= 1) or (times == 0 and numbers >= 3)


def _first_record(table: Sequence[tuple[int, Row]]) -> int:
    """Return the index of the first record: a row like most of those that hold a reading."""
    holding = [index for index, (_, row) in enumerate(table) if _holds_reading(row)]
    if not holding:
        return min(1, len(table) - 1)
    fields = Counter(len(table[index][1]) for index in holding).most_common(1)[0][0]
    first = next(index for index in holding if len(table[index][1]) == fields)
    times = [position for position, cell in enumerate(table[first][1]) if _is_time(cell)]
    while first > 0 and times:  # rows above it may lack a number: a meter that had not begun
        _, row = table[first - 1]
        if len(row) != fields or not _is_time(row[times[0]]):
            break
        first -= 1
    return first


def _find_header(table: Sequence[tuple[int, Row]], first: int) -> int | None:
    """Return the index of the line that names the columns, None where the file begins with a record."""
    if first == 0:
        return None
    row, record = table[first - 1][1], table[first][1]
    named = [cell for cell in row if cell]
    if len(named) < 2 and len(row) < len(record):
        return None
    same = sum(shape_of(a) == shape_of(b) != "other" for a, b in zip(row, record, strict=False))
    return None if same and _holds_reading(row) else first - 1


def _name_columns(name: str, header: Row | None, rows: Sequence[Row]) -> tuple[tuple[str, ...], int]:
    """Return the names of the columns, and how many fields a record has at least.

    Raises:
        BadInputError: Records have more fields than the header names.
    """
    counts = Counter(len(row) for row in rows)
    usual = max(counts, key=lambda fields: (counts[fields], fields)) if counts else len(header or ())
    if header is None:
        return tuple(f"#{number}" for number in range(1, usual + 1)), usual
    columns = [column or f"#{number}" for number, column in enumerate(header, start=1)]
    if usual > len(columns):
        more = [row[len(columns) :] for row in rows if len(row) == usual]
        if any(any(fields) for fields in more):
            raise BadInputError(
                f"{name}: its records have {usual} fields and its header names {len(columns)}; is a decimal comma or "
                "a name that holds the delimiter not quoted?"
            )
        columns += [f"#{number}" for number in range(len(columns) + 1, usual + 1)]
    shorter = sum(count for fields, count in counts.items() if fields < len(columns))
    if usual < len(columns) and counts[usual] * 2 > counts.total():
        return tuple(columns), usual
    trailing = not header[-1] or len(columns) > len(header)
    return tuple(columns), len(columns) - 1 if trailing and shorter else len(columns)


def _find_footer(scanned: Scan, delimiter: str, rows: Sequence[Row], fields: int) -> list[str]:
    """Return the lines after the last record: those that have no time where records have one."""
    times = [
        position
        for position in range(fields)
        if rows and sum(len(row) > position and _is_time(row[position]) for row in rows) > 0.9 * len(rows)
    ]
    if not times:
        return []
    lines = _lines(scanned.tail)
    lines = lines[:-1] if lines and not lines[-1] else lines
    footer: list[str] = []
    for line in reversed(lines[-FOOTER_AT_MOST - 1 :]):
        row = split_fields(line, delimiter)
        if len(row) > times[0] and _is_time(row[times[0]]):
            return footer[::-1] if any(text.strip() for text in footer) else []
        footer.append(line)
    return []


def _last_row(scanned: Scan, delimiter: str, footer: int) -> Row | None:
    lines = _lines(scanned.tail)
    lines = lines[:-1] if lines and not lines[-1] else lines
    rows = (split_fields(line, delimiter) for line in reversed(lines[: len(lines) - footer]))
    return next((row for row in rows if any(row)), None)
