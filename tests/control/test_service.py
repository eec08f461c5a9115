"""A service's tasks: once each, in order of priority, under limits, ended for real, and remembered over a restart."""

import hashlib
import logging
import os
import signal
import time

import pytest

from include.control.models import FileData, InlineData, file_reference
from include.control.service import (
    ConflictError,
    JsonLog,
    Service,
    ServiceSettings,
    UnknownTaskError,
    check_servable,
    operation_of,
)
from include.core.errors import BadInputError, SetupError
from tests.control.serving import ended, until
from tests.control.small_steps import STEPS, MeasureParams, asked

CONTENT = b"value\n1\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def service(tmp_path):
    started = Service(STEPS, ServiceSettings("small", tmp_path / "service"))
    started.start()
    yield started
    for row in started.table.running():
        started.cancel(row.request.task)
    until(lambda: not started.table.running())
    started.stop()


def content(service, data=CONTENT, path="in.csv"):
    """Push a file, and return the reference to it."""
    checksum = hashlib.sha256(data).hexdigest()
    with service.incoming(checksum, len(data)) as incoming:
        incoming.write(data)
        incoming.finish()
    return file_reference(path, checksum, len(data))


def copying(service, **more):
    return asked("copy", inputs=[content(service)], **more)


def test_a_step_runs_as_it_is_and_its_outputs_are_named_by_their_checksums(service):
    request = asked("measure", parameters={"rows": 1})
    assert service.execute(request).state in ("queued", "running")
    assert ended(service, request.task).state == "complete"
    (output,) = service.output(request.task).outputs
    assert (output.path, output.format, output.sha256, output.bytes) == ("in.csv", "csv", SHA, len(CONTENT))
    assert service.file(SHA).read_bytes() == CONTENT
    until(lambda: not (service.settings.folder / "tasks" / request.task).exists())


def test_what_is_asked_twice_runs_once(service):
    request = copying(service)
    service.execute(request)
    ended(service, request.task)
    before = service.table.find(request.task).started_at
    assert service.execute(request).state == "complete"
    assert service.execute(request.model_copy(update={"attempt": 4})).state == "complete"
    assert service.table.find(request.task).started_at == before


def test_a_failed_task_says_why_and_starts_again_for_a_later_attempt_alone(service):
    request = asked("fail", parameters={"rows": 7})
    service.execute(request)
    status = ended(service, request.task)
    assert (status.state, status.error.kind, status.error.message) == ("failed", "bad_input", "rows: 7 is not usable")
    assert service.execute(request).attempt == 1
    assert service.execute(request.model_copy(update={"attempt": 2})).state in ("queued", "running")
    assert ended(service, request.task).attempt == 2


def test_an_id_stands_for_one_request(service):
    request = asked("measure", parameters={"rows": 1})
    service.execute(request)
    with pytest.raises(ConflictError, match="was another request"):
        service.execute(request.model_copy(update={"parameters": {"rows": 2}}))


def test_a_task_ends_with_all_that_it_started_when_it_is_cancelled(service):
    request = copying(service, parameters={"seconds": 60, "child": "yes"})
    service.execute(request)
    note = service.settings.folder / "tasks" / request.task / "scratch" / "scratch" / "child"
    until(lambda: note.exists() and note.read_text())
    child = int(note.read_text())
    service.cancel(request.task)
    status = ended(service, request.task)
    assert (status.state, status.error.message) == ("cancelled", "was cancelled")
    until(lambda: not alive(child))


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_later_generation_cancels_the_earlier_one_and_is_not_replaced_by_it(service):
    old = copying(service, parameters={"seconds": 60})
    service.execute(old)
    new = copying(service, parameters={"seconds": 60}, generation=1)
    service.execute(new)
    assert ended(service, old.task).state == "cancelled"
    with pytest.raises(ConflictError, match="later generation"):
        service.execute(copying(service, parameters={"seconds": 61}))
    service.cancel(new.task)


def test_a_queued_task_is_cancelled_at_once_and_never_starts(service):
    first = copying(service, parameters={"seconds": 60})
    service.execute(first)
    second = asked("measure")
    service.execute(second)
    assert service.cancel(second.task).state == "cancelled"
    service.cancel(first.task)
    assert ended(service, first.task).state == "cancelled"
    assert service.table.find(second.task).started_at is None


def test_the_queue_is_ordered_by_priority_and_then_by_time(tmp_path):
    service = Service(STEPS, ServiceSettings("small", tmp_path))
    priorities = [1 + 7 * number % 10 for number in range(20)]
    for number, priority in enumerate(priorities):
        service.execute(asked("measure", run=f"r{number:02d}", priority=priority))
    order = []
    while (row := service.table.next()) is not None:
        order.append(row.request)
        service.table.start(row.request.task)
    assert [request.keys.run for request in order] == [
        f"r{number:02d}" for number in sorted(range(20), key=lambda number: (-priorities[number], number))
    ]


