"""Tables are checked against the model of one record: what it says of a column holds for every record."""

import csv
import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel

from include.core.errors import ContractError
from include.core.tables import (
    Rule,
    check_rules,
    check_table,
    connect,
    file_argument,
    identifier,
    literal,
    number_sql,
    open_table,
    readable,
    table_format,
)
from tests.core.small_pipeline import GOOD, READINGS, Reading, table

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1).filter(str.strip)
RECORDS = st.builds(
    Reading,
    timestamp=st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    household=TEXT,
    power=st.floats(0, 1000, exclude_max=True),
    phases=st.integers(1, 3),
    factor=st.none() | st.floats(1e-6, 1e6),
    note=st.none() | TEXT,
)
BROKEN = {
    "timestamp": ("", "yesterday", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01", "infinity"),
    "household": ("",),
    "power": ("", "much", "nan", "inf", "-inf", "-0.1", "1000", "1,5"),
    "phases": ("", "0", "4", "1.5", "two"),
    "status": ("", "Normal", "low"),
    "exported": ("", "maybe"),
    "factor": ("0", "-1", "nan", "inf", "none"),
}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, model: type[BaseModel] | None = Reading) -> ContractError:
    name = f"out{path.suffix}"
    with pytest.raises(ContractError) as error:
        check_table(path, name, model)
    assert error.value.artifact == name
    return error.value


def test_a_good_table_gives_its_number_of_records(tmp_path):
    assert check_table(write(tmp_path / "t.csv", READINGS), "out.csv", Reading) == 3


def test_a_header_alone_has_no_records(tmp_path):
    assert check_table(write(tmp_path / "t.csv", table()), "out.csv", Reading) == 0


@given(st.lists(RECORDS, min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_whatever_the_model_allows_is_accepted(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Reading.model_fields)
        writer.writerows(record.model_dump(mode="json").values() for record in records)
    assert check_table(path, "out.csv", Reading) == len(records)


@given(
    st.integers(1, 30),
    st.data(),
    st.sampled_from([(column, value) for column, values in BROKEN.items() for value in values]),
)
@settings(max_examples=25, deadline=None)
def test_one_wrong_cell_is_found_and_named_with_its_record(tmp_path_factory, records, data, cell):
    column, value = cell
    wrong = data.draw(st.integers(0, records - 1))
    rows = [{column: value} if number == wrong else {} for number in range(records)]
    error = refusal(write(tmp_path_factory.mktemp("tables") / "t.csv", table(*rows)))
    assert error.rule.startswith(f"column {column} must hold ")
    assert error.value == f"{value or None!r} in record {wrong + 1}"


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("timestamp", "a time with zone"),
        ("household", "a text that is not empty"),
        ("power", "a number >= 0 < 1000"),
        ("phases", "a whole number >= 1 <= 3"),
        ("status", "one of normal, high_usage"),
        ("exported", "true or false"),
        ("factor", "a number > 0, or nothing"),
    ],
)
def test_the_rule_is_said_in_words(tmp_path, column, words):
    error = refusal(write(tmp_path / "t.csv", table({column: BROKEN[column][0]})))
    assert error.rule == f"column {column} must hold {words}"


@pytest.mark.parametrize("zone", ["Z", "+00", "+10:00", "-0530"])
def test_any_way_to_write_a_zone_is_a_zone(tmp_path, zone):
    path = write(tmp_path / "t.csv", table({"timestamp": f"2026-01-01 00:00:00.5{zone}"}))
    assert check_table(path, "out.csv", Reading) == 1


@pytest.mark.parametrize("cut", [1, 2, 10, 40])
def test_a_file_that_was_cut_within_a_line_is_refused(tmp_path, cut):
    assert "cut short" in refusal(write(tmp_path / "t.csv", READINGS[:-cut]), None).rule


def test_a_quote_that_is_never_closed_is_refused(tmp_path):
    error = refusal(write(tmp_path / "t.csv", READINGS + '2026-01-01T00:00:00Z,"home\n'), None)
    assert error.rule == "must open as CSV"


@pytest.mark.parametrize("line", ["a,b", "1,2,3,4,5,6,7,8,9"], ids=["fewer", "more"])
def test_a_line_with_another_number_of_fields_is_refused(tmp_path, line):
    assert refusal(write(tmp_path / "t.csv", f"{READINGS}{line}\n{READINGS}"), None).rule == "must open as CSV"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("\n", "must begin with a CSV header"),
        ("a,a\n1,2\n", "must name each column once"),
        ("a,b\n1,\xff\n".encode("latin-1"), "must "),
        ("a,\xff\n1,2\n".encode("latin-1"), "must be UTF-8 text"),
        ("a\n" + "x" * 200_000 + "\n", None),
        ("x" * 200_000 + "\n1\n", "must begin with a CSV header"),
    ],
    ids=["no header", "a name twice", "data not UTF-8", "header not UTF-8", "a long cell", "a huge header"],
)
def test_what_is_no_table_is_refused(tmp_path, content, rule):
    path = write(tmp_path / "t.csv", content)
    if rule is None:
        assert check_table(path, "out.csv", None) == 1
    else:
        assert refusal(path, None).rule.startswith(rule)


