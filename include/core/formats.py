"""Check that a file is of the format that its suffix names: open it with a reader of that format, read it to its end.

Every check bounds memory by what it reads at once and by what a file may unpack to, never by time, so the same file
always gets the same answer. The file may have any name (a sealed one is named by its checksum): `Artifact.path` names
the format.
"""

from __future__ import annotations

import codecs
import gzip
import io
import mmap
import os
import re
import stat
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from pydantic import BaseModel, ValidationError

from include.core import strict_json
from include.core.contracts import DEFAULT_MAX_BYTES, Artifact
from include.core.errors import ContractError

if TYPE_CHECKING:
    from pypdf import PdfReader

CHUNK = MIB = 1024**2
ALLOCATION_SLACK = 1 * MIB
"""A file takes whole blocks of the disk, so a small one takes more than its size."""
UNPACKED_FLOOR, UNPACKED_RATIO = 256 * MIB, 250
"""What a file may unpack to: measured values shrink to about a twentieth, a bomb to a thousandth and less."""
MAX_MEMBERS = 10_000
"""Of a zip archive."""
MAX_OBJECTS = 100_000
"""Of a PDF document, which its reader holds in memory."""
MAX_GZIP_MEMBERS, GZIP_CHUNK = 1_000_000, 64 * 1024
"""Blocked gzip (bgzip) has a member for each 64 KB of content."""
MAX_DIRECTORY_BYTES = 4 * MIB
"""Of a zip archive's directory, which its reader holds in memory."""
MAX_RECORDS = 2_000_000_000
"""Of a Parquet file, which can state any number of records in a few bytes."""
MAX_PIXELS = 64_000_000
"""Of a PNG or JPEG image, which its reader may hold in memory (interlaced, progressive)."""
MAX_BLOCKS, MAX_BLOCK_BYTES = 200_000, 256 * MIB
"""Of a raster, which is read block by block; a scene of 10,980 × 10,980 pixels has 10,980 strips at most."""
SQLITE_START = b"SQLite format 3\0"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_ZIP_NAME_LENGTH, _DESCRIPTOR_BYTES = 26, (12, 16, 20, 24)
JPEG_SCAN, JPEG_END, _JPEG_MARKER = b"\xff\xda", b"\xff\xd9", re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def format_of(name: str) -> str | None:
    """Return the format that a file's suffix names, or None where no check knows it.

    >>> format_of("2026/READINGS.csv.gz"), format_of("model.v2.json"), format_of("notes.doc")
    ('csv.gz', 'json', None)
    """
    suffixes = [suffix.lstrip(".").lower() for suffix in PurePosixPath(name).suffixes]
    return next((form for form in (".".join(suffixes[-2:]), *suffixes[-1:]) if form in FORMATS), None)


def check_size(status: os.stat_result, artifact: Artifact[Any]) -> None:
    """Check the apparent and the allocated size of a file, before anything copies or reads it.

    Args:
        status: Of the file.
        artifact: What was declared of it.

    Raises:
        ContractError: It is empty, or larger than its contract allows.
    """
    if status.st_size == 0:
        raise ContractError(artifact.path, "must not be empty", "0 bytes")
    form = FORMATS.get(format_of(artifact.path) or "")
    readable = form.max_bytes if form and form.max_bytes else artifact.max_bytes
    limit = min(artifact.max_bytes, readable)
    hint = "Raise max_bytes in the step's contract or definition, if the file is as large as it should be."
    if limit < artifact.max_bytes:
        hint = "No file of this format is checked beyond that size: split it, or write another format."
    for size, where, slack in ((status.st_size, "", 0), (status.st_blocks * 512, " on the disk", ALLOCATION_SLACK)):
        if size > limit + slack:
            rule = f"must take at most {limit:,} bytes{where}"
            raise ContractError(artifact.path, rule, f"{size:,} bytes", hint=hint)


def check_format(path: Path, artifact: Artifact[Any]) -> int | None:
    """Check that a file is complete, of its format, and true to its schema.

    Args:
        path: The file, under whatever name.
        artifact: What was declared of it.

    Returns:
        The number of records of a table or of JSON Lines; None for anything else.

    Raises:
        ContractError: Names the artifact, the rule and what was found.
    """
    check_size(path.stat(), artifact)
    if artifact.opaque:
        return None
    form = FORMATS.get(format_of(artifact.path) or "")
    if form is None:
        rule = "must be of a format that can be checked, or be declared opaque"
        raise ContractError(artifact.path, rule, f"the suffix {PurePosixPath(artifact.path).suffix!r}")
    try:
        records = form.check(path, artifact)
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a fault of the machine, not of the file
        raise ContractError(artifact.path, f"must be {form.title}", str(error) or type(error).__name__) from error
    if records == 0 and not artifact.may_be_empty:
        raise ContractError(artifact.path, "must hold at least one record", "a header alone")
    return records


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_text(path: Path, artifact: Artifact[Any]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for chunk in _content(path, artifact):
        if "\0" in decoder.decode(chunk):
            raise ValueError("a NUL character")
    decoder.decode(b"", final=True)


def _check_json(path: Path, artifact: Artifact[Any]) -> None:
    with _opened(path, artifact) as file:
        content = file.read(strict_json.MAX_BYTES + 1)
    document = strict_json.parse(content)
    if artifact.schema is not None:
        _validate(artifact.schema, content, artifact.path)
    elif document in ({}, [], None, ""):
        raise ContractError(artifact.path, "must hold something", content[:40].decode())


def _check_json_lines(path: Path, artifact: Artifact[Any]) -> int:
    number = 0
    with _opened(path, artifact) as file:
        for number, line in enumerate(strict_json.lines(file), 1):
            if artifact.schema is not None:
                _validate(artifact.schema, line, artifact.path, f"line {number}, ")
    return number


def _validate(model: type[BaseModel], content: bytes, name: str, where: str = "") -> None:
    try:
        model.model_validate_json(content, strict=True)  # a number written as a text is none for most readers
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        rule = f"must keep to its schema: {where}{field}: {first['msg']}{more}"
        raise ContractError(name, rule, str(first["input"])[:80]) from error


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_csv(path: Path, artifact: Artifact[Any]) -> int:
    from include.core.tables import CUT_SHORT, check_table

    last = b""
    for chunk in _content(path, artifact):
        last = chunk[-1:]
        if b"\0" in chunk:  # DuckDB would pass over it
            raise ValueError("a NUL character")
    if last != b"\n":
        raise ContractError(artifact.path, CUT_SHORT)
    return check_table(path, artifact.path, artifact.schema)


def _check_parquet(path: Path, artifact: Artifact[Any]) -> int:
    from include.core.tables import CHECK_MEMORY, check_table, connect, file_literal, readable

    file = file_literal(path)
    with connect(CHECK_MEMORY) as db, readable(path, artifact.path):
        [(records,)] = db.execute(f"SELECT num_rows FROM parquet_file_metadata({file})").fetchall()
        [(unpacked,)] = db.execute(f"SELECT sum(total_uncompressed_size) FROM parquet_metadata({file})").fetchall()
    if records > MAX_RECORDS:
        raise ContractError(artifact.path, f"must hold at most {MAX_RECORDS:,} records", f"{records:,}")
    _check_unpacked(int(unpacked or 0), path, artifact)
    return check_table(path, artifact.path, artifact.schema)


# ── archives ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_gzip(path: Path, artifact: Artifact[Any]) -> None:
    if sum(map(len, _gunzipped(path, artifact))) == 0:
        raise ContractError(artifact.path, "must hold something", "a compressed file of 0 bytes")


def _gunzipped(path: Path, artifact: Artifact[Any]) -> Iterator[bytes]:
    """Yield the content of a gzip file of any number of members, checksums included, to its end."""
    unpacked, members = 0, 1
    member = zlib.decompressobj(wbits=31)
    with path.open("rb") as file:
        while packed := member.unconsumed_tail or member.unused_data or file.read(GZIP_CHUNK):
            if member.eof:
                member, members = zlib.decompressobj(wbits=31), members + 1
            chunk = member.decompress(packed, CHUNK)
            unpacked += len(chunk)
            _check_unpacked(unpacked, path, artifact)
            if members > MAX_GZIP_MEMBERS:
                raise ValueError(f"more than {MAX_GZIP_MEMBERS:,} members")
            if chunk:
                yield chunk
    if not member.eof:
        raise EOFError("the file was cut short")


def _check_zip(path: Path, artifact: Artifact[Any]) -> None:
    unpacked, names = 0, set[str]()
    with _BoundedFile(path) as file, ZipFile(file) as archive:
        if len(archive.filelist) > MAX_MEMBERS:
            raise ValueError(f"{len(archive.filelist):,} members; at most {MAX_MEMBERS:,} are checked")
        _check_zip_layout(file, archive)
        for member in archive.filelist:
            place, name = PurePosixPath(member.filename), member.filename.casefold()
            if place.is_absolute() or ".." in place.parts or {"\\", ":"} & set(name) or name in names:
                raise ValueError(f"the member {member.filename!r}, which leaves the archive or appears twice")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"the member {member.filename!r}, which is a link or no regular file")
            if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise ValueError(f"the member {member.filename!r}, which is not packed with deflate")
            names.add(name)
            for chunk in _member(archive, member.filename):
                unpacked += len(chunk)
                _check_unpacked(unpacked, path, artifact)
    if unpacked == 0:
        raise ContractError(artifact.path, "must hold something", f"{len(names)} empty members")


def _check_zip_layout(file: io.FileIO, archive: ZipFile) -> None:
    """Check that the members that the directory names fill the file up to it: nothing is before, between or hidden."""
    end = 0
    for member in sorted(archive.filelist, key=lambda member: member.header_offset):
        if member.header_offset - end not in (0, *_DESCRIPTOR_BYTES) or (end == 0 and member.header_offset):
            raise ValueError(f"{member.header_offset - end} bytes before the member {member.filename!r}")
        file.seek(member.header_offset + _ZIP_NAME_LENGTH)
        lengths = file.read(4)
        names = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        end = member.header_offset + _ZIP_NAME_LENGTH + 4 + names + member.compress_size
    if archive.start_dir - end not in (0, *_DESCRIPTOR_BYTES):
        raise ValueError(f"{archive.start_dir - end} bytes that no member of its directory holds")


def _member(archive: ZipFile, name: str) -> Iterator[bytes]:
    with archive.open(name) as member:
        yield from _chunks(member)


class _BoundedFile(io.FileIO):
    """A file that is never read in one large piece, whatever sizes its own content states."""

    def read(self, size: int | None = -1) -> bytes:
        """Read up to `size` bytes, or to the end."""
        left = os.fstat(self.fileno()).st_size - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MAX_DIRECTORY_BYTES:
            raise ValueError(f"a directory of {wanted:,} bytes; at most {MAX_DIRECTORY_BYTES:,} are read")
        return super().read(wanted)


# ── images and documents ─────────────────────────────────────────────────────────────────────────────────────────────


def _check_png(path: Path, artifact: Artifact[Any]) -> None:
    """Read the image; its first end is the file's, so that nothing else and no second image stands behind it."""
    with path.open("rb") as file:
        if file.read(len(PNG_START)) != PNG_START:
            raise ValueError("other bytes at its start")
        chunk = b""
        while chunk != PNG_END[:8]:
            chunk = file.read(8)
            if len(chunk) < 8:
                raise ValueError("no end of the image")
            file.seek(int.from_bytes(chunk[:4]) + 4, os.SEEK_CUR)
        if file.tell() != path.stat().st_size:
            raise ValueError("other bytes behind the end of the image")
    _read_raster(path, artifact, "PNG")


def _check_jpeg(path: Path, artifact: Artifact[Any]) -> None:
    """Read the image; its first end is the file's."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = 2
        while (marker := content[place : place + 2]) not in (JPEG_END, b""):
            if marker[0] != 0xFF:
                raise ValueError(f"no marker at byte {place}")
            place += 2 + int.from_bytes(content[place + 2 : place + 4])
            if marker == JPEG_SCAN:  # compressed data follow, in which 0xFF is escaped, up to the next marker
                match = _JPEG_MARKER.search(content, place)
                place = match.start() if match else len(content)
        if place + 2 != len(content):
            raise ValueError("other bytes behind the end of the image" if marker else "no end of the image")
    _read_raster(path, artifact, "JPEG")


def _check_geopackage(path: Path, artifact: Artifact[Any]) -> int:
    """Count the features of a GeoPackage; SQLite checks every page of it, and takes missing ones for empty."""
    import sqlite3

    with path.open("rb") as file:
        head = file.read(100)
    page, pages = int.from_bytes(head[16:18]), int.from_bytes(head[28:32])
    page = 65_536 if page == 1 else page  # as the header states it
    if not head.startswith(SQLITE_START) or page * pages != path.stat().st_size:
        raise ValueError(f"{path.stat().st_size:,} bytes, not {pages:,} pages of {page:,}")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as db:
            if (fault := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise ValueError(fault)
            layers = db.execute("SELECT table_name FROM gpkg_contents WHERE data_type = 'features'").fetchall()
            quoted = (name.replace('"', '""') for (name,) in layers)
            return sum(db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in quoted)
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error


def _check_tiff(path: Path, artifact: Artifact[Any]) -> None:
    if not _read_raster(path, artifact, "GTiff"):
        raise ContractError(artifact.path, "must be georeferenced", "no coordinate reference system")


def _read_raster(path: Path, artifact: Artifact[Any], driver: str) -> bool:
    """Read every block of an image with GDAL; return whether it has a place.

    Set up so, GDAL pads no image and reads no file beside it. Pillow would accept an image with fewer rows than stated.
    """
    import numpy as np
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    alone = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": False}
    strict = {"GDAL_ERROR_ON_LIBJPEG_WARNING": True, "GDAL_PNG_WHOLE_IMAGE_OPTIM": False}
    try:
        with rasterio.Env(**alone, **strict), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, driver=driver) as raster:
                if raster.subdatasets:
                    raise ValueError(f"{len(raster.subdatasets)} images; one is read")
                sample = sum(np.dtype(kind).itemsize for kind in raster.dtypes)
                if driver != "GTiff" and (pixels := raster.width * raster.height) > MAX_PIXELS:
                    raise ValueError(f"{pixels:,} pixels; at most {MAX_PIXELS:,} are read")
                _check_unpacked(raster.width * raster.height * sample, path, artifact)
                rows, columns = (max(sides) for sides in zip(*raster.block_shapes, strict=True))
                if rows * columns * sample > MAX_BLOCK_BYTES:
                    raise ValueError(f"blocks of {rows} × {columns} pixels; at most {MAX_BLOCK_BYTES:,} bytes are read")
                if (blocks := -(-raster.height // rows) * -(-raster.width // columns)) > MAX_BLOCKS:
                    raise ValueError(f"{blocks:,} blocks; at most {MAX_BLOCKS:,} are read")
                for _, window in raster.block_windows(1):
                    raster.read(window=window)
                return raster.crs is not None
    except RasterioError as error:
        message = re.sub(rf"\S*\b{re.escape(path.name)}\b", artifact.path, str(error.__cause__ or error))
        raise ValueError(message) from error


def _check_pdf(path: Path, artifact: Artifact[Any]) -> None:
    """Read every object of a PDF document and unpack every compressed stream; the images in it are not decoded."""
    from pypdf import PdfReader, apply_configuration
    from pypdf.errors import PyPdfError
    from pypdf.generic import IndirectObject, StreamObject

    unpacked = 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        if b"%%EOF" not in file.read():
            raise ValueError("no %%EOF at its end: the file was cut short")
    try:
        with apply_configuration(zlib_maximum_recovery_input_length=0, jbig2dec_binary=None):
            reader = PdfReader(path, strict=True)
            for number, generation in _pdf_objects(reader):
                item = reader.get_object(IndirectObject(number, generation, reader))
                if isinstance(item, StreamObject) and item.get("/Filter") in ("/FlateDecode", ["/FlateDecode"]):
                    unpacked += len(item.get_data())
                    if unpacked > UNPACKED_FLOOR:
                        raise ValueError(f"streams that unpack to more than {UNPACKED_FLOOR:,} bytes")
            pages = len(reader.pages)
    except (PyPdfError, AssertionError) as error:
        raise ValueError(str(error) or "an object that cannot be read") from error
    if pages == 0:
        raise ContractError(artifact.path, "must hold at least one page", "none")


def _pdf_objects(reader: PdfReader) -> Iterator[tuple[int, int]]:
    """Yield number and generation of every object, each of which stands where the document says: none is searched."""
    places = [
        (number, generation, place) for generation in reader.xref for number, place in reader.xref[generation].items()
    ]
    if len(places) + len(reader.xref_objStm) > MAX_OBJECTS:
        raise ValueError(f"more than {MAX_OBJECTS:,} objects")
    for number, generation, place in places:
        if reader.xref_free_entry.get(generation, {}).get(number):
            continue
        reader.stream.seek(place)
        if not re.match(rb"\s*%d\s+%d\s+obj" % (number, generation), reader.stream.read(40)):
            raise ValueError(f"no object {number} at byte {place:,}, where it is stated")
        yield number, generation
    for number in reader.xref_objStm:
        yield number, 0


# ── arrays ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_npy(path: Path, artifact: Artifact[Any]) -> None:
    import numpy as np

    array = np.lib.format.open_memmap(path, mode="r")  # unlike np.load, it takes no other format, and no objects
    if array.size == 0:
        raise ContractError(artifact.path, "must hold at least one element", f"shape {array.shape}")
    if (end := array.offset + array.nbytes) != (size := path.stat().st_size):
        raise ValueError(f"{size:,} bytes where {end:,} are stated")


def _check_safetensors(path: Path, artifact: Artifact[Any]) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as weights:  # refuses offsets that overlap, leave gaps or end elsewhere
            names = list(weights.keys())
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if not names:
        raise ContractError(artifact.path, "must hold at least one tensor", "none")


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK), b"")


def _content(path: Path, artifact: Artifact[Any]) -> Iterator[bytes]:
    """Yield the content of a file that may be compressed."""
    if artifact.path.lower().endswith(".gz"):
        yield from _gunzipped(path, artifact)
    else:
        with path.open("rb") as file:
            yield from _chunks(file)


def _opened(path: Path, artifact: Artifact[Any]) -> IO[bytes]:
    """Open a file that may be compressed; a compressed one is unpacked to its end first."""
    if not artifact.path.lower().endswith(".gz"):
        return path.open("rb")
    _check_gzip(path, artifact)
    return gzip.open(path)  # type: ignore[return-value]


def _check_unpacked(unpacked: int, path: Path, artifact: Artifact[Any]) -> None:
    """Check how much a file unpacks to; it may be large, or highly compressed, but not both."""
    allowed = max(UNPACKED_FLOOR, UNPACKED_RATIO * path.stat().st_size)
    allowed = min(allowed, max(DEFAULT_MAX_BYTES, artifact.max_bytes))
    if unpacked > allowed:
        rule = f"must unpack to at most {allowed:,} bytes ({UNPACKED_RATIO} times its size, or 256 MiB)"
        raise ContractError(artifact.path, rule, f"{unpacked:,} bytes or more")


class Format(NamedTuple):
    """A format that files are checked for.

    Args:
        title: What a file must be, in words.
        check: Raises at a file that is not that; returns the number of records of a table.
        max_bytes: How large a file may be that is held in memory while it is checked; None for any size.
    """

    title: str
    check: Callable[[Path, Artifact[Any]], int | None]
    max_bytes: int | None = None


_CSV = Format("a complete CSV table", _check_csv)
_JSON = Format("valid JSON", _check_json, strict_json.MAX_BYTES)
_JSON_LINES = Format("complete JSON Lines", _check_json_lines)
_JPEG = Format("a complete JPEG image", _check_jpeg, 256 * MIB)
_TIFF = Format("a complete GeoTIFF", _check_tiff)
_TEXT = Format("UTF-8 text", _check_text)
FORMATS: dict[str, Format] = {
    "csv": _CSV,
    "csv.gz": _CSV,
    "gpkg": Format("a complete GeoPackage", _check_geopackage),
    "gz": Format("a complete gzip file", _check_gzip),
    "jpeg": _JPEG,
    "jpg": _JPEG,
    "json": _JSON,
    "json.gz": _JSON,
    "jsonl": _JSON_LINES,
    "jsonl.gz": _JSON_LINES,
    "md": _TEXT,
    "ndjson": _JSON_LINES,
    "ndjson.gz": _JSON_LINES,
    "npy": Format("a complete NumPy array", _check_npy),
    "parquet": Format("a complete Parquet file", _check_parquet),
    "pdf": Format("a complete PDF document", _check_pdf, 64 * MIB),
    "png": Format("a complete PNG image", _check_png, 256 * MIB),
    "safetensors": Format("a complete safetensors file", _check_safetensors),
    "tif": _TIFF,
    "tiff": _TIFF,
    "txt": _TEXT,
    "zip": Format("a complete zip archive", _check_zip),
}
"""By suffix."""
_UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, EOFError, RuntimeError, SyntaxError, OSError),
    *(OverflowError, BadZipFile, zlib.error),
)
"""What readers raise at a file that is damaged or of another format."""
