"""The ContainerExecutor dialect of our own server, as clients of others and our own call it."""

import threading
from contextlib import contextmanager

import grpc
import pytest

from include.control import executor_server
from include.control.executor_client import ExecutorClient, Work
from include.control.executor_paths import ExchangeFolder, method_path
from include.control.executor_server import chosen_step, execute, executor_handler
from include.control.grpc_server import serving
from include.control.models import file_reference
from include.control.proto import control_pb2 as pb
from include.control.service import Service, ServiceSettings, operation_of
from include.core.errors import BadInputError
from tests.control.grpc_serving import endpoint
from tests.control.serving import ended, until
from tests.control.small_steps import STEPS, asked
from tests.control.test_executor_client import CONTENT, SHA


@pytest.fixture
def service(tmp_path):
    (tmp_path / "exchange").mkdir()
    service = Service(STEPS, ServiceSettings("small", tmp_path / "service"))
    service.start()
    yield service
    service.stop()


@contextmanager
def calling(service, folder, token=None, package=""):
    """What a client of others has: a path, and two strings that are paths."""
    handler = executor_handler(service, ExchangeFolder(folder, "/data"), package)
    with (
        serving(service, "127.0.0.1", 0, token, more=[handler]) as port,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = channel.unary_unary(
            method_path(package), pb.ContainerRequest.SerializeToString, pb.ContainerResponse.FromString
        )
        yield lambda given, written, **more: stub(
            pb.ContainerRequest(input_file=given, output_file=written), **({"timeout": 20} | more)
        )


def test_a_step_works_on_the_files_that_a_caller_names(service, tmp_path):
    folder = tmp_path / "exchange" / "7"
    folder.mkdir()
    with calling(service, tmp_path / "exchange", package="energy.v2") as call:
        answer = call("", "/data/7/in.csv")
        assert (answer.success, answer.message) == (True, "measure wrote in.csv")
        (folder / "parameters.json").write_text('{"seconds": 0.01}')
        assert call("/data/7/in.csv", "/data/7/out.csv").success
    assert (folder / "out.csv").read_bytes() == (folder / "in.csv").read_bytes() == b"value\n1\n1\n"


@pytest.mark.parametrize(
    ("given", "written", "message"),
    [
        ("/etc/passwd", "/data/7/out.csv", "'/etc/passwd': must be a path below /data, the exchange folder"),
        ("/data/7/in.csv", "/data/7/../../out.csv", "must be a path below /data"),
        ("/data/7/in.csv", "/data/7/other.csv", "no step here has files of these names (measure reads nothing"),
        ("/data/8/in.csv", "/data/7/out.csv", "no step here has files of these names"),
        ("/data/7/in.csv", "/data/7/out.csv", "copy reads in.csv, which must lie in /data/7"),
        ("/data/9/in.csv", "/data/9/out.csv", "in.csv: must be a regular file, reached without a link"),
        ("/data/6/in.csv", "/data/6/out.csv", "parameters.json: is not JSON"),
        ("/data/5/in.csv", "/data/5/out.csv", "parameters.json: must hold an object"),
        ("/data/4/in.csv", "/data/4/out.csv", "seconds: Input should be a valid number"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(service, tmp_path, given, written, message):
    for name, parameters in (("7", None), ("9", None), ("6", "{"), ("5", "[]"), ("4", '{"seconds": "x"}')):
        (tmp_path / "exchange" / name).mkdir()
        if parameters:
            (tmp_path / "exchange" / name / "parameters.json").write_text(parameters)
            (tmp_path / "exchange" / name / "in.csv").write_text("value\n")
    (tmp_path / "exchange" / "9" / "in.csv").symlink_to("/etc/passwd")
    with calling(service, tmp_path / "exchange") as call:
        answer = call(given, written)
    assert not answer.success
    assert message in answer.message


def test_a_failed_step_is_a_failed_call(tmp_path, service):
    def failed(*_):
        raise ZeroDivisionError("secret")

    with calling(service, tmp_path / "exchange") as call:
        (tmp_path / "exchange" / "parameters.json").write_text('{"seconds": 60}')
        (tmp_path / "exchange" / "in.csv").write_text("value\n")
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
            call("/data/in.csv", "/data/out.csv", timeout=0.5)
        until(lambda: not service.tasks("container-executor"))
        (tmp_path / "exchange" / "parameters.json").unlink()
        service.output = failed
        answer = call("", "/data/in.csv")
        assert (answer.success, answer.message) == (False, "the service failed; its log says why")


def test_calls_beyond_those_that_may_wait_are_refused(tmp_path, service, monkeypatch):
    monkeypatch.setattr(executor_server, "CALLS", 1)
    (tmp_path / "exchange" / "parameters.json").write_text('{"seconds": 60}')
    (tmp_path / "exchange" / "in.csv").write_text("value\n")
    with calling(service, tmp_path / "exchange") as call:
        caller = threading.Thread(target=lambda: call("/data/in.csv", "/data/out.csv"))
        caller.start()
        until(lambda: service.tasks("container-executor"))
        assert call("", "/data/in.csv").message == "1 calls wait for their tasks already; try again later"
        (waiting,) = service.tasks("container-executor")
        service.cancel(waiting.task)
        caller.join()


def test_the_dialect_needs_the_token(tmp_path, service):
    with calling(service, tmp_path / "exchange", "secret") as call:
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            call("", "/data/in.csv")
        assert call("", "/data/in.csv", metadata=(("authorization", "Bearer secret"),)).success


def test_paths_that_stand_for_several_steps_are_refused(service, tmp_path):
    exchange = ExchangeFolder(tmp_path / "exchange", "/data")
    assert chosen_step(service, exchange, "", "/data/a/out.csv") == (STEPS["copy"], tmp_path / "exchange" / "a")
    service.steps = {**STEPS, "twin": STEPS["copy"]}
    with pytest.raises(BadInputError, match="copy and copy here has files of these names"):
        chosen_step(service, exchange, "/data/in.csv", "/data/out.csv")


def test_a_caller_that_went_away_is_not_worked_for(service, tmp_path):
    class Gone:
        def time_remaining(self):
            return None

        def is_active(self):
            return False

    with pytest.raises(Exception, match="the caller no longer waits"):
        execute(service, ExchangeFolder(tmp_path / "exchange", "/data"), "", "/data/in.csv", Gone())
    until(lambda: not service.tasks("container-executor"))


def test_our_client_and_our_server_understand_each_other(service, tmp_path):
    folder = tmp_path / "exchange"
    handler = executor_handler(service, ExchangeFolder(folder, "/data"))
    work = Work(operation_of(STEPS["copy"]), "in.csv", "out.csv")
    (tmp_path / "sealed").write_bytes(CONTENT)
    with (
        serving(service, "127.0.0.1", 0, more=[handler]) as port,
        ExecutorClient(endpoint(port), ExchangeFolder(folder, "/data"), work) as client,
    ):
        client.push(tmp_path / "sealed", SHA)
        request = asked("copy", inputs=[file_reference("in.csv", SHA, len(CONTENT))], timeout_seconds=30)
        client.execute(request)
        status = ended(client, request.task)
        assert (status.state, status.error) == ("complete", None)
        (output,) = client.output(request.task).outputs
        assert output.sha256 == SHA
