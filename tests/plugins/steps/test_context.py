"""What a task knows of its attempt, and what is worth another one."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from include.core.errors import (
    BadInputError,
    ContractError,
    InterruptedStepError,
    SetupError,
    StepTimeoutError,
    TransientError,
)
from include.core.settings import get_settings
from plugins.steps.context import RETRIES, StepRetryPolicy, attempt_of, folder_of, log_url_of, plain_errors

pytestmark = pytest.mark.airflow
PIPELINE = SimpleNamespace(declared=frozenset({"a.csv"}))


def context(tries, max_tries):
    run = SimpleNamespace(dag_id="energy_pipeline", run_id="manual__2026-01-01T00:00:00+00:00")
    return {"ti": SimpleNamespace(try_number=tries, max_tries=max_tries, log_url="http://x/log"), "dag_run": run}


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
    assert [attempt_of(context(number, RETRIES), PIPELINE).generation for number in (1, 2, 3)] == [0, 0, 0]
    assert attempt_of(context(3, RETRIES + 2), PIPELINE).generation == 2


def test_an_attempt_holds_what_its_runtime_knows():
    attempt = attempt_of(context(1, RETRIES), PIPELINE, runtime="docker", command="true", image=lambda: "sha256:1")
    assert (attempt.number, attempt.runtime, attempt.command, attempt.image()) == (1, "docker", "true", "sha256:1")
    assert attempt.declared == PIPELINE.declared


def test_the_run_folder_is_named_by_the_run_unless_the_command_line_names_it(monkeypatch, tmp_path):
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(tmp_path))
    get_settings.cache_clear()
    named = folder_of(context(1, 3)).path
    assert named == tmp_path / "runs" / "energy_pipeline" / "manual__2026-01-01T00-00-00+00-00"
    assert log_url_of(context(1, 3)) == "http://x/log"
    monkeypatch.setenv("GROUNDTRUTH_RUN_FOLDER", str(tmp_path / "mine"))
    get_settings.cache_clear()
    assert folder_of(context(1, 3)).path == tmp_path / "mine"
    assert log_url_of(context(1, 3)) == "airflow.log"
    monkeypatch.undo()
    get_settings.cache_clear()


def test_a_fault_that_a_sentence_explains_leaves_without_the_places_that_it_came_through():
    logged = []

    def deep():
        raise ContractError("a.csv", "must have rows", 0)

    with (
        pytest.raises(ContractError) as error,
        plain_errors(SimpleNamespace(error=lambda _, said: logged.append(said))),
    ):
        deep()
    assert [str(each) for each in logged] == ["a.csv: must have rows; found 0"]
    assert "deep" not in [place.name for place in error.traceback]
    with pytest.raises(ZeroDivisionError), plain_errors(None):
        1 / 0  # noqa: B018
