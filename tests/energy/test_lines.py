"""Delimited text: a record is a physical line, and every line is accounted for."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core.errors import BadInputError
from include.energy.db import connect
from include.energy.lines import inspect, not_text, read_chunks, split_header


def records(path):
    with connect(path.parent) as connection:
        return connection.execute(inspect(path).records_sql()).fetchall()


@pytest.fixture
def write(tmp_path):
    def write(content, name="meter.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_records_keep_their_line_numbers_and_blank_lines_are_none(write, end):
    path = write(end.join(["", "a,b", "1,2", "", " \t", "3,4", "5"]))
    assert inspect(path).header_line == 2
    assert records(path) == [
        (3, "1,2", ["1", "2"], False),
        (6, "3,4", ["3", "4"], False),
        (7, "5", ["5"], True),
    ]


@pytest.mark.parametrize("first", ["\n", "\r\n"])
def test_lf_and_crlf_may_be_mixed(write, first):
    content = f"a,b{first}1,2\n3,4\r\n\r\n\n5,6\r\n7,8"
    assert [row[:2] for row in records(write(content))] == [(2, "1,2"), (3, "3,4"), (6, "5,6"), (7, "7,8")]


@pytest.mark.parametrize("content", [b"a,b\n1,2\r3,4\n", b"a,b\r\n1,2\r", b"a,b\n1,2\r\r\n"])
def test_a_lone_carriage_return_among_line_feeds_is_refused_for_it_may_tear_a_record(write, content):
    with pytest.raises(BadInputError, match="line 2: ends with a carriage return alone"):
        inspect(write(content))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_from_the_header(write, delimiter):
    path = write(f"a{delimiter}b c{delimiter}d\n1{delimiter}2{delimiter}3\n")
    assert (inspect(path).delimiter, inspect(path).columns) == (delimiter, ("a", "b c", "d"))
    assert records(path)[0][2] == ["1", "2", "3"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_quotes_are_read_and_a_stray_one_stays_in_its_field(write, delimiter):
    lines = ['"name ""x""",b,c', '"1,5","",3', '"open,2,3', 'a"b,c",d', ',,"x"']
    path = write("\n".join(lines).replace(",", delimiter))
    assert inspect(path).columns == ('name "x"', "b", "c")
    assert [row[2] for row in records(path)] == [
        [f"1{delimiter}5", "", "3"],
        ['"open', "2", "3"],
        ['a"b', 'c"', "d"],
        ["", "", "x"],
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_name(write):
    assert inspect(write(b"\xef\xbb\xbfa,b\n1,2\n")).columns == ("a", "b")


def test_fields_are_trimmed_and_empty_ones_are_missing(write):
    source = inspect(write("a , b\n 1 ,\t\n"))
    with connect(source.path.parent) as connection:
        query = f"SELECT {source.field_sql('a')}, {source.field_sql('b')} FROM ({source.records_sql()})"
        assert connection.execute(query).fetchall() == [("1", None)]


def test_gzip_is_told_from_its_bytes_not_its_name(write):
    packed = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")
    assert [row[1] for row in records(write(packed, "no_suffix.csv"))] == ["1,2", "3,4"]
    assert [row[1] for row in records(write("a,b\n1,2\n", "no_gzip.csv.gz"))] == ["1,2"]


def test_wildcards_in_a_file_name_stand_for_themselves(write):
    write("a\nother\n", "m1.csv")
    assert [row[1] for row in records(write("a\nmine\n", "m[1]*?.csv"))] == ["mine"]


UNREADABLE = {
    "is empty": b"",
    "is empty; a header": b" \n\n",
    "holds a header line and no record": b"a,b\n\n  \n",
    "line 3: holds a NUL byte (offset 9)": b"a,b\n1,2\n3\x00,4\n",
    "line 2: is not UTF-8 (offset 6)": b"a,b\n1,\xe4\n",
    "line 3: is not UTF-8 (offset 8)": b"a,b\r1,2\r\xe2\x82",
    "is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 meter.csv": "a,b\n1,2\n".encode("utf-16"),
    "is a ZIP archive or an Excel workbook": b"PK\x03\x04rest",
    "is a damaged gzip file": gzip.compress(b"a,b\n1,2\n")[:-6],
    "line 2: is longer than half a megabyte": b"a,b\n" + b"1" * 2_000_000,
}


@pytest.mark.parametrize("message", UNREADABLE)
def test_a_file_that_is_no_delimited_text_is_refused_in_words(write, message):
    with pytest.raises(BadInputError) as refused:
        inspect(write(UNREADABLE[message]))
    assert str(refused.value).startswith(f"meter.csv: {message}")


def test_a_missing_file_and_a_doubled_column_are_named(write, tmp_path):
    with pytest.raises(BadInputError, match=r"gone\.csv: there is no such file"):
        inspect(tmp_path / "gone.csv")
    with pytest.raises(BadInputError, match="names the column 'a' more than once"):
        inspect(write("a,a\n1,2\n")).field_sql("a")
    with pytest.raises(BadInputError, match="has no column 'b'; its columns are a"):
        inspect(write("a\n1\n")).field_sql("b")


def test_faults_far_into_a_file_are_found_across_chunks(write):
    head = b"a,b\n" + b"1,2\n" * 300_000
    with pytest.raises(BadInputError, match="line 300002: is not UTF-8"):
        inspect(write(head + b"\xff\n"))
    umlauts = ("a,b\n" + "ä,ö\n" * 300_000).encode()
    assert len(records(write(umlauts))) == 300_000


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_line_end_may_straddle_two_chunks(write, shift):
    body = "1,234\r\n" * 200_000
    assert len(records(write("a,b" + "c" * shift + "\r\n" + body))) == 200_000


def test_nothing_is_left_beside_the_file(write, tmp_path):
    records(write("a,b\n1,2\n"))
    assert [path.name for path in tmp_path.iterdir()] == ["meter.csv"]


awkward = st.text(alphabet=st.sampled_from('ab01 \t,;|"\r\n\x01\x1c\x85\u2028ä.-'), max_size=80)


@settings(max_examples=60, deadline=None)
@given(
    body=awkward | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    first=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_every_line_that_is_not_blank_is_a_record(tmp_path_factory, body, first):
    path = tmp_path_factory.mktemp("text") / "meter.csv"
    content = f"a,b{first}{body}"
    path.write_bytes(content.encode())
    if "\n" in content and "\r" in content.replace("\r\n", ""):
        with pytest.raises(BadInputError, match="carriage return alone"):
            inspect(path)
        return
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")[1:]
    expected = [(number, line) for number, line in enumerate(lines, start=2) if line.strip(" \t")]
    if expected:
        assert [row[:2] for row in records(path)] == expected
    else:
        with pytest.raises(BadInputError, match="no record"):
            inspect(path)


def test_chunks_are_the_bytes_decompressed(write):
    content = b"a,b\n" + b"1,2\n" * 400_000
    for path in (write(content, "plain"), write(gzip.compress(content), "packed")):
        chunks = list(read_chunks(path, path.name))
        assert len(chunks) > 1
        assert b"".join(chunks) == content


def test_the_first_bytes_tell_what_is_not_text():
    assert not_text(b"a,b\n1,2", "m.csv") is None
    assert not_text(b"PK\x03\x04", "m.csv").startswith("is a ZIP archive")
    assert not_text(b"\xfe\xff\0a", "m.csv").startswith("is UTF-16 text")
    assert not_text(b"a\r\nb\r\n\0", "m.csv").startswith("line 3: holds a NUL byte (offset 6)")


def test_the_header_is_the_first_line_that_is_not_blank():
    assert split_header(b"\xef\xbb\xbf a,b \r\n1") == (1, "a,b", b"1")
    assert split_header(b"\n\r \ta") == (3, "a", b"")
    assert split_header(b" \n") == (0, "", b"")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_records_are_found_by_line_number(tmp_path, end):
    lines = ["timestamp,household_id", *(f"stamp,{'x' * (number % 700)}{number}" for number in range(2, 3000))]
    (tmp_path / "energy_data.csv").write_bytes(end.join(lines).encode())
    data = inspect(tmp_path / "energy_data.csv")
    numbers = [1, 2, 1500, 2999]
    assert dict(data.texts_at(numbers)) == {number: lines[number - 1] for number in numbers}


def test_a_gzip_file_with_zeros_behind_its_content_is_refused_in_words(tmp_path):
    path = tmp_path / "padded.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n") + bytes(512))
    with pytest.raises(BadInputError, match=r"padded.csv.gz: has zeros behind its compressed content; unpack it: zcat"):
        inspect(path)
