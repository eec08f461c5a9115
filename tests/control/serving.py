"""Services that tests run in a thread of their own, on a free port."""

import socket
import threading
import time
from contextlib import contextmanager

import uvicorn

from include.control.client import Endpoint, ServiceClient
from include.control.models import ENDED
from include.control.server import create_app


@contextmanager
def listening(app):
    """Serve an application, and yield its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)


@contextmanager
def served(service, token=None):
    """Serve a service, and yield a client of it."""
    with listening(create_app(service, token)) as url, ServiceClient(Endpoint("small", url, token)) as client:
        yield client


def ended(client, task, seconds=20):
    """The status of a task once it has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = client.status(task)
        if status is not None and status.state in ENDED:
            return status
        time.sleep(0.02)
    raise AssertionError(f"task {task[:12]} did not end: {client.status(task)}")


def until(condition, seconds=10):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.01)
