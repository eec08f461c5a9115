"""The ContainerExecutor dialect against a server of others: paths go there, and nothing that it says is believed."""

import hashlib
import json
import os
import re
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from include.control.executor_client import ExecutorClient, Work
from include.control.executor_paths import ExchangeFolder, method_path
from include.control.models import Operation, file_reference
from include.control.proto import control_pb2 as pb
from include.core.errors import ContractError, GroundtruthError, TransientError
from tests.control.grpc_serving import endpoint, listening
from tests.control.serving import ended, until
from tests.control.small_steps import asked

CONTENT = b"value\n1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()
OPERATION = Operation(name="copy", version="1", parameters={}, reads=["in.csv"], writes=["out.csv", "more/log.txt"])
WORK = Work(OPERATION, "in.csv", "out.csv")


def theirs(work, package=""):
    """A server of the dialect, as another project has it: it opens the paths that it is given."""

    def execute(request, context):
        answer = work(Path(request.input_file), Path(request.output_file), context)
        return answer if isinstance(answer, pb.ContainerResponse) else pb.ContainerResponse(success=True, message="ok")

    method = grpc.unary_unary_rpc_method_handler(
        execute, pb.ContainerRequest.FromString, pb.ContainerResponse.SerializeToString
    )
    service = method_path(package)[1:].rpartition("/")[0]
    return grpc.method_handlers_generic_handler(service, {"Execute": method})


def copies(given, written, context):
    written.write_bytes(given.read_bytes())


@contextmanager
def client_of(work, folder, package="", mine="", what=WORK):
    folder.mkdir(exist_ok=True)
    with (
        listening(theirs(work, package)) as port,
        ExecutorClient(endpoint(port), ExchangeFolder(folder, str(folder)), what, mine) as client,
    ):
        yield client


def request(tmp_path, client, **more):
    (tmp_path / "sealed").write_bytes(CONTENT)
    client.push(tmp_path / "sealed", SHA)
    return asked("copy", inputs=[file_reference("in.csv", SHA, len(CONTENT))], **more)


def test_a_call_is_a_task_whose_output_is_read_from_its_own_folder(tmp_path):
    seen = {}

    def work(given, written, context):
        seen.update(given=given, written=written, parameters=json.loads((given.parent / "parameters.json").read_text()))
        seen["seconds"] = context.time_remaining()
        (written.parent / "more").mkdir()
        (written.parent / "more" / "log.txt").write_text("done")
        (written.parent / "scratch.tmp").write_text("not declared")
        copies(given, written, context)

    with client_of(work, tmp_path / "exchange", "energy.v2", "energy.v2") as client:
        assert client.health().operations == [OPERATION]
        task = request(tmp_path, client, parameters={"seconds": 2}, timeout_seconds=30)
        assert client.status(task.task) is None
        client.execute(task)
        assert ended(client, task.task).state == "complete"
        assert client.execute(task).state == "complete"
        outputs = {one.path: one for one in client.output(task.task).outputs}
        assert list(outputs) == ["out.csv", "more/log.txt"]
        client.pull(task.task, outputs["out.csv"], tmp_path / "work" / "out.csv", 100)
        assert client.tasks("d") == []
    assert (tmp_path / "work" / "out.csv").read_bytes() == CONTENT
    assert seen["given"].parent == seen["written"].parent
    assert seen["parameters"] == {"seconds": 2}
    assert 25 < seen["seconds"] < 31
    assert list((tmp_path / "exchange").iterdir()) == []


def writes_old(given, written, context):
    copies(given, written, context)
    os.utime(written, (1, 1))


def links(target):
    def work(given, written, context):
        written.symlink_to(target)

    return work


def links_folder(given, written, context):
    copies(given, written, context)
    (written.parent / "more").symlink_to("/etc")


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda *_: None, "out.csv: must be written, for the service said success=true .*no such file in its folder"),
        (lambda given, written, context: written.touch(), "out.csv: must not be empty.*found 0 bytes"),
        (writes_old, "out.csv: must be written by this attempt.*found a file that is [0-9]+ s older"),
        (links("/etc/passwd"), "out.csv: must be a regular file, reached without a link.*found a link to /etc/passwd"),
        (links("in.csv"), "out.csv: must be a regular file, reached without a link"),
        (
            lambda given, written, context: os.link(given, written),
            r"out\.csv: must be a file of its own.*found a hard link",
        ),
        (lambda given, written, context: written.mkdir(), "out.csv: must be a regular file"),
        (lambda given, written, context: os.mkfifo(written), "out.csv: must be a regular file"),
        (links_folder, "more/log.txt: must be a regular file, reached without a link"),
    ],
)
def test_success_is_not_believed(tmp_path, work, message):
    with client_of(work, tmp_path / "exchange") as client:
        task = request(tmp_path, client)
        client.execute(task)
        assert ended(client, task.task).state == "complete"
        with pytest.raises(ContractError, match=message) as caught:
            client.output(task.task)
        assert f"service analyzer ({client.endpoint.url}), task {task.task[:12]}" in str(caught.value)