@pytest.mark.parametrize(
    "header",
    [
        "household,timestamp,power,phases,status,exported,factor,note",
        "timestamp,household,power,phases,status,exported,factor",
        "Timestamp,household,power,phases,status,exported,factor,note",
        "\ufefftimestamp,household,power,phases,status,exported,factor,note",
    ],
    ids=["another order", "one is missing", "another spelling", "a byte order mark"],
)
def test_the_models_columns_come_first_in_their_order(tmp_path, header):
    error = refusal(write(tmp_path / "t.csv", header + "\n"))
    assert error.rule == f"must begin with the columns {', '.join(GOOD)}"


def test_more_columns_may_follow(tmp_path):
    path = write(tmp_path / "t.csv", "".join(f"{line},more\n" for line in READINGS.splitlines()))
    assert check_table(path, "out.csv", Reading) == 3


class Numbered(BaseModel):
    number: int | None
    text: str


def test_a_column_may_have_any_name_without_hiding_a_fault(tmp_path):
    error = refusal(write(tmp_path / "t.csv", "number,text\n1,a\n,\n"), Numbered)
    assert error.value == "None in record 2"
    path = write(tmp_path / "odd.csv", 'it\'s,"a ""name"""\n1,2\n')
    assert check_table(path, "out.csv", None) == 1


def test_a_suffix_in_capitals_names_the_same_format(tmp_path):
    assert check_table(write(tmp_path / "T.CSV", READINGS), "T.CSV", Reading) == 3


class Unknown(BaseModel):
    at: AwareDatetime


def test_a_model_that_cannot_be_checked_is_a_mistake_of_the_developer_and_never_passes(tmp_path):
    with pytest.raises(TypeError, match="column at: tables cannot be checked for"):
        check_table(write(tmp_path / "t.csv", "at\nsoon\n"), "out.csv", Unknown)


def to_parquet(path: Path, select: str) -> Path:
    with duckdb.connect() as db:
        db.execute(f"COPY ({select}) TO {literal(str(path))} (FORMAT parquet)")
    return path


GOOD_PARQUET = (
    "SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00' AS timestamp, 'home' AS household, 1.5 AS power, 3 AS phases, "
    "'normal' AS status, false AS exported, NULL::DOUBLE AS factor, NULL::VARCHAR AS note FROM range(5)"
)


def test_parquet_is_checked_by_the_same_model(tmp_path):
    assert check_table(to_parquet(tmp_path / "t.parquet", GOOD_PARQUET), "out.parquet", Reading) == 5
    error = refusal(to_parquet(tmp_path / "bad.parquet", GOOD_PARQUET.replace("1.5 AS", "'NaN'::DOUBLE AS")))
    assert (error.rule, error.value) == ("column power must hold a number >= 0 < 1000", "'nan' in record 1")


def test_a_typed_table_holds_no_numbers_as_texts(tmp_path):
    error = refusal(to_parquet(tmp_path / "t.parquet", GOOD_PARQUET.replace("1.5 AS", "'1.5' AS")))
    assert (error.rule, error.value) == ("column power must hold a number >= 0 < 1000, by its type", "texts")


@pytest.mark.parametrize("content", [b"", b"PAR1", None], ids=["empty", "start alone", "cut"])
def test_a_parquet_file_that_is_not_whole_is_refused(tmp_path, content):
    path = to_parquet(tmp_path / "t.parquet", GOOD_PARQUET)
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    assert refusal(path, None).rule == "must open as PARQUET"


def test_connections_share_a_database_and_neither_tables_nor_settings_nor_a_time_zone():
    with connect() as one, connect() as other:
        one.execute("CREATE TEMP TABLE t AS SELECT 1")
        one.execute("SET TimeZone = 'Asia/Tokyo'")
        zones = [db.execute("SELECT current_setting('TimeZone')").fetchall() for db in (one, other)]
        with pytest.raises(duckdb.CatalogException, match="t does not exist"):
            other.execute("FROM t")
        one.execute("CREATE TABLE shared AS SELECT 1")
        assert other.execute("FROM shared").fetchall() == [(1,)]
        one.execute("DROP TABLE shared")
    assert zones == [[("Asia/Tokyo",)], [("UTC",)]]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_reader_sees_a_file_as_it_is_now_whatever_its_size_and_time_say(tmp_path, suffix):
    path, other, seen = tmp_path / f"t.{suffix}", tmp_path / f"other.{suffix}", []
    with connect() as db:
        for value in (1, 2):
            db.execute(f"COPY (SELECT {value} AS x) TO {literal(other)}")
            os.utime(other, (10**9, 10**9))
            path.write_bytes(other.read_bytes())  # the same inode
            os.utime(path, (10**9, 10**9))
            seen += db.execute(f"SELECT x FROM {literal(path)}").fetchall()
    assert seen == [(1,), (2,)]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@settings(max_examples=15, deadline=None)
