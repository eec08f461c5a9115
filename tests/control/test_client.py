"""The orchestrator's side: what services answer is a claim, and each lie ends in a sentence that names it."""

import hashlib
import socket
import time
from contextlib import contextmanager

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse

from include.control.client import Breaker, Client, Endpoint, ServiceClient, client_for, fault_error
from include.control.models import Fault, FileData, Health, HttpData, InlineData, file_reference
from include.core.errors import BadInputError, ContractError, GroundtruthError, SetupError, TransientError
from tests.control.serving import listening
from tests.control.small_steps import asked

CONTENT = b"value\n1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()
OUTPUT = file_reference("out.csv", SHA, len(CONTENT))
REQUEST = asked("copy")
TASK = REQUEST.task
STATUS = {
    "task": TASK, "operation": "copy", "state": "complete", "keys": REQUEST.keys.model_dump(), "service": "s",
    "version": "1",
}  # fmt: skip
HEALTH = {"status": "healthy", "service": "s", "version": "1", "operations": [], "running": 0, "capacity": 1}
FILES = {"task": TASK, "keys": STATUS["keys"], "outputs": [], "service": "s", "version": "1"}


@contextmanager
def answering(answer, **options):
    """A client of a service that gives one answer to everything."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "PUT", "POST", "HEAD"])
    async def anything(path: str, request: Request) -> Response:
        return answer(request)

    with listening(app) as url, ServiceClient(Endpoint("analyzer", url), **options) as client:
        yield client


def json(content, code=200):
    return lambda request: JSONResponse(content, code)


def endless(request):
    def pieces():
        while True:
            yield b"0" * 65536

    return StreamingResponse(pieces())


def dripping(request):
    def pieces():
        for _ in range(100):
            time.sleep(0.05)
            yield b" "

    return StreamingResponse(pieces())


def raw(*pieces, length=None):
    """A file as a service sends it; it may break off before the length that it states."""
    return lambda request: StreamingResponse(iter(pieces), headers={"Content-Length": str(length)} if length else {})


OTHER = STATUS | {"task": "0" * 64}


@pytest.mark.parametrize(
    ("answer", "call", "error", "message"),
    [
        (json({"kind": "error"}), "status", ContractError, "must be answered as the protocol says"),
        (json(OTHER), "status", ContractError, "must be answered for this task.*found task 000000000000"),
        (json(FILES | {"task": "0" * 64}), "output", ContractError, "must be answered for this task"),
        (json(STATUS | {"state": "failed"}), "status", ContractError, "a failed task must state its error"),
        (json(STATUS | {"progress": 7}), "status", ContractError, "progress"),
        (json(STATUS | {"running_seconds": -1}), "status", ContractError, "running_seconds"),
        (lambda request: RedirectResponse("http://elsewhere/"), "status", SetupError, "redirects to http://elsewhere/"),
        (endless, "status", ContractError, "at most 4,194,304 bytes"),
        (dripping, "status", TransientError, "did not end its answer within"),
        (lambda request: time.sleep(1.5), "status", TransientError, "did not answer within"),
        (json({"kind": "setup", "message": "expired"}, 401), "status", SetupError, "refuses access.*expired"),
        (json({"kind": "error", "message": "busy"}, 503), "status", TransientError, "busy"),
        (json("?", 500), "status", TransientError, "answered 500"),
        (json({"kind": "bad_input", "message": "no operation"}, 422), "execute", BadInputError, "no operation"),
        (json(HEALTH | {"status": "unhealthy"}), "health", TransientError, "says that it is unhealthy"),
        (json(HEALTH | {"capacity": 0}), "health", ContractError, "capacity"),
    ],
)
def test_a_false_answer_is_refused_in_a_sentence_that_names_the_service(answer, call, error, message):
    arguments = {"status": (TASK,), "output": (TASK,), "execute": (REQUEST,), "health": ()}[call]
    with answering(answer, seconds=0.5) as client, pytest.raises(error, match=message) as caught:
        getattr(client, call)(*arguments)
    assert "service analyzer (http://127.0.0.1:" in str(caught.value)
    if call != "health":
        assert f"task {TASK[:12]}" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "reference", "error", "message"),
    [
        (raw(b"value\n2\n"), OUTPUT, ContractError, "must have the stated checksum"),
        (raw(CONTENT[:4]), OUTPUT, TransientError, "ended after 4 of 8 bytes"),
        (raw(CONTENT[:4], length=8), OUTPUT, TransientError, "cannot be reached"),
        (raw(CONTENT, CONTENT), OUTPUT, ContractError, "must not be longer than its service states"),
        (endless, OUTPUT, ContractError, "must not be longer than its service states"),
        (raw(CONTENT), OUTPUT.model_copy(update={"bytes": 101}), ContractError, "at most 100 bytes"),
        (
            raw(CONTENT),
            OUTPUT.model_copy(update={"uri": "http://elsewhere/data"}),
            ContractError,
            "own origin.*found http://elsewhere/data",
        ),
        (raw(CONTENT), OUTPUT.model_copy(update={"uri": "//elsewhere/data"}), ContractError, "own origin"),
        (raw(CONTENT), OUTPUT.model_copy(update={"uri": "file:///etc/passwd"}), ContractError, "own origin"),
        (
            raw(CONTENT),
            FileData(path="out.csv", format="csv", bytes=8, sha256=SHA, mount="m", uri="a"),
            ContractError,
            "own origin",
        ),
        (lambda request: RedirectResponse("/data/other"), OUTPUT, SetupError, "redirects to /data/other"),
        (json({"kind": "error", "message": "gone"}, 404), OUTPUT, GroundtruthError, "gone"),
        (lambda request: Response(status_code=204), OUTPUT, ContractError, "status 200"),
    ],
)
def test_a_false_file_is_refused_and_leaves_nothing(tmp_path, answer, reference, error, message):
    place = tmp_path / "work" / "out.csv"
    with answering(answer, seconds=0.5) as client, pytest.raises(error, match=message) as caught:
        client.pull(TASK, reference, place, 100)
    assert f"task {TASK[:12]}" in str(caught.value)
    assert "service analyzer (http://127.0.0.1:" in str(caught.value)
    assert not place.parent.exists() or list(place.parent.iterdir()) == []


def test_a_file_arrives_by_url_or_inside_the_message(tmp_path):
    inline = {"path": "in.csv", "format": "csv", "bytes": 8, "sha256": SHA, "content": b"dmFsdWUKMQo="}
    with answering(raw(CONTENT)) as client:
        complete = OUTPUT.model_copy(update={"uri": f"{client.endpoint.url}/data/{SHA}"})
        for number, reference in enumerate([OUTPUT, complete, InlineData(**inline)]):
            client.pull(TASK, reference, tmp_path / str(number), 100)
            assert (tmp_path / str(number)).read_bytes() == CONTENT


def test_a_file_is_sent_once(tmp_path):
    (tmp_path / "in.csv").write_bytes(CONTENT)
    seen = {}

    def content(request):
        if request.method == "HEAD":
            return Response(status_code=200 if seen else 404)
        seen[request.url.path] = request.headers["content-length"]
        return Response(status_code=201)

    with answering(content) as client:
        assert client.push(tmp_path / "in.csv", SHA)
        assert not client.push(tmp_path / "in.csv", SHA)
    assert seen == {f"/data/{SHA}": "8"}


def test_an_unknown_task_is_none_and_the_token_goes_along():
    headers = []

    def unknown(request):
        headers.append(request.headers.get("authorization"))
        return JSONResponse({"kind": "error", "message": "there is no task"}, 404)

    with answering(unknown) as client:
        assert client.status(TASK) is None
        assert client.cancel(TASK) is None
        with ServiceClient(Endpoint("analyzer", client.endpoint.url, "secret")) as other:
            assert other.status(TASK) is None
            assert "secret" not in repr(other.endpoint)
    assert headers == [None, None, "Bearer secret"]


def test_a_service_that_is_down_is_asked_no_more_for_a_while():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with ServiceClient(Endpoint("analyzer", url)) as client:
        for _ in range(3):
            with pytest.raises(TransientError, match="cannot be reached"):
                client.health()
        with pytest.raises(TransientError, match="was not asked: it failed 3 times in a row"):
            client.health()


def test_an_endpoint_says_which_protocol_its_client_speaks():
    with (
        client_for(Endpoint("a", "http://a")) as http,
        client_for(Endpoint("a", "http://a", protocol="grpc"), 3) as grpc,
    ):
        assert (type(http).__name__, type(grpc).__name__, grpc.seconds) == ("ServiceClient", "GrpcClient", 3)
    with pytest.raises(TypeError):
        Client(Endpoint("a", "http://a"))


def test_the_breaker_closes_after_its_time_and_after_an_answer():
    breaker = Breaker(open_after=2, open_seconds=0.05)
    fault = TransientError("down")
    breaker.note(fault)
    breaker.check()
    breaker.note(fault)
    with pytest.raises(TransientError, match="2 times"):
        breaker.check()
    time.sleep(0.06)
    breaker.check()
    breaker.note(None)
    breaker.note(fault)
    breaker.check()


def test_a_name_that_does_not_resolve_and_unreadable_certificates_are_explained(tmp_path):
    with (
        ServiceClient(Endpoint("analyzer", "http://no-such-host.invalid:1")) as client,
        pytest.raises(TransientError, match=r"service analyzer .*cannot be reached"),
    ):
        client.health()
    with pytest.raises(SetupError, match="no certificates"):
        ServiceClient(Endpoint("analyzer", "https://a", ca_file=str(tmp_path / "none.pem")))


def test_a_fault_keeps_its_class_and_a_reference_its_checksum():
    assert type(fault_error(Fault(kind="bad_input", message="m"))) is BadInputError
    assert type(fault_error(Fault(kind="contract", message="m"))) is GroundtruthError
    assert isinstance(file_reference("a/b.CSV", SHA, 1), HttpData)
    assert file_reference("a/b.CSV", SHA, 1).format == "csv"
    assert Health.model_validate_json(Health(**HEALTH).model_dump_json()).capacity == 1
