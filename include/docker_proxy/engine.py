"""The Docker engine: a client of its socket, and what of its responses a worker may see.

The client sends only paths and bodies that this package built. Workers see no environments, not even those of their own
containers, which may hold another DAG's secrets; nor commands, networks, or anything that describes the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, ClientTimeout, UnixConnector

from include.docker_proxy.requests import LABEL, RefusedError
from include.docker_proxy.settings import ProxySettings
from include.docker_proxy.staging import token_of

CONNECT_TIMEOUT_S = 5
RESPONSE_TIMEOUT_S = 60

VERSION_KEYS = ("ApiVersion", "MinAPIVersion", "Version", "Os", "Arch")
IMAGE_KEYS = ("Id", "RepoTags", "RepoDigests", "Created", "Architecture", "Os", "Size")
LIST_KEYS = ("Id", "Names", "Image", "ImageID", "Created", "State", "Status", "Labels")
INSPECT_KEYS = ("Id", "Name", "Created", "Image", "State")
CONFIG_KEYS = ("Image", "User", "Tty", "Labels")
MOUNT_KEYS = ("Type", "Source", "Destination", "RW")


class Engine:
    """A client of the engine's socket.

    Each request has a connection of its own: so a create request is never sent twice, and a log that is followed for
    hours delays no other request. Paths carry no version: the engine's newest API is used, whatever version the worker
    asked for.

    Args:
        socket: Path of the engine's socket.
    """

    def __init__(self, socket: Path) -> None:
        connector = UnixConnector(str(socket), limit=0, force_close=True)
        self._session = ClientSession("http://engine", connector=connector, auto_decompress=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def stream(
        self, method: str, path: str, timeout_s: float | None = None, **content: Any
    ) -> AbstractAsyncContextManager[ClientResponse]:
        """Return a context that holds a response while it arrives.

        Args:
            method: HTTP method.
            path: Path without a version.
            timeout_s: Limit of the whole response; None for as long as it takes.
            content: `params` (the query) and `json` (the body), as in aiohttp.

        Raises:
            aiohttp.ClientError: The engine cannot be reached.
            TimeoutError: The response took too long.
        """
        timeout = ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        return self._session.request(method, path, timeout=timeout, **content)

    async def request(
        self, method: str, path: str, timeout_s: float = RESPONSE_TIMEOUT_S, **content: Any
    ) -> tuple[int, Any]:
        """Return the status and the JSON of a response (None if it has no JSON); arguments as of `stream`."""
        async with self.stream(method, path, timeout_s, **content) as response:
            if response.content_type != "application/json":
                await response.read()
                return response.status, None
            return response.status, await response.json()


def visible(call: str, document: Any, settings: ProxySettings) -> Any:
    """Return what a worker sees of the engine's response to a call; of a list only the steps of this deployment."""
    match call:
        case "version":
            return _pick(document, VERSION_KEYS)
        case "image":
            return _pick(document, IMAGE_KEYS)
        case "inspect":
            return _container(document, INSPECT_KEYS) | {"Config": _pick(document["Config"], CONFIG_KEYS)}
        case "list":
            return [
                _container(container, LIST_KEYS)
                for container in document
                if _is_own_step(container["Labels"], container["Mounts"], settings)
            ]
        case _:
            return document


def own_sources(container: Mapping[str, Any], settings: ProxySettings) -> list[str]:
    """Return what a step of this deployment mounts, on the host.

    Raises:
        RefusedError: The container is not a step of this deployment.
    """
    mounts = container["HostConfig"].get("Mounts") or []
    if not _is_own_step(container["Config"]["Labels"], mounts, settings):
        raise RefusedError("container", "this container is not a step of this deployment")
    return [str(mount.get("Source")) for mount in mounts]


def _is_own_step(labels: Mapping[str, str] | None, mounts: list[dict[str, Any]], settings: ProxySettings) -> bool:
    sources = [mount.get("Source") for mount in mounts if mount.get("Type") == "bind"]
    return (labels or {}).get(LABEL) == "step" and bool(token_of(sources, settings))


def _container(container: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return _pick(container, keys) | {"Mounts": [_pick(mount, MOUNT_KEYS) for mount in container["Mounts"]]}


def _pick(document: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: document[key] for key in keys if key in document}
