"""`./pipeline services`: start and stop the services that definitions name, show how they are, check any service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from include.cli.run import AIRFLOW_HOME
from include.cli.terminal import shown, shown_message
from include.control.serve import TOKEN_VARIABLE, is_loopback, server_of
from include.core.definitions.model import ServiceAddress, service_pool
from include.core.domain import Pool
from include.core.errors import BadInputError, GroundtruthError, SetupError
from include.core.settings import ROOT, get_settings
from include.pipelines import load_pipelines, pools

if TYPE_CHECKING:
    from include.control.client import Client

FAILED = 1
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 120.0, 15.0, 0.1
services_app = typer.Typer(
    help="Services that do the work of steps: start, stop, inspect and check them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@dataclass(frozen=True)
class NamedService:
    """A service of the definitions.

    Args:
        name: What they call it.
        address: Where it is.
        steps: Ids of the steps whose work it does.
    """

    name: str
    address: ServiceAddress
    steps: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.address.url

    @property
    def folder(self) -> Path:
        """What it keeps, where it runs on this machine."""
        return get_settings().data_dir.resolve() / "services" / self.name

    @property
    def is_local(self) -> bool:
        """Whether it is to run on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    def client(self) -> Client:
        """Return a client with the token of the environment."""
        from include.control.client import Endpoint, client_for

        token = os.environ.get(TOKEN_VARIABLE)
        endpoint = Endpoint(self.name, self.url, token, protocol=self.address.protocol)
        if endpoint.protocol != "container-executor":
            return client_for(endpoint)
        from include.control.executor_client import Work, executor_for
        from include.control.models import Operation

        return executor_for(endpoint, Work(Operation(name=self.name, version="1", parameters={}), None, ""))


def named_services() -> list[NamedService]:
    """Return the services that the definitions name, each once.

    Raises:
        BadInputError: Two services of one name have different addresses.
    """
    found: dict[str, NamedService] = {}
    for pipeline in load_pipelines()[0]:
        for item in pipeline.steps:
            name, address = item.spec.service, item.spec.address
            if name is None or address is None:
                continue
            known = found.get(name, NamedService(name, address, ()))
            if known.url != address.url:
                raise BadInputError(f"the service {name} is at {known.url} and at {address.url}; rename one of the two")
            found[name] = NamedService(name, known.address, tuple(dict.fromkeys([*known.steps, item.spec.id])))
    return list(found.values())


@services_app.command()
def up() -> None:
    """Start the services that definitions place on this machine, and wait until they are healthy."""
    with _faults():
        _set_pools()
        started: list[NamedService] = []
        try:
            for service in named_services():
                if not service.is_local:
                    _show(f"{shown(service.name)}: runs at {shown(service.url)}, not on this machine")
                elif server_of(service.folder) is not None:
                    _show(f"{shown(service.name)}: runs already at {shown(service.url)}")
                else:
                    started.append(service)
                    start(service)
                    _show(f"{shown(service.name)}: started at {shown(service.url)}")
        except BaseException:
            for service in started:
                stop(service)
            raise


@services_app.command()
def down() -> None:
    """Stop the services of this machine. Tasks that run go on, and the next start takes them up."""
    with _faults():
        for service in named_services():
            if stop(service):
                _show(f"{shown(service.name)}: stopped")


@services_app.command()
def status() -> None:
    """Show the services of the definitions, and how busy they are."""
    with _faults():
        healthy = True
        for service in named_services():
            try:
                with service.client() as client:
                    health = client.health()
            except GroundtruthError as error:
                healthy = False
                _show(f"✗ {shown_message(error)}")
                continue
            busy = f"{health.running} of {health.capacity} tasks run, {health.queued} wait"
            _show(f"✓ {shown(service.name)} ({shown(service.url)}): version {shown(health.version)}, {busy}")
        if not healthy:
            raise typer.Exit(FAILED)


