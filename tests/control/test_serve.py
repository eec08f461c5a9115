"""The command that serves: what it offers, where it listens, and a restart that loses no task."""

import os
import signal
import subprocess
import sys

import pytest

from include.control.client import Endpoint, ServiceClient, client_for
from include.control.models import Execute, TaskKeys
from include.control.serve import (
    TOKEN_VARIABLE,
    hold_folder,
    is_loopback,
    main,
    parse,
    served_steps,
    server_of,
    service_of,
)
from include.control.task_table import TaskTable
from include.core.errors import BadInputError, GroundtruthError, SetupError
from include.domains import DOMAINS
from tests.control.serving import ended, until

ENERGY = next(domain for domain in DOMAINS if domain.name == "energy")


def test_a_domain_stands_for_its_steps_that_can_be_served():
    assert served_steps(["energy"]) == ENERGY.steps
    assert list(served_steps(["energy-analyzer"])) == ["energy-analyzer"]
    assert all(not step.in_worker for step in served_steps(["satellite"]).values())
    with pytest.raises(BadInputError, match="no such domain or step"):
        served_steps(["weather"])
    kept = next(step.id for domain in DOMAINS for step in domain.steps.values() if step.in_worker)
    with pytest.raises(BadInputError, match="cannot be served"):
        served_steps([kept])


def test_options_describe_a_service(tmp_path):
    options = parse(["--steps", "energy", "--port", "1", "--folder", str(tmp_path), "--mount", f"in={tmp_path}"])
    service = service_of(options)
    assert (service.settings.name, service.settings.capacity) == ("energy", 2)
    assert service.settings.mounts == {"in": tmp_path.resolve()}
    with pytest.raises(BadInputError, match="--mount none"):
        service_of(parse(["--steps", "energy", "--port", "1", "--folder", str(tmp_path), "--mount", "none"]))


def test_without_a_token_only_this_machine_may_ask(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    command = ["--steps", "energy", "--port", "1", "--folder", str(tmp_path), "--host", "0.0.0.0"]  # noqa: S104
    assert main(command) == SetupError.exit_code
    assert "--host 0.0.0.0: set GROUNDTRUTH_SERVICE_TOKEN" in capsys.readouterr().err
    assert [is_loopback(host) for host in ("localhost", "::1", "10.0.0.1", "example.org")] == [True, True, False, False]


def test_a_service_listens_somewhere(tmp_path, capsys):
    assert main(["--steps", "energy", "--folder", str(tmp_path)]) == BadInputError.exit_code
    assert "--port, --grpc-port: state one of them, or both" in capsys.readouterr().err


def test_a_certificate_needs_its_key(tmp_path, capsys):
    command = ["--steps", "energy", "--port", "1", "--folder", str(tmp_path), "--tls-cert", "cert.pem"]
    assert main(command) == BadInputError.exit_code
    assert "--tls-cert, --tls-key: state both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ([], "--exchange: needs --grpc-port"),
        (["--grpc-port", "0"], "there is no folder /no/such/folder"),
    ],
)
def test_an_exchange_folder_must_be_there_and_needs_grpc(tmp_path, capsys, more, sentence):
    command = ["--steps", "energy", "--port", "1", "--folder", str(tmp_path), "--exchange", "/no/such/folder"]
    assert main([*command, *more]) == BadInputError.exit_code
    assert sentence in capsys.readouterr().err


def test_a_folder_has_one_server(tmp_path):
    assert server_of(tmp_path) is None
    with hold_folder(tmp_path):
        assert server_of(tmp_path) == os.getpid()
        with pytest.raises(SetupError, match="another server of this service runs"):
            hold_folder(tmp_path)
    assert server_of(tmp_path) is None


def test_a_server_that_is_killed_takes_its_task_up_again_when_it_is_started_anew(tmp_path):
    import socket

    with socket.socket() as free, socket.socket() as other:
        for one in (free, other):
            one.bind(("127.0.0.1", 0))
        port, grpc_port = free.getsockname()[1], str(other.getsockname()[1])
    command = ["--steps", "energy-generator", "--port", str(port), "--grpc-port", grpc_port, "--folder", str(tmp_path)]
    keys = TaskKeys(deployment="d", dag="d", run="r", step="energy-generator")
    params = {"households": 1, "start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
    version = ENERGY.steps["energy-generator"].version
    request = Execute(task="1" * 64, operation="energy-generator", version=version, keys=keys, parameters=params)

    def start():
        process = subprocess.Popen([sys.executable, "-m", "include.control.serve", *command])
        until(lambda: healthy(port), 60)
        return process

    first = start()
    try:
        with ServiceClient(Endpoint("energy", f"http://127.0.0.1:{port}")) as client:
            client.execute(request)
            table = TaskTable(tmp_path / "tasks.sqlite")
            until(lambda: table.find(request.task).pid)  # killed earlier, it would end in a failure that says so
            first.send_signal(signal.SIGKILL)
            first.wait()
            second = start()
            try:
                client.breaker.close()
                status = ended(client, request.task, 60)
                assert (status.state, status.error) == ("complete", None)
                assert {output.path for output in client.output(request.task).outputs} == {
                    "energy_data.csv", "energy_source.json"
                }  # fmt: skip
                with client_for(Endpoint("energy", f"http://127.0.0.1:{grpc_port}", protocol="grpc")) as over_grpc:
                    assert over_grpc.output(request.task) == client.output(request.task)
            finally:
                second.terminate()
                second.wait()
    finally:
        first.kill()


def healthy(port):
    try:
        with ServiceClient(Endpoint("energy", f"http://127.0.0.1:{port}")) as client:
            client.breaker.close()
            return client.health()
    except GroundtruthError:
        return False
