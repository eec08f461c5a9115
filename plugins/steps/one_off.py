"""One-off runs: `airflow dags test` apart from the deployment's Airflow, in a separate database and run folder.

Airflow 3.3.2 runs `dags test` in the deployment's database. There a scheduler takes the run for one of its own: it
counts `dagrun_timeout` from the run's logical date and skips every task, after which the command ends with 0. The
run also replaces an earlier run of its date, and later backfills leave that date out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from include.core.files import setup_errors
from include.core.leftovers import ONE_OFF, going_on
from include.core.run_folder import RunFolder
from include.core.settings import get_settings
from plugins.steps.context import run_folder

if TYPE_CHECKING:
    from airflow.models import DagRun
    from sqlalchemy import Table

LOG = logging.getLogger(__name__)
SHARED_TABLES = ("team", "connection", "variable", "slot_pool", "log_template")
"""What a one-off run needs of the deployment's database; it receives a copy."""

NO_USERS = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
"""No user logs in to a one-off run. Another manager may need its own tables when DAGs are written to the database."""


@contextmanager
def one_off_run(dag_id: str) -> Iterator[None]:
    """Give the one run of this process a run folder and an Airflow database that no scheduler and no backfill sees.

    The database holds the deployment's connections, variables and pools, and no run. It is removed at the end. In a
    run of the command line, which has both already, nothing changes.

    Args:
        dag_id: What is about to run.

    Raises:
        SetupError: The run folder cannot be written.
    """
    if get_settings().run_folder is not None:
        yield
        return
    name = f"{ONE_OFF}{datetime.now(UTC):%Y-%m-%dT%H%M%S.%fZ}"
    folder = RunFolder.of(get_settings().data_dir.resolve(), dag_id, name).path
    database = folder / ".airflow.db"
    with setup_errors(folder, "written"):
        folder.mkdir(parents=True)
    variables = {
        "GROUNDTRUTH_RUN_FOLDER": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"sqlite+aiosqlite:///{database}",
        "AIRFLOW__CORE__AUTH_MANAGER": NO_USERS,
    }
    with going_on(folder):
        try:
            with setup_errors(folder, "written"):
                database.touch(0o600)
            content = _deployment_content()
            with patch.dict("os.environ", variables):
                _reconnect()
                _create_database(content)
                yield
        finally:
            _reconnect()
            _remove_database(folder)


def fail_without_report(run: DagRun) -> None:
    """Mark a run as failed that Airflow ended as successful although no report of it states success.

    Args:
        run: A run that has ended, in this process.
    """
    from airflow.utils.state import DagRunState

    from include.reporting.archive import read_entry

    folder = run_folder(run.dag_id, run.run_id).path
    outcome = read_entry(folder).outcome
    if run.state == DagRunState.SUCCESS and outcome != "success":
        stated = f"states {outcome}" if outcome else "does not exist"
        LOG.error("The run failed: Airflow ended it as successful, but its report %s (%s)", stated, folder)
        run.set_state(DagRunState.FAILED)


def _deployment_content() -> list[tuple[Table, list[dict[str, Any]]]]:
    """Return the rows of the shared tables as the deployment's database holds them, passwords encrypted."""
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from airflow.utils.session import create_session
    from sqlalchemy import select

    import_all_models()  # type: ignore[no-untyped-call]
    tables = [table for table in Base.metadata.sorted_tables if table.name in SHARED_TABLES]
    with create_session(scoped=False) as session:
        return [(table, [dict(row) for row in session.execute(select(table)).mappings()]) for table in tables]


def _create_database(content: list[tuple[Table, list[dict[str, Any]]]]) -> None:
    """Create Airflow's tables in the database that is connected, and fill those that are shared."""
    from airflow.models.base import Base
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        Base.metadata.create_all(session.connection())
        for table, rows in content:
            if rows:
                session.execute(table.insert(), rows)


def _reconnect() -> None:
    """Connect this process to the database that its environment names."""
    from airflow import settings

    get_settings.cache_clear()
    settings.dispose_orm(do_log=False)
    settings.configure_vars()  # type: ignore[no-untyped-call]
    settings.configure_orm()  # type: ignore[no-untyped-call]


def _remove_database(folder: Path) -> None:
    """Remove the database, and the folder of a run that wrote nothing."""
    for leftover in folder.glob(".airflow.db*"):
        leftover.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
