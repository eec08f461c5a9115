"""Services as Airflow knows them: their connections, and the trigger that waits for a task of one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.control.client import Client, Endpoint, client_for
from include.control.models import ENDED, Status
from include.core.definitions.model import ServiceAddress
from include.core.errors import GroundtruthError, SetupError, TransientError

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
"""How long a trigger goes on asking a service that does not answer."""
GRACE_SECONDS = 30.0
"""A service stops a task at its timeout; one that has not done so this much later is stopped by its orchestrator."""
CANCEL_SECONDS = 3.0
"""Airflow kills a task 5 s after asking it to end."""


def endpoint_of(name: str, address: ServiceAddress) -> Endpoint:
    """Return where a service is, with the token of its Airflow connection.

    Args:
        name: What the definition calls it.
        address: Where it is; the password of its connection is the bearer token.

    Raises:
        SetupError: There is no such connection.
        TransientError: Airflow cannot read it now.
    """
    url, connection, protocol = address.url, address.connection, address.protocol
    if connection is None:
        return Endpoint(name, url, protocol=protocol)
    try:
        account = Connection.get(connection)
    except AirflowNotFoundException:
        raise SetupError(
            f"service {name} ({url}): there is no Airflow connection {connection}; add it, with the service's bearer "
            "token as its password"
        ) from None
    except AirflowException as error:
        raise TransientError(f"service {name}: the connection {connection} cannot be read: {error}") from error
    return Endpoint(name, url, account.password, account.extra_dejson.get("ca_file"), protocol)


class ServiceTrigger(BaseTrigger):
    """Waits until a task of a service has ended; it only asks, so that it may run twice and be moved.

    The token is read from the connection where it runs: arguments of triggers are rows of Airflow's database.

    Args:
        service: Name of the service.
        address: Where it is (`ServiceAddress`, as JSON).
        remote_task: The task's id.
        timeout_seconds: The step's timeout; counted while the task runs, not while it is queued.
    """

    def __init__(self, service: str, address: dict[str, Any], remote_task: str, timeout_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.service, self.address = service, address
        self.remote_task, self.timeout_seconds = remote_task, timeout_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments."""
        arguments = ("service", "address", "remote_task", "timeout_seconds")
        return "plugins.steps.services.ServiceTrigger", {name: getattr(self, name) for name in arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event: `ended`, `late`, or `fault` with the sentence that explains it."""
        started = unanswered = None
        while True:
            now = time.monotonic()
            try:
                status = await self._in_thread(self._ask)
            except TransientError as error:
                unanswered = unanswered or now
                if now - unanswered > PATIENCE_SECONDS:
                    yield _event({"fault": str(error)})
                    return
            except GroundtruthError as error:
                yield _event({"fault": str(error)})
                return
            else:
                unanswered = None
                if status is None or status.state in ENDED:
                    yield _event({"ended": True})
                    return
                if status.state == "running":
                    started = started or now
                    if max(now - started, status.running_seconds) > self.timeout_seconds + GRACE_SECONDS:
                        yield _event({"late": True})
                        return
            await asyncio.sleep(POLL_SECONDS)

    async def on_kill(self) -> None:
        """Cancel the task: a user marked or cleared the step while it waited."""
        await self._in_thread(self._cancel)

    def _ask(self) -> Status | None:
        with self._client() as client:
            return client.status(self.remote_task)

    def _cancel(self) -> Status | None:
        with self._client() as client:
            return client.cancel(self.remote_task)

    def _client(self) -> Client:
        return client_for(endpoint_of(self.service, ServiceAddress(**self.address)))

    async def _in_thread(self, call: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(_threads(), call)


def _event(payload: dict[str, Any]) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads that ask services; a service that hangs keeps one of them, not the triggerer's loop."""
    return ThreadPoolExecutor(64, thread_name_prefix="service")
