"""The engine behind its socket. Only paths and bodies that this package built are sent there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout, UnixConnector

CONNECT_SECONDS = 5
ANSWER_SECONDS = 60


class Engine:
    """A client of the engine's socket.

    Each request has a connection of its own: a repeated one can then never be a create that was sent twice, and a
    log that is followed for hours holds up no other request. Paths carry no version: the engine's newest API is
    spoken, whatever version the worker asked for.

    Args:
        socket: Where it listens.
    """

    def __init__(self, socket: Path) -> None:
        self._session = ClientSession(
            "http://engine",
            connector=UnixConnector(str(socket), limit=0, force_close=True),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._session.close()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        seconds: float | None = ANSWER_SECONDS,
    ) -> AsyncIterator[ClientResponse]:
        """An answer while it arrives; `seconds` is for all of it, None for as long as it takes.

        Raises:
            aiohttp.ClientError: The engine cannot be reached.
            TimeoutError: It took too long.
        """
        timeout = ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        async with self._session.request(method, path, params=query, json=body, timeout=timeout) as answer:
            yield answer

    async def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> tuple[int, Any]:
        """Status and JSON of an answer (None where it has none)."""
        async with self.open(method, path, query, body, seconds) as answer:
            if answer.content_type != "application/json":
                await answer.read()
                return answer.status, None
            return answer.status, await answer.json()
