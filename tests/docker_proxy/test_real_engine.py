"""The Docker proxy on a real engine, as a worker reaches it: what passes, what does not, and that it would matter."""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from datetime import datetime

import pytest

from include.core.settings import get_settings
from include.docker_proxy.settings import ProxySettings
from include.energy.domain import ENERGY
from tests.airflow_runs import run_dag
from tests.docker_proxy.create_requests import IMAGE, RUN, changed, good_create
from tests.docker_proxy.stack import ENGINE, ROOT, Stack, docker, request
from tests.own_containers import own_containers
from tests.prerequisites import need

pytestmark = [pytest.mark.airflow, pytest.mark.docker]

CREATE = "/v1.41/containers/create"
LONG = 60


@pytest.fixture(scope="module")
def engine():
    import docker as sdk
    from docker.errors import DockerException

    try:
        client = sdk.from_env(timeout=60)
    except DockerException:
        client = None
    need(client, "a Docker engine", "start Docker; only the docker runtime needs it")
    for image, how in ((IMAGE, f"docker pull {IMAGE}"), ("haproxy:3.0", "docker pull haproxy:3.0")):
        need(client.images.list(image), f"the image {image}", how)
    yield client
    client.close()


@pytest.fixture(scope="module")
def stack(engine, tmp_path_factory):
    data = tmp_path_factory.mktemp("docker-proxy")
    data.chmod(0o755)
    uid = os.getuid() or 50000
    it = Stack(f"groundtruth-proxy-test-{uuid.uuid4().hex[:8]}", data, uid, f"{IMAGE} {ENERGY.step_image}")
    try:
        it.up()
        yield it
    finally:
        for container in own_containers(engine, data):
            container.remove(force=True)
        it.down()


@pytest.fixture
def deployment(stack):
    """The same deployment as the tests see it; one run's folder exists."""
    (stack.data / RUN).mkdir(parents=True, exist_ok=True)
    os.chown(stack.data / RUN, stack.uid, stack.uid)
    return ProxySettings(
        images=stack.images, host_data_dir=stack.data, data_dir=stack.data, step_uid=stack.uid,
        max_memory_mb=2048, max_cpus=2,
    )  # fmt: skip


@pytest.fixture
def good(deployment):
    return good_create(deployment, "sleep", str(LONG))


@pytest.fixture
def created(stack, good):
    """A step's container, created through the proxy."""
    (answer,) = stack.send(request("POST", CREATE, good))
    assert answer.status == 201, answer.body
    container = json.loads(answer.body)["Id"]
    yield container
    docker("rm", "-f", container)


@pytest.fixture
def foreign():
    container = docker("run", "-d", IMAGE, "sleep", str(LONG))
    yield container
    docker("rm", "-f", container)


@pytest.fixture
def refused(stack):
    """Send a request that must be answered 403 and leave one line in the log; returns the line."""

    def send(raw):
        before = len(stack.logs())
        (answer,) = stack.send(raw)
        assert answer.status == 403, answer.body
        (line,) = stack.refusals(before, 1)
        assert answer.message == f"docker-proxy: {line['message']}"
        assert line["peer"].count(".") == 3
        assert abs(datetime.fromisoformat(line["time"]).timestamp() - time.time()) < 60
        method, path = raw.split(b" ", 2)[:2]
        assert (line["method"], line["path"]) == (method.decode(), path.decode())
        return line

    return send


