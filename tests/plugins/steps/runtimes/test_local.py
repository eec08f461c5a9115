"""Steps in the Airflow worker: functions, commands, time limits, credentials."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import json
import logging
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from structlog import get_logger

from include.core.contracts import Credentials, StepParams
from include.core.errors import GroundtruthError, StepTimeoutError
from include.core.runner import Attempt
from include.core.sink import read_events
from include.core.work_folder import WorkFolder
from plugins.steps.runtimes.base import Work
from plugins.steps.runtimes.local import LocalStep, do_work
from tests.core.small_pipeline import MEASURE, pipeline, spec

pytestmark = pytest.mark.airflow
LOG = logging.getLogger("step")
ACCOUNT = Credentials(connection="account", login="TEST_LOGIN", password="TEST_PASSWORD", sources=("real",))  # noqa: S106
TASK = SimpleNamespace(dag_id="d", run_id="r", task_id="measure", map_index=-1, try_number=1)


class SourceParams(StepParams):
    """Where the data come from."""

    source: str = "real"
    factor: float = 2.0


def write_environment(files, params):
    """A step that writes what it was given."""
    names = ("TEST_LOGIN", "TEST_PASSWORD")
    (files / "seen.json").write_text(
        json.dumps({"factor": params.factor} | {name: os.environ.get(name) for name in names})
    )


def fail(files, params):
    """A step that fails."""
    raise ValueError("it broke")


def interrupted(files, params):
    """A step that Airflow interrupts."""
    from airflow.sdk.exceptions import AirflowTaskTimeout

    raise AirflowTaskTimeout


def work_of(folder, function="write_environment", params=None, credentials=None, **changes):
    step = replace(MEASURE, function=f"{__name__}:{function}", credentials=credentials)
    of = pipeline(spec("measure", **changes), known=(step,))
    return Work(
        of["measure"],
        folder,
        Attempt(),
        {"ti": TASK},
        params=params or SourceParams(),
        work_folder=WorkFolder(folder.files),
    )


def seen(folder):
    return json.loads((folder.files / "seen.json").read_text())


def test_a_step_is_described_by_its_function_or_by_its_command():
    of = pipeline(spec("measure"), spec("other", command=("python", "-V"), outputs=("o.csv",)))
    with DAG("d", schedule=None):
        task = LocalStep(task_id="measure", pipeline=of, item=of["measure"])
    assert task.describe(of["measure"]) == "m:f"
    assert task.describe(of["other"]) == "python -V"


def test_a_task_waits_for_the_function_of_its_step(folder):
    work = work_of(folder, params=SourceParams(factor=7))
    with DAG("d", schedule=None):
        task = LocalStep(task_id="measure", pipeline=pipeline(), item=work.item)
    task.wait(work)
    assert seen(folder)["factor"] == 7


def test_a_fault_of_the_function_is_raised(folder):
    with pytest.raises(ValueError, match="it broke"):
        do_work(work_of(folder, "fail"), LOG)


def test_a_command_runs_in_the_runs_files_with_its_parameters_and_logs_what_it_prints(folder, caplog):
    caplog.set_level(logging.INFO)
    program = "import os; open('seen.json', 'w').write(os.environ['STEP_PARAMS']); print('done')"
    do_work(work_of(folder, command=(sys.executable, "-c", program)), LOG)
    assert seen(folder) == {"source": "real", "factor": 2.0}
    assert "done" in caplog.messages
    with pytest.raises(GroundtruthError, match="exit code 3"):
        do_work(work_of(folder, command=(sys.executable, "-c", "raise SystemExit(3)")), LOG)


BAR = """
import sys, time
for number in range(3000):
    sys.stdout.write(f"\\r{number + 1:5d} of 3000 |{'#' * 40}|")
    sys.stdout.flush()
    time.sleep(0.0001)
