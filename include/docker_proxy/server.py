"""The policy server: checks a request, asks the engine in its own words, and returns what a worker may see."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientError
from aiohttp.web import BaseRequest, Response, StreamResponse, json_response

from include.docker_proxy.create import rebuild_create
from include.docker_proxy.engine import RESPONSE_TIMEOUT_S, Engine, own_sources, visible
from include.docker_proxy.mounts import read_mounts
from include.docker_proxy.requests import Call, RefusedError, match_call, parse_json, parse_query, restrict_filters
from include.docker_proxy.settings import ProxySettings
from include.docker_proxy.staging import Staging, StagingError, token_of

LARGEST_BODY = 256 * 1024
UNWANTED_HEADERS = ("Transfer-Encoding", "Content-Encoding", "Upgrade")
PEER_HEADER = "X-Docker-Proxy-Peer"
CHANGES = {"create", "start", "stop", "remove"}
STOP_TIMEOUT_S = 10
ENDED = {"exited", "dead"}
GONE = {204, 404}
"""The engine's responses to a removal after which the container does not exist."""
SWEEP_INTERVAL_S = 3600


def write_log(
    verdict: str, *, path: str, peer: str = "-", method: str = "-", rule: str = "", message: str = ""
) -> None:
    """Write one JSON object to standard output. HAProxy logs its own refusals with the same keys.

    Args:
        verdict: `refused`, `passed`, `failed` (the engine did not respond) or `started`.
        path: Path and query as they came.
        peer: Address of the worker, as HAProxy saw it.
        method: HTTP method.
        rule: Name of the rule that the request breaks.
        message: The sentence of the refusal, or the engine's status.
    """
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"time": time, "by": "policy", "verdict": verdict, "peer": peer, "method": method, "path": path}
    sys.stdout.write(json.dumps({**line, "rule": rule, "message": message}) + "\n")
    sys.stdout.flush()


class ServerLog(logging.Handler):
    """Writes what the HTTP server reports (a request that cannot be parsed, an error of ours) as one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line with the verdict `failed`."""
        cause = f": {record.exc_info[1]!r}" if record.exc_info else ""
        write_log("failed", path="-", message=record.getMessage() + cause)


