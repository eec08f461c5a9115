"""The orchestrator's side over gRPC: each lie of a service ends in a sentence that names it."""

import hashlib
import time

import grpc
import pytest

from include.control import grpc_client
from include.control.client import Endpoint, client_for
from include.control.grpc_client import GrpcClient, channel_of, rpc_fault
from include.control.models import FileData, Status, file_reference
from include.control.proto import control_pb2 as pb
from include.control.rpc import FAULT_KIND, message_of
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError, TransientError
from tests.control.grpc_serving import answering, endpoint, listening
from tests.control.small_steps import asked

CONTENT = b"value\n1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()
OUTPUT = file_reference("out.csv", SHA, len(CONTENT))
REQUEST = asked("copy")
TASK = REQUEST.task
STATUS = Status(task=TASK, operation="copy", state="complete", keys=REQUEST.keys, service="s", version="1")
HEALTH = pb.Health(status="healthy", service="s", version="1", capacity=1)


def says(message):
    return lambda request, context: message


def status(**changes):
    message = message_of(STATUS)
    for name, value in changes.items():
        setattr(message, name, value)
    return says(message)


def refuses(code, text, kind=None):
    def answer(request, context):
        if kind:
            context.set_trailing_metadata(((FAULT_KIND, kind),))
        context.abort(code, text)

    return answer


def hangs(request, context):
    while context.is_active():
        time.sleep(0.01)


LONG = pb.Health(status="healthy", service="s", version="1" * (5 << 20), capacity=1)


@pytest.mark.parametrize(
    ("method", "answer", "error", "message"),
    [
        ("GetStatus", says(pb.Status()), ContractError, "must be answered as the protocol says"),
        ("GetStatus", status(task="0" * 64), ContractError, "must be answered for this task.*found task 000000000000"),
        ("GetOutput", says(pb.Output(task="0" * 64, keys=message_of(STATUS).keys, service="s", version="1")),
         ContractError, "must be answered for this task"),
        ("GetStatus", status(state="failed"), ContractError, "a failed task must state its error"),
        ("GetStatus", status(state="done"), ContractError, "state"),
        ("GetStatus", status(progress=7), ContractError, "progress"),
        ("GetStatus", status(running_seconds=-1), ContractError, "running_seconds"),
        ("GetStatus", status(running_seconds=float("nan")), ContractError, "running_seconds"),
        ("GetStatus", hangs, TransientError, r"did not answer within 0.5 s"),
        ("GetStatus", refuses(grpc.StatusCode.UNAUTHENTICATED, "expired"), SetupError, "refuses access.*expired"),
        ("GetStatus", refuses(grpc.StatusCode.UNAVAILABLE, "busy", "transient"), TransientError, ": busy"),
        ("GetStatus", refuses(grpc.StatusCode.UNKNOWN, "?"), GroundtruthError, r"\?"),
        ("GetStatus", refuses(grpc.StatusCode.INTERNAL, "?", "no kind"), GroundtruthError, r"\?"),
        ("Execute", refuses(grpc.StatusCode.INVALID_ARGUMENT, "no operation", "bad_input"), BadInputError,
         "no operation"),
        ("Execute", refuses(grpc.StatusCode.UNIMPLEMENTED, "?"), SetupError, "does not speak this protocol"),
        ("GetHealth", says(pb.Health(status="unhealthy", service="s", version="1", capacity=1)), TransientError,
         "says that it is unhealthy"),
        ("GetHealth", says(pb.Health(status="healthy", service="s", version="1")), ContractError, "capacity"),
        ("GetHealth", says(LONG), ContractError, "at most 4,194,304 bytes"),
    ],
)  # fmt: skip
def test_a_false_answer_is_refused_in_a_sentence_that_names_the_service(method, answer, error, message):
    call, arguments = {
        "GetStatus": ("status", (TASK,)), "GetOutput": ("output", (TASK,)), "Execute": ("execute", (REQUEST,)),
        "GetHealth": ("health", ()),
    }[method]  # fmt: skip
    seconds = 0.5 if answer is hangs else 20
    with answering(seconds, **{method: answer}) as client, pytest.raises(error, match=message) as caught:
        getattr(client, call)(*arguments)
    assert "service analyzer (http://127.0.0.1:" in str(caught.value)
    if method != "GetHealth":
        assert f"task {TASK[:12]}" in str(caught.value)


