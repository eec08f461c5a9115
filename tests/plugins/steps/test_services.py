"""Connections of services, and the trigger that waits for a task of one: it asks, tells once, and cancels on a kill."""

import tests.airflow_env  # noqa: F401 - before Airflow is imported

# isort: split
import asyncio
from importlib import import_module
from types import SimpleNamespace

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from include.control.client import ServiceClient
from include.control.models import Status
from include.core.definitions.model import ServiceAddress
from include.core.errors import ContractError, SetupError, TransientError
from plugins.steps import services
from plugins.steps.services import ServiceTrigger, endpoint_of
from tests.control.small_steps import asked

pytestmark = pytest.mark.airflow
REQUEST = asked("copy")
ACCOUNT = ServiceAddress(url="https://a", connection="account")


def status(state, seconds=0.0):
    return Status(
        task=REQUEST.task, operation="copy", state=state, keys=REQUEST.keys, running_seconds=seconds, service="s",
        version="1", error={"message": "m"} if state == "failed" else None,
    )  # fmt: skip


def events(monkeypatch, *answers):
    """What a trigger tells, given what the service answers one after the other."""
    trigger = ServiceTrigger("analyzer", {"url": "http://a"}, REQUEST.task, 10)
    left = list(answers)

    def answer():
        value = left.pop(0)
        if isinstance(value, Exception):
            raise value
        return value

    monkeypatch.setattr(services, "POLL_SECONDS", 0)
    monkeypatch.setattr(trigger, "_ask", answer)

    async def all_events():
        return [event.payload async for event in trigger.run()]

    told = asyncio.run(all_events())
    assert left == [], "it stopped asking too early"
    return told


@pytest.mark.parametrize("last", [status("complete"), status("failed"), status("cancelled"), None])
def test_it_wakes_the_task_once_the_work_has_ended_or_is_unknown(monkeypatch, last):
    answers = [status("queued"), TransientError("down"), status("running"), last]
    assert events(monkeypatch, *answers) == [{"ended": True}]


def test_a_task_that_goes_on_after_its_timeout_is_late_and_one_that_is_queued_is_not(monkeypatch):
    assert events(monkeypatch, status("queued", 1e6), status("running", 41)) == [{"late": True}]


def test_a_false_answer_and_a_long_silence_wake_the_task_with_their_cause(monkeypatch):
    assert events(monkeypatch, ContractError("a", "must be true")) == [{"fault": "a: must be true"}]
    monkeypatch.setattr(services, "PATIENCE_SECONDS", -1)
    assert events(monkeypatch, TransientError("down")) == [{"fault": "down"}]


def test_it_is_made_again_from_what_is_stored_and_stores_no_secret(monkeypatch):
    trigger = ServiceTrigger("analyzer", ACCOUNT.model_dump(), "1" * 64, 5)
    name, arguments = trigger.serialize()
    module, _, kind = name.rpartition(".")
    again = getattr(import_module(module), kind)(**arguments)
    assert again.serialize() == (name, arguments)
    assert arguments["address"]["connection"] == "account"
    assert "token" not in str(arguments)


def test_a_kill_cancels_the_task(monkeypatch):
    cancelled = []
    monkeypatch.setattr(ServiceClient, "cancel", lambda self, task: cancelled.append(task))
    asyncio.run(ServiceTrigger("analyzer", {"url": "http://a"}, "1" * 64, 5).on_kill())
    assert cancelled == ["1" * 64]


def test_the_token_comes_from_the_connection(monkeypatch):
    account = SimpleNamespace(password="secret", extra_dejson={"ca_file": "/ca.pem"})  # noqa: S106
    monkeypatch.setattr(Connection, "get", lambda name: account)
    endpoint = endpoint_of("analyzer", ACCOUNT)
    assert (endpoint.token, endpoint.ca_file) == ("secret", "/ca.pem")
    assert endpoint_of("analyzer", ServiceAddress(url="http://a", protocol="grpc")).token is None


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (AirflowNotFoundException("no"), SetupError, r"analyzer \(https://a\): there is no Airflow connection account"),
        (AirflowException("api down"), TransientError, "the connection account cannot be read: api down"),
    ],
)
def test_a_connection_that_cannot_be_read_is_explained(monkeypatch, error, kind, message):
    def get(name):
        raise error

    monkeypatch.setattr(Connection, "get", get)
    with pytest.raises(kind, match=message):
        endpoint_of("analyzer", ACCOUNT)