class PolicyServer:
    """Responds to each request; see docs/guides/docker-proxy.md.

    Args:
        settings: What the deployment allows.
        engine: The engine that allowed calls are sent to.
    """

    def __init__(self, settings: ProxySettings, engine: Engine) -> None:
        self.settings, self.engine, self.staging = settings, engine, Staging(settings)
        self._starting: set[str] = set()

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Respond to one request, and log it if it was refused, failed, or changed something."""
        line = {"peer": request.headers.get(PEER_HEADER, "-"), "method": request.method, "path": request.raw_path}
        try:
            call, response = await self._respond(request)
        except RefusedError as refusal:
            write_log("refused", **line, rule=refusal.rule, message=str(refusal))
            return json_response({"message": f"docker-proxy: {refusal}"}, status=403)
        except (ClientError, TimeoutError) as error:
            write_log("failed", **line, message=f"{type(error).__name__}: {error}")
            return json_response({"message": f"docker-proxy: the Docker engine does not answer: {error}"}, status=502)
        except StagingError as error:
            write_log("failed", **line, message=str(error))
            return json_response({"message": f"docker-proxy: {error}"}, status=500)
        if call.name in CHANGES:
            write_log("passed", **line, message=str(response.status))
        return response

    async def _respond(self, request: BaseRequest) -> tuple[Call, StreamResponse]:
        path, _, text = request.raw_path.partition("?")
        call, name = match_call(request.method, path)
        query = parse_query(call, text)
        body = await self._body(request, call)
        match call.name:
            case "ping":
                status, _ = await self.engine.request("GET", "/_ping")
                return call, Response(text="OK", status=status)
            case "version":
                return call, await self._forward(call, "/version")
            case "image":
                if name not in self.settings.images:
                    raise RefusedError("image", f"{name}: is not one of DOCKER_PROXY_IMAGES")
                return call, await self._forward(call, f"/images/{name}/json")
            case "create":
                return call, await self._create(call, body)
            case "list":
                filters = restrict_filters(query.get("filters", ""))
                params = {"all": query.get("all", "0"), "filters": filters}
                return call, await self._forward(call, "/containers/json", params=params)
            case _:
                return call, await self._container(request, call, name, query)

    async def _body(self, request: BaseRequest, call: Call) -> bytes:
        for header in UNWANTED_HEADERS:
            if header in request.headers:
                raise RefusedError("headers", f"{header}: no step needs this header")
        if (request.content_length or 0) > (LARGEST_BODY if call.name == "create" else 0):
            raise RefusedError("body", f"the body of a create call must have at most {LARGEST_BODY} bytes, others none")
        return await request.read()

    async def _create(self, call: Call, text: bytes) -> StreamResponse:
        body = rebuild_create(parse_json(text), self.settings)
        mounts = read_mounts(body["HostConfig"]["Mounts"], self.settings)
        staged = await asyncio.to_thread(self.staging.prepare, mounts)
        body["HostConfig"]["Mounts"] = staged
        # Where the connection breaks, the engine may still create the container: `sweep` decides later.
        response = await self._forward(call, "/containers/create", json=body)
        if response.status != 201:
            await asyncio.to_thread(self.staging.discard, token_of([staged[0]["Source"]], self.settings))
        return response

    async def _container(self, request: BaseRequest, call: Call, name: str, query: dict[str, str]) -> StreamResponse:
        status, container = await self.engine.request("GET", f"/containers/{name}/json")
        if status != 200:
            return json_response(container, status=status)
        sources = own_sources(container, self.settings)
        path = f"/containers/{container['Id']}" + ("" if call.name == "remove" else f"/{call.name}")
        match call.name:
            case "inspect":
                await self._hand_over(container, sources)
                return json_response(visible(call.name, container, self.settings))
            case "logs" | "wait":
                return await self._stream(request, call, path, query)
            case "start":
                return await self._start(call, path, container["Id"])
        timeout_s = RESPONSE_TIMEOUT_S + int(query.get("t", STOP_TIMEOUT_S))
        response = await self._forward(call, path, params=query, timeout_s=timeout_s)
        if call.name == "remove" and response.status in GONE:
            await self._discard(container, sources)
        return response

    async def _start(self, call: Call, path: str, container_id: str) -> StreamResponse:
        """Start a container that never ran; after its end, a worker can exchange what lies in its work folder."""
        if container_id in self._starting:
            raise RefusedError("container", "this container is being started")
        self._starting.add(container_id)
        try:
            _, container = await self.engine.request("GET", f"/containers/{container_id}/json")
            if container.get("State", {}).get("Status") in ENDED:
                raise RefusedError("container", "a container of a step runs once")
            return await self._forward(call, path)
        finally:
            self._starting.discard(container_id)

    async def _hand_over(self, container: dict[str, Any], sources: list[str]) -> None:
        """Give the work folder of a container that has ended to the worker."""
        if container["State"].get("Status") in ENDED and container["Id"] not in self._starting:
            await asyncio.to_thread(self.staging.hand_over, token_of(sources, self.settings))

    async def _discard(self, container: dict[str, Any], sources: list[str]) -> None:
        """Remove what was prepared for a container that was removed."""
        await asyncio.to_thread(self.staging.discard, token_of(sources, self.settings))
        state = container["State"]
        if state.get("Status") == "exited" and state["ExitCode"] == 0:
            await asyncio.to_thread(self.staging.discard_scratch, sources)

    async def sweep(self) -> None:
        """Remove every hour what was prepared for containers that were removed by others."""
        while True:
            try:
                query = {"all": "1", "filters": restrict_filters("")}
                status, containers = await self.engine.request("GET", "/containers/json", params=query)
                if status == 200:
                    sources = [str(mount.get("Source")) for container in containers for mount in container["Mounts"]]
                    await asyncio.to_thread(self.staging.sweep, sources)
            except (ClientError, TimeoutError, OSError, StagingError) as error:
                write_log("failed", path=str(self.staging.folder), message=f"sweep: {error}")
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def _forward(self, call: Call, path: str, **content: Any) -> StreamResponse:
        status, document = await self.engine.request(call.method, path, **content)
        if document is None:
            return Response(status=status)
        if status < 300:
            document = visible(call.name, document, self.settings)
        return json_response(document, status=status)

    async def _stream(self, request: BaseRequest, call: Call, path: str, query: dict[str, str]) -> StreamResponse:
        """Forward a response as it arrives; one that breaks off must not look complete."""
        async with self.engine.stream(call.method, path, params=query) as source:
            content_type = source.headers.get("Content-Type", "application/octet-stream")
            response = StreamResponse(status=source.status, headers={"Content-Type": content_type})
            await response.prepare(request)
            try:
                async for chunk in source.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            except (ClientError, TimeoutError):
                if request.transport:
                    request.transport.abort()
        return response