def test_an_answer_that_is_no_message_is_refused():
    class Garbage(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\xff\xff")

    rule = "must be a message of the protocol"
    with listening(Garbage()) as port, client_for(endpoint(port)) as client, pytest.raises(ContractError, match=rule):
        client.health()


def pieces(*contents, then=None):
    def answer(request, context):
        for content in contents:
            yield pb.Piece(content=content)
        if then:
            then(request, context)

    return answer


def endless(request, context):
    while context.is_active():
        yield pb.Piece(content=b"0" * 65536)


@pytest.mark.parametrize(
    ("answer", "reference", "error", "message"),
    [
        (pieces(b"value\n2\n"), OUTPUT, ContractError, "must have the stated checksum"),
        (pieces(CONTENT[:4]), OUTPUT, TransientError, "ended after 4 of 8 bytes"),
        (pieces(), OUTPUT, TransientError, "ended after 0 of 8 bytes"),
        (pieces(CONTENT[:4], then=refuses(grpc.StatusCode.INTERNAL, "disk")), OUTPUT, GroundtruthError, "disk"),
        (pieces(CONTENT, CONTENT), OUTPUT, ContractError, "must not be longer than its service states"),
        (endless, OUTPUT, ContractError, "must not be longer than its service states"),
        (pieces(CONTENT), OUTPUT.model_copy(update={"bytes": 101}), ContractError, "at most 100 bytes"),
        (pieces(CONTENT[:4], then=hangs), OUTPUT, TransientError, r"the transfer stood still for 0.3 s"),
        (pieces(b"0" * (5 << 20)), OUTPUT, ContractError, "at most 4,194,304 bytes"),
        (refuses(grpc.StatusCode.NOT_FOUND, "there is no content"), OUTPUT, GroundtruthError, "there is no content"),
        (
            pieces(CONTENT),
            FileData(path="out.csv", format="csv", bytes=8, sha256=SHA, mount="m", uri="a"),
            ContractError,
            "own origin",
        ),
    ],
)
def test_a_false_file_is_refused_and_leaves_nothing(tmp_path, monkeypatch, answer, reference, error, message):
    monkeypatch.setattr(grpc_client, "PIECE_SECONDS", 0.3 if "stood still" in message else 20)
    place = tmp_path / "work" / "out.csv"
    with answering(GetData=answer) as client, pytest.raises(error, match=message) as caught:
        client.pull(TASK, reference, place, 100)
    assert f"service analyzer ({client.endpoint.url}), task {TASK[:12]}" in str(caught.value)
    assert not place.parent.exists() or list(place.parent.iterdir()) == []


def test_a_push_that_nobody_takes_in_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(grpc_client, "PIECE_SECONDS", 0.3)
    (tmp_path / "in.csv").write_bytes(b"0" * (4 << 20))
    absent, sentence = says(pb.DataState(exists=False)), r"stood still for 0\.3 s"
    with answering(HasData=absent, PutData=hangs) as client, pytest.raises(TransientError, match=sentence):
        client.push(tmp_path / "in.csv", SHA)


def test_the_deadline_and_the_token_go_along():
    seen = {}

    def note(request, context):
        seen["seconds"], seen["metadata"] = context.time_remaining(), dict(context.invocation_metadata())
        return HEALTH

    with answering(GetHealth=note) as asked_too:
        port = asked_too.endpoint.url.rpartition(":")[2]
        with client_for(endpoint(port, "secret"), 15) as client:
            client.health()
            assert isinstance(client, GrpcClient)
    assert 10 < seen["seconds"] < 15.1
    assert seen["metadata"]["authorization"] == "Bearer secret"


def test_a_service_that_is_down_is_asked_no_more_for_a_while():
    with listening() as port:
        pass
    with client_for(endpoint(port)) as client:
        for _ in range(3):
            with pytest.raises(TransientError, match="cannot be reached"):
                client.health()
        with pytest.raises(TransientError, match="was not asked: it failed 3 times in a row"):
            client.health()


def test_unreadable_certificates_are_explained(tmp_path):
    secured = Endpoint("analyzer", "https://a", ca_file=str(tmp_path / "none.pem"), protocol="grpc")
    with pytest.raises(SetupError, match=r"service analyzer: .*none.pem: no certificates can be read"):
        channel_of(secured, "service analyzer")


def test_a_status_keeps_the_class_of_its_fault():
    class Refusal(grpc.RpcError):
        def code(self):
            return grpc.StatusCode.FAILED_PRECONDITION

        def details(self):
            return "update it"

        def trailing_metadata(self):
            return ((FAULT_KIND, "setup"),)

    assert type(rpc_fault(Refusal(), 1, known=True)) is SetupError
