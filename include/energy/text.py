"""Text files as people hand them in: looked through once, as bytes, before anything else reads them."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from include.core.errors import BadInputError

BLANK = " \t"
_CHUNK = 512 * 1024


@dataclass
class TextFile:
    """What a file of UTF-8 text holds.

    Args:
        path: Where it lies.
        name: What messages call it.
        gzipped: Compressed with gzip, whatever its suffix says.
        header_line: Line number of the first line that is not blank; 0 if there is none.
        header: That line, without a byte order mark and blanks around it.
        has_records: Some line after the header is not blank.
        quotes: A `"` occurs.
        blanks: Which of space and tab occur.
        newline: `lf` or `cr` where all lines end so, `crlf` where some end with CRLF, others perhaps with LF.
    """

    path: Path
    name: str
    gzipped: bool
    header_line: int = 0
    header: str = ""
    has_records: bool = False
    quotes: bool = False
    blanks: set[str] = field(default_factory=set)
    newline: Literal["lf", "crlf", "cr"] = "lf"

    def chunks(self) -> Iterator[bytes]:
        """The bytes, decompressed.

        Raises:
            BadInputError: The gzip file is damaged.
        """
        try:
            with gzip.open(self.path) if self.gzipped else self.path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadInputError(f"{self.name}: is a damaged gzip file ({error}); fetch or compress it again") from error

    def line_at(self, offset: int) -> int:
        """Number of the line that holds a byte."""
        number, seen, before = 1, 0, b""
        for chunk in self.chunks():
            part = chunk[: offset - seen]
            number += part.count(b"\n") + part.count(b"\r") - (before + part).count(b"\r\n")
            before, seen = part[-1:], seen + len(part)
            if seen >= offset:
                break
        return number


def scan(path: Path, name: str) -> TextFile:
    """Look through a file and tell what it holds.

    Raises:
        BadInputError: It is missing or unreadable, is not UTF-8 text, mixes CR with other line ends, or holds a NUL
            byte or a line of more than half a megabyte; the message names the line and how to mend it.
    """
    text = TextFile(path, name, gzipped=_is_gzip(path, name))
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, before = 0, b""
    line_feeds = returns = False
    lone_return = -1
    for chunk in text.chunks():
        _refuse_bytes(text, chunk, offset)
        if not chunk.isascii() or decoder.getstate()[0]:
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(text, offset + len(chunk) - len(error.object) + error.start) from error
        rest = chunk
        if offset == 0:
            text.header_line, text.header, rest = _header(chunk)
        text.has_records = text.has_records or bool(rest.strip(b" \t\r\n"))
        text.quotes = text.quotes or b'"' in chunk
        text.blanks.update(blank for blank in BLANK if blank.encode() in chunk)
        line_feeds, returns = line_feeds or b"\n" in chunk, returns or b"\r" in chunk
        if lone_return < 0:
            lone_return = _lone_return(before + chunk, offset - len(before))
        offset, before = offset + len(chunk), b"\r" if chunk.endswith(b"\r") else b""
    if decoder.getstate()[0]:
        raise _not_utf8(text, offset - len(decoder.getstate()[0]))
    if lone_return < 0 and before:
        lone_return = offset - 1
    if lone_return >= 0 and line_feeds:
        raise BadInputError(
            f"{name}: line {text.line_at(lone_return)}: ends with a carriage return alone, other lines with a line "
            f"feed; make all ends alike: sed 's/\\r$//' {name} | tr '\\r' '\\n' > mended.csv"
        )
    text.newline = "cr" if lone_return >= 0 else "crlf" if returns else "lf"
    return text


def _is_gzip(path: Path, name: str) -> bool:
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
    return magic.startswith(b"\x1f\x8b")


def _header(head: bytes) -> tuple[int, str, bytes]:
    """Line number and text of the first line that is not blank (0 and "" if there is none), and the bytes after it."""
    for number, match in enumerate(re.finditer(rb"([^\r\n]*)(?:\r\n|\r|\n|$)", head), start=1):
        line = match[1].decode("utf-8", "replace").removeprefix("\ufeff" if number == 1 else "").strip(BLANK)
        if line:
            return number, line, head[match.end() :]
    return 0, "", b""


def _lone_return(chunk: bytes, offset: int) -> int:
    """Offset of the first CR without an LF behind it, -1 if there is none; one at the very end is left open."""
    if chunk.count(b"\r") - chunk.endswith(b"\r") == chunk.count(b"\r\n"):
        return -1
    lone = re.search(rb"\r[^\n]", chunk)
    return offset + lone.start() if lone else -1


def _refuse_bytes(text: TextFile, chunk: bytes, offset: int) -> None:
    nul = chunk.find(b"\0")
    if nul >= 0:
        raise BadInputError(
            f"{text.name}: line {text.line_at(offset + nul)}: holds a NUL byte (offset {offset + nul}); the file is "
            f"damaged, binary, or UTF-16 text (then: iconv -f UTF-16 -t UTF-8 {text.name} > utf8.csv)"
        )
    if len(chunk) == _CHUNK and b"\n" not in chunk and b"\r" not in chunk:
        raise BadInputError(
            f"{text.name}: line {text.line_at(offset)}: is longer than half a megabyte; is this delimited text?"
        )


def _not_utf8(text: TextFile, offset: int) -> BadInputError:
    return BadInputError(
        f"{text.name}: line {text.line_at(offset)}: is not UTF-8 (offset {offset}); convert the file, for example: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {text.name} > utf8.csv"
    )