def test_a_step_is_stopped_at_its_limits_of_time_and_memory(service):
    slow = copying(service, parameters={"seconds": 60}, timeout_seconds=0.7)
    service.execute(slow)
    hog = asked("hog", memory_mb=512)
    service.execute(hog)
    status = ended(service, slow.task)
    assert (status.error.kind, status.state) == ("timeout", "failed")
    assert "limit of 0.7 s" in status.error.message
    assert "MemoryError" in ended(service, hog.task).error.message


def test_a_crash_is_a_named_failure(service):
    request = asked("crash")
    service.execute(request)
    assert ended(service, request.task).error.message.startswith("ended with exit code -6")


def test_a_restart_finds_the_task_that_goes_on_and_the_one_whose_process_was_killed(tmp_path):
    settings = ServiceSettings("small", tmp_path, capacity=2)
    first = Service(STEPS, settings)
    first.start()
    lasting = copying(first, parameters={"seconds": 1.5})
    killed = copying(first, parameters={"seconds": 60}, run="killed")
    for request in (lasting, killed):
        first.execute(request)
        until(lambda request=request: first.table.find(request.task).pid)
    first.stop()
    first.table.end = lambda *how: False  # as if its process had been killed before it could notice
    os.kill(first.table.find(killed.task).pid, signal.SIGKILL)
    second = Service(STEPS, settings)
    second.start()
    status = ended(second, killed.task)
    assert (status.state, status.error.kind) == ("failed", "transient")
    assert "killed" in status.error.message
    assert ended(second, lasting.task).state == "complete"
    second.stop()


def test_a_restart_starts_a_task_that_was_about_to_start(tmp_path):
    settings = ServiceSettings("small", tmp_path / "service")
    request, dead = asked("measure", parameters={"rows": 1}), Service(STEPS, settings)
    dead.execute(request)
    dead.table.start(request.task)
    dead.table.close()
    after = Service(STEPS, settings)
    after.start()
    assert ended(after, request.task).state == "complete"
    after.stop()


def test_what_cannot_run_is_refused_before_anything_starts(service):
    with pytest.raises(BadInputError, match="no operation divine; this service offers copy"):
        service.execute(asked("measure").model_copy(update={"operation": "divine"}))
    with pytest.raises(BadInputError, match="rows"):
        service.execute(asked("measure", parameters={"rows": "many"}))
    with pytest.raises(SetupError, match="version 1 here, and version 9"):
        service.execute(asked("measure").model_copy(update={"version": "9"}))
    with pytest.raises(BadInputError, match="must be pushed"):
        service.execute(asked("copy", inputs=[file_reference("in.csv", "0" * 64, 1)]))
    assert service.health().queued == service.health().running == 0
    with pytest.raises(UnknownTaskError):
        service.status("0" * 64)
    with pytest.raises(UnknownTaskError):
        service.file("0" * 64)


def test_an_input_may_come_inside_the_message_or_from_a_declared_mount(tmp_path):
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "file.csv").write_bytes(CONTENT)
    (tmp_path / "secret.csv").write_bytes(CONTENT)
    (tmp_path / "mount" / "link.csv").symlink_to(tmp_path / "secret.csv")
    service = Service(STEPS, ServiceSettings("small", tmp_path / "s", mounts={"m": tmp_path / "mount"}))
    stated = {"path": "in.csv", "format": "csv", "bytes": len(CONTENT), "sha256": SHA}
    inline = InlineData.model_validate_json(InlineData(**stated, content=b"dmFsdWUKMQo=").model_dump_json())
    service.execute(asked("copy", inputs=[inline]))
    service.execute(asked("copy", inputs=[FileData(**stated, mount="m", uri="file.csv")], run="mounted"))
    assert service.file(SHA).read_bytes() == CONTENT
    for mount, uri in (("m", "link.csv"), ("m", "none.csv"), ("other", "file.csv")):
        with pytest.raises(BadInputError, match="mount"):
            service.execute(asked("copy", inputs=[FileData(**stated, mount=mount, uri=uri)], run="bad"))


def test_old_tasks_and_files_are_forgotten(tmp_path):
    service = Service(STEPS, ServiceSettings("small", tmp_path, keep_seconds=0))
    content(service)
    service.execute(asked("measure"))
    service.cancel(asked("measure").task)
    time.sleep(0.01)
    service._prune()
    assert list(service.content.folder.iterdir()) == []
    assert service.table.find(asked("measure").task) is None


def test_a_service_describes_its_steps():
    operation = operation_of(STEPS["copy"])
    assert (operation.name, operation.reads, operation.writes) == ("copy", ["in.csv"], ["out.csv"])
    assert operation_of(STEPS["measure"]).parameters == MeasureParams.model_json_schema()


def test_a_step_that_needs_the_worker_is_not_served():
    from dataclasses import replace

    check_servable(STEPS.values())
    with pytest.raises(BadInputError, match="cannot be served"):
        check_servable([replace(STEPS["copy"], in_worker=True)])


def test_a_line_of_the_log_names_dag_run_step_and_task():
    record = logging.LogRecord("service", logging.INFO, "f", 1, "Starts", (), None)
    record.keys = {"dag": "d", "run": "r", "step": "s", "task": "t"}
    line = JsonLog().format(record)
    assert '"event": "Starts"' in line
    assert '"dag": "d", "run": "r", "step": "s", "task": "t"' in line
