"""The stack's composition keeps its promises: nothing open, nothing shared that need not be, nothing unbounded."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import stack

ROOT = Path(__file__).resolve().parents[1]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
ONCE = {"secrets", "init"}
each_service = pytest.mark.parametrize("name", SERVICES)


def mounts(name: str) -> list[str]:
    return [volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])]


@each_service
def test_what_listens_for_people_listens_on_loopback(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_only_the_api_server_is_published_and_mlflow_where_it_is_wanted():
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["api-server", "mlflow"]
    assert SERVICES["mlflow"]["profiles"] == ["mlflow"]


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
    ours = {"docker-proxy": "include/docker_proxy/Dockerfile"}
    image_has_one = name in ours and "HEALTHCHECK" in (ROOT / ours[name]).read_text()
    assert name in ONCE or image_has_one or SERVICES[name].get("healthcheck")


def test_the_engine_s_socket_is_the_policy_server_s_alone_and_it_has_no_network():
    assert [name for name in SERVICES if "/var/run/docker.sock" in mounts(name)] == ["docker-policy"]
    assert SERVICES["docker-policy"]["network_mode"] == "none"
    assert SERVICES["docker-proxy"]["networks"] == ["docker"]


def test_a_worker_has_no_password_of_the_database():
    assert not {"./stack/secrets", "./stack/secrets/database"} & set(mounts("worker"))


@each_service
def test_no_secret_stands_in_the_composition(name):
    for key, value in SERVICES[name].get("environment", {}).items():
        assert not any(
            word in key for word in ("PASSWORD", "SECRET", "FERNET", "TOKEN", "ALCHEMY_CONN", "AIRFLOW_CONN")
        ), f"{key}={value}"


def test_all_parts_of_airflow_share_one_environment():
    parts = [SERVICES[name]["environment"] for name in ("api-server", "scheduler", "dag-processor", "triggerer")]
    assert all(part == parts[0] for part in parts)
    assert SERVICES["worker"]["environment"] == parts[0] | {"DOCKER_HOST": "tcp://docker-proxy:2375"}


def test_secrets_are_made_once_for_their_owner_alone(tmp_path, capsys):
    folder = tmp_path / "secrets"
    assert stack.missing_secrets(folder) == list(stack.MADE)
    stack.make_secrets(str(folder))
    assert stack.missing_secrets(folder) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    made = {name: (folder / name).read_text() for name in stack.MADE}
    assert len(set(made.values())) == len(made)
    stack.make_secrets(str(folder))
    assert {name: (folder / name).read_text() for name in stack.MADE} == made
    assert "all secrets are there" in capsys.readouterr().out


def test_the_inbox_belongs_to_whoever_made_the_secrets(tmp_path):
    stack.make_secrets(str(tmp_path / "secrets"))
    stack.make_inbox(tmp_path / "inbox", (tmp_path / "secrets").stat())
    stack.make_inbox(tmp_path / "inbox", (tmp_path / "secrets").stat())
    assert (tmp_path / "inbox").stat().st_uid == os.getuid()


def test_a_missing_or_empty_secret_stops_the_start_with_the_sentence_that_mends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stack, "KEPT", tmp_path)
    stack.make_secrets(str(tmp_path))
    assert stack.check_secrets() == 0
    (tmp_path / "queue" / "redis_password").unlink()
    (tmp_path / "admin_password").write_text("\n")
    capsys.readouterr()
    assert stack.check_secrets() == 1
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


def test_a_port_that_is_taken_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.free_port(0)))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < stack.free_port(port) < port + 100


def test_the_tool_of_the_host_needs_no_library():
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import tools.stack"]
    assert subprocess.run(command, check=False, env=os.environ).returncode == 0
