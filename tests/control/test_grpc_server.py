"""The protocol over gRPC, from a client's request to the files that it pulls, on the engine that HTTP has too."""

import hashlib
import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from include.control.client import Endpoint, client_for
from include.control.grpc_server import behaviours, refuse, serving, status_of
from include.control.models import file_reference
from include.control.proto import control_pb2 as pb
from include.control.rpc import SERVICE, stubs
from include.control.service import Service, ServiceSettings, UnknownTaskError
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError
from tests.control.grpc_serving import endpoint, served
from tests.control.serving import ended
from tests.control.small_steps import STEPS, asked

CONTENT = b"value\n" + b"1\n" * (3 << 20)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def service(tmp_path):
    return Service(STEPS, ServiceSettings("small", tmp_path / "service"))


@pytest.fixture
def client(service):
    with served(service, "secret") as client:
        yield client


@pytest.fixture
def raw(client):
    """The calls as any client makes them, and the metadata that they need."""
    with grpc.insecure_channel(client.endpoint.url.removeprefix("http://")) as channel:
        yield stubs(channel), (("authorization", "Bearer secret"),), channel


def test_a_task_from_health_to_its_output(client, tmp_path):
    health = client.health()
    assert [operation.name for operation in health.operations] == list(STEPS)
    (tmp_path / "in.csv").write_bytes(CONTENT)
    assert client.push(tmp_path / "in.csv", SHA)
    assert not client.push(tmp_path / "in.csv", SHA)
    request = asked("copy", inputs=[file_reference("in.csv", SHA, len(CONTENT))])
    assert client.status(request.task) is None
    assert client.cancel(request.task) is None
    client.execute(request)
    status = ended(client, request.task)
    assert (status.state, status.version, status.service) == ("complete", health.version, "small")
    (output,) = client.output(request.task).outputs
    client.pull(request.task, output, tmp_path / "work" / "out.csv", 1 << 30)
    assert (tmp_path / "work" / "out.csv").read_bytes() == CONTENT
    assert client.cancel(request.task).state == "complete"
    assert client.tasks("d") == []


def test_tasks_that_go_on_are_listed_and_cancelled(client, tmp_path):
    (tmp_path / "in.csv").write_bytes(b"")
    empty = hashlib.sha256(b"").hexdigest()
    assert client.push(tmp_path / "in.csv", empty)
    request = asked("copy", inputs=[file_reference("in.csv", empty, 0)], parameters={"seconds": 60})
    client.execute(request)
    assert [status.task for status in client.tasks("d")] == [request.task]
    client.cancel(request.task)
    assert ended(client, request.task).state == "cancelled"


def test_refusals_keep_their_class(client, tmp_path):
    with pytest.raises(BadInputError, match="no operation divine; this service offers copy"):
        client.execute(asked("measure").model_copy(update={"operation": "divine"}))
    with pytest.raises(SetupError, match="version 1 here, and version 2 was asked for"):
        client.execute(asked("measure").model_copy(update={"version": "2"}))
    (tmp_path / "in.csv").write_bytes(CONTENT)
    with pytest.raises(GroundtruthError, match="stated checksum"):
        client.push(tmp_path / "in.csv", "0" * 64)
    request = asked("fail")
    client.execute(request)
    assert ended(client, request.task).error.message == "rows: 2 is not usable"
    with pytest.raises(GroundtruthError, match="is failed; only a complete one has outputs"):
        client.output(request.task)


def test_every_call_but_health_needs_the_token(client, raw, tmp_path):
    calls, _, channel = raw
    (tmp_path / "in.csv").write_bytes(b"1")
    assert calls["GetHealth"](pb.HealthRequest()).service == "small"
    watched = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE.full_name):
        assert watched.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
    for token in (None, "wrong"):
        with client_for(endpoint(client.endpoint.url.rpartition(":")[2], token)) as other:
            for call in (lambda c: c.tasks("d"), lambda c: c.push(tmp_path / "in.csv", SHA)):
                with pytest.raises(SetupError, match=r"refuses access .*token is missing, wrong or expired"):
                    call(other)
    with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
        list(calls["GetData"](pb.DataRequest(sha256=SHA)))
    with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
        calls["PutData"](iter([pb.Piece(sha256=SHA, bytes=1)]))


