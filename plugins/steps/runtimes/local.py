"""Steps in the Airflow worker: our function in this process, or the definition's command as a child of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from airflow.providers.standard.operators.python import PythonOperator

from include.core.contracts import Credentials, StepParams
from include.core.pipeline import PipelineStep
from include.core.process import run_command
from include.core.progress import recording
from include.core.runner import Ran, called
from plugins.steps.context import log_line, log_progress, task_keys, within_deadline
from plugins.steps.runtimes.base import StepOperator, Work
from plugins.steps.secrets import hidden_values, read_connection, read_secrets


class LocalStep(StepOperator, PythonOperator):
    """Runs a step in the Airflow worker; the work is done while it is waited for, and ends with the worker."""

    runtime = "local"
    ran: Ran = Ran()

    def parent_arguments(self, item: PipelineStep) -> dict[str, Any]:
        """Return what PythonOperator calls."""
        return {"python_callable": do_work, "show_return_value_in_logs": False}

    def describe(self, item: PipelineStep) -> str:
        """Return the command or the function of the definition, else the step's function."""
        return " ".join(item.spec.command or ()) or item.spec.function or item.step.function

    def wait(self, work: Work) -> None:
        """Do the work."""
        self.op_kwargs = {"work": work, "log": self.log}
        self.ran = PythonOperator.execute(self, work.context)

    def collect(self, work: Work) -> Ran:
        """Return how the step was kept apart."""
        return self.ran


def do_work(work: Work, log: Any, **_: Any) -> Ran:
    """Call a step's function, or run its command.

    Raises:
        GroundtruthError: It failed, or took longer than its deadline.
    """
    item, folder = work.item, work.work_folder
    account, secrets = _credentials(item.step.credentials, work.params), read_secrets(item.spec.secrets)
    command = item.spec.program(sys.executable)
    with within_deadline(item.spec.timeout_seconds), _environment(account):
        records = work.folder.step(item.step.id)
        if command is None:
            with recording(records):
                return called(item.step.load())(work.params, folder)
        variables = {**item.spec.environment, **account, **secrets}
        hidden = hidden_values(item.spec.secrets, secrets)
        logs = {
            "log": partial(log_line, log, records=records),
            "overwritten": partial(log_progress, log, records=records),
        }
        keys = task_keys(work.context)
        return Ran(
            isolation=run_command(command, folder, work.params, task=keys, variables=variables, hidden=hidden, **logs)
        )


def _credentials(credentials: Credentials | None, params: StepParams) -> dict[str, str]:
    """Return the variables that a step's Airflow connection fills.

    Without the connection there are none: the step itself reports what is missing.

    Raises:
        TransientError: Airflow cannot read the connection now.
    """
    if credentials is None or getattr(params, "source", None) not in credentials.sources:
        return {}
    connection = read_connection(credentials.connection)
    if connection is None:
        return {}
    values = {credentials.login: connection.login, credentials.password: connection.password}
    return {name: value for name, value in values.items() if value}


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for as long as a step runs."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)
