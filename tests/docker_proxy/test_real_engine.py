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
from tests.docker_proxy.create_requests import IMAGE, RUN, SHA256, changed, every_mount, good_create, mount
from tests.docker_proxy.stack import ENGINE, POLICY_UID, ROOT, WORKER_UID, Stack, docker, request
from tests.own_containers import own_containers
from tests.prerequisites import need
from tools.mount_race import Race, Result, make_bait, run_race

pytestmark = [pytest.mark.airflow, pytest.mark.docker]

CREATE = "/v1.41/containers/create"
LONG = 60
RACE_SECONDS = 20


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
    name = f"groundtruth-proxy-test-{uuid.uuid4().hex[:8]}"
    it = Stack(name, data, uid, f"{IMAGE} {ENERGY.step_image}")
    try:
        it.up()
        yield it
    finally:
        for container in own_containers(engine, data):
            container.remove(force=True)
        it.down()


@pytest.fixture
def deployment(stack):
    """The same deployment as the tests see it; one run has an input, and a store has a scene."""
    for name, text in {f"{RUN}/artifacts/{SHA256}": "sealed\n", "scenes/l2a/day.tif": "a scene\n"}.items():
        if not (stack.data / name).exists():
            (stack.data / name).parent.mkdir(parents=True)
            (stack.data / name).write_text(text)
    (stack.data / RUN / "work" / "analyze.1").mkdir(parents=True, exist_ok=True)  # where tests ask the engine itself
    return ProxySettings(
        images=stack.images, host_data_dir=stack.data, data_dir=stack.data, step_uid=stack.uid, worker_uid=WORKER_UID,
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
        {"Source": "{data}/runs/a/b/work"},
        {"Source": "{data}/runs/a/b/work/.."},
        {"Source": "{data}/runs/a/b/work/c/"},
        {"Source": "{data}/runs/a/b/work/c/d"},
        {"Source": "{data}/../x/runs/a/b/work/c"},
        {"Source": "{data}/mounts"},
        {"Source": "{data}/mounts/scratch"},
        {"Source": "{data}/scenes"},
        {"ReadOnly": True},
        {"Target": "/data/../etc"},
        {"BindOptions": {"Propagation": "rshared"}},
    ],
    ids=str,
)
def test_a_bind_elsewhere_is_refused(mount, refused, stack, good):
    usual = good["HostConfig"]["Mounts"][0]
    asked = {key: value.format(data=stack.data) if key == "Source" else value for key, value in mount.items()}
    refused(request("POST", CREATE, changed(good, "HostConfig.Mounts", [usual | asked])))


def in_worker(stack, command):
    """Run a shell command where workers run, as their user."""
    exec_it = ["docker", "exec", stack.worker, "sh", "-c", command]
    return subprocess.run(exec_it, check=False, capture_output=True, text=True, env=ENGINE)


INPUT = f"{RUN}/artifacts/{SHA256}"
LINKED = [INPUT, f"{RUN}/artifacts", RUN, RUN.rpartition("/")[0], "scenes/l2a/day.tif", "scenes/l2a", "scenes"]


@pytest.mark.parametrize("linked", LINKED)
def test_a_link_on_the_way_to_a_mount_is_refused(linked, refused, stack, deployment, good):
    place, away = stack.data / linked, stack.data / "away"
    place.rename(away)
    place.symlink_to(away)
    try:
        asked = changed(good, "HostConfig.Mounts", every_mount(deployment))
        line = refused(request("POST", CREATE, asked))
    finally:
        place.unlink()
        away.rename(place)
    assert line["rule"] == "folder"
    assert "must be a" in line["message"]


@pytest.fixture
def step(stack, deployment, good):
    """Run a shell command as a step that has one mount of each type, and more; returns its log and its container."""
    containers = []

    def run(command, *mounts):
        mounts = [*every_mount(deployment), *mounts]
        asked = changed(good, "HostConfig.Mounts", mounts) | {"Cmd": ["sh", "-c", command]}
        (answer,) = stack.send(request("POST", CREATE, asked))
        assert answer.status == 201, answer.body
        container = json.loads(answer.body)["Id"]
        containers.append(container)
        started, _ = stack.send(
            request("POST", f"/containers/{container}/start"), request("POST", f"/containers/{container}/wait")
        )
        assert started.status == 204, started.body
        return docker("logs", container), container

    yield run
    for container in containers:
        stack.send(request("DELETE", f"/containers/{container}?force=1"))


def test_a_step_sees_its_inputs_and_stores_and_can_write_neither(step):
    log, _ = step(
        "cat '/data/source/my day.csv' /stores/scenes/l2a/day.tif; find /stores -type f; ls /data /data/source;"
        "for path in '/data/source/my day.csv' /stores/scenes/l2a/day.tif /stores/new /stores/scenes/new;"
        ' do (: >> "$path") 2>/dev/null && echo "written $path";'
        ' rm "$path" 2>/dev/null && echo "removed $path"; ln "$path" /data/mine 2>/dev/null && echo "linked $path";'
        " done; true"
    )
    assert log.splitlines() == [
        "sealed", "a scene", "/stores/scenes/l2a/day.tif", "/data:", "checkpoints", "source", "", "/data/source:",
        "my day.csv",
    ]  # fmt: skip