ESCAPES = {
    "privileged": ("HostConfig.Privileged", True),
    "added capabilities": ("HostConfig.CapAdd", ["SYS_ADMIN"]),
    "capabilities kept": ("HostConfig.CapDrop", []),
    "devices": ("HostConfig.Devices", [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda"}]),
    "device requests": ("HostConfig.DeviceRequests", [{"Count": -1, "Capabilities": [["gpu"]]}]),
    "device cgroup rules": ("HostConfig.DeviceCgroupRules", ["a *:* rwm"]),
    "host network": ("HostConfig.NetworkMode", "host"),
    "a foreign container's network": ("HostConfig.NetworkMode", "container:postgres"),
    "host pid": ("HostConfig.PidMode", "host"),
    "host ipc": ("HostConfig.IpcMode", "host"),
    "host uts": ("HostConfig.UTSMode", "host"),
    "host user namespace": ("HostConfig.UsernsMode", "host"),
    "host cgroup namespace": ("HostConfig.CgroupnsMode", "host"),
    "cgroup parent": ("HostConfig.CgroupParent", "/"),
    "seccomp off": ("HostConfig.SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
    "apparmor off": ("HostConfig.SecurityOpt", ["apparmor=unconfined"]),
    "unmasked paths": ("HostConfig.MaskedPaths", []),
    "writable proc": ("HostConfig.ReadonlyPaths", []),
    "sysctls": ("HostConfig.Sysctls", {"kernel.shm_rmid_forced": "1"}),
    "another runtime": ("HostConfig.Runtime", "other"),
    "writable root": ("HostConfig.ReadonlyRootfs", False),
    "binds": ("HostConfig.Binds", ["/:/host"]),
    "binds in small letters": ("HostConfig.binds", ["/:/host"]),
    "binds under Unicode folding": ("HostConfig.Bindſ", ["/:/host"]),
    "network mode with a Kelvin sign": ("HostConfig.NetworKMode".replace("K", "\u212a"), "host"),
    "volumes from others": ("HostConfig.VolumesFrom", ["postgres"]),
    "anonymous volumes": ("Volumes", {"/x": {}}),
    "a volume driver": ("HostConfig.VolumeDriver", "local"),
    "a second mount": ("HostConfig.Mounts", [{"Type": "bind", "Source": "/", "Target": "/host"}] * 2),
    "a restart policy": ("HostConfig.RestartPolicy", {"Name": "always"}),
    "removal before its verdict": ("HostConfig.AutoRemove", True),
    "ports": ("HostConfig.PortBindings", {"80/tcp": [{"HostPort": "80"}]}),
    "the engine's log driver": ("HostConfig.LogConfig", {"Type": "syslog", "Config": {}}),
    "no OOM kill": ("HostConfig.OomKillDisable", True),
    "more memory than allowed": ("HostConfig.Memory", 1 << 40),
    "no memory limit": ("HostConfig.Memory", 0),
    "more CPU than allowed": ("HostConfig.NanoCpus", 64 * 10**9),
    "no process limit": ("HostConfig.PidsLimit", -1),
    "root": ("User", "0:0"),
    "root by name": ("User", "root"),
    "another image": ("Image", "haproxy:3.0"),
    "another entry point": ("Entrypoint", ["sh"]),
    "a health check": ("Healthcheck", {"Test": ["CMD", "true"]}),
    "a network": ("NetworkingConfig", {"EndpointsConfig": {"bridge": {}}}),
    "no label": ("Labels", {}),
    "foreign labels": ("Labels", {"io.groundtruth": "step", "com.docker.compose.project": "x"}),
}


@pytest.mark.parametrize("attack", ESCAPES)
def test_a_container_that_could_leave_its_box_is_refused(attack, refused, good):
    path, value = ESCAPES[attack]
    line = refused(request("POST", CREATE, changed(good, path, value)))
    assert line["rule"] in ("create", "image", "json")


VOLUME = {
    "Type": "volume", "Source": "v", "Target": "/data",
    "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}},
}  # fmt: skip


@pytest.mark.parametrize(
    "mount",
    [
        VOLUME,
        {"Source": "/"},
        {"Source": "/etc"},
        {"Source": "{data}"},
        {"Source": "{data}/runs"},
        {"Source": "{data}/runs/a/b/steps"},
        {"Source": "{data}/runs/a/../../../files"},
        {"Source": "{data}/../x/runs/a/b/files"},
        {"Source": "{data}//runs/a/b/files"},
        {"Source": "{data}/runs/a/./b/files"},
        {"Source": "{data}/runs/a/b/files/"},
        {"Source": "{data}/runs/nobody/nothing/files"},
        {"Target": "/data/../etc"},
        {"BindOptions": {"Propagation": "rshared"}},
    ],
    ids=str,
)
def test_a_bind_elsewhere_is_refused(mount, refused, stack, good):
    usual = good["HostConfig"]["Mounts"][0]
    asked = {key: value.format(data=stack.data) if key == "Source" else value for key, value in mount.items()}
    refused(request("POST", CREATE, changed(good, "HostConfig.Mounts", [usual | asked])))


@pytest.mark.parametrize("linked", ["runs/dag", "runs/dag/run", "runs/dag/run/files"])
def test_a_link_on_the_way_to_the_bind_is_refused(linked, refused, stack, good):
    link = stack.data / linked.replace("dag", uuid.uuid4().hex)
    link.parent.mkdir(parents=True, exist_ok=True)
    elsewhere = stack.data / uuid.uuid4().hex
    (elsewhere / "run" / "files").mkdir(parents=True)
    (elsewhere / "files").mkdir()
    link.symlink_to(elsewhere)
    source = str(stack.data / "runs" / link.relative_to(stack.data).parts[1] / "run" / "files")
    line = refused(request("POST", CREATE, changed(good, "HostConfig.Mounts", [mount(good, source)])))
    assert line["rule"] == "folder"
    assert "must be a folder, not a link or a file" in line["message"]


def mount(good, source):
    return good["HostConfig"]["Mounts"][0] | {"Source": source}


def test_a_folder_that_became_a_link_after_the_create_is_not_started(refused, stack, created, tmp_path):
    """The engine follows links when it starts a container, not when it creates one."""
    (stack.data / RUN).rename(stack.data / RUN.replace("files", "away"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (elsewhere / "host-file").write_text("of the host")
    (stack.data / RUN).symlink_to(elsewhere)
    try:
        line = refused(request("POST", f"/v1.41/containers/{created}/start"))
        assert line["rule"] == "folder"
        docker("start", created)  # without the proxy, the step sees what it should not
        assert docker("exec", created, "cat", "/data/host-file") == "of the host"
    finally:
        (stack.data / RUN).unlink()
        (stack.data / RUN.replace("files", "away")).rename(stack.data / RUN)


def texts(good):
    """Requests that a lenient reader and a strict one could read differently; `/` is what they are after."""
    text = json.dumps(good)
    host = '"HostConfig": {'
    yield "a repeated key", text.replace('"NetworkMode": "none"', '"NetworkMode": "none", "NetworkMode": "host"')
    yield "a repeated object", text[:-1] + ', "HostConfig": {"Binds": ["/:/host:ro"]}}'
    yield "another letter case", text.replace(host, host + '"binds": ["/:/host:ro"], ')
    yield "a folded letter", text.replace(host, host + '"Bind\u017f": ["/:/host:ro"], ')
    yield "an escaped folded letter", text.replace(host, host + '"Bind\\u017f": ["/:/host:ro"], ')
    yield "an escaped key", text.replace(host, host + '"\\u0042inds": ["/:/host:ro"], ')


READ_TWO_WAYS = [name for name, _ in texts({"HostConfig": {"NetworkMode": "none"}})]


@pytest.mark.parametrize("attack", READ_TWO_WAYS)
def test_a_text_that_can_be_read_in_two_ways_is_refused(attack, refused, good):
    refused(request("POST", CREATE, dict(texts(good))[attack].encode()))


@pytest.mark.parametrize("attack", READ_TWO_WAYS)
def test_the_engine_itself_falls_for_it(attack, engine, good):
    """Without this the test above would prove nothing."""
    text = dict(texts(good))[attack].encode()
    answer = engine.api.post(
        engine.api._url("/containers/create"), data=text, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201, answer.text
    container = engine.containers.get(answer.json()["Id"])
    host = container.attrs["HostConfig"]
    container.remove()
    assert host["Binds"] == ["/:/host:ro"] or host["NetworkMode"] == "host"


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (request("POST", CREATE, b'{"Cmd": ["' + b"x" * 70_000 + b'"]}'), "body"),
        (request("POST", CREATE, None, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n", "body"),
        (request("POST", CREATE, b"{}", "Content-Encoding: gzip"), "headers"),
        (request("GET", "/v1.41/containers/json", None, "Upgrade: tcp"), "headers"),
        (request("POST", CREATE + "?name=x", b"{}"), "query"),
        (request("POST", CREATE, b"[" * 60_000), "json"),
        (request("GET", "/%63ontainers/json"), "path"),
        (request("GET", "/containers/%2e%2e/info"), "path"),
        (request("GET", "/containers/../info"), "path"),
        (request("GET", "//containers/json"), "path"),
        (request("GET", "/v1.41//info"), "path"),
        (request("GET", "/containers/json?filters=%7B%7D&filters=%7B%7D"), "query"),
        (request("GET", "/containers/json?filters=%7B%22name%22%3A%5B%22x%22%5D%7D"), "query"),
        (request("GET", "/containers/json?filters=%7B%22label%22%3A%5B%22x%22%5D%7D"), "query"),
        (b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n", "http"),
    ],
    ids=lambda value: value[:70].split(b" HTTP")[0].decode() if isinstance(value, bytes) else value,
)
def test_requests_that_no_client_of_ours_writes_are_refused(raw, rule, refused):
    assert refused(raw)["rule"] == rule


OTHER_CALLS = (
    """
GET /info|GET /events|GET /system/df|POST /auth|POST /session|POST /grpc|HEAD /_ping|OPTIONS /_ping
POST /build|POST /build/prune|POST /images/create?fromImage=alpine|POST /images/load|GET /images/json
POST /images/{image}/push|POST /images/{image}/tag?repo=x|DELETE /images/{image}|POST /commit?container={id}
POST /containers/{id}/exec|POST /exec/{id}/start|POST /containers/{id}/attach?stream=1|GET /containers/{id}/attach/ws
POST /containers/{id}/restart|POST /containers/{id}/kill|POST /containers/{id}/pause|POST /containers/{id}/update
POST /containers/{id}/rename?name=x|POST /containers/{id}/resize|POST /containers/prune|GET /containers/{id}/export
GET /containers/{id}/archive?path=/|PUT /containers/{id}/archive?path=/|GET /containers/{id}/stats
GET /containers/{id}/top|GET /containers/{id}/changes|POST /swarm/init|GET /swarm|GET /nodes|GET /services
POST /services/create|GET /tasks|GET /secrets|POST /secrets/create|GET /configs|POST /configs/create
GET /plugins|POST /plugins/pull?remote=x
GET /networks|POST /networks/create|POST /networks/bridge/connect|GET /volumes|POST /volumes/create|DELETE /volumes/x
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


@pytest.mark.parametrize("version", ["", "/v1.41"])
def test_all_other_calls_are_refused(version, stack, created):
    calls = [call.format(id=created, image=IMAGE).split(" ") for call in OTHER_CALLS]
    before = len(stack.logs())
    answers = stack.send(*(request(method, version + path) for method, path in calls))
    assert [answer.status for answer in answers] == [403] * len(calls)
    lines = stack.refusals(before, len(calls))
    assert [(line["method"], line["path"]) for line in lines] == [(method, version + path) for method, path in calls]
    assert {line["rule"] for line in lines} == {"call"}


@pytest.mark.parametrize(
    "call",
    ["GET {}/json", "GET {}/logs?stdout=1", "POST {}/start", "POST {}/wait", "POST {}/stop", "DELETE {}?force=1"],
)
def test_foreign_containers_are_out_of_reach(call, refused, foreign, stack):
    method, path = call.format(f"/containers/{foreign}").split(" ")
    assert refused(request(method, path))["rule"] == "container"
    name = docker("inspect", "-f", "{{.Name}}", foreign).strip("/")
    assert refused(request(method, path.replace(foreign, name)))["rule"] == "call"
    assert docker("inspect", "-f", "{{.State.Running}}", foreign) == "true"


def test_steps_of_another_deployment_are_out_of_reach(refused, stack, good, engine, tmp_path):
    elsewhere = tmp_path / "data" / RUN
    elsewhere.mkdir(parents=True)
    other = engine.api.post(
        engine.api._url("/containers/create"),
        json=changed(good, "HostConfig.Mounts", [mount(good, str(elsewhere))]),
    ).json()["Id"]
    try:
        assert refused(request("DELETE", f"/containers/{other}?force=1"))["rule"] == "container"
        (listed,) = stack.send(request("GET", "/containers/json?all=1"))
        assert other not in [each["Id"] for each in json.loads(listed.body)]
    finally:
        docker("rm", other)


def test_a_worker_cannot_speak_for_another(refused):
    """What the front refuses and what the policy server refuses."""
    for path in ("/info", "/images/postgres:17/json"):
        assert refused(request("GET", path, None, "X-Docker-Proxy-Peer: 6.6.6.6"))["peer"] != "6.6.6.6"


def test_a_worker_has_no_other_way_to_the_engine(stack):
    look = "import os; print(os.path.exists('/var/run/docker.sock'), os.path.exists('/run/docker-proxy'))"
    assert docker("exec", stack.worker, "python", "-c", look) == "False False"
    template = "{{.HostConfig.NetworkMode}}"
    assert docker("inspect", "-f", template, stack.policy) == "none"
    binds = docker("inspect", "-f", "{{json .Mounts}}", stack.front)
    assert "docker.sock" not in binds


def test_a_step_passes_the_proxy_from_create_to_removal(stack, good):
    good = changed(good, "Cmd", ["sh", "-c", "echo hello; id -u"])
    (answer,) = stack.send(request("POST", CREATE, good))
    container = f"/v1.41/containers/{json.loads(answer.body)['Id']}"
    calls = [
        request("POST", f"{container}/start"),
        request("POST", f"{container}/wait"),
        request("GET", f"{container}/logs?stdout=1&stderr=1"),
        request("GET", f"{container}/json"),
        request("GET", "/v1.41/containers/json?all=1"),
        request("POST", f"{container}/stop?t=1"),
        request("DELETE", f"{container}?v=True&link=False&force=True"),
        request("GET", f"{container}/json"),
    ]
    answers = stack.send(*calls)
    assert [answer.status for answer in answers] == [204, 200, 200, 200, 200, 304, 204, 404]
    _, wait, logs, inspected, listed, *_ = answers
    assert json.loads(wait.body)["StatusCode"] == 0
    assert b"hello\n" in logs.body
    assert f"{stack.uid}\n".encode() in logs.body
    shown = json.loads(inspected.body)
    assert shown["State"]["ExitCode"] == 0
    assert "Env" not in shown["Config"]
    assert b"households" not in inspected.body + listed.body


@pytest.fixture
def through_the_proxy(stack, monkeypatch):
    """Airflow's operator uses the proxy as its engine."""
    monkeypatch.setenv("DOCKER_HOST", stack.url)
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "docker")
    monkeypatch.setenv("GROUNDTRUTH_DATA_DIR", str(stack.data))
    monkeypatch.setenv("GROUNDTRUTH_STEP_UID", str(stack.uid))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def test_the_energy_pipeline_runs_through_the_proxy(through_the_proxy, stack, engine):
    image = ENERGY.step_image
    need(engine.images.list(image), f"the image {image}", "make images")
    before = len(stack.logs())
    outcome = run_dag("energy_pipeline", {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"})
    assert outcome.state == "success"
    assert [step["runtime"] for step in outcome.report["steps"]] == ["docker"] * 3
    lines = stack.logs()[before:]
    assert {line["verdict"] for line in lines} == {"passed"}
    assert [line["path"].endswith("/start") for line in lines].count(True) == 3
    assert own_containers(engine, stack.data) == []


def test_the_janitor_removes_through_the_proxy_what_no_task_owns(through_the_proxy, stack, good, monkeypatch):
    monkeypatch.setattr("plugins.steps.runtimes.docker.YOUNG_SECONDS", 0)
    labels = {".data": str(stack.data), ".dag": "energy_pipeline", ".run": "gone", ".step": "analyze"}
    good["Labels"] |= {f"io.groundtruth{name}": value for name, value in labels.items()}
    theirs = good | {"Labels": good["Labels"] | {"io.groundtruth.data": "/srv/another/data"}}
    ours, another = (
        json.loads(each.body)["Id"] for each in stack.send(*(request("POST", CREATE, body) for body in (good, theirs)))
    )
    docker("start", ours)
    before = len(stack.logs())
    assert run_dag("maintenance").tasks["remove_orphans"] == "success"
    assert docker("ps", "-aq", "--no-trunc", "--filter", f"id={ours}") == "", "it ran, and its task is gone"
    assert docker("ps", "-aq", "--no-trunc", "--filter", f"id={another}") == another
    assert [(line["verdict"], line["method"], line["path"].split("?")[0][-64:]) for line in stack.logs()[before:]] == [
        ("passed", "DELETE", ours)
    ]
    docker("rm", "-f", another)


def test_a_refusal_is_the_error_of_the_step(through_the_proxy, monkeypatch, definitions):
    definitions(talk=a_step("true", memory_mb=4096))
    outcome = run_dag("test_pipeline")
    assert outcome.state == "failed"
    assert "refused: docker-proxy: HostConfig.Memory: must be an integer from 6291456 to 2147483648" in outcome.error(
        "talk"
    )


def test_lines_arrive_in_the_log_while_the_step_runs(through_the_proxy, definitions, stack):
    definitions(talk=a_step("echo first; sleep 8; echo '[1]' > $DATA_DIR/a.json"))
    runs = stack.data / "runs" / "test_pipeline"
    before = set(runs.glob("*"))
    process = subprocess.Popen(
        [sys.executable, "-m", "include.cli", "run", "test"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seen_while_running = False
    while process.poll() is None:
        for run in set(runs.glob("*")) - before:
            log = run / "airflow.log"
            if log.exists() and "first" in log.read_text() and not (run / "steps/talk/result.json").exists():
                seen_while_running = True
        time.sleep(0.1)
    assert process.returncode == 0
    assert seen_while_running


@pytest.fixture
def definitions(tmp_path, monkeypatch):
    """A folder of pipeline definitions; call it with `name=document` to put one there."""
    monkeypatch.setenv("GROUNDTRUTH_DEFINITIONS_DIR", str(tmp_path))

    def put(**documents):
        for name, document in documents.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(document))

    return put


def a_step(command, **more):
    each = {
        "id": "talk",
        "name": "talk",
        "image": IMAGE,
        "command": command,
        "input_file": [],
        "output_file": ["a.json"],
    }
    return {"workflow_name": "test-pipeline", "containers": [each | more]}


OPEN_SOCKETS = """
import os
def is_socket(number):
    try:
        return os.readlink(f"/proc/1/fd/{number}").startswith("socket:")
    except FileNotFoundError:  # closed meanwhile
        return False
print(sum(map(is_socket, os.listdir("/proc/1/fd"))))
"""
READERS = 20
READ_AND_LEAVE = f"""
import socket, sys, time
request = sys.stdin.buffer.read()
readers = [socket.create_connection((sys.argv[1], 2375)) for _ in range({READERS})]
for reader in readers:
    reader.sendall(request)
    reader.recv(9)
print("reading", flush=True)
time.sleep(3)
"""


def test_a_silent_stream_ends_when_its_reader_leaves(stack, created):
    """Otherwise connections of dead workers would pile up."""
    docker("start", created)

    def sockets():
        return int(docker("exec", stack.policy, "python", "-c", OPEN_SOCKETS))

    before = sockets()
    reader = subprocess.Popen(
        ["docker", "exec", "-i", stack.worker, "python", "-c", READ_AND_LEAVE, stack.front],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENGINE,
    )  # fmt: skip
    reader.stdin.write(request("GET", f"/containers/{created}/logs?follow=1&stdout=1"))
    reader.stdin.close()
    assert reader.stdout.readline() == b"reading\n"
    assert sockets() >= before + 1.5 * READERS  # HAProxy keeps a few idle connections
    assert reader.wait() == 0
    reader.stdout.close()
    deadline = time.monotonic() + 10
    while sockets() >= before + READERS / 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert sockets() < before + READERS / 2


@pytest.mark.parametrize("half", ["front", "policy"])
def test_a_log_does_not_look_complete_when_a_container_of_the_proxy_dies(stack, deployment, half):
    talking = good_create(deployment, "sh", "-c", "while true; do echo line; sleep 0.2; done")
    (answer,) = stack.send(request("POST", CREATE, talking))
    container = json.loads(answer.body)["Id"]
    try:
        docker("start", container)
        host, _, port = stack.url.removeprefix("tcp://").partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as proxy:
            proxy.sendall(request("GET", f"/containers/{container}/logs?follow=1&stdout=1"))
            came = proxy.recv(65536)
            docker("kill", getattr(stack, half))
            while part := proxy.recv(65536):
                came += part
        assert b"line" in came
        assert not came.endswith(b"0\r\n\r\n")
    finally:
        docker("rm", "-f", container)
        docker("start", getattr(stack, half))
        stack.wait_until_healthy()


def test_each_container_of_the_proxy_recovers_from_a_restart_of_the_other(stack):
    docker("restart", "-t", "2", stack.policy)
    stack.wait_until_healthy()
    docker("restart", "-t", "2", stack.front)
    stack.wait_until_healthy()
    (answer,) = stack.send(request("GET", "/_ping"))
    assert (answer.status, answer.body) == (200, b"OK")
