"""Secrets of steps: fields of Airflow connections, read when a step starts, and written down nowhere."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from include.core.definitions.model import SECRET
from include.core.errors import SetupError, TransientError

KEPT_SHORT = 3
"""Values of up to so many signs are not hidden: a log without each `a` could not be read."""


def read_connection(name: str) -> Connection | None:
    """Return a connection, or None where there is none.

    Raises:
        TransientError: Airflow cannot read it now.
    """
    try:
        connection: Connection = Connection.get(name)
    except AirflowNotFoundException:
        return None
    except AirflowException as error:
        raise TransientError(f"the connection {name} cannot be read: {error}") from error
    return connection


def read_secrets(places: Mapping[str, str]) -> dict[str, str]:
    """Return the values of secrets.

    Args:
        places: The field of a connection (`crm.password`) by the name of the variable that it fills.

    Raises:
        SetupError: A connection is missing, or its field is empty; says how to add it.
        TransientError: Airflow cannot read one now.
    """
    values = {}
    for variable, place in places.items():
        name, field, extra = _parts(place)
        connection = read_connection(name)
        if connection is None:
            raise SetupError(
                f"{variable}: there is no connection {name}; add it (airflow connections add {name} "
                f"--conn-type generic --conn-{field} …), or set AIRFLOW_CONN_{name.upper()}"
            )
        value = connection.extra_dejson.get(extra) if extra else getattr(connection, field)
        if value in (None, ""):
            raise SetupError(f"{variable}: the connection {name} has no {place.removeprefix(f'{name}.')}; add it")
        values[variable] = str(value)
    return values


def hidden_values(places: Mapping[str, str], values: Mapping[str, str]) -> list[str]:
    """Return the values that no log may show, the longest first: passwords and fields of `extra`.

    Args:
        places: As for `read_secrets`.
        values: As it returned them.
    """
    secret = {values[name] for name, place in places.items() if _parts(place)[1] in ("password", "extra")}
    return sorted((value for value in secret if len(value) > KEPT_SHORT), key=len, reverse=True)


def _parts(place: str) -> tuple[str, str, str]:
    """Return connection, field and, of `extra`, the name in it.

    >>> _parts("my.crm.extra.token"), _parts("crm.password")
    (('my.crm', 'extra', 'token'), ('crm', 'password', ''))
    """
    match = SECRET.fullmatch(place)
    assert match is not None  # noqa: S101 - the definition was checked
    field, _, extra = match[2].partition(".")
    return match[1], field, extra
