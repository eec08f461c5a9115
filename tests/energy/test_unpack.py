"""Files in containers become plain text, by their content; what could be misread or fill the disk is refused."""

import gzip
import io
import json
import stat
import zipfile

import pytest

from include.core.errors import BadInputError
from include.energy import unpack as module
from include.energy.lines import read_chunks
from include.energy.unpack import Text, unpack
from tests.energy.workbook_files import write_xls, write_xlsx

CSV = "Time,kWh\n2024-01-01T00:00:00Z,0.1\n2024-01-01T00:30:00Z,0.191\n"
TABLE = {"A1": "Time", "B1": "kWh", "A2": "2024-01-01T00:00:00Z", "B2": 0.1}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "scratch").mkdir()
    return tmp_path


@pytest.fixture
def unpacked(folder):
    """Return a function that unpacks a file: its texts, and what they hold."""

    def unpacked(content, name="data.bin"):
        if isinstance(content, dict):
            content = archive(content)
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        texts = unpack(folder / name, name, folder / "scratch")
        for text in texts:
            assert text.path == folder / name or folder / "scratch" in text.path.parents
        return texts, [b"".join(read_chunks(text.path, text.name)).decode() for text in texts]

    return unpacked


def archive(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


@pytest.mark.parametrize("text", [CSV, "100,NEM12,2024,A,B\n", "<?xml version='1.0'?><feed/>", "", "\ufeff" + CSV])
def test_utf_8_text_stays_where_it_is(unpacked, folder, text):
    assert unpacked(text.encode())[0] == [Text(folder / "data.bin", "data.bin")]
    assert unpacked(gzip.compress(text.encode()))[0] == [Text(folder / "data.bin", "data.bin", ("gzip",))]


def test_the_same_readings_come_out_of_all_containers(unpacked, folder):
    records = [{"Time": "2024-01-01T00:00:00Z", "kWh": 0.1}, {"Time": "2024-01-01T00:30:00Z", "kWh": 0.191}]
    book = write_xlsx(folder / "b", {"S": TABLE | {"A3": "2024-01-01T00:30:00Z", "B3": 0.191}}).read_bytes()
    containers = {
        "zip": archive({"data.csv": CSV}),
        "gzip": gzip.compress(CSV.encode()),
        "UTF-16": CSV.encode("utf-16"),
        "gzip of UTF-16": gzip.compress(CSV.encode("utf-16")),
        "JSON": json.dumps({"data": records}).encode(),
        "gzip of JSON": gzip.compress(json.dumps(records).encode()),
        "UTF-16 JSON": json.dumps(records).encode("utf-16"),
        "workbook": book,
        "gzip of a workbook": gzip.compress(book),
        "workbook in a zip": archive({"a/b.xlsx": book}),
        "gzip in a zip": archive({"a.csv.gz": gzip.compress(CSV.encode())}),
    }
    for kind, content in containers.items():
        assert unpacked(content)[1] == [CSV], kind


def test_a_text_says_where_it_comes_from_and_what_its_lines_count(unpacked, folder):
    def facts(content, name="data.bin"):
        return [(text.name, text.containers, text.encoding, text.locator) for text in unpacked(content, name)[0]]

    assert facts("é,kWh\n1,2\n".encode("cp1252")) == [("data.bin", (), "Windows-1252", "line")]
    assert facts(b'[{"a": 1}]', "d.json") == [("d.json", ("JSON",), "UTF-8", "record")]
    assert facts(write_xls(folder / "b").read_bytes()) == [("data.bin", ("Excel workbook, sheet S1",), "UTF-8", "row")]
    book = write_xlsx(folder / "b", {"Jan": TABLE, "Feb": TABLE}).read_bytes()
    assert facts(archive({"x/b.xlsx": book, "y.csv": CSV}), "d.zip") == [
        ("d.zip/x/b.xlsx/Jan", ("ZIP archive", "Excel workbook, sheet Jan"), "UTF-8", "row"),
        ("d.zip/x/b.xlsx/Feb", ("ZIP archive", "Excel workbook, sheet Feb"), "UTF-8", "row"),
        ("d.zip/y.csv", ("ZIP archive",), "UTF-8", "line"),
    ]


def test_what_cannot_hold_readings_is_left_out_of_an_archive(unpacked):
    members = {
        "__MACOSX/._a.csv": "x",
        ".DS_Store": "x",
        "Thumbs.db": "x",
        "folder/": "",
        "terms.pdf": "%PDF-1.7",
        "logo": b"\x89PNG",
        "folder/a.csv": CSV,
    }
    assert [text.name for text in unpacked(members, "d.zip")[0]] == ["d.zip/folder/a.csv"]
    del members["folder/a.csv"]
    with pytest.raises(BadInputError, match=r"^d\.zip: is a ZIP archive without a file that could hold meter data$"):
        unpacked(members, "d.zip")
    with pytest.raises(BadInputError, match=r"^d\.zip: is a ZIP archive without a file"):
        unpacked({}, "d.zip")


@pytest.mark.parametrize("name", ["../a.csv", "a/../../b.csv", "/etc/a.csv", "C:\\a.csv", "..\\a.csv"])
def test_names_that_lead_out_of_the_archive_are_refused(unpacked, folder, name):
    with pytest.raises(BadInputError, match=r"^d\.zip/.*: its name leads out of the archive; pack it anew"):
        unpacked({name: CSV}, "d.zip")
    assert not [path for path in folder.rglob("*") if path.is_file() and path.name != "d.zip"]


def test_links_and_repeated_names_and_archives_in_archives_are_refused(unpacked):
    link = zipfile.ZipInfo("a.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BadInputError, match=r"^d\.zip/a\.csv: is a link, not a file"):
        unpacked({link: "/etc/passwd"}, "d.zip")
    with pytest.warns(UserWarning, match="Duplicate"), pytest.raises(BadInputError, match=r"^d\.zip: holds a twice"):
        unpacked({"a": "1", zipfile.ZipInfo("a"): "2"}, "d.zip")
    with pytest.raises(BadInputError, match=r"^d\.zip/in\.zip: is an archive in an archive; unpack the outer one$"):
        unpacked({"in.zip": archive({"a.csv": CSV})}, "d.zip")


def test_encrypted_members_are_refused(unpacked):
    content = bytearray(archive({"a.csv": CSV}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadInputError, match=r"^d\.zip/a\.csv: is encrypted; unpack it with its password"):
        unpacked(bytes(content), "d.zip")


def test_damaged_archives_are_refused_by_their_member(unpacked):
    content = archive({"a.csv": CSV}, zipfile.ZIP_STORED)
    with pytest.raises(
        BadInputError, match=r"^d\.zip/a\.csv: the ZIP archive is damaged \(Bad CRC-32.*; fetch it again$"
    ):
        unpacked(content.replace(b"0.191", b"9.191"), "d.zip")
    with pytest.raises(BadInputError, match=r"^d\.zip: the ZIP archive is damaged \(.*\); fetch it again$"):
        unpacked(content[:60], "d.zip")


def test_bombs_are_refused_before_they_are_unpacked(unpacked, folder, monkeypatch):
    with pytest.raises(BadInputError, match=r"^d\.zip/a\.csv: is more than 200 times as large as packed, which meter"):
        unpacked({"a.csv": bytes(65 * 1024**2)}, "d.zip")
    with pytest.raises(BadInputError, match=r"^d\.zip: holds 1001 files, and at most 1000 are read; split it$"):
        unpacked({f"{number}.csv": "" for number in range(1001)}, "d.zip")
    monkeypatch.setattr(module, "MAX_UNPACKED", 10)
    with pytest.raises(BadInputError, match=r"^d\.zip: unpacks to 0\.0 GB, and at most 0 GB are read; split it$"):
        unpacked({"a.csv": CSV}, "d.zip")
    with pytest.raises(BadInputError, match=r"^d\.gz: decompresses to more than 0 GB; split it$"):
        unpacked(gzip.compress(archive({"a.csv": CSV})), "d.gz")
    monkeypatch.setattr(module, "MAX_BOOK", 10)
    with pytest.raises(BadInputError, match=r"^b\.xlsx: unpacks to 0\.0 GB, and at most 0 GB are read"):
        unpacked(write_xlsx(folder / "b", {"S": TABLE}).read_bytes(), "b.xlsx")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"%PDF-1.7", "is a PDF document; provide the meter data as text"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive"),
        (b"PAR1", "is a Parquet file"),
        (b"\n<!DOCTYPE html><html>", "is a web page .HTML.; export the data as CSV or as a workbook"),
    ],
)
def test_what_no_reader_understands_is_refused_by_what_it_is(unpacked, head, reason):
    with pytest.raises(BadInputError, match=rf"^d\.csv: {reason}"):
        unpacked(head, "d.csv")
    with pytest.raises(BadInputError, match=rf"^d\.csv: {reason}"):
        unpacked(gzip.compress(head), "d.csv")


def test_two_files_do_not_share_a_place_in_the_scratch_folder(unpacked):
    first, _ = unpacked(CSV.encode("utf-16"))
    second, _ = unpacked(CSV.encode("utf-32"))
    assert first[0].path != second[0].path
    assert first[0].path.read_text() == second[0].path.read_text() == CSV
