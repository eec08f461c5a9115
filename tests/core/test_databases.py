"""A damaged database is named in a sentence, before anything opens it."""

import sqlite3
from contextlib import closing

import pytest

from include.core.databases import check_database
from include.core.errors import SetupError


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "a db?#%.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a);")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{number:0200}",) for number in range(1000)])
        connection.commit()
    return path


def test_a_sound_database_is_left_alone(database):
    content = database.read_bytes()
    check_database(database, "make setup")
    assert database.read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: path.write_bytes(path.read_bytes()[:8192] + bytes(8192) + path.read_bytes()[16384:]),
    ],
    ids=["missing", "empty", "text", "cut short", "a hole"],
)
def test_damage_is_a_sentence_with_the_files_name_and_the_remedy(database, damage):
    damage(database)
    with pytest.raises(SetupError) as error:
        check_database(database, "run make setup")
    assert str(error.value).startswith(f"{database}: ")
    assert str(error.value).endswith("; run make setup")
    assert "\n" not in str(error.value)
