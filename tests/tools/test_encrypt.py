"""Connections and variables of a set-up that had no key are encrypted, and read as before."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import pytest
from airflow.models import crypto
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from cryptography.fernet import Fernet
from sqlalchemy import text

from tools.encrypt import main

pytestmark = pytest.mark.airflow


@pytest.fixture
def key(monkeypatch):
    """Sets Airflow's Fernet key; call it with None for a set-up without one."""

    def set_key(value):
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", value or "")
        crypto.get_fernet.cache_clear()

    yield set_key
    monkeypatch.undo()
    crypto.get_fernet.cache_clear()


@pytest.fixture
def plain(key):
    """A connection and a variable that an older set-up stored in plain text."""
    key(None)
    with create_session() as session:
        session.add(Connection(conn_id="account", conn_type="http", login="ada", password="s3cret", extra='{"a": 1}'))  # noqa: S106
        session.add(Connection(conn_id="bare", conn_type="http"))
        session.add(Variable(key="token", val="abc"))
    yield
    with create_session() as session:
        for table, column in (("connection", "conn_id"), ("variable", '"key"')):
            session.execute(text(f"DELETE FROM {table} WHERE {column} IN ('account', 'bare', 'token')"))


def stored():
    with create_session() as session:
        rows = session.execute(text("SELECT password, extra FROM connection WHERE conn_id = 'account'")).one()
        return [*rows, session.execute(text("SELECT val FROM variable WHERE \"key\" = 'token'")).scalar_one()]


def read():
    with create_session() as session:
        connection = session.query(Connection).filter_by(conn_id="account").one()
        variable = session.query(Variable).filter_by(key="token").one()
        return [connection.password, connection.extra, variable.val]


def test_what_lies_in_plain_text_is_encrypted_and_reads_as_before(plain, key):
    values = ["s3cret", '{"a": 1}', "abc"]
    assert stored() == values
    key(Fernet.generate_key().decode())
    assert read() == values, "a new key alone takes nothing away"
    assert main() == 0
    assert not set(stored()) & set(values)
    assert read() == values
    once = stored()
    assert main() == 0
    assert stored() == once, "what is encrypted stays as it is"


def test_without_a_key_nothing_is_done(plain, key, capsys):
    assert main() == 1
    assert "no Fernet key" in capsys.readouterr().err
    assert stored()[0] == "s3cret"
