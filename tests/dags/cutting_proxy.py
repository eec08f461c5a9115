"""A proxy before the Docker engine that breaks a connection at one moment of the protocol, as often as is wanted."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.e2e.running_airflow import until

ENGINE = "/var/run/docker.sock"
CALLS = {
    "image": r"GET \S*/images/\S+/json",
    "list": r"GET \S*/containers/json",
    "create": r"POST \S*/containers/create",
    "start": r"POST \S*/containers/\w+/start",
    "logs": r"GET \S*/containers/\w+/logs",
    "wait": r"POST \S*/containers/\w+/wait",
    "inspect": r"GET \S*/containers/\w{64}/json",
    "remove": r"DELETE \S*/containers/\w+",
}
Moment = Literal["before", "after", "amid", "late"]
"""The request is never sent on; its answer never arrives, or only half of it; or it is sent on late.

Late is when the next request of its kind has been answered.
"""
SLOW_SECONDS = 1.5


@dataclass
class CuttingProxy:
    """Hands requests on to the engine, each over a connection of its own, but for one.

    Args:
        call: Name of the call that is cut.
        moment: When.
        times: How often.
        slow: A call that is answered late once all cuts were made.
    """

    call: str
    moment: Moment
    times: int = 1
    slow: str = ""
    cuts: int = 0
    answers: list[tuple[str, int]] = field(default_factory=list)
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"

    def answered(self, call: str, status: int) -> int:
        """How often the engine itself answered so, whoever heard it."""
        return self.answers.count((call, status))

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine, suppress(ConnectionError):
            request = _whole_request(client)
            if not request:
                return
            call = next((name for name, line in CALLS.items() if re.match(line, request.decode(errors="replace"))), "")
            moment = self.moment if call == self.call and self.cuts < self.times else None
            self.cuts += moment is not None
            if moment in ("before", "late"):
                client.shutdown(socket.SHUT_RDWR)
                if moment == "before":
                    return
                until(lambda: self.answered(call, 201))
            if call == self.slow and self.cuts == self.times:
                time.sleep(SLOW_SECONDS)
            engine.connect(ENGINE)
            engine.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            first = True
            while part := engine.recv(65536):
                if first:
                    self.answers.append((call, int(part.split()[1])))
                if moment == "after" or (moment == "amid" and not first):
                    return
                if moment != "late":
                    client.sendall(part)
                first = False


def _whole_request(client: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        part = client.recv(65536)
        if not part:
            return b""
        request += part
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        part = client.recv(65536)
        request, body = request + part, body + part
    return request


@contextmanager
def cutting_proxy(call: str, moment: Moment, **more: Any) -> Iterator[CuttingProxy]:
    """The proxy, listening."""
    proxy = CuttingProxy(call, moment, **more)
    server = threading.Thread(target=proxy.serve)
    server.start()
    try:
        yield proxy
    finally:
        proxy.close()
        server.join()
