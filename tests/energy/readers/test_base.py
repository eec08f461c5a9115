"""The interface of meter readers: a new format is one file, and a file is read by the reader that is surest of it."""

import gzip
import sys
import textwrap

import duckdb
import pytest

from include.core.errors import BadInputError
from include.energy import readers
from include.energy.analyzer import analyze
from include.energy.params import AnalyzerParams, GeneratorParams
from include.energy.readers.base import (
    Confidence,
    Reading,
    Sample,
    batch,
    candidates,
    choose,
    find_readers,
    take_sample,
)

TOY = """
    from include.energy.readers.base import Confidence, MeterData, Reading, batch


    class ToyReader:
        name = "toy"

        def sniff(self, sample, params):
            matches = sample.head.startswith(b"TOY")
            return Confidence(1.0 if matches else 0.0, "begins with TOY" if matches else "does not begin with TOY")

        def read(self, sample, params, db):
            lines = b"".join(sample.chunks()).decode().splitlines()[1:]
            readings = [Reading(number, "toy", *line.split()) for number, line in enumerate(lines, start=2)]
            halves = readings[: len(readings) // 2], readings[len(readings) // 2 :]
            return MeterData(batches=(batch(db, half) for half in halves), unit="kWh")


    READER = ToyReader()
"""
HOURS = [f"2026-01-05T{hour:02}:00Z 0.{hour:02}" for hour in range(24)]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A format added as one file of the package."""
    (tmp_path / "toy.py").write_text(textwrap.dedent(TOY))
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    yield
    sys.modules.pop("include.energy.readers.toy", None)


@pytest.mark.usefixtures("toy")
def test_a_format_that_is_one_file_is_found_and_read(convert):
    done = convert({"a.toy": "\n".join(["TOY", *HOURS])})
    assert (done.source.unit, done.source.interval_seconds, done.source.households) == ("kWh", 3600, 1)
    assert (done.source.files[0].delimiter, done.source.files[0].columns) == (None, [])
    assert [float(power) for power in done.column("power_consumption")] == [hour / 100 for hour in range(24)]
    assert done.column("source_line") == [str(line) for line in range(2, 26)]


@pytest.mark.usefixtures("toy")
def test_its_faulty_records_are_rejected_with_their_place_in_the_file(convert, files):
    convert({"a.toy": "\n".join(["TOY", *HOURS, "soon 1"])})
    analyze(files, AnalyzerParams())
    assert (files / "rejected.csv").read_text().splitlines()[1:] == ["a.toy,26,,soon 1,unparsable_timestamp"]


@pytest.mark.usefixtures("toy")
def test_files_of_different_formats_are_read_together_if_their_unit_is_the_same(convert):
    toy, text = "\n".join(["TOY", *HOURS]), "t,kwh\n2026-01-06T00:00Z,0.5\n2026-01-06T01:00Z,0.6\n"
    done = convert({"a.toy": toy, "b.csv": text}, columns="timestamp=t,household_id=@toy,energy_kwh=kwh")
    assert (len(done.records), done.source.households, done.column("power_consumption")[-1]) == (26, 1, "0.6")
    with pytest.raises(
        BadInputError, match=r"b\.csv: holds kW, a\.toy holds kWh; run files of energy and of power apart: one"
    ):
        convert(
            {"a.toy": toy, "b.csv": text.replace("kwh", "load")},
            columns="timestamp=t,household_id=@toy,power_kw=load",
        )


@pytest.mark.usefixtures("toy")
def test_a_file_of_no_format_is_refused_with_what_each_reader_says_of_it(convert):
    with pytest.raises(BadInputError) as refused:
        convert({"a.bin": b"a\n\0"})
    assert str(refused.value).startswith("a.bin: is not of any known format: ")
    assert "delimited text: line 2: holds a NUL byte (offset 2)" in str(refused.value)
    assert "toy: does not begin with TOY" in str(refused.value)


class Claim:
    """A reader that is as sure of every file as it is told to be."""

    def __init__(self, name, score):
        self.name, self.score = name, score

    def sniff(self, sample, params):
        return Confidence(self.score, f"looks like {self.name}")


def chosen(*claims):
    return choose(Sample("x", "x.dat", b"x"), GeneratorParams(), claims).name


def test_the_surest_reader_is_chosen_and_a_tie_is_refused():
    assert chosen(Claim("a", 0.5), Claim("b", 0.9), Claim("c", 0)) == "b"
    with pytest.raises(BadInputError) as refused:
        chosen(Claim("a", 0.9), Claim("b", 0.9), Claim("c", 0.6))
    assert str(refused.value) == (
        "x.dat: may be a (looks like a) or b (looks like b), and nothing decides between these formats"
    )


def test_a_reader_that_is_not_sure_is_not_chosen():
    with pytest.raises(BadInputError, match=r"x\.dat: looks like a$"):
        chosen(Claim("a", 0.49))
    with pytest.raises(BadInputError, match=r"x\.dat: is not of any known format: b: looks like b; a: looks like a$"):
        chosen(Claim("a", 0.1), Claim("b", 0.2))


def test_the_readers_of_the_package_are_found_by_name():
    assert [reader.name for reader in find_readers()] == ["Green Button (ESPI)", "NEM12", "delimited text"]


def test_a_sample_is_the_beginning_of_the_file_decompressed(tmp_path):
    (tmp_path / "a").write_bytes(gzip.compress(b"abc" * 50_000))
    sample = take_sample(tmp_path / "a", "a")
    assert (len(sample.head), sample.head[:3]) == (65536, b"abc")
    assert b"".join(sample.chunks()) == b"abc" * 50_000
    (tmp_path / "b").write_bytes(b"one\n\ntwo\r\n" + b"x" * 600_000 + b"\nlast")
    assert [line[:5] for line in take_sample(tmp_path / "b", "b").lines()] == [
        b"one",
        b"",
        b"two\r",
        b"xxxxx",
        b"last",
    ]
    with pytest.raises(BadInputError, match="gone: there is no such file"):
        take_sample(tmp_path / "gone", "gone")


def test_a_batch_has_the_columns_of_a_reading():
    with duckdb.connect() as db:
        relation = batch(db, [Reading(2, "a", "2026", "1"), Reading(3, None, None, None, malformed=True)])
        assert tuple(relation.columns) == Reading._fields
        assert relation.fetchall() == [
            (2, "a", "2026", "1", *[None] * 7, False, False),
            (3, *[None] * 10, True, False),
        ]
        assert [str(kind) for kind in batch(db, []).types] == ["BIGINT", *["VARCHAR"] * 10, "BOOLEAN", "BOOLEAN"]


def test_a_preset_names_the_reader():
    assert [reader.name for reader in candidates(GeneratorParams(files=("a",), format="nem12"))] == ["NEM12"]
    assert [reader.name for reader in candidates(GeneratorParams(files=("a",), format="aemo"))] == ["delimited text"]
    assert len(candidates(GeneratorParams(files=("a",)))) == 3
