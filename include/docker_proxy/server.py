"""The policy server: judges a request, asks the engine in its own words, and answers with what a worker may know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from aiohttp import ClientError
from aiohttp.web import BaseRequest, Response, StreamResponse, json_response

from include.docker_proxy import answers, log
from include.docker_proxy.calls import Call, call_of, own_filters, query_of
from include.docker_proxy.create import rebuilt
from include.docker_proxy.engine import ANSWER_SECONDS, Engine
from include.docker_proxy.folders import look
from include.docker_proxy.refusal import Refused
from include.docker_proxy.settings import DoorSettings
from include.docker_proxy.strict_json import parse

LARGEST_BODY = 64 * 1024
UNWANTED = ("Transfer-Encoding", "Content-Encoding", "Upgrade")
PEER = "X-Door-Peer"
CHANGES = {"create", "start", "stop", "remove"}
STOP_SECONDS = 10


class Door:
    """Answers each request; see docs/guides/docker-door.md.

    Args:
        settings: What the deployment allows.
        engine: Where allowed calls go.
    """

    def __init__(self, settings: DoorSettings, engine: Engine) -> None:
        self.settings, self.engine = settings, engine

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer one request and log it, if it was refused, failed, or changed something."""
        line = {"peer": request.headers.get(PEER, "-"), "method": request.method, "path": request.raw_path}
        try:
            call, answer = await self._judged(request)
        except Refused as refused:
            log.write("refused", **line, rule=refused.rule, message=str(refused))
            return json_response({"message": f"docker-proxy: {refused}"}, status=403)
        except (ClientError, TimeoutError) as error:
            log.write("failed", **line, message=f"{type(error).__name__}: {error}")
            return json_response({"message": f"docker-proxy: the Docker engine does not answer: {error}"}, status=502)
        if call.name in CHANGES:
            log.write("passed", **line, message=str(answer.status))
        return answer

    async def _judged(self, request: BaseRequest) -> tuple[Call, StreamResponse]:
        path, _, text = request.raw_path.partition("?")
        call, name = call_of(request.method, path)
        query = query_of(call, text)
        body = await self._body(request, call)
        match call.name:
            case "ping":
                return call, await self._ping()
            case "version":
                return call, await self._answer(answers.version, "GET", "/version")
            case "image":
                return call, await self._image(name)
            case "create":
                return call, await self._create(body)
            case "list":
                return call, await self._list(query)
            case _:
                return call, await self._container(request, call, name, query)

    async def _body(self, request: BaseRequest, call: Call) -> bytes:
        for header in UNWANTED:
            if header in request.headers:
                raise Refused("headers", f"{header}: no step needs this header")
        length = request.content_length or 0
        if length > (LARGEST_BODY if call.name == "create" else 0):
            raise Refused("body", f"the body of this call must have at most {LARGEST_BODY} bytes, other calls none")
        return await request.read()

    async def _ping(self) -> StreamResponse:
        status, _ = await self.engine.ask("GET", "/_ping")
        return Response(text="OK", status=status)

    async def _image(self, name: str) -> StreamResponse:
        if name not in self.settings.allowed_images:
            raise Refused("image", f"{name}: is none of DOCKER_PROXY_IMAGES")
        return await self._answer(answers.image, "GET", f"/images/{name}/json")

    async def _create(self, text: bytes) -> StreamResponse:
        body = rebuilt(parse(text), self.settings)
        await self._look(mount["Source"] for mount in body["HostConfig"]["Mounts"])
        return await self._answer(dict, "POST", "/containers/create", body=body)

    async def _list(self, query: dict[str, str]) -> StreamResponse:
        asked = {
            "all": query.get("all", "0"),
            "filters": own_filters(query.get("filters", "")),
        }
        return await self._answer(
            lambda found: answers.containers(found, self.settings), "GET", "/containers/json", query=asked
        )

    async def _container(self, request: BaseRequest, call: Call, name: str, query: dict[str, str]) -> StreamResponse:
        status, found = await self.engine.ask("GET", f"/containers/{name}/json")
        if status != 200:
            return json_response(found, status=status)
        sources = answers.must_be_ours(found, self.settings)
        container = f"/containers/{found['Id']}"
        path = container if call.name == "remove" else f"{container}/{call.name}"
        match call.name:
            case "inspect":
                return json_response(answers.container(found))
            case "logs" | "wait":
                return await self._stream(request, call.method, path, query)
            case "start":
                await self._look(sources)
        seconds = ANSWER_SECONDS + int(query.get("t", STOP_SECONDS))
        return await self._answer(dict, call.method, path, query=query, seconds=seconds)

    async def _look(self, sources: Iterable[str]) -> None:
        for source in sources:
            await asyncio.to_thread(look, source, self.settings)

    async def _answer(self, shown: Any, method: str, path: str, **more: Any) -> StreamResponse:
        status, found = await self.engine.ask(method, path, **more)
        if found is None:
            return Response(status=status)
        return json_response(shown(found) if status < 300 else found, status=status)

    async def _stream(self, request: BaseRequest, method: str, path: str, query: dict[str, str]) -> StreamResponse:
        """Pass an answer on as it comes; one that breaks off must not look as if it were whole."""
        async with self.engine.open(method, path, query, seconds=None) as found:
            kind = found.headers.get("Content-Type", "application/octet-stream")
            answer = StreamResponse(status=found.status, headers={"Content-Type": kind})
            await answer.prepare(request)
            try:
                async for chunk in found.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
            except (ClientError, TimeoutError):
                if request.transport:
                    request.transport.abort()
        return answer
