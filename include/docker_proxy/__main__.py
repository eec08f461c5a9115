"""`python -m include.docker_proxy`: the policy server."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiohttp import web
from pydantic import ValidationError

from include.docker_proxy import log
from include.docker_proxy.engine import Engine
from include.docker_proxy.server import Door
from include.docker_proxy.settings import DoorSettings

LAST_WORDS_SECONDS = 2


def main() -> int:
    """Serve until interrupted."""
    try:
        settings = DoorSettings()
        fault = unusable(settings)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        fault = "; ".join(f"{'_'.join(('DOCKER_PROXY', *map(str, f['loc']))).upper()}: {f['msg']}" for f in faults)
    if fault:
        sys.stderr.write(f"error: {fault}\n")
        return 1
    asyncio.run(serve(settings))
    return 0


def unusable(settings: DoorSettings) -> str:
    """What keeps the server from its work, in a sentence; empty if nothing does."""
    if not settings.engine_socket.is_socket():
        return f"{settings.engine_socket}: no socket; mount the engine's socket there"
    if not os.access(settings.engine_socket, os.R_OK | os.W_OK):
        group = settings.engine_socket.stat().st_gid
        return f"{settings.engine_socket}: no permission; run this service with the group {group} (group_add)"
    if not settings.data_dir.is_dir():
        return f"{settings.data_dir}: no folder; mount the data folder there, read-only"
    return ""


async def serve(settings: DoorSettings) -> None:
    """Serve on the socket until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = Engine(settings.engine_socket)
    server = web.Server(Door(settings, engine), handler_cancellation=True, auto_decompress=False, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=LAST_WORDS_SECONDS)
    await runner.setup()
    os.umask(0o117)
    await web.UnixSite(runner, settings.listen).start()
    log.write("started", peer="-", method="-", path=str(settings.listen))
    try:
        await stop.wait()
    finally:
        await runner.cleanup()
        await engine.close()


if __name__ == "__main__":
    sys.exit(main())
