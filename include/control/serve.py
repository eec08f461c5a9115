"""`python -m include.control.serve --steps energy --port 8101`: a service of registered steps.

It speaks HTTP on `--port`, and gRPC on `--grpc-port`. The bearer token is read from `GROUNDTRUTH_SERVICE_TOKEN`;
without one the service listens on the loopback interface alone. TLS takes a certificate and its key.
"""

from __future__ import annotations

import argparse
import fcntl
import ipaddress
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TextIO

from include.control.service import JsonLog, Service, ServiceSettings, check_servable
from include.core.contracts import Step
from include.core.errors import BadInputError, GroundtruthError, SetupError
from include.core.settings import get_settings
from include.domains import DOMAINS

LOCK = "server.lock"
TOKEN_VARIABLE = "GROUNDTRUTH_SERVICE_TOKEN"  # noqa: S105 - the name of a variable


def served_steps(names: Sequence[str]) -> dict[str, Step]:
    """Return the steps that some names stand for: a domain's name for all its steps that can be served.

    Raises:
        BadInputError: A name is neither a domain nor a step, or the step cannot be served.
    """
    known = {step.id: step for domain in DOMAINS for step in domain.steps.values()}
    chosen: dict[str, Step] = {}
    for name in names:
        domain = next((domain for domain in DOMAINS if domain.name == name), None)
        if domain is not None:
            chosen |= {step.id: step for step in domain.steps.values() if _servable(step)}
        elif name in known:
            check_servable([known[name]])
            chosen[name] = known[name]
        else:
            places = ", ".join([*(domain.name for domain in DOMAINS), *known])
            raise BadInputError(f"--steps {name}: there is no such domain or step; there are {places}")
    return chosen


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(prog="python -m include.control.serve", description=__doc__)
    parser.add_argument("--steps", nargs="+", required=True, metavar="NAME", help="domains or steps to offer")
    parser.add_argument("--port", type=int, help="serve HTTP on this port")
    parser.add_argument("--grpc-port", type=int, help="serve gRPC on this port; with --port or alone")
    parser.add_argument(
        "--exchange",
        metavar="FOLDER[=PATH]",
        help="also answer ContainerExecutor, on files of a folder (PATH: as callers see it)",
    )
    parser.add_argument(
        "--executor-package", default="", metavar="NAME", help="package of ContainerExecutor; default: none"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument("--name", help="what the service is called; default: the first of --steps")
    parser.add_argument("--capacity", type=int, default=2, help="tasks at once; default: 2")
    parser.add_argument("--folder", type=Path, help="what it keeps; default: services/<name> in the data folder")
    parser.add_argument("--mount", action="append", default=[], metavar="NAME=FOLDER", help="inputs may be named there")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    return parser.parse_args(arguments)


def service_of(options: argparse.Namespace) -> Service:
    """Return the service that some options describe.

    Raises:
        BadInputError: A name of `--steps` or a mount is not usable.
    """
    name = options.name or options.steps[0]
    settings = ServiceSettings(
        name=name,
        folder=options.folder,
        capacity=options.capacity,
        mounts=_mounts(options.mount),
    )
    return Service(served_steps(options.steps), settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it."""
    import uvicorn

    from include.control.server import create_app

    options, token = parse(arguments), os.environ.get(TOKEN_VARIABLE)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLog())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    options.folder = options.folder or get_settings().data_dir / "services" / (options.name or options.steps[0])
    try:
        if token is None and not is_loopback(options.host):
            raise SetupError(f"--host {options.host}: set {TOKEN_VARIABLE}; without a token only this machine may ask")
        if bool(options.tls_cert) != bool(options.tls_key):
            raise BadInputError("--tls-cert, --tls-key: state both, or neither")
        if options.port is None and options.grpc_port is None:
            raise BadInputError("--port, --grpc-port: state one of them, or both")
        if options.exchange and options.grpc_port is None:
            raise BadInputError("--exchange: needs --grpc-port, for ContainerExecutor is served over gRPC")
        with hold_folder(options.folder), ExitStack() as stack:
            service = service_of(options)
            if options.grpc_port is not None:
                stack.enter_context(_grpc(service, options, token))
            if options.port is None:
                _wait(service)
                return 0
            uvicorn.run(
                create_app(service, token),
                host=options.host,
                port=options.port,
                log_config=None,
                access_log=False,
                ssl_certfile=options.tls_cert,
                ssl_keyfile=options.tls_key,
                timeout_graceful_shutdown=5,
            )
    except GroundtruthError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _wait(service: Service) -> None:
    """Serve until a signal ends it."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    service.start()
    ended.wait()
    service.stop()


def _grpc(service: Service, options: argparse.Namespace, token: str | None) -> AbstractContextManager[int]:
    from include.control.executor_paths import ExchangeFolder
    from include.control.executor_server import executor_handler
    from include.control.grpc_server import serving

    more = []
    if options.exchange:
        exchange = ExchangeFolder.of(options.exchange)
        if not exchange.folder.is_dir():
            raise BadInputError(f"--exchange {options.exchange}: there is no folder {exchange.folder}")
        more.append(executor_handler(service, exchange, options.executor_package))
    host, port, certificate, key = options.host, options.grpc_port, options.tls_cert, options.tls_key
    return serving(service, host, port, token, certificate=certificate, key=key, more=more)


def hold_folder(folder: Path) -> TextIO:
    """Keep other servers from a service's folder as long as the returned file is open; it holds this process's id.

    Raises:
        SetupError: Another server holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise SetupError(f"{folder}: another server of this service runs (process {server_of(folder)})") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def server_of(folder: Path) -> int | None:
    """Return the id of the process that serves a folder; None where none does."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int((folder / LOCK).read_text() or 0) or None
    return None


def _servable(step: Step) -> bool:
    try:
        check_servable([step])
    except BadInputError:
        return False
    return True


def _mounts(stated: Sequence[str]) -> Mapping[str, Path]:
    mounts = {}
    for text in stated:
        name, _, folder = text.partition("=")
        if not name or not folder or not Path(folder).is_dir():
            raise BadInputError(f"--mount {text}: must be NAME=FOLDER, of a folder that exists")
        mounts[name] = Path(folder).resolve()
    return mounts


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