print()
"""


def test_a_progress_bar_is_one_line_of_the_log(folder, caplog, monkeypatch):
    """Each state of it was a line; a bar of an hour made megabytes."""
    monkeypatch.setattr("include.core.output.SHOWN_EVERY_S", 3600)
    caplog.set_level(logging.INFO)
    do_work(work_of(folder, command=(sys.executable, "-c", BAR)), LOG)
    bars = [message for message in caplog.messages if "of 3000" in message]
    assert bars == [f" 3000 of 3000 |{'#' * 40}|"]


def test_progress_that_a_program_logs_is_recorded(folder, caplog):
    record = {"timestamp": "2026-01-01T00:00:00+00:00", "level": "info", "event": "half of it"}
    record["progress"] = {"at": "2026-01-01T00:00:00Z", "text": "5 of 10 records", "done": 5, "total": 10}
    program = f"print({json.dumps(record)!r}); print('{{\"progress\": 1}}')"
    work = work_of(folder, command=(sys.executable, "-c", program))
    work.folder.step("measure").mkdir(parents=True)
    do_work(work, get_logger())
    ((_, event),) = read_events(work.folder.path)
    assert (event.text, event.done, event.total) == ("5 of 10 records", 5, 10)


def test_a_secret_fills_a_variable_and_stays_out_of_the_log(folder, caplog, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "generic", "password": "s3cret"}))
    caplog.set_level(logging.INFO)
    command = ("sh", "-c", 'echo "token: $TOKEN"; test "$TOKEN" = s3cret')
    do_work(work_of(folder, command=command, secrets={"TOKEN": "crm.password"}), LOG)
    assert "token: ***" in caplog.messages
    assert "s3cret" not in caplog.text


def test_a_step_that_airflow_interrupts_exceeded_its_timeout(folder):
    with pytest.raises(StepTimeoutError, match=r"took longer than its limit of 2 s \(timeout_seconds\)"):
        do_work(work_of(folder, "interrupted", timeout_seconds=2), LOG)


@pytest.fixture
def account(monkeypatch):
    """An Airflow connection with a login and a password; the environment holds another login."""
    monkeypatch.setenv("AIRFLOW_CONN_ACCOUNT", json.dumps({"conn_type": "http", "login": "us", "password": "s3cret"}))
    monkeypatch.setenv("TEST_LOGIN", "before")
    monkeypatch.delenv("TEST_PASSWORD", raising=False)


def test_a_connection_fills_the_variables_of_a_step_for_as_long_as_it_runs(folder, account):
    do_work(work_of(folder, credentials=ACCOUNT), LOG)
    assert (seen(folder)["TEST_LOGIN"], seen(folder)["TEST_PASSWORD"]) == ("us", "s3cret")
    assert (os.environ["TEST_LOGIN"], os.environ.get("TEST_PASSWORD")) == ("before", None)


def test_the_variables_are_restored_after_a_failure_too(folder, account):
    with pytest.raises(ValueError, match="it broke"):
        do_work(work_of(folder, "fail", credentials=ACCOUNT), LOG)
    assert (os.environ["TEST_LOGIN"], os.environ.get("TEST_PASSWORD")) == ("before", None)


def test_a_source_that_needs_no_account_gets_none(folder, account):
    do_work(work_of(folder, params=SourceParams(source="demo"), credentials=ACCOUNT), LOG)
    assert (seen(folder)["TEST_LOGIN"], seen(folder)["TEST_PASSWORD"]) == ("before", None)


def test_without_the_connection_the_environment_stays_as_it_is(folder, account, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ACCOUNT")
    do_work(work_of(folder, credentials=ACCOUNT), LOG)
    assert seen(folder)["TEST_LOGIN"] == "before"


def test_a_command_gets_the_account_of_its_contract_and_the_variables_of_its_definition(folder, account, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "abc")
    monkeypatch.setenv("SH_CLIENT_SECRET", "s3cret")
    script = 'echo "$TEST_LOGIN $TEST_PASSWORD $MY_TOKEN ${SH_CLIENT_SECRET-none} ${AIRFLOW_CONN_ACCOUNT-none}" > seen'
    do_work(work_of(folder, credentials=ACCOUNT, command=("sh", "-c", script), environment={"MY_TOKEN": None}), LOG)
    assert (folder.files / "seen").read_text() == "us s3cret abc none none\n"
