"""The encoding of a text file, found by evidence, and its conversion to UTF-8.

A byte order mark decides, then valid UTF-8, then what an XML declaration states. Other files are taken for
Windows-1252 or Windows-1250 (which hold ISO 8859-1 and nearly all of ISO 8859-2): for the one in which their letters
are those of a language. All of these spell ASCII alike, so no number and no stamp depends on the choice.
"""

from __future__ import annotations

import codecs
import re
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from include.core.errors import BadInputError
from include.core.files import setup_errors
from include.energy.lines import read_chunks


class Encoding(NamedTuple):
    """A character encoding: its name in messages, and that of Python's codec."""

    label: str
    codec: str


UTF_8 = Encoding("UTF-8", "utf-8")
_WESTERN = Encoding("Windows-1252", "cp1252")
_CENTRAL = Encoding("Windows-1250", "cp1250")
_MARKS = {  # UTF-32 before UTF-16, whose mark begins that of UTF-32
    codecs.BOM_UTF32_LE: Encoding("UTF-32", "utf-32"),
    codecs.BOM_UTF32_BE: Encoding("UTF-32", "utf-32"),
    codecs.BOM_UTF16_LE: Encoding("UTF-16", "utf-16"),
    codecs.BOM_UTF16_BE: Encoding("UTF-16", "utf-16"),
}
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_SYMBOLS = set("\xa0¤¦§¨©«¬®°±´µ¶·»€‚„…†‡‰‹‘’“”•–—™›")  # at the same place in both code pages
_ALPHABETS = {
    _WESTERN: (
        "àâæçéèêëîïôœùûüÿ²³½ª°º",  # French
        "äöüß²³½",  # German, Finnish
        "áéíñóúüçàèïò²³½ªº¿¡",  # Spanish, Catalan
        "ãáàâçéêíóôõúü²³½ªº",  # Portuguese
        "àéèìîòóù²³½ªº",  # Italian
        "æøåéèêóòâôöäü²³½",  # Danish, Norwegian, Swedish
        "éëïóöüèêáíúàâîôûç²³½",  # Dutch
        "áðéíóúýþæö²³½",  # Icelandic
    ),
    _CENTRAL: (
        "áčďéěíňóřšťúůýž",  # Czech
        "áäčďéíĺľňóôŕšťúýž",  # Slovak
        "ąćęłńóśźż",  # Polish
        "áéíóöőúüű",  # Hungarian
        "čćđšž",  # Slovene, Croatian
        "ăâîşţ",  # Romanian
    ),
}
_CENTRAL_WORDS = ("spotřeb", "odběr", "měř", "měs", "zużyci", "wartoś", "idő", "wyjś", "příkon")
_ASCII = bytes(range(128))


def find_encoding(path: Path, name: str) -> Encoding:
    """Return the encoding of a text file, plain or gzip.

    Args:
        path: The file. One that holds NUL bytes without a byte order mark is not text, and passes for UTF-8: readers
            name the byte.
        name: What messages call it.

    Raises:
        BadInputError: The file cannot be read, holds UTF-8 and other bytes, or letters of no known language.
    """
    head = next(read_chunks(path, name), b"")[:1024]
    marked = next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), None)
    if marked or b"\0" in head:
        return marked or UTF_8
    fault = _first_fault(path, name)
    if fault is None:
        return UTF_8
    if declared := _DECLARED.match(head):
        return _declared(declared[1].decode(), name)
    line, is_mixed = fault
    if is_mixed:
        raise BadInputError(
            f"{name}: line {line}: holds a byte that is not UTF-8, and the lines before it are; fetch the file again, "
            "or write it in one encoding"
        )
    return _eight_bit(path, name, line)


def write_utf8(path: Path, name: str, encoding: Encoding, target: Path) -> None:
    """Write a text file, plain or gzip, as plain UTF-8 with the same lines.

    Raises:
        BadInputError: The file cannot be read, or breaks the rules of its encoding.
        SetupError: The target cannot be written.
    """
    decoder = codecs.getincrementaldecoder(encoding.codec)()
    with setup_errors(target, "written"), target.open("wb") as file:
        for chunk in chain(read_chunks(path, name), [b""]):
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                raise BadInputError(f"{name}: is damaged {encoding.label} text ({error}); fetch it again") from None
            file.write(text.encode())


def _first_fault(path: Path, name: str) -> tuple[int, bool] | None:
    """Return the line of the first byte that is not UTF-8, and whether other letters than ASCII precede it."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, is_ascii = 1, True
    for chunk in chain(read_chunks(path, name), [b""]):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode()
            return line + before.count("\n"), not (is_ascii and before.isascii())
        line, is_ascii = line + text.count("\n"), is_ascii and text.isascii()
    return None


def _declared(stated: str, name: str) -> Encoding:
    try:
        return Encoding(stated, codecs.lookup(stated).name)
    except LookupError:
        raise BadInputError(f"{name}: declares the encoding {stated!r}, which is unknown; save it as UTF-8") from None


def _eight_bit(path: Path, name: str, line: int) -> Encoding:
    chunks = (chunk.translate(None, _ASCII) for chunk in read_chunks(path, name))
    present = bytes(sorted(set().union(*map(set, chunks))))
    plausible = [
        encoding
        for encoding, alphabets in _ALPHABETS.items()
        if any(
            set(present.decode(encoding.codec, "replace").lower()) <= _SYMBOLS | set(letters) for letters in alphabets
        )
    ]
    if not plausible:
        raise BadInputError(
            f"{name}: line {line}: is not UTF-8, and its letters are those of no language in Windows-1252 or "
            f"Windows-1250; convert it from its encoding, for example: iconv -f WINDOWS-1251 -t UTF-8 {name} > utf8.csv"
        )
    if len(plausible) == 1:
        return plausible[0]
    beginning = next(read_chunks(path, name)).decode(_CENTRAL.codec, "replace").lower()
    return _CENTRAL if any(word in beginning for word in _CENTRAL_WORDS) else _WESTERN
