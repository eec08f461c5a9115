"""A running server: in a thread of this process, or as a command that ends with its parent."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn

from include.standins.sentinel_hub.scenes import Scenes
from include.standins.sentinel_hub.server import ServerSettings, make_app

HOST = "127.0.0.1"


@contextmanager
def running(scenes: Scenes, settings: ServerSettings | None = None, port: int = 0) -> Iterator[str]:
    """Serve from a thread; yields the base URL.

    Args:
        scenes: What to serve.
        settings: How the server behaves.
        port: 0 for a free one.
    """
    listening, server = _prepared(scenes, settings, port)
    thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield _url(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def serve(scenes: Scenes, settings: ServerSettings, port: int, host: str = HOST) -> None:
    """Serve until interrupted, or until standard input closes where that is a pipe; says where it listens."""
    listening, server = _prepared(scenes, settings, port, host)

    def stop() -> None:
        server.should_exit = True

    _watch_standard_input(stop)
    print(f"listening on {_url(listening)}", flush=True)  # noqa: T201 - what the parent waits for
    server.run(sockets=[listening])


def _prepared(
    scenes: Scenes, settings: ServerSettings | None, port: int, host: str = HOST
) -> tuple[socket.socket, uvicorn.Server]:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(128)  # from here on requests wait instead of being refused
    config = uvicorn.Config(
        make_app(scenes, settings), log_level="error", access_log=False, timeout_graceful_shutdown=2, lifespan="off"
    )
    return listening, uvicorn.Server(config)


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()
    return f"http://{host}:{port}"


def _watch_standard_input(stop: Callable[[], None]) -> None:
    """A parent that dies closes the pipe; a terminal or /dev/null says nothing about anybody."""
    try:
        if not stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
            return
    except (OSError, ValueError, AttributeError):
        return

    def watch() -> None:
        while os.read(0, 4096):
            pass
        stop()

    Thread(target=watch, daemon=True).start()
