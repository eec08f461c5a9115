"""`python -m include.docker_proxy.check`: the container's health check. It needs no library."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

LISTEN = Path("/run/docker-proxy/policy.sock")
TIMEOUT_S = 5


def is_healthy(listen: Path) -> bool:
    """Return whether the policy server passes a ping to the engine and back."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_S)
        try:
            client.connect(str(listen))
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n")
            return client.recv(64).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False


if __name__ == "__main__":
    sys.exit(not is_healthy(Path(os.environ.get("DOCKER_PROXY_LISTEN", LISTEN))))