def test_a_file_that_changes_after_it_was_read_is_refused(tmp_path):
    with client_of(copies, tmp_path / "exchange") as client:
        task = request(tmp_path, client)
        client.execute(task)
        ended(client, task.task)
        (output,) = client.output(task.task).outputs
        next((tmp_path / "exchange").iterdir()).joinpath("out.csv").write_bytes(b"value\n2\n")
        with pytest.raises(ContractError, match="must have the stated checksum"):
            client.pull(task.task, output, tmp_path / "work" / "out.csv", 100)


def says(success, message):
    return lambda *_: pb.ContainerResponse(success=success, message=message)


def aborts(code):
    def work(given, written, context):
        context.abort(code, "no more")

    return work


def hangs(given, written, context):
    while context.is_active():
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("work", "kind", "message"),
    [
        (says(False, "column missing"), "error", "column missing"),
        (says(False, ""), "error", "the service states no reason"),
        (hangs, "timeout", r"took longer than its limit of 0.3 s \(timeout_seconds\)"),
        (aborts(grpc.StatusCode.UNAVAILABLE), "transient", "no more"),
        (aborts(grpc.StatusCode.PERMISSION_DENIED), "setup", "refuses access"),
    ],
)
def test_a_failed_call_is_a_failed_task(tmp_path, work, kind, message):
    with client_of(work, tmp_path / "exchange") as client:
        task = request(tmp_path, client, timeout_seconds=0.3 if work is hangs else 30)
        client.execute(task)
        status = ended(client, task.task)
        assert (status.state, status.error.kind) == ("failed", kind)
        assert re.search(message, status.error.message)


def test_a_later_attempt_gets_a_folder_of_its_own(tmp_path):
    folders = []

    def work(given, written, context):
        folders.append(written.parent)
        return pb.ContainerResponse(success=len(folders) > 1, message="at first not")

    with client_of(work, tmp_path / "exchange") as client:
        first = request(tmp_path, client)
        client.execute(first)
        assert ended(client, first.task).state == "failed"
        (folders[0] / "out.csv").write_bytes(CONTENT)
        client.execute(first.model_copy(update={"attempt": 2}))
        assert ended(client, first.task).state == "complete"
        with pytest.raises(ContractError, match="no such file in its folder"):
            client.output(first.task)
    assert folders[0] != folders[1]


def test_cancelling_reaches_the_service(tmp_path):
    begun, given_up = [], []

    def work(given, written, context):
        begun.append(written)
        hangs(given, written, context)
        given_up.append(written)

    with client_of(work, tmp_path / "exchange") as client:
        task = request(tmp_path, client)
        client.execute(task)
        until(lambda: begun)
        assert [status.task for status in client.tasks("d")] == [task.task]
        client.cancel(task.task)
        assert ended(client, task.task).state == "cancelled"
        until(lambda: given_up)
        assert client.cancel("0" * 64) is None


def test_another_package_is_named_with_the_setting(tmp_path):
    with client_of(copies, tmp_path / "exchange", "energy.v2") as client:
        task = request(tmp_path, client)
        client.execute(task)
        message = ended(client, task.task).error.message
    assert (
        message
        == "offers no /ContainerExecutor/Execute; set GROUNDTRUTH_EXECUTOR_PACKAGE to the package of its service"
    )


def test_a_service_that_is_down_or_not_serving_is_not_healthy(tmp_path):
    state = health_pb2.HealthCheckResponse.NOT_SERVING
    check = grpc.unary_unary_rpc_method_handler(
        lambda request, context: health_pb2.HealthCheckResponse(status=state),
        health_pb2.HealthCheckRequest.FromString,
        health_pb2.HealthCheckResponse.SerializeToString,
    )
    exchange = ExchangeFolder(tmp_path, str(tmp_path))
    health = grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})
    with (
        listening(health) as port,
        ExecutorClient(endpoint(port), exchange, WORK) as client,
        pytest.raises(TransientError, match="says that it is unhealthy"),
    ):
        client.health()
    with (
        ExecutorClient(endpoint(port), exchange, WORK) as client,
        pytest.raises(TransientError, match="cannot be reached"),
    ):
        client.health()


def test_an_exchange_folder_that_is_not_there_is_named(tmp_path):
    with client_of(copies, tmp_path / "exchange") as client:
        task = request(tmp_path, client)
        (tmp_path / "exchange").rmdir()
        with pytest.raises(GroundtruthError, match=r"exchange.*service analyzer|service analyzer.*exchange"):
            client.execute(task)
