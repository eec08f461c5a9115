"""Delimited text read so that every line is accounted for.

A record is one physical line after the header, so a stray quote never swallows the rest of a file, and a record can be
found again by its line number. DuckDB reads a file as one column of lines, then splits them.

Lines end with LF or CRLF, also mixed, or with CR. The first line that is not blank is the header; blank lines are no
records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from include.core.errors import BadInputError
from include.core.sql import file_literal, literal
from include.energy.text import BLANK, scan

DELIMITERS = (",", ";", "\t", "|")
_NO_DELIMITER = "\x01\x02\x03\x04"  # DuckDB wants one; four control characters in a row stand in no line
_NEWLINES = {  # told CRLF, DuckDB reads LF as well, also mixed, but then not in parallel
    "lf": "new_line = '\\n'",
    "crlf": "new_line = '\\r\\n', parallel = false",
    "cr": "new_line = '\\r'",
}


@dataclass(frozen=True)
class LineFile:
    """A file that holds a header and at least one record of UTF-8 text.

    Args:
        path: Where it lies.
        name: What messages call it.
        delimiter: One of `, ; tab |`: the most frequent in the header.
        columns: The header's names, trimmed and unquoted.
        header_line: Line number of the header, 1 where no blank line precedes it.
        quoted: Some field may be quoted.
        blanks: Which of space and tab occur, delimiters aside; fields are trimmed only where they can need it.
        newline: `lf` or `cr` where all lines end so, `crlf` where some end with CRLF, others perhaps with LF.
        gzipped: Compressed with gzip, whatever its suffix says.
    """

    path: Path
    name: str
    delimiter: str
    columns: tuple[str, ...]
    header_line: int
    quoted: bool
    blanks: str
    newline: Literal["lf", "crlf", "cr"]
    gzipped: bool

    def lines_sql(self) -> str:
        """SQL of all physical lines: `line_number` (from 1), `line` (NULL where empty)."""
        compression = "gzip" if self.gzipped else "none"
        return (
            f"SELECT row_number() OVER () AS line_number, line FROM read_csv({file_literal(self.path)}, "
            f"header = false, auto_detect = false, strict_mode = false, delim = {literal(_NO_DELIMITER)}, quote = '', "
            f"escape = '', compression = '{compression}', {_NEWLINES[self.newline]}, "
            f"columns = {{'line': 'VARCHAR'}})"
        )

    def records_sql(self, wanted: str | None = None) -> str:
        """SQL of the records: `line_number`, `line` (raw text), `fields` (list of texts), `malformed`.

        A record is malformed when it has more or fewer fields than the header.

        Args:
            wanted: SQL of the line numbers of which records are wanted; all if None.
        """
        records = f"line_number > {self.header_line} AND regexp_matches(line, '[^ \\t]')"
        if wanted is not None:
            records = f"line_number IN ({wanted})"
        return (
            f"SELECT line_number, line, fields, len(fields) <> {len(self.columns)} AS malformed FROM ("
            f"SELECT line_number, line, {self._split_sql()} AS fields FROM ({self.lines_sql()}) "
            f"WHERE {records})"
        )

    def field_sql(self, column: str) -> str:
        """SQL of a field of `records_sql()`: trimmed text, NULL where empty.

        Raises:
            BadInputError: The header does not name the column, or names it twice.
        """
        if self.columns.count(column) > 1:
            raise BadInputError(f"{self.name}: the header names the column {column!r} more than once")
        if column not in self.columns:
            raise BadInputError(f"{self.name}: has no column {column!r}; its columns are {', '.join(self.columns)}")
        field = f"fields[{self.columns.index(column) + 1}]"
        return f"nullif({self._trim_sql(field)}, '')"

    def _trim_sql(self, field: str) -> str:
        by_blanks = {"": field, " ": f"trim({field})"}  # trim of spaces alone is several times as fast
        return by_blanks.get(self.blanks, f"trim({field}, {literal(self.blanks)})")

    def _split_sql(self) -> str:
        delimiter = literal(self.delimiter)
        plain = f"string_split(line, {delimiter})"
        if not self.quoted:
            return plain
        unquote = (
            "lambda f: CASE WHEN trim(f) LIKE '\"%\"' AND len(trim(f)) > 1 "
            "THEN replace(trim(f)[2:-2], '\"\"', '\"') ELSE f END"
        )
        pattern = literal(_field_pattern(self.delimiter))
        quoted = f"list_transform(regexp_extract_all({delimiter} || line, {pattern}, 1), {unquote})"
        return f"CASE WHEN contains(line, '\"') THEN {quoted} ELSE {plain} END"


def inspect(path: Path, name: str | None = None) -> LineFile:
    """Look through a file once and tell how to read it.

    Args:
        path: The file, plain or gzip.
        name: What messages call it; its file name if None.

    Raises:
        BadInputError: It is empty, has no record after its header, or is no readable text (see `text.scan`).
    """
    text = scan(path, name or path.name)
    if not text.header:
        raise BadInputError(f"{text.name}: is empty; a header line and at least one record are needed")
    if not text.has_records:
        raise BadInputError(f"{text.name}: holds a header line and no record")
    delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", text.header).count)
    return LineFile(
        path=path,
        name=text.name,
        delimiter=delimiter,
        columns=_split_header(text.header, delimiter),
        header_line=text.header_line,
        quoted=text.quotes,
        blanks="".join(sorted(text.blanks - {delimiter})),
        newline=text.newline,
        gzipped=text.gzipped,
    )


def _field_pattern(delimiter: str) -> str:
    """A field with the delimiter before it, for Python and DuckDB alike; a stray quote stays within its field."""
    mark, blank = f"[{delimiter}]", " " if delimiter == "\t" else BLANK
    return f'{mark}([{blank}]*"(?:[^"]|"")*"[^{delimiter}]*|[^{delimiter}]*)'


def _split_header(header: str, delimiter: str) -> tuple[str, ...]:
    fields = re.findall(_field_pattern(delimiter), delimiter + header)
    names = (field.strip(BLANK) for field in fields)
    return tuple(n[1:-1].replace('""', '"') if len(n) > 1 and n[0] == n[-1] == '"' else n for n in names)