@services_app.command()
def check(
    url: Annotated[str, typer.Argument(metavar="URL", help="Base URL of the service.")],
    operation: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also run this operation, one that needs no input.")
    ] = None,
    params: Annotated[str, typer.Option(metavar="JSON", help="Parameters of that operation.")] = "{}",
) -> None:
    """Check whether a service keeps to the control protocol. The token is read from GROUNDTRUTH_SERVICE_TOKEN."""
    from include.control.check import check_service
    from include.control.client import Endpoint, ServiceClient

    with _faults():
        try:
            parameters = json.loads(params)
        except ValueError as error:
            raise BadInputError(f"--params: is not JSON: {error}") from error
        broken = 0
        with ServiceClient(Endpoint("checked", url, os.environ.get(TOKEN_VARIABLE))) as client:
            for rule, fault in check_service(client, operation, parameters):
                _show(f"✓ {shown(rule)}" if fault is None else f"✗ {shown(rule)}: {shown_message(fault)}")
                broken += fault is not None
        if broken:
            raise typer.Exit(FAILED)


def start(service: NamedService) -> None:
    """Start a service in the background, and wait until it is healthy.

    Raises:
        SetupError: It ended, or is not healthy in time; quotes the end of its log.
    """
    service.folder.mkdir(parents=True, exist_ok=True)
    port = urlsplit(service.url).port or 80
    host = urlsplit(service.url).hostname or ""
    listens = "--port" if service.address.protocol == "http" else "--grpc-port"
    command = ["--steps", *service.steps, "--host", host, listens, str(port), "--name", service.name]
    if service.address.protocol == "container-executor":
        settings = get_settings()
        exchange = settings.exchange or str(settings.data_dir.resolve() / "exchange")
        command += ["--exchange", exchange, "--executor-package", settings.executor_package]
    log = service.folder / "service.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "include.control.serve", *command, "--folder", str(service.folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    until, cause = time.monotonic() + START_SECONDS, f"it was not healthy within {START_SECONDS:g} s"
    while time.monotonic() < until and process.poll() is None:
        try:
            with service.client() as client:
                client.breaker.close()
                if server_of(service.folder) == process.pid and client.health():
                    process.returncode = 0  # it goes on without this process, which Python would warn about
                    return
        except GroundtruthError as error:
            cause = str(error)
        time.sleep(POLL_SECONDS)
    last = (log.read_text(errors="replace").strip().splitlines() or [cause])[-1]
    process.terminate()
    raise SetupError(f"the service {service.name} did not start at {service.url}: {last[:500]} ({log})")


def stop(service: NamedService) -> bool:
    """Stop the process of a service, and return whether there was one."""
    process = server_of(service.folder)
    if process is None:
        return False
    until, number = time.monotonic() + STOP_SECONDS, signal.SIGTERM
    with suppress(ProcessLookupError):
        os.kill(process, number)
        while server_of(service.folder) == process:
            time.sleep(POLL_SECONDS)
            if time.monotonic() > until:
                os.kill(process, signal.SIGKILL)
    return True


def pool_command(pool: Pool) -> list[str]:
    """Return the command of Airflow's that creates or changes a pool."""
    deferred = ["--include-deferred"] if pool.include_deferred else []
    return ["pools", "set", *deferred, pool.name, str(pool.slots), pool.description]


def _set_pools() -> None:
    """Create the pools of services whose tasks are limited, in the Airflow of this checkout."""
    names = {service_pool(service.name) for service in named_services()}
    for pool in pools():
        if pool.name in names and (AIRFLOW_HOME / "airflow.db").exists():
            command = [sys.executable, "-m", "airflow", *pool_command(pool)]
            done = subprocess.run(  # noqa: S603 - Airflow's own command
                command,
                env=os.environ | {"AIRFLOW_HOME": str(AIRFLOW_HOME)},
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise SetupError(f"the Airflow pool {pool.name} cannot be set: {last[:500]}")
            _show(f"{shown(pool.name)}: {pool.slots} slots of this pool limit the tasks under way")


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except GroundtruthError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]error:[/] {shown_message(error)}", soft_wrap=True)
        raise typer.Exit(FAILED) from error


def _show(text: str) -> None:
    Console(highlight=False).print(text, soft_wrap=True)
