"""What every task of ours shares: retries, the run folder, which attempt it is, its log, its errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import RetryPolicy
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.retry_policy import RetryDecision
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout
from structlog.contextvars import bind_contextvars

from include.core.errors import GroundtruthError, StepTimeoutError, TransientError
from include.core.process import TASK_KEYS, read_line
from include.core.progress import record
from include.core.run_folder import RunFolder
from include.core.runner import Attempt
from include.core.settings import get_settings
from include.core.text import printable
from plugins.reports import PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context

RETRIES, LONGEST_WAIT_S = 3, 600


class StepRetryPolicy(RetryPolicy):
    """Retries transient faults after 2, 4, 8, … s; any other fault fails the task at once.

    A worker that dies raises nothing, so Airflow's own `retries` give its task another attempt.

    Args:
        retries: Those of the task.
    """

    def __init__(self, retries: int = RETRIES) -> None:
        self.retries = retries

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide by the class of the exception alone."""
        if isinstance(exception, TransientError):
            tries_before = max(0, try_number - 1 - (max_tries - self.retries))
            return RetryDecision.retry(timedelta(seconds=min(2 ** (1 + tries_before), LONGEST_WAIT_S)), str(exception))
        return RetryDecision.fail(str(exception))

    def serialize(self) -> dict[str, Any]:
        """Return the settings."""
        return {"retries": self.retries}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> StepRetryPolicy:
        """Return the policy."""
        return cls(**data)


def task_keys(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a task's log lines from those of others."""
    return {name: getattr(context["ti"], name) for name in TASK_KEYS}


def bind_keys(context: Mapping[str, Any]) -> None:
    """Give JSON logs the task's keys in `airflow dags test` too; elsewhere Airflow does it."""
    if conf.getboolean("logging", "json_logs", fallback=False):
        bind_contextvars(**task_keys(context))


def log_line(log: Any, text: str, records: Path | None = None) -> None:
    """Log a line that a step's program wrote: one of its log with its level, any other as it is.

    What a line states of itself is the value of the key `step`, so that it replaces no key of ours. Signs that would
    steer a terminal are escaped.

    Args:
        log: Of the task.
        text: The line.
        records: Where the orchestrator keeps its records of the step, which get the progress that a line states.
    """
    line = read_line(text)
    if line is None:
        log.info("%s", printable(text, keep="\t"))
    else:
        if records is not None and (stated := line.more.pop("progress", None)) is not None:
            record(records, stated)
        log.log(line.level, "%s", printable(line.event, keep="\t\n"), step=line.more)


def log_progress(log: Any, text: str, records: Path) -> None:
    """Log and record a line that a step's program overwrote, such as a progress bar.

    Args:
        log: Of the task.
        text: The line.
        records: Where the orchestrator keeps its records of the step.
    """
    shown = printable(text.strip())
    log.info("%s", shown)
    record(records, shown)


TASK_DEFAULTS: dict[str, Any] = {
    "on_execute_callback": bind_keys,
    "retries": RETRIES,
    "retry_policy": StepRetryPolicy(),
    "retry_delay": timedelta(seconds=2),
}


def run_folder(dag_id: str, run_id: str) -> RunFolder:
    """Return the folder of a run; on the command line, that of the one run of this process."""
    settings = get_settings()
    return RunFolder(settings.run_folder) if settings.run_folder else RunFolder.of(settings.data_dir, dag_id, run_id)


def folder_of(context: Mapping[str, Any]) -> RunFolder:
    """Return the folder of the run that a task belongs to."""
    run = context["dag_run"]
    return run_folder(run.dag_id, run.run_id)


def report_page(context: Mapping[str, Any]) -> str | None:
    """Return the address of a run's report; None on the command line, or where `[api] base_url` states no address."""
    run, base = context["dag_run"], "" if get_settings().run_folder else conf.get("api", "base_url", fallback="")
    place = f"dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"
    return f"{base.rstrip('/')}/{PREFIX}/{place}" if base else None


def attempt_of(context: Mapping[str, Any], **details: Any) -> Attempt:
    """Return which attempt of a step a task instance is.

    Airflow raises `max_tries` by the tries so far whenever a user clears the task, so what exceeds the task's own
    retries tells one clear generation from the next.

    Args:
        context: The task's.
        details: Fields of `Attempt` that the runtime knows.
    """
    task_instance = context["ti"]
    return Attempt(
        number=task_instance.try_number,
        generation=task_instance.max_tries - task_instance.task.retries,
        log_url=_log_url(task_instance),
        **details,
    )


def _log_url(task_instance: Any) -> str | None:
    """Return where a task's log can be read: a page of the UI, or the file that the command line keeps.

    `airflow dags test` keeps none: its log is the output of the command.
    """
    folder = get_settings().run_folder
    if folder is None:
        return getattr(task_instance, "log_url", None)
    return "airflow.log" if (folder / "airflow.log").exists() else None


class plain_errors(AbstractContextManager[None]):  # noqa: N801 - used like a function
    """Log a fault that a sentence explains as that sentence, and raise it without the places that it came through.

    Args:
        log: Of the task.
    """

    def __init__(self, log: Any) -> None:
        self.log = log

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, places: object) -> None:
        """Airflow's own traceback stays for real bugs."""
        if isinstance(error, GroundtruthError):
            self.log.error("%s", error)
            raise error.with_traceback(None) from None


@contextmanager
def within_deadline(limit: float, left: float | None = None) -> Iterator[None]:
    """Stop the work of a step that exceeds its timeout. Airflow's `execution_timeout` would count its proof too.

    Args:
        limit: The step's timeout, in seconds.
        left: What is left of it, where the work began earlier.

    Raises:
        StepTimeoutError: The time is over.
    """
    try:
        with timeout(limit if left is None else left):  # type: ignore[no-untyped-call]
            yield
    except AirflowTaskTimeout as error:
        message = f"took longer than its limit of {limit:g} s (timeout_seconds) and was stopped"
        raise StepTimeoutError(message) from error
