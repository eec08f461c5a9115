"""Delimited text read so that every line is accounted for.

A record is one physical line after the header, so a stray quote never swallows the rest of a file, and a record can be
found again by its line number. DuckDB reads a file as one column of lines, then splits them. Before that, the bytes are
scanned once: for what DuckDB has to know, and for what makes a file unreadable.

Lines end with LF or CRLF, also mixed, or with CR. The first line that is not blank is the header; blank lines are no
records.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from include.core.errors import BadInputError
from include.core.tables import file_argument, literal

if TYPE_CHECKING:
    import duckdb

EMPTY = "is empty; a header line and at least one record are needed"
DELIMITERS = (",", ";", "\t", "|")
BLANK = " \t"
_CHUNK = 512 * 1024
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
        least_fields: Of a record, where its last fields may be left out; None: as many as the header names.
        last_line: Line number of the last record, where a footer follows it.
        blank_records: Lines that hold delimiters alone are no records either.
        repeated_header: The header's line, where it stands again between records.
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
    least_fields: int | None = None
    last_line: int | None = None
    blank_records: bool = False
    repeated_header: str | None = None

    def name_of(self, position: int) -> str:
        """Return what tells a column from the others: its name, or its place as `#3`."""
        name = self.columns[position]
        return name if name and self.columns.count(name) == 1 else f"#{position + 1}"

    def lines_sql(self) -> str:
        """Return SQL of all physical lines, in order: `line` (NULL where empty)."""
        compression = "gzip" if self.gzipped else "none"
        return (
            f"SELECT line FROM read_csv({file_argument(self.path)}, header = false, auto_detect = false, "
            f"strict_mode = false, delim = {literal(_NO_DELIMITER)}, quote = '', escape = '', "
            f"compression = '{compression}', {_NEWLINES[self.newline]}, columns = {{'line': 'VARCHAR'}})"
        )

    @contextmanager
    def stored_lines(self, db: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """Keep all lines in a table of the database for a while; yields SQL of it for `records_sql()`.

        DuckDB numbers lines as it reads them on one core only, and takes apart those of a table on all.
        """
        db.execute(f"CREATE OR REPLACE TEMP TABLE stored_lines AS {self.lines_sql()}")
        try:
            yield "SELECT rowid + 1 AS line_number, line FROM stored_lines"
        finally:
            db.execute("DROP TABLE stored_lines")

    def records_sql(self, numbered: str | None = None) -> str:
        """Return SQL of the records: `line_number` (from 1), `line` (raw text), `fields` (list), `malformed`.

        A record is malformed when it has more or fewer fields than the header.

        Args:
            numbered: SQL of all lines with their numbers, where `stored_lines()` keeps them.
        """
        numbered = numbered or f"SELECT row_number() OVER () AS line_number, line FROM ({self.lines_sql()})"
        conditions = [f"line_number > {self.header_line}", self.filled_sql()]
        if self.last_line is not None:
            conditions.append(f"line_number <= {self.last_line}")
        if self.repeated_header is not None:
            conditions.append(f"trim(line) <> {literal(self.repeated_header)}")
        return self.fields_sql(f"SELECT * FROM ({numbered}) WHERE {' AND '.join(conditions)}")

    def fields_sql(self, lines: str) -> str:
        """Return SQL of a relation with `line`, with the `fields` of that line and whether it is `malformed`."""
        split = f"SELECT *, {self._split_sql()} AS fields FROM ({lines})"
        most = len(self.columns)
        wrong = "<> {most}" if self.least_fields is None else "NOT BETWEEN {least} AND {most}"
        malformed = wrong.format(least=self.least_fields, most=most)
        return f"SELECT *, len(fields) {malformed} AS malformed FROM ({split})"

    def filled_sql(self) -> str:
        """Return SQL of whether a `line` is not blank; only those that begin as blank ones do need the slow test."""
        blanks = BLANK + self.delimiter * self.blank_records
        begins = " OR ".join(f"starts_with(line, {literal(blank)})" for blank in blanks)
        return f"CASE WHEN {begins} THEN regexp_matches(line, '[^{blanks}]') ELSE line <> '' END"

    def texts_at(self, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
        """Yield lines with their numbers, in one pass over the bytes.

        Args:
            numbers: Line numbers (from 1), in order.
        """
        import numpy as np

        separator = b"\r" if self.newline == "cr" else b"\n"
        wanted, before, rest = iter(numbers), 0, b""
        number = next(wanted, None)
        for chunk in chain(read_chunks(self.path, self.name), [separator]):
            if number is None:
                return
            block = rest + chunk
            last = before + block.count(separator)
            if number <= last:  # only then the places of all lines are of interest
                ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord(separator))
            while number is not None and number <= last:
                place = number - before - 1
                start = ends[place - 1] + 1 if place else 0
                yield number, block[start : ends[place]].removesuffix(b"\r").decode()
                number = next(wanted, None)
            before, rest = last, block[block.rfind(separator) + 1 :]

    def field_sql(self, column: str) -> str:
        """Return SQL of a field of `records_sql()` or `fields_sql()`: trimmed text, NULL where empty.

        Raises:
            BadInputError: The header does not name the column, or names it twice.
        """
        if self.columns.count(column) > 1:
            raise BadInputError(f"{self.name}: the header names the column {column!r} more than once")
        if column not in self.columns:
            raise BadInputError(f"{self.name}: has no column {column!r}; its columns are {', '.join(self.columns)}")
        return self.field_at_sql(self.columns.index(column))

    def field_at_sql(self, position: int) -> str:
        """Return SQL of the field at a position from 0, as `field_sql()` does."""
        return self.filled_field_sql(f"fields[{position + 1}]")

    def fields_at_sql(self, positions: Sequence[int]) -> str:
        """Return SQL of the list of the raw fields at positions from 0, of which neighbours are taken together."""
        runs = [(position - index, position) for index, position in enumerate(positions)]
        ends = [[position for _, position in run] for _, run in groupby(runs, key=lambda pair: pair[0])]
        return " || ".join(f"fields[{run[0] + 1}:{run[-1] + 1}]" for run in ends)

    def filled_field_sql(self, field: str) -> str:
        """Return SQL of a raw field: trimmed text, NULL where empty."""
        return f"nullif({self._trim_sql(field)}, '')"

    def _trim_sql(self, field: str) -> str:
        """Return SQL of a field without blanks at its ends; few fields have any, and `trim` is slow."""
        blanks = [literal(blank) for blank in self.blanks]
        ends = " OR ".join(f"{end}_with({field}, {blank})" for blank in blanks for end in ("starts", "ends"))
        return f"CASE WHEN {ends} THEN trim({field}, {literal(self.blanks)}) ELSE {field} END" if ends else field

    def _split_sql(self) -> str:
        if self.delimiter == " ":
            return "string_split_regex(trim(line, ' \t'), '[ \t]+')"
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


@dataclass(frozen=True)
class Scan:
    """What one pass over the bytes of a text file shows.

    Args:
        head: Its first bytes, a megabyte at most.
        pieces: Some bytes from each stretch of the rest, in order; each may begin and end within a line.
        tail: Its last bytes, half a megabyte at most.
        lines: How many lines it has.
        quoted: It holds a quotation mark.
        blanks: Which of space and tab it holds.
        newline: As in `LineFile`.
        gzipped: As in `LineFile`.
    """

    head: bytes
    pieces: tuple[bytes, ...]
    tail: bytes
    lines: int
    quoted: bool
    blanks: frozenset[str]
    newline: Literal["lf", "crlf", "cr"]
    gzipped: bool


_HEAD, _PIECE, _PIECES = 1024 * 1024, 8 * 1024, 64


def scan(path: Path, name: str) -> Scan:
    """Read all bytes of a text file once.

    Raises:
        BadInputError: It is missing or unreadable, is not UTF-8 text, mixes CR with other line ends, or holds a NUL
            byte or a line of more than half a megabyte; the message names the line and the remedy.
    """

    def fault(offset: int, reason: str) -> BadInputError:
        return BadInputError(f"{name}: line {_line_at(read_chunks(path, name), offset)}: {reason}")

    quoted, offset, lines = False, 0, 0
    blanks: set[str] = set()
    head, tail = bytearray(), b""
    pieces: list[bytes] = []
    stride, number = 1, 0
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=False)
    for chunk in chain(read_chunks(path, name), [b""]):
        if offset == 0 and (reason := _container(chunk, name)):
            raise BadInputError(f"{name}: {reason}")
        if (nul := chunk.find(b"\0")) >= 0:
            raise fault(offset + nul, _nul(name, offset + nul))
        if len(chunk) == _CHUNK and b"\n" not in chunk and b"\r" not in chunk:
            raise fault(offset, "is longer than half a megabyte; is this delimited text?")
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            at = offset + len(chunk) - len(error.object) + error.start
            remedy = f"convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8.csv"
            raise fault(at, f"is not UTF-8 (offset {at}); {remedy}") from error
        quoted = quoted or b'"' in chunk
        blanks.update(blank for blank in BLANK if blank.encode() in chunk)
        if len(head) < _HEAD:
            head += chunk[: _HEAD - len(head)]
        elif chunk:
            if number % stride == 0:
                pieces.append(chunk[:_PIECE])
            if len(pieces) > _PIECES:
                pieces, stride = pieces[::2], stride * 2
            number += 1
        tail = chunk if len(chunk) == _CHUNK else (tail + chunk)[-_CHUNK:]
        lines += chunk.count(b"\n")
        offset += len(chunk)
    newlines = {decoder.newlines} if isinstance(decoder.newlines, str) else {*(decoder.newlines or ())}
    if "\r" in newlines and len(newlines) > 1:
        raise BadInputError(
            f"{name}: line {_line_of_lone_return(read_chunks(path, name))}: ends with a carriage return alone, other "
            f"lines with a line feed; make all ends alike: sed 's/\\r$//' {name} | tr '\\r' '\\n' > fixed.csv"
        )
    if "\r" in newlines:
        lines = sum(chunk.count(b"\r") for chunk in read_chunks(path, name))
    if _is_gzip(path) and _ends_in_zeros(path):
        raise BadInputError(f"{name}: has zeros behind its compressed content; unpack it: zcat {name} > unpacked.csv")
    return Scan(
        head=bytes(head),
        pieces=tuple(pieces),
        tail=tail,
        lines=lines + (not tail.endswith((b"\n", b"\r")) and bool(tail)),
        quoted=quoted,
        blanks=frozenset(blanks),
        newline="cr" if "\r" in newlines else "crlf" if "\r\n" in newlines else "lf",
        gzipped=_is_gzip(path),
    )


def inspect(path: Path, name: str | None = None) -> LineFile:
    """Scan a file once and return how to read it, where its first line that is not blank is its header.

    Args:
        path: The file, plain or gzip.
        name: What messages call it; its file name if None.

    Raises:
        BadInputError: As `scan()`; or it is empty, or has no record after its header.
    """
    name = name or path.name
    scanned = scan(path, name)
    header_line, header, rest = split_header(scanned.head)
    if not header:
        raise BadInputError(f"{name}: {EMPTY}")
    if not rest.strip(b" \t\r\n") and len(scanned.head) < _HEAD:
        raise BadInputError(f"{name}: holds a header line and no record")
    delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", header).count)
    return line_file(scanned, path, name, delimiter, split_fields(header, delimiter), header_line)


def line_file(
    scanned: Scan, path: Path, name: str, delimiter: str, columns: tuple[str, ...], header_line: int
) -> LineFile:
    """Return how to read a file that was scanned."""
    return LineFile(
        path=path,
        name=name,
        delimiter=delimiter,
        columns=columns,
        header_line=header_line,
        quoted=scanned.quoted,
        blanks="".join(sorted(scanned.blanks - {delimiter})),
        newline=scanned.newline,
        gzipped=scanned.gzipped,
    )


def read_chunks(path: Path, name: str) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed where it is gzip whatever its suffix says.

    Raises:
        BadInputError: The file is missing or unreadable, or the gzip file is damaged.
    """
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except FileNotFoundError:
        raise BadInputError(f"{name}: there is no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInputError(f"{name}: is a damaged gzip file ({error}); fetch or compress it again") from error
    except OSError as error:
        raise BadInputError(f"{name}: cannot be read: {error.strerror or error}") from error


def not_text(head: bytes, name: str) -> str | None:
    """Return why a file that begins with these bytes is not delimited text, None where it may be.

    >>> not_text(b"a,b", "meter.csv") is None
    True
    """
    if (container := _container(head, name)) or (nul := head.find(b"\0")) < 0:
        return container
    return f"line {_line_at([head], nul)}: {_nul(name, nul)}"


def split_header(head: bytes) -> tuple[int, str, bytes]:
    r"""Return number and text of the first line that is not blank (0 and "" if there is none), and the bytes after it.

    A byte order mark and blanks around the text are left out.

    >>> split_header(b"\n a,b\n1,2\n")
    (2, 'a,b', b'1,2\n')
    """
    for number, match in enumerate(re.finditer(rb"([^\r\n]*)(?:\r\n|\r|\n|$)", head), start=1):
        line = match[1].decode("utf-8", "replace").removeprefix("\ufeff" if number == 1 else "").strip(BLANK)
        if line:
            return number, line, head[match.end() :]
    return 0, "", b""


def _container(head: bytes, name: str) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 {name} > utf8.csv"
    if head.startswith(b"PK\x03\x04"):
        return "is a ZIP archive or an Excel workbook, not CSV; unpack it or export it as CSV"
    return None


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _ends_in_zeros(path: Path) -> bool:
    """Return whether the last eight bytes are zero, which in gzip hold checksum and size."""
    with path.open("rb") as file:
        file.seek(-8, io.SEEK_END)
        return not any(file.read())


def _line_at(chunks: Iterable[bytes], offset: int) -> int:
    """Return the number of the line that holds a byte."""
    number, decoder = 1, io.IncrementalNewlineDecoder(None, translate=True)
    for chunk in chunks:
        text = decoder.decode(chunk[:offset].decode("latin-1"), final=offset <= len(chunk))
        number, offset = number + text.count("\n"), offset - len(chunk)
        if offset <= 0:
            break
    return number


def _line_of_lone_return(chunks: Iterable[bytes]) -> int:
    """Return the number of the first line that a carriage return without a line feed ends."""
    number, decoder = 1, io.IncrementalNewlineDecoder(None, translate=False)
    for chunk in chunks:
        text = decoder.decode(chunk.decode("latin-1"))
        lone = re.search(r"\r(?!\n)", text)
        number += text.count("\n", 0, lone.start() if lone else None)
        if lone:
            break
    return number


def _nul(name: str, offset: int) -> str:
    return (
        f"holds a NUL byte (offset {offset}); the file is damaged, binary, or UTF-16 text (then: iconv -f UTF-16 "
        f"-t UTF-8 {name} > utf8.csv)"
    )


def _field_pattern(delimiter: str) -> str:
    """Return a field with the delimiter before it, for Python and DuckDB alike; a stray quote stays in its field."""
    mark, blank = f"[{delimiter}]", " " if delimiter == "\t" else BLANK
    return f'{mark}([{blank}]*"(?:[^"]|"")*"[^{delimiter}]*|[^{delimiter}]*)'


def split_fields(line: str, delimiter: str) -> tuple[str, ...]:
    """Return the fields of a line, trimmed and unquoted, as SQL splits them.

    >>> split_fields(' a;"b;c"; ', ";")
    ('a', 'b;c', '')
    """
    if delimiter == " ":
        return tuple(line.split())
    if '"' not in line:
        return tuple(field.strip(BLANK) for field in line.split(delimiter))
    fields = re.findall(_field_pattern(delimiter), delimiter + line)
    names = (field.strip(BLANK) for field in fields)
    return tuple(n[1:-1].replace('""', '"') if len(n) > 1 and n[0] == n[-1] == '"' else n for n in names)
