"""Input files in containers, made plain: UTF-8 text that the readers of `include.energy.readers` understand.

| file | becomes |
|---|---|
| UTF-8 text, gzip of it | itself |
| other text (see `include.energy.encodings`) | UTF-8 text, the same lines |
| ZIP archive | its members, each unpacked in its turn: `data.zip/member.csv` |
| workbook (see `include.energy.workbooks`) | one text a sheet; line n is row n |
| JSON (see `include.energy.json_documents`) | one text; line n + 1 is record n |

What a file is, its bytes say, never its name. Of an archive, folders, hidden files, PDF documents and pictures are left
out: none of these holds readings that could be read.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from include.core.errors import BadInputError
from include.core.files import setup_errors
from include.energy.encodings import UTF_8, find_encoding, write_utf8
from include.energy.json_documents import is_json, write_records
from include.energy.lines import read_chunks
from include.energy.workbooks import Sheet, write_sheets

MAX_MEMBERS = 1000
MAX_UNPACKED = 20 * 10**9
MAX_BOOK = 2 * 10**9
MAX_RATIO = 200
"""How many times its packed size a member may have; meter data stay below 50. Small members may exceed it."""
RATIO_FROM = 64 * 1024**2

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # the second one: an archive without members
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LEFT_OUT = {b"%PDF": "a PDF document", b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture"}
_UNREADABLE = _LEFT_OUT | {
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "an SQLite database",
}
_HTML = (b"<!doctype html", b"<html", b"<table", b"<head", b"<meta")


@dataclass(frozen=True)
class Text:
    """A text that a reader takes apart.

    Args:
        path: Where it lies: the input file, or a file in the scratch folder.
        name: What messages call it: `data.zip/member.csv`, `book.xlsx/Sheet1` where a workbook has several sheets.
        containers: What it was taken out of, from the outside in: "ZIP archive", "Excel workbook, sheet Data".
        encoding: The encoding of its letters in the file: "UTF-8", "UTF-16", "Windows-1250".
        locator: What the number of one of its lines counts in the file: lines; rows of a sheet; or records of a JSON
            document, where record n stands in line n + 1.
    """

    path: Path
    name: str
    containers: tuple[str, ...] = ()
    encoding: str = UTF_8.label
    locator: Literal["line", "row", "record"] = "line"


def unpack(path: Path, name: str, scratch: Path) -> list[Text]:
    """Return the texts that an input file holds, in its order.

    Args:
        path: The file.
        name: What messages call it.
        scratch: Folder for what has to be written, in subfolders of its own; it must exist, and outlive the texts.

    Raises:
        BadInputError: The file or a part of it is damaged, encrypted, not readable as text, or breaks a limit.
        SetupError: The scratch folder cannot be written, or the disk is full.
    """
    return _texts(path, name, (), scratch)


def _texts(path: Path, name: str, containers: tuple[str, ...], scratch: Path) -> list[Text]:
    head = next(read_chunks(path, name), b"")
    if kind := _kind(head, _UNREADABLE):
        raise BadInputError(
            f"{name}: is {kind}; provide the meter data as text (CSV), in a workbook, or in a ZIP archive"
        )
    if head[:64].lstrip().lower().startswith(_HTML):
        raise BadInputError(f"{name}: is a web page (HTML); export the data as CSV or as a workbook")
    with setup_errors(scratch, "written"):
        folder = Path(tempfile.mkdtemp(dir=scratch))
    if head.startswith((*_ZIP, _OLE)):
        return _packed(_plain(path, name, folder), name, containers, folder)
    if _is_gzip(path):
        containers = (*containers, "gzip")
    encoding = find_encoding(path, name)
    if encoding != UTF_8:
        write_utf8(path, name, encoding, folder / "text")
        path = folder / "text"
        head = next(read_chunks(path, name), b"")
    if is_json(head):
        write_records(path, name, folder / "records.csv")
        return [Text(folder / "records.csv", name, (*containers, "JSON"), encoding.label, "record")]
    return [Text(path, name, containers, encoding.label)]


def _hidden(sheet: Sheet) -> str:
    return f" (hidden, and not read: {', '.join(sheet.hidden)})" if sheet.hidden else ""


def _packed(path: Path, name: str, containers: tuple[str, ...], folder: Path) -> list[Text]:
    """Return the texts of a ZIP archive or workbook."""
    book = "Excel"
    if not _starts_with(path, _OLE):
        with _damage(name), zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
        kind = _book(members)
        _check_limits(members, name, MAX_BOOK if kind else MAX_UNPACKED)
        if not kind:
            return _members(path, members, name, containers, folder)
        book = kind
    sheets = write_sheets(path, name, folder)
    return [
        Text(
            sheet.path,
            name if len(sheets) == 1 else f"{name}/{sheet.title}",
            (*containers, f"{book} workbook, sheet {sheet.title}{_hidden(sheet)}"),
            locator="row",
        )
        for sheet in sheets
    ]


def _book(members: list[zipfile.ZipInfo]) -> str | None:
    """Return whose workbook an archive is, None if it is none."""
    names = {member.filename for member in members}
    if names & {"xl/workbook.xml", "xl/workbook.bin"}:
        return "Excel"
    return "OpenDocument" if {"content.xml", "META-INF/manifest.xml"} <= names else None


def _members(
    path: Path, members: list[zipfile.ZipInfo], name: str, containers: tuple[str, ...], folder: Path
) -> list[Text]:
    if "ZIP archive" in containers:
        raise BadInputError(f"{name}: is an archive in an archive; unpack the outer one")
    texts = []
    for number, member in enumerate(filter(_is_shown, members), 1):
        whole, copy = f"{name}/{member.filename}", folder / f"{number}"
        _check_member(member, whole)
        with (
            _damage(whole),
            zipfile.ZipFile(path) as archive,
            archive.open(member) as source,
            setup_errors(copy, "written"),
            copy.open("wb") as file,
        ):
            shutil.copyfileobj(source, file, 1024**2)
        if not _kind(next(read_chunks(copy, whole), b""), _LEFT_OUT):
            texts += _texts(copy, whole, (*containers, "ZIP archive"), folder)
    if not texts:
        raise BadInputError(f"{name}: is a ZIP archive without a file that could hold meter data")
    return texts


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError) as error:
        raise BadInputError(f"{name}: the ZIP archive is damaged ({error}); fetch it again") from error


def _check_limits(members: list[zipfile.ZipInfo], name: str, max_bytes: int) -> None:
    """Refuse archives that would fill the disk; `zipfile` unpacks no more of a member than its directory states."""
    if len(members) > MAX_MEMBERS:
        raise BadInputError(f"{name}: holds {len(members)} files, and at most {MAX_MEMBERS} are read; split it")
    if (total := sum(member.file_size for member in members)) > max_bytes:
        raise BadInputError(
            f"{name}: unpacks to {total / 1e9:.1f} GB, and at most {max_bytes / 1e9:.0f} GB are read; split it"
        )
    for member in members:
        if member.file_size > max(RATIO_FROM, MAX_RATIO * member.compress_size):
            raise BadInputError(
                f"{name}/{member.filename}: is more than {MAX_RATIO} times as large as packed, which meter data never "
                "are; if it is right, unpack it yourself"
            )
    names = [member.filename for member in members]
    if repeated := next((filename for filename in names if names.count(filename) > 1), None):
        raise BadInputError(f"{name}: holds {repeated} twice; pack it anew")


def _check_member(member: zipfile.ZipInfo, whole: str) -> None:
    if member.flag_bits & 1:
        raise BadInputError(f"{whole}: is encrypted; unpack it with its password, and provide what it holds")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadInputError(f"{whole}: is a link, not a file; pack the file that it leads to")
    parts = _parts(member)
    if ".." in parts or parts[0] == "/" or parts[0].endswith(":"):
        raise BadInputError(f"{whole}: its name leads out of the archive; pack it anew with names inside one folder")


def _is_shown(member: zipfile.ZipInfo) -> bool:
    parts = _parts(member)
    is_hidden = any(part.startswith(".") and part != ".." for part in parts)
    return not (is_hidden or "__MACOSX" in parts or parts[-1] in ("Thumbs.db", "desktop.ini"))


def _parts(member: zipfile.ZipInfo) -> tuple[str, ...]:
    return PurePosixPath(member.filename.replace("\\", "/")).parts


def _plain(path: Path, name: str, folder: Path) -> Path:
    """Return the file, decompressed where it is gzip."""
    if not _is_gzip(path):
        return path
    copy, size = folder / "decompressed", 0
    with setup_errors(copy, "written"), copy.open("wb") as file:
        for chunk in read_chunks(path, name):
            size += file.write(chunk)
            if size > MAX_UNPACKED:
                raise BadInputError(f"{name}: decompresses to more than {MAX_UNPACKED / 1e9:.0f} GB; split it")
    return copy


def _kind(head: bytes, kinds: dict[bytes, str]) -> str | None:
    return next((kind for mark, kind in kinds.items() if head.startswith(mark)), None)


def _is_gzip(path: Path) -> bool:
    return _starts_with(path, b"\x1f\x8b")


def _starts_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark
