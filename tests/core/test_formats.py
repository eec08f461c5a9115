"""A file passes only if a reader of its format read it to its end, within limits; lies of each format are refused."""

import gzip
import io
import json
import os
import sqlite3
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from include.core import formats
from include.core.contracts import DEFAULT_MAX_BYTES, Artifact
from include.core.errors import ContractError
from include.core.formats import FORMATS, PNG_END, PNG_START, check_format, check_size, format_of
from include.pipelines import all_pipelines
from tests.core.small_pipeline import PNG, READINGS, TOTALS, Reading, Totals, image, table

ROOT = Path(__file__).parents[2]
MIB = 1024**2


@pytest.fixture
def sealed(tmp_path: Path) -> Callable[[bytes], Path]:
    """Put content where the orchestrator keeps it: in a file that is named by its checksum."""

    def put(content: bytes) -> Path:
        path = tmp_path / "9f86d081884c7d65"
        path.write_bytes(content)
        return path

    return put


def refusal(path: Path, artifact: Artifact) -> ContractError:
    with pytest.raises(ContractError) as error:
        check_format(path, artifact)
    assert error.value.artifact == artifact.path
    assert str(path) not in str(error.value)
    assert "9f86d081884c7d65" not in str(error.value), "users do not know the sealed file by its checksum"
    return error.value


# ── files of each format ─────────────────────────────────────────────────────────────────────────────────────────────


def parquet(query: str = "SELECT i, repeat('x', 100) || i AS note FROM range(1000) t(i)") -> bytes:
    path = Path(os.environ["PYTEST_TMP"], "made.parquet")
    duckdb.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION uncompressed)")
    return path.read_bytes()


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return content.getvalue()


def hiding_archive() -> bytes:
    """An archive whose directory leaves out a member."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in ("a", "hidden", "b"):
            file.writestr(name, name)
        del file.filelist[1]
    return content.getvalue()


def linked_archive() -> bytes:
    content, link = io.BytesIO(), zipfile.ZipInfo("reports")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(link, "/elsewhere")
    return content.getvalue()


def array(values: object = ((1, 2), (3, 4))) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(values))
    return content.getvalue()


def raster(side: int = 64, **profile: object) -> bytes:
    import rasterio
    from rasterio.io import MemoryFile

    place = {"crs": "EPSG:32643", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 3400000)}
    layout = {"driver": "GTiff", "width": side, "height": side, "count": 2, "dtype": "uint16"}
    with MemoryFile() as memory:
        with memory.open(**layout | place | profile) as file:
            if side < 1000:
                file.write(np.arange(2 * side * side, dtype=np.uint16).reshape(2, side, side))
        return bytes(memory.getbuffer())


def pages(number: int) -> bytes:
    """A TIFF file of several images."""
    content = io.BytesIO()
    first, *others = [Image.new("L", (16, 16))] * number
    first.save(content, "TIFF", save_all=True, append_images=others)
    return content.getvalue()


def document() -> bytes:
    import matplotlib
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    content = io.BytesIO()
    with matplotlib.rc_context({"pdf.compression": 6}), PdfPages(content, metadata={"CreationDate": None}) as file:
        for _ in range(2):
            figure = Figure()
            figure.subplots().plot(range(1000))
            figure.savefig(file, format="pdf")
    return content.getvalue()


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG image of grey pixels, whose header states any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG_START + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def weights(**tensors: tuple[list[int], list[int]]) -> bytes:
    """A safetensors file of float32 tensors, whose header states any shapes and offsets."""
    named = {name: {"dtype": "F32", "shape": shape, "data_offsets": place} for name, (shape, place) in tensors.items()}
    header = json.dumps(named).encode()
    return struct.pack("<Q", len(header)) + header + bytes(16)


def spoiled(content: bytes, start: int, *more: int) -> bytes:
    """A file with some of its bytes inverted."""
    changed = bytearray(content)
    for position in (start, *more):
        changed[position] ^= 0xFF
    return bytes(changed)


def emptied(content: bytes, start: int, end: int) -> bytes:
    """A file with zeros where its middle was; its head and its tail are right."""
    return content[:start] + bytes(len(content[start:end])) + content[end:]


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory):
    os.environ["PYTEST_TMP"] = str(tmp_path_factory.mktemp("formats"))
    yield
    del os.environ["PYTEST_TMP"]


def package() -> bytes:
    """A GeoPackage of three features, as far as a check looks: its layers and their rows."""
    path = Path(os.environ["PYTEST_TMP"], "made.gpkg")
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE gpkg_contents (table_name TEXT, data_type TEXT);"
            "INSERT INTO gpkg_contents VALUES ('plots', 'features'), ('notes', 'attributes');"
            "CREATE TABLE plots (fid INTEGER PRIMARY KEY, geom BLOB);"
            "INSERT INTO plots VALUES (1, x'00'), (2, x'00'), (3, x'00');"
        )
    return path.read_bytes()


RECORDS = b'{"n": 1}\n{"n": 2}\n'
GOOD: dict[str, tuple[Callable[[], bytes], int | None]] = {
    "a.csv": (READINGS.encode, 3),
    "a.csv.gz": (lambda: gzip.compress(READINGS.encode()), 3),
    "a.gpkg": (package, 3),
    "a.gz": (lambda: gzip.compress(b"anything") + gzip.compress(b"else"), None),
    "a.jpeg": (lambda: image("JPEG"), None),
    "a.jpg": (lambda: image("JPEG", 500), None),
    "a.json": (TOTALS.encode, None),
    "a.json.gz": (lambda: gzip.compress(TOTALS.encode()), None),
    "a.jsonl": (lambda: RECORDS, 2),
    "a.jsonl.gz": (lambda: gzip.compress(RECORDS), 2),
    "a.md": ("# Übersicht\n".encode, None),
    "a.ndjson": (lambda: RECORDS, 2),
    "a.ndjson.gz": (lambda: gzip.compress(RECORDS), 2),
    "a.npy": (array, None),
    "a.parquet": (parquet, 1000),
    "a.pdf": (document, None),
    "a.png": (lambda: PNG, None),
    "a.safetensors": (lambda: save({"w": np.zeros((2, 2), np.float32), "b": np.zeros(3, np.int8)}), None),
    "a.tif": (raster, None),
    "a.tiff": (lambda: raster(compress="deflate", tiled=True, blockxsize=16, blockysize=16), None),
    "a.txt": (lambda: b"anything", None),
    "a.zip": (lambda: archive(a=b"1", b=b"2" * 100_000), None),
}


@cache
def good(name: str) -> bytes:
    return GOOD[name][0]()


def test_every_format_has_a_file_that_passes():
    assert set(GOOD) == {f"a.{form}" for form in FORMATS}


@pytest.mark.parametrize("name", GOOD)
def test_a_complete_file_passes_under_any_name_and_its_records_are_counted(sealed, name):
    path = sealed(good(name))
    assert check_format(path, Artifact(name)) == GOOD[name][1]
    assert check_format(path, Artifact(f"below/{name.upper()}")) == GOOD[name][1]


@pytest.mark.parametrize("name", [name for name in GOOD if not name.endswith((".md", ".txt"))])
def test_a_file_that_was_cut_short_is_refused(sealed, name):
    whole = good(name)
    for length in (len(whole) - 3, len(whole) // 2 + 3, 10):
        assert refusal(sealed(whole[:length]), Artifact(name)).rule.startswith("must ")


@pytest.mark.parametrize("name", [name for name in GOOD if not name.endswith((".md", ".txt", ".csv"))])
@pytest.mark.parametrize("content", [b"not what the suffix says\n", bytes(5000), b"PK\x03\x04" + bytes(100)])
def test_a_file_of_another_format_is_refused(sealed, name, content):
    assert refusal(sealed(content), Artifact(name)).rule.startswith("must ")


# ── lies, by format ──────────────────────────────────────────────────────────────────────────────────────────────────

LIES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    # gzip
    "gzip that was cut short": ("a.gz", lambda: gzip.compress(os.urandom(999))[:-9], "the file was cut short"),
    "gzip with a wrong checksum": ("a.gz", lambda: spoiled(good("a.gz"), -6), "incorrect data check"),
    "gzip with something behind it": ("a.gz", lambda: good("a.gz") + b"more", "incorrect header check"),
    "gzip with zeros behind it": ("a.gz", lambda: good("a.gz") + bytes(99), "incorrect header check"),
    "gzip of nothing": ("a.gz", lambda: gzip.compress(b"") * 2, "must hold something"),
    "gzip that unpacks to far more": ("a.gz", lambda: gzip.compress(bytes(257 * MIB)), "must unpack to at most"),
    "CSV cut short, then packed": (
        "a.csv.gz",
        lambda: gzip.compress(READINGS[:-9].encode()),
        "must end with a line break",
    ),
    "CSV with lost cells, packed": (
        "a.csv.gz",
        lambda: gzip.compress(READINGS.encode() + b"1,2\n"),
        "must open as CSV",
    ),
    "JSON with NaN, packed": ("a.json.gz", lambda: gzip.compress(b'{"a": NaN}'), "NaN is not a JSON number"),
    # zip
    # GeoPackage
    "GeoPackage with a page that is zeros": (
        "a.gpkg",
        lambda: emptied(good("a.gpkg"), 4096, 8192),
        "must be a complete",
    ),
    "GeoPackage with something behind it": ("a.gpkg", lambda: good("a.gpkg") + b"more", "must be a complete"),
    "zip of which only head and tail are right": (
        "a.zip",
        lambda: emptied(good("a.zip"), 10, 60),
        "must be a complete zip",
    ),
    "zip with a changed member": ("a.zip", lambda: spoiled(archive(a=os.urandom(999)), 300), "Bad CRC-32"),
    "zip of empty files": ("a.zip", lambda: archive(a=b"", b=b""), "must hold something; found 2 empty members"),
    "zip without members": ("a.zip", archive, "must hold something; found 0 empty members"),
    "zip that leaves its folder": ("a.zip", lambda: archive(**{"../a": b"1"}), "leaves the archive or appears twice"),
    "zip with names that differ in case": (
        "a.zip",
        lambda: archive(a=b"1", A=b"2"),
        "leaves the archive or appears twice",
    ),
    "zip with something before it": ("a.zip", lambda: b"more" + good("a.zip"), "4 bytes before the member 'a'"),
    "zip with a hidden member": ("a.zip", hiding_archive, "bytes"),
    "zip with a link": ("a.zip", linked_archive, "which is a link or no regular file"),
    "zip with an absolute name": ("a.zip", lambda: archive(**{"/a": b"1"}), "leaves the archive or appears twice"),
    "zip that unpacks to far more": ("a.zip", lambda: archive(a=bytes(257 * MIB)), "must unpack to at most"),
    "zip with a password": ("a.zip", lambda: encrypted(good("a.zip")), "password required"),
    # JSON and JSON Lines
    "JSON with NaN": ("a.json", lambda: b'{"energy_kwh": NaN}', "NaN is not a JSON number"),
    "JSON with a repeated key": ("a.json", lambda: b'{"a": 1, "a": 2}', "the key 'a' appears more than once"),
    "JSON with a repeated key, deep": ("a.json", lambda: b'[[{"b": {"a": 1, "a": 1}}]]', "the key 'a' appears"),
    "JSON with a number that becomes infinite": ("a.json", lambda: b'{"a": 1e999}', "too large"),
    "JSON twice": ("a.json", lambda: TOTALS.encode() * 2, "Extra data"),
    "JSON in UTF-16": ("a.json", lambda: TOTALS.encode("utf-16"), "codec can't decode"),
    "JSON nested without end": ("a.json", lambda: b"[" * 100_000, "nested deeper than 100"),
    "JSON of nothing": ("a.json", lambda: b"{ }", "must hold something; found { }"),
    "JSON Lines that end within a line": ("a.jsonl", lambda: RECORDS[:-1], "line 2: no line break at its end"),
    "JSON Lines with NaN": ("a.jsonl", lambda: RECORDS + b'{"n": NaN}\n', "line 3: NaN is not a JSON number"),
    "JSON Lines with a repeated key": ("a.jsonl", lambda: RECORDS + b'{"n": 1, "n": 2}\n', "line 3: the key 'n'"),
    "JSON Lines that are CSV": ("a.jsonl", READINGS.encode, "line 1: Expecting value"),
    # tables
    "Parquet of which only head and tail are right": (
        "a.parquet",
        lambda: emptied(good("a.parquet"), 4, 9000),
        "must open as PARQUET",
    ),
    "Parquet that is CSV": ("a.parquet", READINGS.encode, "must open as PARQUET"),
    "CSV of one endless line": ("a.csv", lambda: b"a" * 3 * MIB + b"\n", "must begin with a CSV header"),
    "CSV of zeros": ("a.csv", lambda: b"a,b\n" + bytes(5 * MIB) + b"\n", "a NUL character"),
    # images
    "PNG of which only head and tail are right": (
        "a.png",
        lambda: emptied(PNG, 33, len(PNG) - 12),
        "must be a complete PNG",
    ),
    "PNG start and end alone": ("a.png", lambda: PNG_START + b"pixels" * 10 + PNG_END, "must be a complete PNG image"),
    "PNG with a changed pixel": ("a.png", lambda: spoiled(PNG, len(PNG) - 20), "incorrect data check"),
    "PNG with fewer rows than stated": ("a.png", lambda: png(8, 8, bytes(9 * 7)), "Not enough image data"),
    "PNG with more pixels than fit": ("a.png", lambda: png(100_000, 100_000, bytes(99)), "10,000,000,000 pixels"),
    "PNG with something behind it": ("a.png", lambda: PNG + b"more", "other bytes behind the end of the image"),
    "PNG with another behind it": ("a.png", lambda: PNG + PNG, "other bytes behind the end of the image"),
    "PNG that is JPEG": ("a.png", lambda: good("a.jpg"), "other bytes at its start"),
    "JPEG that was cut short": ("a.jpg", lambda: good("a.jpg")[:-500], "must be a complete JPEG image"),
    "JPEG that was cut short and closed": (
        "a.jpg",
        lambda: good("a.jpg")[:-500] + b"\xff\xd9",
        "must be a complete JPEG",
    ),
    "JPEG with another behind it": ("a.jpg", lambda: good("a.jpg") * 2, "other bytes behind the end of the image"),
    "JPEG without its end": ("a.jpg", lambda: good("a.jpg")[:-2], "no end of the image"),
    "JPEG that is PNG": ("a.jpg", lambda: PNG, "must be a complete JPEG image"),
    "GeoTIFF with empty blocks": (
        "a.tif",
        lambda: raster(60_000, sparse_ok=True, compress="deflate"),
        "must unpack to at most",
    ),
    "GeoTIFF with a second image": ("a.tif", lambda: pages(2), "2 images; one is read"),
    "GeoTIFF without a place": ("a.tif", lambda: raster(crs=None), "must be georeferenced"),
    "GeoTIFF with a damaged block": (
        "a.tif",
        lambda: spoiled(raster(compress="deflate"), *range(7000, 7060)),
        "must be a complete GeoTIFF",
    ),
    # arrays
    "npy with elements behind its end": ("a.npy", lambda: array() + bytes(8), "168 bytes where 160 are stated"),
    "npy without elements": ("a.npy", lambda: array(np.empty((0, 4))), "must hold at least one element"),
    "npy of Python objects": ("a.npy", lambda: array(np.array([{}], dtype=object)), "Python objects in dtype"),
    "npy that is a zip archive": ("a.npy", lambda: good("a.zip"), "must be a complete NumPy array"),
    "safetensors that share bytes": (
        "a.safetensors",
        lambda: weights(a=([4], [0, 16]), b=([4], [0, 16])),
        "must be a complete",
    ),
    "safetensors with a gap": (
        "a.safetensors",
        lambda: weights(a=([1], [0, 4]), b=([1], [12, 16])),
        "must be a complete",
    ),
    "safetensors of another shape": ("a.safetensors", lambda: weights(a=([3], [0, 16])), "must be a complete"),
    "safetensors that end elsewhere": ("a.safetensors", lambda: weights(a=([3], [0, 12])), "must be a complete"),
    "safetensors with an endless header": (
        "a.safetensors",
        lambda: b"\xff" * 7 + b"\0" + bytes(99),
        "must be a complete",
    ),
    "safetensors without tensors": ("a.safetensors", lambda: weights()[:-16], "must hold at least one tensor"),
    # documents and text
    "PDF of which only head and tail are right": (
        "a.pdf",
        lambda: emptied(good("a.pdf"), 20, len(good("a.pdf")) - 1500),
        "must be a complete PDF document",
    ),
    "PDF start and end alone": ("a.pdf", lambda: b"%PDF-1.7\nnothing\nstartxref\n9\n%%EOF\n", "must be a complete PDF"),
    "PDF with a damaged page": ("a.pdf", lambda: damaged_page(good("a.pdf")), "must be a complete PDF document"),
    "CSV columns that differ in letter case alone": (
        "a.csv",
        lambda: b"meter,KWH,kwh\na,1,-99\n",
        "must name each column once, also without regard to letter case; found meter, KWH, kwh",
    ),
    "text with a NUL": ("a.txt", lambda: b"all is well\0\n", "a NUL character"),
    "text that is Latin-1": ("a.txt", lambda: "Zähler".encode("latin-1"), "codec can't decode"),
    "text that ends within a character": ("a.md", lambda: "Zähler ü".encode()[:-1], "unexpected end of data"),
}


def encrypted(content: bytes) -> bytes:
    """A zip archive that says of its first member that it is encrypted."""
    local, central = content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8
    return content[:local] + b"\x01" + content[local + 1 : central] + b"\x01" + content[central + 1 :]


def damaged_page(content: bytes) -> bytes:
    """A PDF document whose structure is right, but a compressed page of it is not."""
    start = content.index(b"stream\n", content.index(b"/Filter /FlateDecode")) + 20
    return spoiled(content, *range(start, start + 40))


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_with_what_was_found(sealed, lie):
    name, content, found = LIES[lie]
    assert found in str(refusal(sealed(content()), Artifact(name)))


def test_a_zip_archive_that_holds_a_name_twice_is_refused(sealed):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("a", b"2")
    assert "appears twice" in str(refusal(sealed(content.getvalue()), Artifact("a.zip")))


@pytest.mark.parametrize(
    ("limit", "value", "name", "rule"),
    [
        ("MAX_RECORDS", 999, "a.parquet", "must hold at most 999 records"),
        ("MAX_MEMBERS", 1, "a.zip", "2 members; at most 1"),
        ("MAX_GZIP_MEMBERS", 1, "a.gz", "more than 1 members"),
        ("MAX_BLOCKS", 15, "a.tiff", "16 blocks; at most 15 are read"),
        ("MAX_BLOCK_BYTES", 100, "a.tif", "at most 100 bytes are read"),
        ("MAX_PIXELS", 249_999, "a.jpg", "250,000 pixels; at most 249,999"),
    ],
)
def test_what_a_reader_would_hold_or_never_end_is_limited(sealed, monkeypatch, limit, value, name, rule):
    assert check_format(sealed(good(name)), Artifact(name)) == GOOD[name][1]
    monkeypatch.setattr(formats, limit, value)
    assert rule in str(refusal(sealed(good(name)), Artifact(name)))


def test_a_parquet_file_may_be_large_or_highly_compressed_but_not_both(sealed, monkeypatch, tmp_path):
    path = tmp_path / "a.parquet"
    duckdb.execute(f"COPY (SELECT repeat('x', 9000) || i AS x FROM range(99) t(i)) TO '{path}' (COMPRESSION zstd)")
    assert check_format(path, Artifact("a.parquet")) == 99
    monkeypatch.setattr(formats, "UNPACKED_FLOOR", 1000)
    monkeypatch.setattr(formats, "UNPACKED_RATIO", 5)
    assert "must unpack to at most" in str(refusal(path, Artifact("a.parquet")))


def test_a_column_that_no_rule_names_is_read_too(sealed):
    whole = parquet("SELECT i AS n, repeat('y', 50) || i AS unnamed FROM range(1000) t(i)")
    start = whole.index(b"y" * 50 + b"0") - 60
    artifact = Artifact("a.parquet")
    assert check_format(sealed(whole), artifact) == 1000
    assert refusal(sealed(emptied(whole, start, start + 60)), artifact).rule == "must open as PARQUET"


def test_an_image_next_to_the_file_does_not_give_it_a_place(sealed):
    path = sealed(raster(crs=None))
    path.with_name(f"{path.name}.aux.xml").write_text("<PAMDataset><SRS>EPSG:32643</SRS></PAMDataset>")
    assert refusal(path, Artifact("a.tif")).rule == "must be georeferenced"


# ── schemas and records ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("artifact", "content", "rule", "value"),
    [
        (
            Artifact("totals.json", Totals),
            '{"energy": "much", "households": []}',
            "must keep to its schema: $.energy: Input should be a valid number (and 1 more)",
            "much",
        ),
        (
            Artifact("totals.json", Totals),
            '{"energy": 1, "households": ["a", 5]}',
            "must keep to its schema: $.households[1]: Input should be a valid string",
            "5",
        ),
        (
            Artifact("totals.jsonl", Totals),
            f'{TOTALS}\n{{"energy": 1, "households": []}}\n',
            "must keep to its schema: line 2, $.households: List should have at least 1 item after validation, not 0",
            "[]",
        ),
        (
            Artifact("out.csv", Reading),
            table({"power": "-1"}),
            "column power must hold a number >= 0 < 1000",
            "'-1' in record 1",
        ),
        (Artifact("out.csv", Reading), table(), "must hold at least one record", "a header alone"),
        (Artifact("null.json"), "null", "must hold something", "null"),
    ],
)
def test_a_document_keeps_to_its_schema(sealed, artifact, content, rule, value):
    error = refusal(sealed(content.encode()), artifact)
    assert (error.rule, error.value) == (rule, value)


def test_a_table_may_be_empty_where_its_contract_allows_it(sealed):
    assert check_format(sealed(table().encode()), Artifact("a.csv", Reading, may_be_empty=True)) == 0


@pytest.mark.parametrize("content", [b"0", b"false", b'"a"', b"[0]"])
def test_a_document_of_one_value_holds_something(sealed, content):
    assert check_format(sealed(content), Artifact("a.json")) is None


# ── sizes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def sparse(path: Path, head: bytes, size: int, tail: bytes = b"") -> Path:
    """Write a file of an apparent size, most of which is a hole."""
    with path.open("wb") as file:
        file.write(head)
        file.seek(size - len(tail))
        file.write(tail)
        file.truncate(size)
    return path


def test_a_sparse_file_of_20_gb_is_refused_by_its_size(tmp_path):
    error = refusal(sparse(tmp_path / "a", b"a\n1\n", 20 * 10**9), Artifact("a.csv"))
    assert (error.rule, error.value) == (f"must take at most {DEFAULT_MAX_BYTES:,} bytes", "20,000,000,000 bytes")
    assert "Raise max_bytes" in error.hint


SPARSE = {
    "a.csv": (b"timestamp,household\n", b"\n"),
    "a.csv.gz": (gzip.compress(b"a\n1\n"), b""),
    "a.gz": (gzip.compress(b"1"), b""),
    "a.jpg": (image("JPEG"), b"\xff\xd9"),
    "a.json": (b'{"a": "', b'"}'),
    "a.jsonl": (b'{"a": 1}\n{"a": "', b'"}\n'),
    "a.npy": (array(), b""),
    "a.parquet": (b"PAR1", b"PAR1"),
    "a.pdf": (b"%PDF-1.7\n", b"startxref\n9\n%%EOF\n"),
    "a.png": (PNG[:-12] + struct.pack(">I", 2**31 - 1) + b"IDAT", PNG_END),
    "a.safetensors": (struct.pack("<Q", 2**32) + b'{"', b"}"),
    "a.tif": (b"II*\0" + struct.pack("<I", 2**31), b""),
    "a.txt": (b"all is well", b"\n"),
    "a.zip": (b"PK\x03\x04", struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 2**32 - 99, 9, 0)),
}
MEMORY = """
import sys
from pathlib import Path
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.formats import check_format
for name in sys.argv[2:]:
    try:
        check_format(Path(sys.argv[1], name), Artifact(name))
    except ContractError as error:
        print(name, error.rule)
[peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)  # ru_maxrss would begin with that of the process that started this one
"""


def test_sparse_files_of_8_gb_are_refused_and_memory_stays_flat(tmp_path):
    for name, (head, tail) in SPARSE.items():
        sparse(tmp_path / name, head, 8 * 10**9, tail)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path, *SPARSE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *refused, memory = done.stdout.splitlines()
    assert [line.split()[0] for line in refused] == list(SPARSE)
    assert int(memory) < 500, "MB, of which the libraries take about 200"


def status(size: int, allocated: int) -> os.stat_result:
    return os.stat_result((0o100644, 0, 0, 1, 0, 0, size, 0, 0, 0), {"st_blocks": allocated // 512})


@pytest.mark.parametrize(
    ("size", "allocated", "artifact", "rule"),
    [
        (0, 0, Artifact("a.csv"), "must not be empty"),
        (101, 4096, Artifact("a.csv", max_bytes=100), "must take at most 100 bytes"),
        (101, 4096, Artifact("a.bin", max_bytes=100, opaque=True), "must take at most 100 bytes"),
        (100, 4096, Artifact("a.csv", max_bytes=100), None),
        (100, 3 * MIB, Artifact("a.csv", max_bytes=100), "must take at most 100 bytes on the disk"),
        (17 * 1024**3, 4096, Artifact("a.csv"), "must take at most 17,179,869,184 bytes"),
        (17 * 1024**3, 4096, Artifact("a.csv", max_bytes=2**40), None),
        (65 * MIB, 4096, Artifact("a.json", max_bytes=2**40), "must take at most 67,108,864 bytes"),
    ],
)
def test_apparent_and_allocated_size_are_limited(size, allocated, artifact, rule):
    if rule is None:
        check_size(status(size, allocated), artifact)
        return
    with pytest.raises(ContractError) as error:
        check_size(status(size, allocated), artifact)
    assert error.value.rule == rule


def test_the_remedy_says_whether_a_larger_limit_would_help():
    with pytest.raises(ContractError) as error:
        check_size(status(65 * MIB, 0), Artifact("a.json"))
    assert "split it, or write another format" in error.value.hint


# ── formats that nobody can check ────────────────────────────────────────────────────────────────────────────────────


def test_a_suffix_that_no_check_knows_must_be_declared_opaque(sealed):
    path = sealed(b"anything")
    error = refusal(path, Artifact("model.bin"))
    assert (error.rule, error.value) == (
        "must be of a format that can be checked, or be declared opaque",
        "the suffix '.bin'",
    )
    assert check_format(path, Artifact("model.bin", opaque=True)) is None
    assert refusal(path, Artifact("model")).value == "the suffix ''"


def test_no_artifact_of_a_shipped_pipeline_is_opaque():
    pipelines, errors = all_pipelines()
    assert not errors
    written = [artifact for pipeline in pipelines for item in pipeline.steps for artifact in item.step.writes]
    assert len(written) > 30
    assert not [artifact.path for artifact in written if artifact.opaque or format_of(artifact.path) is None]


def test_a_fault_of_the_machine_is_no_fault_of_the_file(sealed, monkeypatch):
    def broken(**_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(zlib, "decompressobj", broken)
    with pytest.raises(OSError, match="Input/output error"):
        check_format(sealed(good("a.gz")), Artifact("a.gz"))


def test_warnings_of_readers_are_not_shown_to_users(sealed, recwarn):
    check_format(sealed(good("a.jpg")), Artifact("a.jpg"))
    assert not recwarn.list


def test_an_image_of_16_bits_is_read(sealed):
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)).save(content, "PNG")
    assert check_format(sealed(content.getvalue()), Artifact("a.png")) is None
