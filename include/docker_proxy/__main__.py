"""`python -m include.docker_proxy`: the policy server."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from aiohttp import web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from include.docker_proxy.engine import Engine
from include.docker_proxy.server import PolicyServer, ServerLog, write_log
from include.docker_proxy.settings import ProxySettings
from include.docker_proxy.staging import Staging

SHUTDOWN_TIMEOUT_S = 2


def main() -> int:
    """Serve until interrupted; exit with 1 and a sentence for each fault of the settings."""
    try:
        settings = ProxySettings()
    except ValidationError as error:
        faults = [sentence(fault) for fault in error.errors(include_url=False)]
    else:
        faults = missing(settings)
    if faults:
        sys.stderr.write(f"error: {'; '.join(faults)}\n")
        return 1
    asyncio.run(serve(settings))
    return 0


def sentence(fault: ErrorDetails) -> str:
    """Return the name of the variable and what is wrong with it."""
    name = "_".join(("DOCKER_PROXY", *map(str, fault["loc"]))).upper()
    return f"{name}: {fault['msg'].removeprefix('Value error, ')}"


def missing(settings: ProxySettings) -> list[str]:
    """Return a sentence for a socket, a permission or a folder that the server needs and does not have."""
    if not settings.engine_socket.is_socket():
        return [f"{settings.engine_socket}: is not a socket; mount the engine's socket there"]
    if not os.access(settings.engine_socket, os.R_OK | os.W_OK):
        group = settings.engine_socket.stat().st_gid
        return [f"{settings.engine_socket}: permission denied; run this service with the group {group} (group_add)"]
    if not settings.data_dir.is_dir():
        return [f"{settings.data_dir}: is not a folder; mount the data folder there"]
    return Staging(settings).faults()


async def serve(settings: ProxySettings) -> None:
    """Serve on the socket until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = Engine(settings.engine_socket)
    handler = PolicyServer(settings, engine)
    log = logging.Logger("http", logging.WARNING)
    log.addHandler(ServerLog())
    server = web.Server(handler, handler_cancellation=True, auto_decompress=False, access_log=None, logger=log)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    os.umask(0o117)  # the socket is for its owner and group
    await web.UnixSite(runner, settings.listen).start()
    os.umask(0o022)
    write_log("started", path=str(settings.listen))
    sweep = asyncio.create_task(handler.sweep())
    try:
        await stop.wait()
    finally:
        sweep.cancel()
        await runner.cleanup()
        await engine.close()


if __name__ == "__main__":
    sys.exit(main())
