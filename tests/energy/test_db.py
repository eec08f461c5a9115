"""DuckDB as the steps use it: complete files or none, nothing left behind."""

import duckdb
import pytest

from include.core.errors import SetupError
from include.energy.db import connect, count, is_scan, rows, would_write, write_table

pytestmark = pytest.mark.own_database


def test_files_appear_whole_and_the_scratch_folder_goes(tmp_path):
    with connect(tmp_path) as connection:
        assert len(list(tmp_path.glob(".scratch-*"))) == 1
        write_table(connection, "SELECT 1 AS a, NULL AS b, 'x,y' AS c", tmp_path / "a.csv")
        write_table(connection, "SELECT 1 AS a FROM range(3)", tmp_path / "a.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.parquet"]
    assert (tmp_path / "a.csv").read_text() == 'a,b,c\n1,,"x,y"\n'
    assert duckdb.read_parquet(str(tmp_path / "a.parquet")).fetchall() == [(1,), (1,), (1,)]


QUERY = "SELECT range AS a, 'household_' || range % 7 AS b FROM range(300_000)"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda content: content, True),
        (lambda content: content.replace(b"150000,household_", b"150000,household-"), False),
        (lambda content: content[:-1], False),
        (lambda content: content + b"300000,household_0\n", False),
        (lambda content: b"", False),
    ],
)
def test_a_file_is_compared_with_what_would_be_written_to_its_last_byte(tmp_path, change, same):
    file, scratch = tmp_path / "a.csv", tmp_path / "scratch"
    scratch.mkdir()
    with connect(tmp_path) as connection:
        write_table(connection, QUERY, file)
        file.write_bytes(change(file.read_bytes()))
        assert would_write(connection, QUERY, file, scratch) is same
    assert not list(scratch.iterdir())


def test_a_query_that_fails_while_it_is_compared_fails(tmp_path):
    (tmp_path / "a.csv").write_text("a\n")
    with pytest.raises(duckdb.InvalidInputException), connect(tmp_path) as connection:
        would_write(connection, "SELECT error('no') AS a", tmp_path / "a.csv", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_failing_query_leaves_nothing(tmp_path):
    with pytest.raises(duckdb.InvalidInputException), connect(tmp_path) as connection:
        write_table(
            connection, "SELECT CASE WHEN range > 50000 THEN error('no') END FROM range(60000)", tmp_path / "a.csv"
        )
    assert list(tmp_path.iterdir()) == []


def test_what_the_machine_lacks_is_said_in_words(tmp_path):
    with (
        pytest.raises(SetupError, match="gone: cannot be written: No such file or directory"),
        connect(tmp_path / "gone"),
    ):
        pass
    with pytest.raises(SetupError, match="cannot be written or read"), connect(tmp_path) as connection:
        connection.execute(f"COPY (SELECT 1) TO '{tmp_path}/gone/a.csv'")
    with pytest.raises(SetupError, match="5MB of memory and the free disk"), connect(tmp_path, "5MB") as connection:
        connection.execute("SELECT list(range) FROM range(10_000_000)").fetchone()


def test_a_count_is_the_number_of_the_query():
    with duckdb.connect() as connection:
        assert count(connection, "SELECT count(*) FROM range(7)") == 7
        assert count(connection, "SELECT 1 WHERE false") == 0


def test_rows_are_dicts_by_column():
    assert rows(duckdb, "SELECT 1 AS a, 'x' AS b") == [{"a": 1, "b": "x"}]


def test_a_scan_is_told_from_what_may_change_the_order_of_rows(tmp_path):
    with connect(tmp_path) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS a FROM range(9)")
        connection.execute("CREATE VIEW v AS SELECT rowid AS id, CASE WHEN a > 3 THEN a END AS b FROM t WHERE a <> 5")
        assert is_scan(connection, "SELECT id, b + 1 FROM v WHERE b IS NOT NULL", "t")
        assert not is_scan(connection, "SELECT id, b + 1 FROM v", "other")
        for query in (
            "SELECT * FROM v JOIN t ON a = b",
            "SELECT * FROM v WHERE id IN (SELECT a FROM t)",
            "SELECT DISTINCT b FROM v",
            "SELECT a FROM t UNION ALL SELECT a FROM t",
            "SELECT lag(a) OVER () FROM t",
        ):
            assert not is_scan(connection, query, "t")
