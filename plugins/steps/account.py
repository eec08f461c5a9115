"""The account of a step, from an Airflow connection into the environment of the step alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from include.core.contracts import Credentials, StepParams
from include.core.errors import TransientError


@contextmanager
def account(credentials: Credentials | None, params: StepParams) -> Iterator[None]:
    """Fill a step's credential variables from its connection, where there is one, for as long as it runs.

    Without the connection the environment stays as it is: the step itself says what is missing.

    Raises:
        TransientError: Airflow could not be asked.
    """
    if credentials is None or getattr(params, "source", None) not in credentials.sources:
        yield
        return
    try:
        connection = Connection.get(credentials.connection)
    except AirflowNotFoundException:
        yield
        return
    except AirflowException as error:
        raise TransientError(f"the connection {credentials.connection} cannot be read: {error}") from error
    given = {credentials.login: connection.login, credentials.password: connection.password}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update({name: value for name, value in given.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