def test_a_step_may_have_hundreds_of_inputs(step, deployment):
    """A year of daily files, whose request has more than 64 KiB."""
    inputs = [mount(deployment, f"/data/days/{number}.csv", INPUT) for number in range(365)]
    log, _ = step("cat /data/days/*.csv | sort | uniq -c", *inputs)
    assert log.split() == ["365", "sealed"]


def test_a_worker_gets_what_a_step_wrote_once_it_has_ended(step, stack):
    """Also what only the step's user may read. Its location is that of the mount at `/data`."""
    _, container = step("umask 077; mkdir /data/out; echo 1 > /data/out/a.csv; ln -s /etc/passwd /data/link")
    source = docker(
        "inspect", "-f", '{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}', container
    )
    read = f"cat {source}/out/a.csv && echo 2 > {source}/out/a.csv && rm {source}/out/a.csv && ls {source}/out"
    assert "Permission denied" in in_worker(stack, read).stderr
    (shown,) = stack.send(request("GET", f"/containers/{container}/json"))
    mounts = {mount["Destination"]: mount for mount in json.loads(shown.body)["Mounts"]}
    assert (mounts["/data"]["Source"], mounts["/data"]["RW"]) == (source, True)
    assert in_worker(stack, read).stdout == "1\n"
    (again,) = stack.send(request("POST", f"/containers/{container}/start"))
    assert (again.status, again.message) == (403, "docker-proxy: a container of a step runs once")
    (removed,) = stack.send(request("DELETE", f"/containers/{container}"))
    assert removed.status == 204
    assert "No such file or directory" in in_worker(stack, f"ls {source}").stderr


def test_scratch_survives_a_failed_attempt_and_goes_with_a_successful_one(step, stack):
    def attempt(command):
        log, container = step(command)
        stack.send(request("DELETE", f"/containers/{container}"))
        return log

    assert attempt("ls /data/checkpoints; echo 1 > /data/checkpoints/epoch; exit 1") == ""
    assert attempt("cat /data/checkpoints/epoch") == "1"
    assert attempt("ls /data/checkpoints") == ""


def test_what_is_prepared_belongs_to_the_policy_server_alone(stack, created):
    assert (stack.data / "mounts").stat().st_uid == POLICY_UID
    source = docker("inspect", "-f", "{{(index .Mounts 0).Source}}", created)
    mounts = stack.data / "mounts"
    folder = source.removesuffix("/work")
    for command in (
        f"mv {mounts} {stack.data}/mine", f"mv {folder} {mounts}/mine", f"mv {source} {folder}/mine",
        f"touch {mounts}/x", f"rm -r {folder}", f"ls {folder}", f"ls {mounts}", f"touch {source}/x",
        f"chmod 777 {folder}",
    ):  # fmt: skip
        done = subprocess.run(
            ["docker", "exec", stack.worker, "sh", "-c", command],
            check=False,
            capture_output=True,
            text=True,
            env=ENGINE,
        )
        assert done.returncode != 0, command
        assert any(word in done.stderr for word in ("ermission denied", "not permitted")), (command, done.stderr)


def race_in(stack, bait, marker, seconds) -> Result:
    race = Race(
        engine=f"tcp://{stack.front}:2375", data=str(stack.data), host_data=str(stack.data), bait=str(bait),
        marker=marker, image=IMAGE, uid=stack.uid, store="scenes", seconds=seconds,
    )  # fmt: skip
    program = (ROOT / "tools/mount_race.py").read_text()
    said = docker("exec", "-i", stack.worker, "python", "-", json.dumps(vars(race)), text=program)
    return Result(**json.loads(said.splitlines()[-1]))


@pytest.fixture
def bait(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host") / "bait"
    marker = make_bait(folder)
    folder.parent.chmod(0o755)
    return folder, marker


@pytest.mark.timeout(180)
def test_the_race_for_the_path_of_a_mount_is_never_won(stack, deployment, bait):
    stack.as_root(f"chmod 777 {stack.data}/scenes")
    result = race_in(stack, *bait, RACE_SECONDS)
    assert result.won == []
    assert result.starts >= 3, result
    assert result.refused >= 1, "the paths were exchanged"


@pytest.mark.timeout(180)
def test_without_the_proxy_the_race_is_won(bait, engine, tmp_path):
    """Otherwise the test above would prove nothing: the engine follows the link that it finds."""
    folder, marker = bait
    data = tmp_path / "data"
    data.mkdir()
    race = Race(
        engine="unix:///var/run/docker.sock", data=str(data), host_data=str(data), bait=str(folder), marker=marker,
        image=IMAGE, uid=os.getuid() or 50003, store="scenes", seconds=60,
    )  # fmt: skip
    for parent in (tmp_path, tmp_path.parent):
        parent.chmod(0o755)
    assert any("a container saw the bait" in won for won in run_race(race).won)


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
        (request("POST", CREATE, b'{"Cmd": ["' + b"x" * 270_000 + b'"]}'), "body"),
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
        (b"GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n", "http"),
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
    elsewhere = tmp_path / "data" / "mounts" / ("0a" * 16) / "work"
    elsewhere.mkdir(parents=True)
    bind = good["HostConfig"]["Mounts"][0] | {"Source": str(elsewhere)}
    other = engine.api.post(
        engine.api._url("/containers/create"), json=changed(good, "HostConfig.Mounts", [bind])
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


# Without a network, the policy server's own are the only sockets of its namespace.
OPEN_SOCKETS = "print(len(open('/proc/net/unix').readlines()))"
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
