"""Encrypt what lies unencrypted in Airflow's database: connections and variables of a set-up without a Fernet key.

`tools/setup` runs it when it brings an old set-up up to date. Airflow reads values in plain text under a new key too,
so nothing is lost before; `airflow rotate-fernet-key` passes over them, because it decrypts each value first.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow.models.connection import Connection
from airflow.models.crypto import get_fernet
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy import select

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def main() -> int:
    """Encrypt the database that Airflow is configured with, and say how much that was."""
    if not get_fernet().is_encrypted:
        sys.stderr.write("encrypt: Airflow has no Fernet key: [core] fernet_key in airflow.cfg is empty\n")
        return 1
    with create_session(scoped=False) as session:
        count = encrypt(session)
    sys.stdout.write(f"encrypted {count} values\n")
    return 0


def encrypt(session: Session) -> int:
    """Encrypt every password, extra and variable that is not, and return how many they were."""
    count = 0
    for connection in session.scalars(select(Connection)):
        if not connection.is_encrypted and (password := connection.get_password()):
            connection.set_password(password)
            count += 1
        if not connection.is_extra_encrypted and (extra := connection.get_extra()):
            connection.set_extra(extra)
            count += 1
    for variable in session.scalars(select(Variable)):
        if not variable.is_encrypted and (value := variable.get_val()):
            variable.set_val(value)
            count += 1
    return count


if __name__ == "__main__":
    raise SystemExit(main())
