"""Delimited text as a meter reader: what it accepts, and what it makes of columns and numbers."""

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy.params import GeneratorParams
from include.energy.readers.base import Reading, take_sample
from include.energy.readers.delimited import READER

OWN = GeneratorParams()
MAPPED = GeneratorParams(files=("m.csv",), columns="timestamp=time,household_id=@A,energy_kwh=kwh,voltage=u")


@pytest.fixture
def sample(tmp_path):
    def sample(content):
        (tmp_path / "m.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return take_sample(tmp_path / "m.csv", "m.csv")

    return sample


@pytest.mark.parametrize(
    ("content", "score", "reason"),
    [
        ("a,b\n1,2\n", 0.5, "is text with a first line that may be a header"),
        ("\n \n", 0, "is empty; a header line and at least one record are needed"),
        (b"PK\x03\x04", 0, "is a ZIP archive or an Excel workbook, not CSV; unpack it or export it as CSV"),
        ("a,b".encode("utf-16"), 0, "is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 m.csv > utf8.csv"),
    ],
)
def test_any_text_may_be_delimited(sample, content, score, reason):
    assert READER.sniff(sample(content), OWN) == (score, reason)


def test_bytes_that_are_no_text_are_refused_with_their_line(sample):
    confidence = READER.sniff(sample(b"a,b\n1,\0\n"), OWN)
    assert confidence.score == 0
    assert confidence.reason.startswith("line 2: holds a NUL byte (offset 6); the file is damaged, binary, or UTF-16")


def read(sample, params):
    with duckdb.connect() as db:
        data = READER.read(sample, params, db)
        return data, [Reading(*row) for readings in data.batches for row in readings.fetchall()]


def test_the_mapped_columns_become_readings_with_their_line(sample):
    data, readings = read(sample("\nkwh,u,time\n1.5,230,2026\n\n2,2026\n"), MAPPED)
    assert readings == [
        Reading(3, "A", "2026", "1.5", "230", None, malformed=False),
        Reading(5, None, None, None, malformed=True),
    ]
    assert (data.unit, data.columns, data.delimiter) == ("kWh", ("kwh", "u", "time"), ",")
    assert data.all_malformed.startswith("none of its records has as many fields as its header, which names 3; ")


def test_without_a_mapping_the_columns_are_those_of_the_pipeline(sample, own_header):
    data, readings = read(sample(own_header + "2026-01-01T00:00Z,a,0.5,230.1,2.2\n"), OWN)
    assert readings == [Reading(2, "a", "2026-01-01T00:00Z", "0.5", "230.1", "2.2", malformed=False)]
    assert data.unit == "kW"


def test_a_decimal_comma_is_read_where_the_delimiter_is_a_semicolon(sample):
    _, readings = read(sample("time;kwh;u\n2026;1,5;-230,0\n2026;1.5;1,234,5\n"), MAPPED)
    assert [(reading.power, reading.voltage) for reading in readings] == [("1.5", "-230.0"), ("1.5", "1,234,5")]
    _, readings = read(sample('time,kwh,u\n2026,"1,5",2\n'), MAPPED)
    assert readings[0].power == "1,5"


def test_missing_columns_are_named_with_what_may_be_meant(sample):
    with pytest.raises(BadInputError) as refused:
        read(sample("Time,kilowatthours,u\n1,2,3\n"), MAPPED)
    assert str(refused.value) == (
        "m.csv: has no column 'time' and no column 'kwh'; its columns are 'Time', 'kilowatthours', 'u'; "
        "did you mean 'Time' instead of 'time'?"
    )
    with pytest.raises(BadInputError, match=r"name yours with --columns timestamp=…,household_id=…\|@NAME,"):
        read(sample("time,kwh\n1,2\n"), OWN)
    with pytest.raises(BadInputError, match="the header names the column 'u' more than once"):
        read(sample("time,kwh,u,u\n1,2,3,4\n"), MAPPED)
