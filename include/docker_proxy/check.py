"""`python -m include.docker_proxy.check`: exit 0 if the policy server and the engine answer. Needs no library."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

LISTEN = Path("/run/docker-proxy/policy.sock")
SECONDS = 5


def answers(listen: Path) -> bool:
    """Whether a ping passes the policy server down to the engine."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        try:
            client.connect(str(listen))
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n")
            return client.recv(64).startswith(b"HTTP/1.1 200 ")
        except OSError:
            return False


if __name__ == "__main__":
    sys.exit(not answers(Path(os.environ.get("DOCKER_PROXY_LISTEN", LISTEN))))