def test_names_and_texts_cannot_break_out_of_the_query(text):
    with duckdb.connect() as db:
        rows = db.execute(f"SELECT {literal(text)} AS {identifier(text)}")
        assert rows.description[0][0] == text
        assert rows.fetchall() == [(text,)]


# ── formats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("below/READINGS.CSV", "csv"),
        ("a.csv.gz", "csv"),
        ("a.parquet", "parquet"),
        ("a.jsonl", "jsonl"),
        ("a.ndjson.gz", "jsonl"),
        ("a.json", None),
        ("a.gz", None),
        ("csv", None),
    ],
)
def test_the_name_of_a_file_tells_the_format_of_its_table(name, form):
    assert table_format(name) == form


def test_a_table_is_read_under_any_name_also_compressed(tmp_path):
    sealed = tmp_path / "9f86d081"
    for name, content in {"out.csv": READINGS.encode(), "out.csv.gz": gzip.compress(READINGS.encode())}.items():
        sealed.write_bytes(content)
        assert check_table(sealed, name, Reading) == 3


def test_json_lines_give_the_columns_that_are_asked_for(tmp_path):
    path = write(tmp_path / "t", '{"n": 1, "a/b": [2]}\n{"n": null}\n')
    with connect() as db, readable(path, "t.jsonl"):
        table = open_table(db, path, "t.jsonl", ["n", "a/b"])
        assert (table.columns, table.is_text) == ({"n": "VARCHAR", "a/b": "VARCHAR"}, True)
        assert db.execute(f"FROM {table.relation}").fetchall() == [("1", "[2]"), (None, None)]


def test_a_fault_of_the_reader_is_one_of_the_file(tmp_path):
    path = write(tmp_path / "t", "a,b")
    with (
        connect() as db,
        pytest.raises(ContractError, match=r"t\.jsonl: must open as JSONL; .*"),
        readable(path, "t.jsonl"),
    ):
        db.execute(f"FROM {open_table(db, path, 't.jsonl', ['n']).relation}")


def test_rules_name_the_record_and_the_value(tmp_path):
    rules = [Rule("n", "n <> 'b'", "anything but b")]
    with connect() as db:
        table = open_table(db, write(tmp_path / "t", "n\na\nb\n"), "t.csv")
        with pytest.raises(ContractError, match="column n must hold anything but b; found 'b' in record 2"):
            check_rules(db, table, "t.csv", rules)
        assert check_rules(db, table, "t.csv", []) == 2


def test_a_header_is_never_read_beyond_its_limit(tmp_path):
    with (tmp_path / "t.csv").open("wb") as file:
        file.seek(10**9)
        file.write(b"\n")
    assert refusal(tmp_path / "t.csv", None).rule == "must begin with a CSV header"


# ── texts, names and files in SQL ────────────────────────────────────────────────────────────────────────────────────

AWKWARD = ["O'Neill", "' or 1=1 --", 'the "big" one', "a;b", "ü", "\\", "%s", "{0}", "$1", "?", "-"]


@pytest.mark.parametrize("text", AWKWARD)
def test_texts_and_names_stay_what_they_are(text):
    rows = duckdb.execute(f"SELECT {literal(text)} AS {identifier(text)}")
    assert rows.description[0][0] == text
    assert rows.fetchall() == [(text,)]


@pytest.mark.parametrize("name", [*AWKWARD, "m[1].csv", "m*.csv", "m?.csv", "{a,b}.csv", "[!a].csv"])
def test_a_file_is_read_by_its_own_name_alone(tmp_path, name):
    for other in ("m1.csv", "mm.csv", "a.csv", "b.csv"):
        (tmp_path / other).write_text("a\nother\n")
    (tmp_path / name).write_text("a\nmine\n")
    assert duckdb.execute(f"SELECT a FROM read_csv({file_argument(tmp_path / name)}, header = true)").fetchall() == [
        ("mine",)
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_the_names_of_folders_fill_no_column(tmp_path, name):
    path = tmp_path / "day=2026-11-20" / "meter=Z" / name
    path.parent.mkdir(parents=True)
    match name:
        case "a.csv":
            path.write_text("meter,day\nA,1999-01-01\n")
        case "a.jsonl":
            path.write_text('{"meter": "A", "day": "1999-01-01"}\n')
        case _:
            duckdb.execute(f"COPY (SELECT 'A' AS meter, '1999-01-01' AS day) TO '{path}'")
    with connect() as db:
        table = open_table(db, path, name, ("meter", "day"))
        assert list(table.columns) == ["meter", "day"]
        assert db.execute(f"SELECT meter, day FROM {table.relation}").fetchall() == [("A", "1999-01-01")]


@pytest.mark.parametrize(
    ("text", "number"), [("1.5", 1.5), ("-2e3", -2000.0), ("1_000", None), ("+-5", None), ("x", None), ("", None)]
)
def test_only_plain_numbers_are_numbers(text, number):
    assert duckdb.execute(f"SELECT {number_sql('t')} FROM (SELECT ? AS t)", [text]).fetchone() == (number,)
