import duckdb
import pytest
from pydantic import create_model

from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.energy.audit.tables import csv_sql, header, require_equal_rows, require_no_more_columns

COLUMNS = {"name": None, "kw": "try_cast({} AS DOUBLE)".format}


@pytest.fixture
def compare(tmp_path):
    def compare(stated, expected):
        for name, text in (("stated", stated), ("expected", expected)):
            (tmp_path / name).write_text(text)
        with duckdb.connect() as db:
            tables = (csv_sql(tmp_path / name) for name in ("stated", "expected"))
            require_equal_rows(db, "table.csv", *tables, COLUMNS)

    return compare


def test_another_spelling_of_the_same_values_is_equal(compare):
    compare('name,kw\n"a",1.50\nb,\n', "name,kw\na,1.5\nb,\n")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("name,kw\na,1.6\nb,2\n", r"table.csv: record 1 must be name a, kw 1.5; found name a, kw 1.6"),
        ("name,kw\nb,2\na,1.5\n", r"table.csv: record 1 must be"),
        ("name,kw\na,1.5\n", r"table.csv: must hold 2 records; found 1"),
        ("name,kw\na,1.5\nb,2\nb,2\n", r"table.csv: must hold 2 records; found 3"),
        ("name,kw\na,1.5\nb,\n", r"table.csv: record 2 must be name b, kw 2; found name b"),
    ],
)
def test_the_first_difference_is_named(compare, stated, message):
    with pytest.raises(ContractError, match=message):
        compare(stated, "name,kw\na,1.5\nb,2\n")


def test_a_header_may_be_quoted(tmp_path):
    (tmp_path / "table.csv").write_text('"main, left",kw\n')
    assert header(tmp_path / "table.csv") == ["main, left", "kw"]


def test_columns_that_no_schema_names_are_refused():
    table = Artifact("t.csv", create_model("Row", a=(str, ...)))
    require_no_more_columns(table, ["a"])
    with pytest.raises(ContractError, match=r"t\.csv: must have no other columns than a; found b, c"):
        require_no_more_columns(table, ["a", "b", "c"])
