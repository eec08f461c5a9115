"""The health check is green only if a ping comes back from behind the policy server."""

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from include.docker_proxy.check import is_healthy

ROOT = Path(__file__).parents[2]


@contextmanager
def responding(listen, response):
    """A server that responds once."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(listen))
        server.listen()

        def respond():
            connection, _ = server.accept()
            with connection:
                assert connection.recv(1024).startswith(b"GET /_ping HTTP/1.1\r\n")
                connection.sendall(response)

        thread = threading.Thread(target=respond)
        thread.start()
        try:
            yield
        finally:
            thread.join(10)


@pytest.mark.parametrize(("status", "healthy"), [(b"200 OK", True), (b"502 Bad Gateway", False)])
def test_health_is_the_status_of_a_ping(tmp_path, status, healthy):
    with responding(tmp_path / "policy.sock", b"HTTP/1.1 " + status + b"\r\n\r\n"):
        assert is_healthy(tmp_path / "policy.sock") is healthy


def test_a_server_that_is_not_there_is_not_healthy(tmp_path):
    assert not is_healthy(tmp_path / "policy.sock")


def test_the_command_needs_no_library_and_exits_with_the_health(tmp_path):
    command = [sys.executable, "-S", "-m", "include.docker_proxy.check"]
    environment = {"DOCKER_PROXY_LISTEN": str(tmp_path / "policy.sock")}
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 1
    with responding(tmp_path / "policy.sock", b"HTTP/1.1 200 OK\r\n\r\n"):
        assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
