"""The policy server before an engine of ours that writes down what reaches it."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession, UnixConnector, web

from include.docker_proxy.engine import Engine
from include.docker_proxy.server import PolicyServer, ServerLog, write_log
from include.docker_proxy.staging import Staging
from tests.docker_proxy.create_requests import IMAGE, RUN, STAGED, changed, every_mount, good_create, needed

ID = "0123456789abcdef" * 4
SECRET = "PASSWORD=hunter2"  # noqa: S105
STEP = {
    "Id": ID,
    "Name": "/wise_hopper",
    "State": {"Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False},
    "Config": {"Tty": False, "Env": [SECRET], "Cmd": ["secret"], "Image": IMAGE, "Labels": {"io.groundtruth": "step"}},
    "HostConfig": {"Mounts": [{"Type": "bind", "Source": f"/srv/data/{STAGED}", "Target": "/data"}]},
    "Mounts": [{"Type": "bind", "Source": f"/srv/data/{STAGED}", "Destination": "/data", "RW": True}],
    "NetworkSettings": {"IPAddress": "172.17.0.2"},
}
LISTED = {
    "Id": ID,
    "Command": "secret",
    "Labels": {"io.groundtruth": "step"},
    "Mounts": STEP["Mounts"],
    "State": "running",
}


BROKEN = b"the engine dies"


class FakeEngine:
    """Notes each request, and answers as it is told."""

    def __init__(self):
        self.seen, self.answers, self.lines = [], {}, asyncio.Queue()

    async def __call__(self, request):
        self.seen.append(
            (request.method, request.path, dict(request.query), await request.text(), dict(request.headers))
        )
        if request.path.endswith("/logs"):
            answer = web.StreamResponse(headers={"Content-Type": "application/vnd.docker.raw-stream"})
            await answer.prepare(request)
            while line := await self.lines.get():
                if line is BROKEN:
                    request.transport.abort()
                    return answer
                await answer.write(line)
            return answer
        status, document = self.answers.get((request.method, request.path), (200, STEP))
        return web.Response(status=status) if document is None else web.json_response(document, status=status)

    @property
    def changes(self):
        """What it was asked to do, rather than to show."""
        return [(method, path) for method, path, *_ in self.seen if method != "GET"]


@asynccontextmanager
async def serving(handler, path, **options):
    runner = web.ServerRunner(web.Server(handler, access_log=None, **options))
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
def ask(settings, tmp_path, monkeypatch):
    """Run a conversation: a coroutine that takes the fake engine and a client of the policy server."""
    sockets = tmp_path / "engine", tmp_path / "policy"

    def run(conversation, **changes):
        async def everything():
            fake, engine = FakeEngine(), Engine(sockets[0])
            server = PolicyServer(settings.model_copy(update=changes), engine)
            async with (
                serving(fake, sockets[0]),
                serving(server, sockets[1], handler_cancellation=True, auto_decompress=False),
                ClientSession("http://docker-proxy", connector=UnixConnector(str(sockets[1]))) as client,
            ):
                try:
                    return await asyncio.wait_for(conversation(fake, client), 20)
                finally:
                    await engine.close()

        return asyncio.run(everything())

    return run


@pytest.fixture
def good(settings):
    return good_create(settings)


def test_the_engine_gets_the_rebuilt_create_and_none_of_the_headers(ask, good):
    async def conversation(engine, client):
        engine.answers["POST", "/containers/create"] = 201, {"Id": ID, "Warnings": []}
        async with client.post("/v1.41/containers/create", json=good, headers={"X-Registry-Auth": "x"}) as answer:
            return engine, answer.status, await answer.json()

    engine, status, said = ask(conversation)
    assert (status, said["Id"]) == (201, ID)
    ((method, path, query, body, headers),) = engine.seen
    assert (method, path, query) == ("POST", "/containers/create", {})
    sent = json.loads(body)
    assert changed(sent, "HostConfig.Mounts", good["HostConfig"]["Mounts"]) == needed(good)
    assert "X-Registry-Auth" not in headers


def folders(settings):
    """The folders of containers that are prepared."""
    return [path for path in (settings.data_dir / "mounts").iterdir() if path.name != "scratch"]


def test_the_engine_mounts_what_was_prepared_and_no_path_of_the_worker(ask, good, settings):
    asked = changed(good, "HostConfig.Mounts", every_mount(settings))

    async def conversation(engine, client):
        engine.answers["POST", "/containers/create"] = 201, {"Id": ID, "Warnings": []}
        async with client.post("/containers/create", json=asked):
            return engine

    ((*_, body, _),) = ask(conversation).seen
    sources = {mount["Target"]: mount["Source"] for mount in json.loads(body)["HostConfig"]["Mounts"]}
    assert sorted(sources) == ["/data", "/data/checkpoints", "/data/source/my day.csv", "/stores"]
    assert all(source.startswith("/srv/data/mounts/") for source in sources.values())
    (folder,) = folders(settings)
    assert sources["/data"] == f"/srv/data/mounts/{folder.name}/work"


def test_a_create_that_the_engine_refuses_leaves_nothing(ask, good, settings):
    async def conversation(engine, client):
        engine.answers["POST", "/containers/create"] = 404, {"message": "No such image"}
        async with client.post("/containers/create", json=good) as answer:
            return answer.status

    assert ask(conversation) == 404
    assert folders(settings) == []


@pytest.fixture
def created(settings):
    """The folder of a container that was created; its id is `ID`."""
    (settings.data_dir / STAGED).mkdir(parents=True)
    return (settings.data_dir / STAGED).parent


def in_state(status, code=0):
    return changed(STEP, "State", {"Status": status, "Running": status == "running", "ExitCode": code})


@pytest.mark.parametrize(("state", "given"), [("created", False), ("running", False), ("exited", True)])
def test_the_worker_gets_the_work_folder_when_the_step_has_ended(ask, created, state, given):
    created.chmod(0o700)

    async def conversation(engine, client):
        engine.answers["GET", f"/containers/{ID}/json"] = 200, in_state(state)
        async with client.get(f"/containers/{ID}/json") as answer:
            return answer.status, (await answer.json())["Mounts"]

    status, (mount,) = ask(conversation)
    assert (status, mount["Source"]) == (200, f"/srv/data/{STAGED}"), "the worker learns where the outputs are"
    assert (created.stat().st_mode & 0o777 == 0o711) is given


def test_a_container_that_has_run_is_not_started_again(ask, created):
    """By then the worker has its work folder, and could exchange the place of a mount."""

    async def conversation(engine, client):
        engine.answers["GET", f"/containers/{ID}/json"] = 200, in_state("exited")
        async with client.post(f"/containers/{ID}/start") as answer:
            return engine, answer.status, (await answer.json())["message"]

    engine, status, message = ask(conversation)
    assert (status, engine.changes) == (403, [])
    assert message == "docker-proxy: a container of a step runs once"


@pytest.mark.parametrize(("status", "stays"), [(204, False), (404, False), (409, True), (500, True)])
def test_a_removal_removes_what_was_prepared(ask, created, status, stays):
    async def conversation(engine, client):
        engine.answers["DELETE", f"/containers/{ID}"] = status, None
        async with client.delete(f"/containers/{ID}") as answer:
            return answer.status

    assert ask(conversation) == status
    assert created.exists() is stays


@pytest.mark.parametrize(("state", "code", "stays"), [("exited", 0, False), ("exited", 1, True), ("running", 0, True)])
def test_scratch_is_removed_with_the_container_of_a_step_that_succeeded(ask, created, settings, state, code, stays):
    scratch = f"mounts/scratch/{RUN.removeprefix('runs/')}/0a"
    (settings.data_dir / scratch).mkdir(parents=True)
    sources = [STAGED, scratch]
    mounts = [{"Type": "bind", "Source": f"/srv/data/{source}", "Target": "x"} for source in sources]

    async def conversation(engine, client):
        container = changed(in_state(state, code), "HostConfig.Mounts", mounts)
        engine.answers["GET", f"/containers/{ID}/json"] = 200, container
        engine.answers["DELETE", f"/containers/{ID}"] = 204, None
        async with client.delete(f"/containers/{ID}"):
            return

    ask(conversation)
    assert (settings.data_dir / scratch).exists() is stays


def test_what_cannot_be_prepared_is_named_and_may_be_tried_again(ask, good, settings, capsys):
    async def conversation(engine, client):
        async with client.post("/containers/create", json=good) as answer:
            return engine, answer.status, (await answer.json())["message"]

    (settings.data_dir / "mounts").rmdir()
    engine, status, message = ask(conversation)
    assert (status, engine.seen) == (500, [])
    assert message.startswith("docker-proxy: ")
    assert message.endswith("cannot be prepared: No such file or directory")
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line["verdict"] == "failed"


def test_folders_of_containers_that_others_removed_are_swept(settings, tmp_path, monkeypatch):
    swept = []
    monkeypatch.setattr(Staging, "sweep", lambda _, sources: swept.append(sources))

    async def conversation():
        fake, engine = FakeEngine(), Engine(tmp_path / "engine")
        fake.answers["GET", "/containers/json"] = 200, [LISTED]
        async with serving(fake, tmp_path / "engine"):
            task = asyncio.create_task(PolicyServer(settings, engine).sweep())
            while not swept:
                await asyncio.sleep(0.01)
            task.cancel()
        await engine.close()
        return fake

    ((method, path, query, *_),) = asyncio.run(asyncio.wait_for(conversation(), 20)).seen
    assert (method, path, query) == (
        "GET",
        "/containers/json",
        {"all": "1", "filters": '{"label": ["io.groundtruth=step"]}'},
    )
    assert swept == [[f"/srv/data/{STAGED}"]]


def test_a_refused_create_never_reaches_the_engine(ask, good, capsys):
    async def conversation(engine, client):
        url = "/v1.41/containers/create"
        bad = changed(good, "HostConfig.Privileged", True)
        async with client.post(url, json=bad, headers={"X-Docker-Proxy-Peer": "10.0.0.7"}) as answer:
            return engine, answer.status, await answer.json()

    engine, status, said = ask(conversation)
    assert (status, engine.seen) == (403, [])
    assert said == {"message": "docker-proxy: HostConfig.Privileged: a step's container must not have this key"}
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert line.pop("time").endswith("Z")
    assert line == {
        "by": "policy",
        "verdict": "refused",
        "peer": "10.0.0.7",
        "method": "POST",
        "path": "/v1.41/containers/create",
        "rule": "create",
        "message": "HostConfig.Privileged: a step's container must not have this key",
    }


@pytest.mark.parametrize(
    ("method", "call", "query", "sent"),
    [
        ("POST", "/stop", {"t": "10"}, {"t": "10"}),
        ("POST", "/wait", {}, {}),
        (
            "DELETE",
            "",
            {"v": "True", "link": "False", "force": "True"},
            {"v": "True", "link": "False", "force": "True"},
        ),
    ],
)
def test_a_short_id_is_resolved_before_anything_is_done(ask, method, call, query, sent):
    async def conversation(engine, client):
        async with client.request(method, f"/v1.41/containers/{ID[:12]}{call}", params=query) as answer:
            return engine, answer.status

    engine, status = ask(conversation)
    assert status == 200
    look, act = engine.seen
    assert look[:2] == ("GET", f"/containers/{ID[:12]}/json")
    assert act[:4] == (method, f"/containers/{ID}{call}", sent, "")


def test_a_start_asks_twice_whether_the_container_has_run(ask, created):
    async def conversation(engine, client):
        engine.answers["GET", f"/containers/{ID}/json"] = 200, in_state("created")
        async with client.post(f"/v1.41/containers/{ID[:12]}/start") as answer:
            return engine, answer.status

    engine, status = ask(conversation)
    assert status == 200
    assert [seen[1] for seen in engine.seen] == [
        f"/containers/{ID[:12]}/json", f"/containers/{ID}/json", f"/containers/{ID}/start",
    ]  # fmt: skip
    assert engine.changes == [("POST", f"/containers/{ID}/start")]


FOREIGN = {
    "another label": changed(STEP, "Config.Labels", {"io.groundtruth": "other"}),
    "no labels": changed(STEP, "Config.Labels", None),
    "another deployment's data": changed(STEP, "HostConfig.Mounts", [{"Type": "bind", "Source": f"/other/{STAGED}"}]),
    "no mounts": changed(STEP, "HostConfig.Mounts", None),
    "a volume of that name": changed(STEP, "HostConfig.Mounts", [{"Type": "volume", "Source": f"/srv/data/{STAGED}"}]),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize(
    ("method", "call"), [("GET", "/json"), ("GET", "/logs"), ("POST", "/start"), ("POST", "/stop"), ("DELETE", "")]
)
def test_containers_that_are_not_ours_are_only_looked_at(ask, kind, method, call):
    async def conversation(engine, client):
        engine.answers["GET", f"/containers/{ID}/json"] = 200, FOREIGN[kind]
        async with client.request(method, f"/containers/{ID}{call}") as answer:
            return engine, answer.status, await answer.text()

    engine, status, text = ask(conversation)
    assert status == 403
    assert [seen[:2] for seen in engine.seen] == [("GET", f"/containers/{ID}/json")]
    assert "hunter2" not in text


def test_answers_hold_no_environment_no_command_and_no_network(ask):
    async def conversation(engine, client):
        engine.answers["GET", "/containers/json"] = 200, [LISTED]
        texts = []
        for path in (f"/containers/{ID}/json", "/containers/json?all=1"):
            async with client.get(path) as answer:
                assert answer.status == 200
                texts.append(await answer.text())
        return texts

    inspected, listed = ask(conversation)
    for word in ("hunter2", "secret", "172.17.0.2"):
        assert word not in inspected + listed
    assert json.loads(inspected)["State"]["OOMKilled"] is False
    assert json.loads(inspected)["Config"]["Tty"] is False
    assert json.loads(listed)[0]["Labels"] == {"io.groundtruth": "step"}


def test_a_list_shows_this_deployments_steps_only(ask):
    other = [{"Type": "bind", "Source": f"/other/{STAGED}"}]

    async def conversation(engine, client):
        engine.answers["GET", "/containers/json"] = 200, [LISTED, LISTED | {"Id": "f" * 64, "Mounts": other}]
        async with client.get("/containers/json", params={"all": "1", "filters": "{}"}) as answer:
            return engine, await answer.json()

    engine, found = ask(conversation)
    assert [each["Id"] for each in found] == [ID]
    assert engine.seen[0][2] == {"all": "1", "filters": '{"label": ["io.groundtruth=step"]}'}


def test_log_lines_go_through_one_by_one(ask):
    async def conversation(engine, client):
        async with client.get(f"/containers/{ID}/logs", params={"follow": "1", "stdout": "1"}) as answer:
            came = []
            for line in (b"first", b"second"):
                engine.lines.put_nowait(line)
                came.append(await answer.content.readany())
            engine.lines.put_nowait(b"")
            return came, await answer.read(), answer.headers["Content-Type"]

    assert ask(conversation) == ([b"first", b"second"], b"", "application/vnd.docker.raw-stream")


def test_a_log_that_breaks_off_is_not_taken_for_whole(ask):
    async def conversation(engine, client):
        async with client.get(f"/containers/{ID}/logs", params={"follow": "1", "stdout": "1"}) as answer:
            engine.lines.put_nowait(b"first")
            assert await answer.content.readany() == b"first"
            engine.lines.put_nowait(BROKEN)
            with pytest.raises(ClientError):
                await answer.read()

    ask(conversation)


def test_what_the_engine_says_is_passed_on(ask, good):
    async def conversation(engine, client):
        engine.answers["POST", "/containers/create"] = 409, {"message": "Conflict."}
        engine.answers["GET", f"/containers/{ID}/json"] = 404, {"message": "No such container"}
        create = client.post("/containers/create", json=good)
        stop = client.post(f"/containers/{ID}/stop")
        async with create as created, stop as stopped:
            return created.status, await created.json(), stopped.status, await stopped.json()

    assert ask(conversation) == (409, {"message": "Conflict."}, 404, {"message": "No such container"})


def test_an_engine_that_is_gone_is_named_and_may_be_asked_again(ask, tmp_path, capsys):
    async def conversation(engine, client):
        (tmp_path / "engine").unlink()
        async with client.get("/_ping") as answer:
            return answer.status, (await answer.json())["message"]

    status, message = ask(conversation)
    assert status == 502  # the operator takes a server's error for transient
    assert message.startswith("docker-proxy: the Docker engine does not answer: ")
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["verdict"], line["path"]) == ("failed", "/_ping")


def test_images_that_are_not_allowed_are_not_even_looked_at(ask):
    async def conversation(engine, client):
        engine.answers["GET", f"/images/{IMAGE}/json"] = 200, {"Id": "sha256:x", "Config": {"Env": [SECRET]}}
        async with client.get(f"/images/{IMAGE}/json") as ours, client.get("/images/postgres:17/json") as other:
            return engine, await ours.json(), other.status

    engine, ours, other = ask(conversation)
    assert (ours, other) == ({"Id": "sha256:x"}, 403)
    assert len(engine.seen) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"data": b"{}", "headers": {"Content-Encoding": "gzip"}},
        {"data": b"{}", "chunked": True},
        {"data": b" " * 262_145},
    ],
    ids=["compressed", "chunked", "large"],
)
def test_odd_bodies_stop_here_too_if_haproxy_let_them_through(ask, body):
    async def conversation(engine, client):
        async with client.post("/containers/create", **body) as answer:
            return engine, answer.status

    engine, status = ask(conversation)
    assert (status, engine.seen) == (403, [])


def test_what_the_http_server_reports_is_a_line_like_any_other(capsys):
    log = logging.Logger("http")
    log.addHandler(ServerLog())
    log.error("Error handling request", exc_info=ValueError("Missing 'Host' header"))
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["by"], line["verdict"]) == ("policy", "failed")
    assert line["message"] == """Error handling request: ValueError("Missing 'Host' header")"""


def test_a_log_line_has_the_same_keys_as_one_of_haproxy(capsys):
    write_log("started", path="/run/policy.sock")
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(line) == ["time", "by", "verdict", "peer", "method", "path", "rule", "message"]
    assert (line["by"], line["verdict"], line["peer"], line["path"]) == ("policy", "started", "-", "/run/policy.sock")
