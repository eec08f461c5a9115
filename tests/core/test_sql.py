"""What people name their files and columns never becomes SQL."""

import duckdb
import pytest

from include.core.sql import file_literal, identifier, literal

AWKWARD = ["O'Neill", "' or 1=1 --", 'the "big" one', "a;b", "ü", "\\", "%s", "{0}", "$1", "?", "-"]


@pytest.mark.parametrize("text", AWKWARD)
def test_texts_and_names_stay_what_they_are(text):
    found = duckdb.execute(f"SELECT {literal(text)} AS {identifier(text)}")
    assert found.description[0][0] == text
    assert found.fetchall() == [(text,)]


@pytest.mark.parametrize("name", [*AWKWARD, "m[1].csv", "m*.csv", "m?.csv", "{a,b}.csv", "[!a].csv"])
def test_a_file_is_read_by_its_own_name_alone(tmp_path, name):
    for other in ("m1.csv", "mm.csv", "a.csv", "b.csv"):
        (tmp_path / other).write_text("a\nother\n")
    (tmp_path / name).write_text("a\nmine\n")
    assert duckdb.execute(f"SELECT a FROM read_csv({file_literal(tmp_path / name)}, header = true)").fetchall() == [
        ("mine",)
    ]
