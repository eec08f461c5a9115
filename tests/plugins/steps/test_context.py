"""What a task knows of its attempt, and what is worth another one."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import json
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowTaskTimeout
from structlog import get_logger
from structlog.testing import capture_logs

from include.core.errors import (
    BadInputError,
    ContractError,
    InterruptedStepError,
    SetupError,
    StepTimeoutError,
    TransientError,
)
from include.core.settings import get_settings
from plugins.steps.context import (
    RETRIES,
    StepRetryPolicy,
    attempt_of,
    bind_keys,
    folder_of,
    log_line,
    plain_errors,
    run_folder,
    task_keys,
    within_deadline,
)

pytestmark = pytest.mark.airflow


def context(tries, max_tries):
    run = SimpleNamespace(dag_id="energy_pipeline", run_id="manual__2026-01-01T00:00:00+00:00")
    return {
        "ti": SimpleNamespace(
            try_number=tries, max_tries=max_tries, task=SimpleNamespace(retries=RETRIES), log_url="http://x/log"
        ),
        "dag_run": run,
    }


def test_the_retries_of_a_task_tell_its_first_try_after_a_clear():
    policy = StepRetryPolicy(1)
    again = policy.evaluate(TransientError("no"), 2, 2)
    assert (again.action, again.retry_delay) == (RetryAction.RETRY, timedelta(seconds=2)), "cleared after its first try"
    assert StepRetryPolicy.deserialize(policy.serialize()).retries == 1
    far = StepRetryPolicy(20).evaluate(TransientError("no"), 20, 20)
    assert far.retry_delay == timedelta(minutes=10), "no wait is longer"


@pytest.mark.parametrize(
    "error",
    [
        ContractError("a.csv", "must exist"),
        BadInputError("no"),
        SetupError("no"),
        StepTimeoutError("no"),
        InterruptedStepError("no"),
        ZeroDivisionError(),
        KeyboardInterrupt(),
    ],
)
def test_what_has_a_cause_that_stays_is_not_tried_again(error):
    assert StepRetryPolicy().evaluate(error, 1, RETRIES).action is RetryAction.FAIL


def test_transient_faults_wait_2_4_and_8_seconds():
    decisions = [StepRetryPolicy().evaluate(TransientError("429"), n, RETRIES) for n in (1, 2, 3)]
    assert [decision.action for decision in decisions] == [RetryAction.RETRY] * 3
    assert [decision.retry_delay for decision in decisions] == [timedelta(seconds=s) for s in (2, 4, 8)]


def test_a_cleared_task_begins_with_the_shortest_wait_again():
    decision = StepRetryPolicy().evaluate(TransientError("429"), 3, RETRIES + 2)
    assert decision.retry_delay == timedelta(seconds=2)


def test_a_retry_stays_in_its_generation_and_a_clear_begins_another():
    assert [attempt_of(context(number, RETRIES)).generation for number in (1, 2, 3)] == [0, 0, 0]
    assert attempt_of(context(3, RETRIES + 2)).generation == 2


def test_an_attempt_holds_what_its_runtime_knows():
    attempt = attempt_of(context(1, RETRIES), runtime="docker", command="true", image=lambda: "sha256:1")
    assert (attempt.number, attempt.runtime, attempt.command, attempt.image()) == (1, "docker", "true", "sha256:1")


def test_the_run_folder_is_named_by_the_run_unless_the_command_line_names_it(monkeypatch, tmp_path):
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path))
    get_settings.cache_clear()
    named = folder_of(context(1, 3)).path
    assert run_folder("energy_pipeline", "manual__2026-01-01T00:00:00+00:00").path == named
    assert named == tmp_path / "runs" / "energy_pipeline" / "manual__2026-01-01T00-00-00+00-00"
    assert attempt_of(context(1, 3)).log_url == "http://x/log"
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(tmp_path / "mine"))
    get_settings.cache_clear()
    assert folder_of(context(1, 3)).path == tmp_path / "mine"
    assert attempt_of(context(1, 3)).log_url is None, "`airflow dags test` keeps no log"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "airflow.log").touch()
    assert attempt_of(context(1, 3)).log_url == "airflow.log"
    monkeypatch.undo()
    get_settings.cache_clear()


def test_a_fault_that_a_sentence_explains_leaves_without_the_places_that_it_came_through():
    logged = []

    def deep():
        raise ContractError("a.csv", "must have rows", 0)

    with (
        pytest.raises(ContractError) as error,
        plain_errors(SimpleNamespace(error=lambda _, message: logged.append(message))),
    ):
        deep()
    assert [str(message) for message in logged] == ["a.csv: must have rows; found 0"]
    assert "deep" not in [place.name for place in error.traceback]
    with pytest.raises(ZeroDivisionError), plain_errors(None):
        1 / 0  # noqa: B018


WHEN = "2026-01-01T00:00:00Z"
TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 2}


@pytest.mark.parametrize(("json_logs", "bound"), [("True", TASK), ("False", {})])
def test_the_keys_of_a_task_are_in_its_json_logs(monkeypatch, json_logs, bound):
    keys = {}
    monkeypatch.setenv("AIRFLOW__LOGGING__JSON_LOGS", json_logs)
    monkeypatch.setattr("plugins.steps.context.bind_contextvars", lambda **values: keys.update(values))
    of_task = {"ti": SimpleNamespace(**TASK, hostname="h")}
    assert task_keys(of_task) == TASK
    bind_keys(of_task)
    assert keys == bound


def test_a_line_of_a_steps_log_keeps_level_and_keys_and_any_other_is_text():
    calls = []
    log = SimpleNamespace(
        info=lambda *values: calls.append(values), log=lambda *values, **more: calls.append((values, more))
    )
    log_line(log, "100 % of it")
    log_line(log, json.dumps({"timestamp": WHEN, "level": "warning", "event": "late", "meter": "m1"}))
    assert calls == [("%s", "100 % of it"), ((30, "%s", "late"), {"step": {"timestamp": WHEN, "meter": "m1"}})]


LIES = [
    {"self": 1},
    {"logger": "include.core.runner", "timestamp": "2099-01-01T00:00:00Z"},
    {"positional_args": [], "event_dict": {}, "method_name": "critical", "name": "root", "msg": "x", "args": [1]},
    {"level_number": 50, "log": 1, "text": 1, "step": "forged", "exception": "Traceback", "error": "x"},
]


@pytest.mark.parametrize("keys", LIES, ids=lambda keys: next(iter(keys)))
def test_no_key_of_a_line_passes_as_ours(keys):
    """In a logger as Airflow's, which takes keys as arguments: `self` was a TypeError, and the container ran on."""
    with capture_logs() as lines:
        log_line(get_logger(), json.dumps({"timestamp": WHEN, "level": "warning", "event": "late"} | keys))
    assert lines == [{"event": "late", "log_level": "warning", "step": {"timestamp": WHEN} | keys}]


@pytest.mark.parametrize(
    "text", ["\x1b[2Jall green", json.dumps({"timestamp": WHEN, "level": "info", "event": "\x1b[2J"})]
)
def test_a_line_cannot_steer_the_terminal_of_its_reader(text):
    with capture_logs() as lines:
        log_line(get_logger(), text)
    assert lines[0]["event"].startswith("\\x1b[2J")


def test_an_interrupt_by_airflow_is_a_timeout_of_the_step():
    message = r"took longer than its limit of 2\.5 s \(timeout_seconds\)"
    with pytest.raises(StepTimeoutError, match=message), within_deadline(2.5):
        raise AirflowTaskTimeout
    with pytest.raises(StepTimeoutError, match=r"its limit of 60 s"), within_deadline(60, left=0.05):
        time.sleep(5)
    with pytest.raises(ZeroDivisionError), within_deadline(2.5):
        1 / 0  # noqa: B018


def test_the_retry_policy_survives_serialization():
    assert isinstance(StepRetryPolicy.deserialize(StepRetryPolicy().serialize()), StepRetryPolicy)
