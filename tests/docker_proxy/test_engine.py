"""What a worker sees of the engine's responses, and whose container a container is."""

import asyncio

import pytest
from aiohttp import ClientError, web

from include.docker_proxy.engine import Engine, own_sources, visible
from include.docker_proxy.requests import RefusedError
from tests.docker_proxy.create_requests import IMAGE, STAGED, changed

SECRET = "PASSWORD=hunter2"  # noqa: S105
MOUNT = {"Type": "bind", "Source": f"/srv/data/{STAGED}", "Destination": "/data", "RW": True, "Propagation": "rprivate"}
CONTAINER = {
    "Id": "0123456789ab",
    "Name": "/wise_hopper",
    "Created": "2026-03-01T00:00:00Z",
    "Image": "sha256:x",
    "State": {"Running": True},
    "Path": "/bin/secret",
    "Config": {"Image": IMAGE, "User": "1:1", "Tty": False, "Labels": {"io.groundtruth": "step"}, "Env": [SECRET]},
    "HostConfig": {"Mounts": [{"Type": "bind", "Source": f"/srv/data/{STAGED}", "Target": "/data"}]},
    "Mounts": [MOUNT],
    "NetworkSettings": {"IPAddress": "172.17.0.2"},
}
LISTED = {"Id": "0123456789ab", "Command": "secret", "Labels": {"io.groundtruth": "step"}, "Mounts": [MOUNT]}
SHOWN_MOUNT = {"Type": "bind", "Source": f"/srv/data/{STAGED}", "Destination": "/data", "RW": True}


def test_a_version_shows_nothing_about_the_host(settings):
    version = {"ApiVersion": "1.41", "Version": "26.1", "Os": "linux", "KernelVersion": "6.1", "GitCommit": "x"}
    assert visible("version", version, settings) == {"ApiVersion": "1.41", "Version": "26.1", "Os": "linux"}


def test_an_image_shows_its_identity_and_no_environment(settings):
    image = {"Id": "sha256:x", "RepoTags": [IMAGE], "Config": {"Env": [SECRET]}, "GraphDriver": {"Name": "overlay2"}}
    assert visible("image", image, settings) == {"Id": "sha256:x", "RepoTags": [IMAGE]}


def test_a_container_shows_its_state_labels_and_mounts_alone(settings):
    assert visible("inspect", CONTAINER, settings) == {
        "Id": "0123456789ab",
        "Name": "/wise_hopper",
        "Created": "2026-03-01T00:00:00Z",
        "Image": "sha256:x",
        "State": {"Running": True},
        "Config": {"Image": IMAGE, "User": "1:1", "Tty": False, "Labels": {"io.groundtruth": "step"}},
        "Mounts": [SHOWN_MOUNT],
    }


def test_a_list_shows_the_steps_of_this_deployment_alone(settings):
    elsewhere = MOUNT | {"Source": f"/other/{STAGED}"}
    containers = [
        LISTED,
        LISTED | {"Id": "of another deployment", "Mounts": [elsewhere]},
        LISTED | {"Id": "not a step", "Labels": {}},
        LISTED | {"Id": "without labels", "Labels": None},
    ]
    shown = {"Id": "0123456789ab", "Labels": {"io.groundtruth": "step"}, "Mounts": [SHOWN_MOUNT]}
    assert visible("list", containers, settings) == [shown]


def test_responses_to_changes_are_shown_as_they_are(settings):
    assert visible("create", {"Id": "x", "Warnings": []}, settings) == {"Id": "x", "Warnings": []}


def test_the_sources_of_a_step_are_its_run_and_its_stores(settings):
    store = {"Type": "bind", "Source": "/srv/data/scenes", "Target": "/stores/scenes"}
    mounts = [*CONTAINER["HostConfig"]["Mounts"], store]
    container = changed(CONTAINER, "HostConfig.Mounts", mounts)
    assert own_sources(container, settings) == [f"/srv/data/{STAGED}", "/srv/data/scenes"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Config.Labels", {"io.groundtruth": "other"}),
        ("Config.Labels", None),
        ("HostConfig.Mounts", None),
        ("HostConfig.Mounts", [{"Type": "volume", "Source": f"/srv/data/{STAGED}"}]),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": "/srv/data/scenes"}]),
        ("HostConfig.Mounts", [{"Type": "bind", "Source": f"/other/{STAGED}"}]),
    ],
)
def test_a_container_without_a_run_of_this_deployment_is_refused(settings, path, value):
    with pytest.raises(RefusedError, match="this container is not a step of this deployment"):
        own_sources(changed(CONTAINER, path, value), settings)


async def answer(request):
    if request.path == "/slow":
        await asyncio.sleep(5)
    if request.path == "/plain":
        return web.Response(text="OK", status=201)
    return web.json_response({"query": dict(request.query), "body": await request.text()}, status=202)


def ask(tmp_path, *arguments, **content):
    """The response of a small engine."""

    async def conversation():
        runner = web.ServerRunner(web.Server(answer, access_log=None))
        await runner.setup()
        await web.UnixSite(runner, str(tmp_path / "engine.sock")).start()
        engine = Engine(tmp_path / "engine.sock")
        try:
            return await engine.request(*arguments, **content)
        finally:
            await engine.close()
            await runner.cleanup()

    return asyncio.run(conversation())


def test_a_request_carries_its_query_and_body(tmp_path):
    response = ask(tmp_path, "POST", "/containers/create", params={"t": "1"}, json={"Image": "a"})
    assert response == (202, {"query": {"t": "1"}, "body": '{"Image": "a"}'})


def test_a_response_without_json_is_its_status(tmp_path):
    assert ask(tmp_path, "GET", "/plain") == (201, None)


def test_a_response_that_takes_too_long_is_given_up(tmp_path):
    with pytest.raises(TimeoutError):
        ask(tmp_path, "GET", "/slow", timeout_s=0.1)


def test_an_engine_that_is_not_there_is_a_client_error(tmp_path):
    async def conversation():
        engine = Engine(tmp_path / "engine.sock")
        try:
            await engine.request("GET", "/_ping")
        finally:
            await engine.close()

    with pytest.raises(ClientError):
        asyncio.run(conversation())
