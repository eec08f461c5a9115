"""The stack's composition keeps its promises: nothing open, nothing shared that need not be, nothing unbounded."""

import io
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tools import stack

ROOT = Path(__file__).resolve().parents[1]
COMPOSITION: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSITION["services"]
ONCE = {"secrets", "init"}
each_service = pytest.mark.parametrize("name", SERVICES)


def mounts(name: str) -> list[str]:
    return [volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])]


@each_service
def test_what_listens_for_people_listens_on_loopback(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_only_the_api_server_is_published_and_mlflow_where_it_is_wanted():
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["api-server", "mlflow", "grafana"]
    assert SERVICES["mlflow"]["profiles"] == ["mlflow"]
    assert SERVICES["grafana"]["profiles"] == ["monitoring"]


@each_service
def test_every_service_is_bounded_and_without_rights(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert name == "secrets" or service["mem_limit"]
    assert not service.get("privileged")


@pytest.mark.parametrize("name", sorted({*SERVICES} - {"secrets"}))
def test_nothing_starts_before_the_secrets_are_there(name):
    waiting, before = [name], set()
    while waiting:
        before |= set(found := SERVICES[waiting.pop()].get("depends_on", {}))
        waiting += found
    assert "secrets" in before


@each_service
def test_every_service_that_stays_has_a_health_check(name):
    of_images = (ROOT / "include/docker_proxy/Dockerfile").read_text().count("HEALTHCHECK") == 2
    image_has_one = name in ("docker-proxy", "docker-policy") and of_images
    assert name in ONCE or image_has_one or SERVICES[name].get("healthcheck")


def test_the_engine_s_socket_is_the_policy_server_s_alone_and_it_has_no_network():
    assert [name for name in SERVICES if "/var/run/docker.sock" in mounts(name)] == ["docker-policy"]
    assert SERVICES["docker-policy"]["network_mode"] == "none"
    assert SERVICES["docker-proxy"]["networks"] == ["docker"]


def test_a_worker_has_no_password_of_the_database():
    assert "secrets-worker" in mounts("worker")
    assert not [
        name for name in stack.MADE if name.startswith("database/") and name.startswith(stack.READERS["worker"][1])
    ]


@each_service
def test_a_service_reads_the_secrets_of_its_user_alone(name):
    """The folder that `make secrets` fills is root's alone to read, once; the others get copies."""
    secret = [mount for mount in mounts(name) if "secrets" in mount]
    if name in ONCE:
        assert "./stack/secrets" in secret
        return
    users = {"postgres": "postgres", "redis": "redis", "worker": "worker"}
    airflow = ("api-server", "scheduler", "dag-processor", "triggerer", "housekeeping")
    assert secret == [f"secrets-{users.get(name, 'airflow')}"] * (name in (*users, *airflow))


def test_the_workers_are_another_user_than_the_rest_of_airflow():
    users = {name: SERVICES[name].get("user") for name in SERVICES}
    assert users["worker"] == f"{stack.WORKER_UID}:{stack.GROUP}"
    assert users["redis"] == f"{stack.REDIS_UID}:{stack.REDIS_UID}"
    assert {users[name] for name in ("api-server", "scheduler", "dag-processor", "triggerer", "housekeeping")} == {None}
    assert f"USER {stack.AIRFLOW_UID}:{stack.GROUP}" in (ROOT / "Dockerfile").read_text()


def test_the_policy_server_is_a_user_of_its_own_who_keeps_what_prepares_mounts():
    dockerfile = (ROOT / "include/docker_proxy/Dockerfile").read_text()
    policy = SERVICES["docker-policy"]
    assert "--reuid 50002 " in dockerfile
    assert "uid=50002,gid=65532" in COMPOSITION["volumes"]["docker-proxy"]["driver_opts"]["o"]
    assert "USER 65532:65532" in dockerfile, "the front"
    assert policy["environment"]["DOCKER_PROXY_WORKER_UID"] == str(stack.WORKER_UID)
    assert policy["environment"]["DOCKER_PROXY_STEP_UID"] == SERVICES["worker"]["environment"]["GROUNDTRUTH_STEP_UID"]
    kept = {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
    assert {*policy["cap_add"]} == kept | {"SETGID", "SETUID", "SETPCAP"}
    for set_of in ("inh", "ambient", "bounding"):
        expected = ",".join(["-all", *sorted(f"+{name.lower()}" for name in kept)])
        assert f"{'--bounding-set' if set_of == 'bounding' else f'--{set_of}-caps'}={expected}" in dockerfile


@each_service
def test_no_secret_stands_in_the_composition(name):
    for key, value in SERVICES[name].get("environment", {}).items():
        assert not any(
            word in key for word in ("PASSWORD", "SECRET", "FERNET", "TOKEN", "ALCHEMY_CONN", "AIRFLOW_CONN")
        ), f"{key}={value}"


def test_all_parts_of_airflow_share_one_environment():
    parts = [
        SERVICES[name]["environment"]
        for name in ("api-server", "scheduler", "dag-processor", "triggerer", "housekeeping")
    ]
    assert all(part == parts[0] for part in parts)
    assert SERVICES["worker"]["environment"] == parts[0] | {"DOCKER_HOST": "tcp://docker-proxy:2375"}


def test_secrets_are_made_once_for_their_owner_alone(tmp_path, capsys):
    folder = tmp_path / "secrets"
    assert stack.missing_secrets(folder) == list(stack.MADE)
    stack.make_secrets(str(folder))
    assert stack.missing_secrets(folder) == []
    paths = [folder, *folder.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    made = {name: (folder / name).read_text() for name in stack.MADE}
    assert len(set(made.values())) == len(made)
    stack.make_secrets(str(folder))
    assert {name: (folder / name).read_text() for name in stack.MADE} == made
    assert "all secrets are there" in capsys.readouterr().out


def test_secrets_of_an_earlier_release_become_their_owners_alone(tmp_path):
    stack.make_secrets(str(tmp_path))
    old = tmp_path / "airflow" / "fernet_key"
    old.chmod(0o644)
    old.parent.chmod(0o755)
    text = old.read_text()
    stack.make_secrets(str(tmp_path))
    assert (stat.S_IMODE(old.stat().st_mode), stat.S_IMODE(old.parent.stat().st_mode)) == (0o600, 0o700)
    assert old.read_text() == text


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """The secrets, and where they are copied to; the users are this one where only root could copy for others."""
    monkeypatch.setattr(stack, "KEPT", tmp_path / "secrets")
    monkeypatch.setattr(stack, "COPIES", tmp_path / "copies")
    monkeypatch.setattr(stack, "give", lambda *_: None)
    if os.getuid():
        mine = {name: (os.getuid(), beginnings) for name, (_, beginnings) in stack.READERS.items()}
        monkeypatch.setattr(stack, "READERS", mine)
    stack.make_secrets(str(tmp_path / "secrets"))
    return tmp_path / "copies"


def test_each_user_gets_a_copy_of_its_secrets_that_it_alone_may_read(copies):
    for _ in range(1 if os.getuid() else 2):  # also when the stack starts again
        assert stack.copy_secrets() == 0
    for reader, (uid, _) in stack.READERS.items():
        statuses = [path.stat() for path in (copies / reader, *(copies / reader).rglob("*"))]
        assert {status.st_uid for status in statuses} == {uid}
        assert {stat.filemode(status.st_mode) for status in statuses} == {"dr-x------", "-r--------"}
    copied = {
        reader: {path.name for path in (copies / reader).rglob("*") if path.is_file()} for reader in stack.READERS
    }
    keys = {"fernet_key", "jwt_secret", "session_key"}
    assert copied == {
        "airflow": {*keys, "postgres_password", "redis_password"},
        "worker": {*keys, "redis_password"},
        "postgres": {"postgres_password"},
        "redis": {"redis_password"},
    }
    assert stack.environment(copies / "worker")["AIRFLOW__CORE__FERNET_KEY"]
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in stack.environment(copies / "worker")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to others: run the tests as root")
def test_what_an_earlier_release_left_for_one_user_is_shared_once(tmp_path):
    for name in ("runs/dag/run/run.json", "inbox/mine.csv", "mounts/token/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
    for folder in (tmp_path / "runs").rglob("*"):
        os.chown(folder, 50000, 50000)
    stack.share(tmp_path)
    record, run = (tmp_path / "runs/dag/run/run.json").stat(), (tmp_path / "runs/dag/run").stat()
    assert (record.st_uid, record.st_gid, stat.S_IMODE(record.st_mode)) == (stack.WORKER_UID, stack.GROUP, 0o664)
    assert stat.S_IMODE(run.st_mode) == 0o775
    assert {(tmp_path / name).stat().st_uid for name in ("inbox/mine.csv", "mounts/token/x")} == {0}
    (tmp_path / "runs/dag/run/run.json").chmod(0o600)
    stack.share(tmp_path)
    assert stat.S_IMODE((tmp_path / "runs/dag/run/run.json").stat().st_mode) == 0o600, "a start walks no old runs"


def test_the_inbox_belongs_to_whoever_made_the_secrets(tmp_path):
    stack.make_secrets(str(tmp_path / "secrets"))
    stack.make_inbox(tmp_path / "inbox", (tmp_path / "secrets").stat())
    stack.make_inbox(tmp_path / "inbox", (tmp_path / "secrets").stat())
    assert (tmp_path / "inbox").stat().st_uid == os.getuid()


def test_a_missing_or_empty_secret_stops_the_start_with_the_sentence_that_mends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stack, "KEPT", tmp_path)
    stack.make_secrets(str(tmp_path))
    monkeypatch.setattr(stack, "copy_secret", lambda *_: None)
    monkeypatch.setattr(stack, "give", lambda *_: None)
    assert stack.copy_secrets() == 0
    (tmp_path / "queue" / "redis_password").unlink()
    (tmp_path / "admin_password").write_text("\n")
    capsys.readouterr()
    assert stack.copy_secrets() == 1
    said = capsys.readouterr().out
    assert said == "error: stack/secrets lacks queue/redis_password, admin_password: run `make secrets`\n"


def test_a_service_learns_only_what_it_was_given(tmp_path):
    stack.make_secrets(str(tmp_path))
    everything = stack.environment(tmp_path)
    password = (tmp_path / "database" / "postgres_password").read_text()
    assert password in everything["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    for name in ("airflow", "queue"):
        (tmp_path / "worker").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "worker" / name)
    given = stack.environment(tmp_path / "worker")
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in given
    assert given["AIRFLOW__API_AUTH__JWT_SECRET"] == everything["AIRFLOW__API_AUTH__JWT_SECRET"]


# ── settings, health, waiting ────────────────────────────────────────────────────────────────────────────────────────

AIRFLOW_SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer", "housekeeping", "worker", "init")


def test_one_file_of_settings_reaches_every_service_of_airflow(tmp_path):
    assert {name for name in SERVICES if SERVICES[name].get("env_file")} == {*AIRFLOW_SERVICES}
    assert all(SERVICES[name]["env_file"] == ["./stack/stack.env"] for name in AIRFLOW_SERVICES)
    stack.make_secrets(str(tmp_path / "stack" / "secrets"))
    file = tmp_path / "stack" / "stack.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stack.settings_of(file) == {}, "examples alone"
    file.write_text("# comment\nOTEL_A=b=c\n GROUNDTRUTH_X = 1\n")
    stack.make_settings(tmp_path / "stack")
    assert stack.settings_of(file) == {"OTEL_A": "b=c", "GROUNDTRUTH_X": "1"}


def test_what_the_composition_sets_itself_are_the_places_of_the_containers_or_can_be_filled_in():
    """Compose prefers `environment` to the file, so only what nobody may change may stand there without `${…}`."""
    fixed = {name for name, value in SERVICES["scheduler"]["environment"].items() if "${GROUNDTRUTH_" not in str(value)}
    assert {name for name in fixed if name.startswith("GROUNDTRUTH_")} == {
        "GROUNDTRUTH_RUNTIME",
        "GROUNDTRUTH_DATA_DIR",
        "GROUNDTRUTH_HOST_DATA_DIR",
        "GROUNDTRUTH_ENV_FILE",
        "GROUNDTRUTH_STEP_UID",
    }


@pytest.mark.parametrize(
    ("url", "path"), [("", ""), ("https://a.example.org", ""), ("https://a.example.org/team/", "/team")]
)
def test_an_address_with_a_path_is_part_of_every_address_inside(tmp_path, monkeypatch, url, path):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", url)
    settings = stack.environment(tmp_path)
    assert settings["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"http://api-server:8080{path}/execution/"
    asked = []

    class Answer(io.BytesIO):
        pass

    def ask(address, timeout):
        asked.append(address)
        return Answer(b'{"scheduler": {"status": "healthy"}}')

    monkeypatch.setattr(stack.urllib.request, "urlopen", ask)
    assert stack.healthy("scheduler") == 0
    assert asked == [f"http://api-server:8080{path}/api/v2/monitor/health"]


@pytest.mark.parametrize(("answer", "code"), [(b"+OK\r\n+PONG\r\n", 0), (b"-WRONGPASS\r\n-NOAUTH\r\n", 1), (b"", 1)])
def test_a_worker_whose_queue_does_not_answer_is_not_healthy(answer, code):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        received = []

        def serve():
            connection, _ = server.accept()
            received.append(connection.recv(1024))
            connection.sendall(answer)
            connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        broker = f"redis://:p%2Fw@127.0.0.1:{server.getsockname()[1]}/0"
        assert stack.broker_answers({"AIRFLOW__CELERY__BROKER_URL": broker}) == code
        thread.join()
    assert received == [b"AUTH p/w\r\nPING\r\n"]
    with pytest.raises(OSError, match="refused"):
        stack.broker_answers({"AIRFLOW__CELERY__BROKER_URL": broker})


def test_a_password_of_the_admin_that_is_written_anew_is_set_and_one_changed_in_the_ui_stays(tmp_path):
    secret, mark = tmp_path / "admin_password", tmp_path / "mark"
    secret.write_text("first\n")

    def commands():
        lines = [" ".join(command) for command in stack.admin_commands(secret, mark)]
        mark.write_text(str(secret.stat().st_mtime_ns))
        return [line.partition(" --role")[0] for line in lines]

    assert commands() == [f"users {what} --username admin --password first" for what in ("create", "reset-password")]
    assert commands() == ["users create --username admin --password first"], "create leaves a user that is there"
    os.utime(secret, ns=(1, 1))
    secret.write_text("second")
    assert commands()[1] == "users reset-password --username admin --password second"


@pytest.fixture
def engine(monkeypatch):
    """An engine whose containers go through these states, a second each, and print these lines."""

    def play(*moments, log=lambda second: []):
        clock = SimpleNamespace(second=0)
        monkeypatch.setattr(stack.time, "monotonic", lambda: clock.second)
        monkeypatch.setattr(stack.time, "sleep", lambda _: setattr(clock, "second", clock.second + 100))
        monkeypatch.setattr(stack, "docker", lambda *_: moments[min(clock.second // 100, len(moments) - 1)])
        monkeypatch.setattr(stack, "last_line", lambda _: log(clock.second))
        return clock

    return play


STARTING, HEALTHY = ["/a running 0 0 starting", "/once exited 0 0 "], ["/a running 0 0 healthy", "/once exited 0 0 "]


def test_a_stack_that_makes_progress_is_waited_for_without_limit(engine):
    clock = engine(*[STARTING] * 20, HEALTHY, log=lambda second: [str(second)])
    assert stack.wait("a", "once") == 0
    assert clock.second == 2000


def test_a_stack_that_stands_still_is_given_up_after_five_minutes(engine, capsys):
    clock = engine(STARTING)
    assert stack.wait("a", "once") == 1
    assert clock.second == 400
    assert "error: a is starting, and nothing changed for 300 s: `docker logs NAME`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        ("/a exited 1 0 ", "error: a is exited: `docker logs NAME` says why"),
        ("/a restarting 1 9 starting", "error: a is starting: `docker logs NAME` says why"),
    ],
)
def test_what_failed_or_restarts_again_and_again_is_not_waited_for(engine, capsys, end, shown):
    engine(["/a running 0 2 starting"], [end], log=lambda second: [str(second)])
    assert stack.wait("a") == 1
    assert shown in capsys.readouterr().out


def test_a_port_that_is_taken_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.free_port(0)))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < stack.free_port(port) < port + 100


def test_the_tool_of_the_host_needs_no_library():
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tools.stack"]
    assert subprocess.run(command, check=False, env=os.environ).returncode == 0
