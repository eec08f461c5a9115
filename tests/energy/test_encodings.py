"""The encoding of a text is found by evidence; numbers and line numbers stay what they are in all of them."""

import gzip

import pytest

from include.core.errors import BadInputError
from include.energy.encodings import UTF_8, Encoding, find_encoding, write_utf8

TABLE = "Datum;Hodnota;Stav\n01.07.2024 00:00;0,1;{}\n"


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "m.csv"
        path.write_bytes(content)
        return path

    return write


def found(path):
    return find_encoding(path, "m.csv")


@pytest.mark.parametrize("codec", ["utf-16", "utf-32"])
def test_a_byte_order_mark_decides(write, tmp_path, codec):
    path = write(TABLE.format("naměřená").encode(codec))
    assert found(path).label == codec.upper()
    write_utf8(path, "m.csv", found(path), tmp_path / "utf8")
    assert (tmp_path / "utf8").read_text(encoding="utf-8") == TABLE.format("naměřená")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "Größe,naměřená,電力\n", "\ufeffa,b\n"])
def test_valid_utf_8_is_utf_8(write, text):
    assert found(write(text.encode())) == UTF_8
    assert found(write(gzip.compress(text.encode()))) == UTF_8


def test_bytes_that_are_not_text_are_left_to_the_readers_who_name_them(write):
    assert found(write(b"a,b\n\xff,\0\n")) == UTF_8


@pytest.mark.parametrize(
    ("word", "codec", "label"),
    [
        ("naměřená data", "cp1250", "Windows-1250"),
        ("spotřeba", "cp1250", "Windows-1250"),  # the same byte as ø
        ("zużycie", "cp1250", "Windows-1250"),  # the same byte as ¿
        ("kiegészítő időpont", "cp1250", "Windows-1250"),
        ("Zählerstand, Größe in m³", "cp1252", "Windows-1252"),
        ("relevé précédent à l'index", "cp1252", "Windows-1252"),
        ("ligação, período", "cp1252", "Windows-1252"),
        ("målepunkt, øre", "cp1252", "Windows-1252"),
        ("20 °C", "cp1252", "Windows-1252"),
    ],
)
def test_other_bytes_are_the_letters_of_a_language(write, tmp_path, word, codec, label):
    path = write(TABLE.format(word).encode(codec))
    assert found(path) == Encoding(label, codec)
    write_utf8(path, "m.csv", found(path), tmp_path / "utf8")
    assert (tmp_path / "utf8").read_text(encoding="utf-8") == TABLE.format(word)


def test_an_xml_declaration_names_the_encoding(write):
    assert found(write('<?xml version="1.0" encoding="windows-1251"?><a>Счёт</a>'.encode("cp1251"))).codec == "cp1251"
    with pytest.raises(BadInputError, match=r"m\.csv: declares the encoding 'x-own', which is unknown"):
        found(write(b'<?xml version="1.0" encoding="x-own"?><a>\xff</a>'))


def test_letters_of_no_known_language_are_refused_with_their_line(write):
    with pytest.raises(BadInputError, match=r"m\.csv: line 2: is not UTF-8, and its letters .*iconv -f WINDOWS-1251"):
        found(write(TABLE.format("показання").encode("cp1251")))


def test_utf_8_with_other_bytes_in_it_is_refused_with_the_line(write):
    with pytest.raises(BadInputError, match=r"m\.csv: line 3: holds a byte that is not UTF-8, and the lines before"):
        found(write(TABLE.format("naměřená").encode() + "Größe\n".encode("cp1252")))
    with pytest.raises(BadInputError, match="line 1: holds a byte that is not UTF-8"):
        found(write("naměřená".encode()[:-1]))


@pytest.mark.parametrize("content", [b"\xff\xfea\0b", b"\xff\xfe\0\xd8a\0"])
def test_damaged_text_is_refused_by_what_it_is(write, tmp_path, content):
    path = write(content)
    with pytest.raises(BadInputError, match=r"m\.csv: is damaged UTF-16 text \(.*\); fetch it again"):
        write_utf8(path, "m.csv", found(path), tmp_path / "utf8")


def test_a_letter_on_the_border_of_two_chunks_stays_one_letter(write, tmp_path):
    text = "é" * 700_000 + "\n"
    assert found(write(b"a" + text.encode())) == UTF_8
    path = write(b"\xff\xfe" + b"a\0" + text.encode("utf-16-le"))
    write_utf8(path, "m.csv", found(path), tmp_path / "utf8")
    assert (tmp_path / "utf8").read_text(encoding="utf-8") == "a" + text
