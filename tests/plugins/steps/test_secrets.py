"""Secrets of steps: fields of Airflow connections."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from include.core.errors import SetupError
from plugins.steps.secrets import hidden_values, read_connection, read_secrets

pytestmark = pytest.mark.airflow
PLACES = {"USER_NAME": "crm.login", "PASSWORD": "crm.password", "TOKEN": "my.crm.extra.token"}


@pytest.fixture(autouse=True)
def connections(monkeypatch):
    """Two connections of a deployment."""
    known = {
        "crm": Connection(conn_id="crm", conn_type="http", login="reader", password="s3cret"),  # noqa: S106
        "my.crm": Connection(conn_id="my.crm", conn_type="http", extra='{"token": "abcdef"}'),
    }

    def get(name):
        if name not in known:
            raise AirflowNotFoundException(name)
        return known[name]

    monkeypatch.setattr(Connection, "get", get)


def test_variables_are_filled_from_fields_of_connections():
    values = read_secrets(PLACES)
    assert values == {"USER_NAME": "reader", "PASSWORD": "s3cret", "TOKEN": "abcdef"}
    assert set(hidden_values(PLACES, values)) == {"s3cret", "abcdef"}, "a login is no secret"


def test_a_connection_that_is_not_there_is_none_or_named_with_the_remedy():
    assert read_connection("erp") is None
    with pytest.raises(SetupError, match=r"KEY: there is no connection erp; add it \(airflow connections add erp "):
        read_secrets({"KEY": "erp.password"})


def test_an_empty_field_is_named():
    with pytest.raises(SetupError, match=r"HOST: the connection crm has no host; add it"):
        read_secrets({"HOST": "crm.host"})
    with pytest.raises(SetupError, match=r"KEY: the connection my\.crm has no extra\.key; add it"):
        read_secrets({"KEY": "my.crm.extra.key"})
