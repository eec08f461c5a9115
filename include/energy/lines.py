"""Delimited text read so that every line is accounted for.

A record is one physical line after the header, so a stray quote never swallows the rest of a file, and a record can be
found again by its line number. DuckDB reads a file as one column of lines, then splits them.

Lines end with LF, CRLF or CR, also mixed. The first line that is not blank is the header; blank lines are no records.
"""

from __future__ import annotations

import codecs
import gzip
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from include.core.errors import BadInputError
from include.energy.db import literal

DELIMITERS = (",", ";", "\t", "|")
_CHUNK = 512 * 1024
_NO_DELIMITER = "\x01\x02\x03\x04"  # DuckDB wants one; four control characters in a row stand in no line
_BLANK = " \t"


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
        gzipped: Compressed with gzip, whatever its suffix says.
    """

    path: Path
    name: str
    delimiter: str
    columns: tuple[str, ...]
    header_line: int
    quoted: bool
    blanks: str
    gzipped: bool

    def lines_sql(self) -> str:
        """SQL of all physical lines: `line_number` (from 1), `line` (NULL where empty)."""
        compression = "gzip" if self.gzipped else "none"
        return (
            f"SELECT row_number() OVER () AS line_number, line FROM read_csv({literal(_no_glob(self.path))}, "
            f"header = false, auto_detect = false, strict_mode = false, delim = {literal(_NO_DELIMITER)}, quote = '', "
            f"escape = '', compression = '{compression}', columns = {{'line': 'VARCHAR'}})"
        )

    def records_sql(self) -> str:
        """SQL of the records: `line_number`, `line` (raw text), `fields` (list of texts), `malformed`.

        A record is malformed when it has more or fewer fields than the header.
        """
        return (
            f"SELECT line_number, line, fields, len(fields) <> {len(self.columns)} AS malformed FROM ("
            f"SELECT line_number, line, {self._split_sql()} AS fields FROM ({self.lines_sql()}) "
            f"WHERE line_number > {self.header_line} AND regexp_matches(line, '[^ \\t]'))"
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
        BadInputError: It is missing, empty, has no record after its header, is not UTF-8 text, or holds a NUL byte
            or a line of more than half a megabyte; the message names the line and how to mend it.
    """
    name = name or path.name
    gzipped = _format(path, name) == "gzip"
    chunks = _chunks(path, gzipped, name)
    head = next(chunks, b"")
    decoder = codecs.getincrementaldecoder("utf-8")()
    quoted = has_records = False
    blanks: set[str] = set()
    header_line, header, rest = _header(head)
    offset = 0
    for chunk in itertools.chain([head], chunks):
        _refuse_bytes(chunk, offset, path, gzipped, name)
        if not chunk.isascii() or decoder.getstate()[0]:
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                fault = offset + len(chunk) - len(error.object) + error.start
                raise _not_utf8(path, gzipped, name, fault) from error
        quoted = quoted or b'"' in chunk
        blanks.update(blank for blank in _BLANK if blank.encode() in chunk)
        has_records = has_records or bool((rest if offset == 0 else chunk).strip(b" \t\r\n"))
        offset += len(chunk)
    if decoder.getstate()[0]:
        raise _not_utf8(path, gzipped, name, offset - len(decoder.getstate()[0]))
    if not header:
        raise BadInputError(f"{name}: is empty; a header line and at least one record are needed")
    if not has_records:
        raise BadInputError(f"{name}: holds a header line and no record")
    delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", header).count)
    return LineFile(
        path=path,
        name=name,
        delimiter=delimiter,
        columns=_split_header(header, delimiter),
        header_line=header_line,
        quoted=quoted,
        blanks="".join(sorted(blanks - {delimiter})),
        gzipped=gzipped,
    )


def _format(path: Path, name: str) -> str:
    """`gzip` or `text`, told from the first bytes."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise BadInputError(f"{name}: there is no such file") from None
    except OSError as error:
        raise BadInputError(f"{name}: cannot be read: {error.strerror or error}") from error
    if magic.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInputError(f"{name}: is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 {name} > utf8.csv")
    if magic == b"PK\x03\x04":
        raise BadInputError(f"{name}: is a ZIP archive or an Excel workbook, not CSV; unpack it or export it as CSV")
    return "gzip" if magic.startswith(b"\x1f\x8b") else "text"


def _chunks(path: Path, gzipped: bool, name: str) -> Iterator[bytes]:
    try:
        with gzip.open(path) if gzipped else path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInputError(f"{name}: is a damaged gzip file ({error}); fetch or compress it again") from error


def _header(head: bytes) -> tuple[int, str, bytes]:
    """Line number and text of the first line that is not blank ("" if there is none), and the bytes after it."""
    for number, match in enumerate(re.finditer(rb"([^\r\n]*)(?:\r\n|\r|\n|$)", head), start=1):
        text = match[1].decode("utf-8", "replace").removeprefix("\ufeff" if number == 1 else "").strip(_BLANK)
        if text:
            return number, text, head[match.end() :]
    return 0, "", b""


def _field_pattern(delimiter: str) -> str:
    """A field with the delimiter before it, for Python and DuckDB alike; a stray quote stays within its field."""
    mark, blank = f"[{delimiter}]", " " if delimiter == "\t" else _BLANK
    return f'{mark}([{blank}]*"(?:[^"]|"")*"[^{delimiter}]*|[^{delimiter}]*)'


def _split_header(header: str, delimiter: str) -> tuple[str, ...]:
    fields = re.findall(_field_pattern(delimiter), delimiter + header)
    names = (field.strip(_BLANK) for field in fields)
    return tuple(n[1:-1].replace('""', '"') if len(n) > 1 and n[0] == n[-1] == '"' else n for n in names)


def _refuse_bytes(chunk: bytes, offset: int, path: Path, gzipped: bool, name: str) -> None:
    nul = chunk.find(b"\0")
    if nul >= 0:
        raise BadInputError(
            f"{name}: line {_line_at(path, gzipped, offset + nul)}: holds a NUL byte (offset {offset + nul}); "
            f"the file is damaged, binary, or UTF-16 text (then: iconv -f UTF-16 -t UTF-8 {name} > utf8.csv)"
        )
    if len(chunk) == _CHUNK and b"\n" not in chunk and b"\r" not in chunk:
        raise BadInputError(
            f"{name}: line {_line_at(path, gzipped, offset)}: is longer than half a megabyte; is this delimited text?"
        )


def _not_utf8(path: Path, gzipped: bool, name: str, offset: int) -> BadInputError:
    return BadInputError(
        f"{name}: line {_line_at(path, gzipped, offset)}: is not UTF-8 (offset {offset}); convert the file, "
        f"for example: iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8.csv"
    )


def _line_at(path: Path, gzipped: bool, offset: int) -> int:
    """Number of the line that holds a byte."""
    number, seen = 1, 0
    before = b""
    for chunk in _chunks(path, gzipped, path.name):
        part = chunk[: offset - seen]
        number += part.count(b"\n") + part.count(b"\r") - (before + part).count(b"\r\n")
        before, seen = part[-1:], seen + len(part)
        if seen >= offset:
            break
    return number


def _no_glob(path: Path) -> str:
    """A path that DuckDB reads as it is: `*`, `?` and `[` are no wildcards."""
    return re.sub(r"([*?[])", r"[\1]", str(path))