@pytest.mark.parametrize(
    ("method", "message", "text"),
    [
        ("Execute", pb.ExecuteRequest(), "task: String should match"),
        ("HasData", pb.DataRequest(sha256="../../tasks.sqlite"), "must be 64 hexadecimal digits"),
        ("PutData", iter([]), "the first piece of a file states"),
        ("PutData", iter([pb.Piece(sha256="/etc/x", bytes=1)]), "must be 64 hexadecimal digits"),
        ("PutData", iter([pb.Piece(sha256=SHA, bytes=-1)]), "the first piece of a file states"),
        ("PutData", iter([pb.Piece(sha256=SHA, bytes=1, content=b"12")]), "must not be longer"),
        ("PutData", iter([pb.Piece(sha256=SHA, bytes=1 << 60)]), "at most"),
    ],
)
def test_requests_that_no_client_of_ours_makes_are_refused_in_words(raw, method, message, text):
    calls, metadata, _ = raw
    with pytest.raises(grpc.RpcError) as caught:
        calls[method](message, metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert text in caught.value.details()


def test_a_file_that_is_not_there_and_a_request_that_is_too_long(raw):
    calls, metadata, _ = raw
    with pytest.raises(grpc.RpcError, match="there is no content"):
        list(calls["GetData"](pb.DataRequest(sha256=SHA), metadata=metadata))
    with pytest.raises(grpc.RpcError, match="larger than max"):
        calls["Execute"](pb.ExecuteRequest(parameters=" " * (9 << 20)), metadata=metadata)


def test_a_fault_of_the_service_itself_is_logged_and_not_shown(service, caplog):
    def broken(*_):
        raise ZeroDivisionError("secret")

    service.tasks = broken
    with served(service) as client, pytest.raises(GroundtruthError, match="the service failed; its log says why"):
        client.tasks("d")
    assert "ZeroDivisionError: secret" in caplog.text


def test_a_port_has_one_server_and_the_certificate_must_be_readable(service, tmp_path):
    with serving(service, "127.0.0.1", 0) as port, pytest.raises(SetupError, match=f"--grpc-port {port}"):
        serving(service, "127.0.0.1", port).__enter__()
    missing = tmp_path / "none.pem"
    with pytest.raises(SetupError, match=r"none.pem"):
        serving(service, "127.0.0.1", 0, certificate=missing, key=missing).__enter__()


def test_tls_proves_who_the_service_is(service, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving(service, "127.0.0.1", 0, certificate=certificate, key=key) as port:
        for authority, trusted in ((str(certificate), True), (None, False)):
            secured = Endpoint("s", f"https://127.0.0.1:{port}", protocol="grpc", ca_file=authority)
            with client_for(secured, 3) as client:
                client.breaker.close()
                if trusted:
                    assert client.health().service == "small"
                else:
                    with pytest.raises(GroundtruthError, match=r"cannot be reached|did not answer"):
                        client.health()


def test_a_long_sentence_in_any_script_fits_into_the_metadata(service):
    def broken(*_):
        raise BadInputError("文" * 4000)

    service.tasks = broken
    with served(service) as client, pytest.raises(BadInputError, match=r"文文.*…"):
        client.tasks("d")


def test_each_class_of_fault_has_its_status():
    assert status_of(UnknownTaskError("no"))[0] == grpc.StatusCode.NOT_FOUND
    assert status_of(ContractError("a", "must be b")) == (grpc.StatusCode.INVALID_ARGUMENT, "a: must be b")
    assert {method.name for method in SERVICE.methods} == {*behaviours(None)}


def test_a_call_that_was_given_up_is_not_answered():
    class Gone:
        def is_active(self):
            return False

    with pytest.raises(ValueError, match="x"):
        refuse(Gone(), ValueError("x"))


def test_http_needs_no_grpc_and_grpc_neither_airflow_nor_a_domain():
    code = (
        "import sys, include.control.server, include.control.client; assert 'grpc' not in sys.modules; "
        "import include.control.grpc_server, include.control.grpc_client; print([name for name in sys.modules "
        "if name.startswith(('airflow', 'include.energy', 'include.satellite', 'include.domains'))])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
