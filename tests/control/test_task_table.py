"""The tasks of a service survive its process, and change only as they may."""

from include.control.models import Fault, HttpData, file_reference
from include.control.task_table import TaskTable
from tests.control.small_steps import asked

REQUEST = asked("measure", parameters={"rows": 1})
FAULT = Fault(kind="transient", message="lost")
OUTPUT: HttpData = file_reference("in.csv", "1" * 64, 7)


def test_a_task_is_read_back_as_it_was_written_by_another_process(tmp_path):
    file = tmp_path / "folder" / "tasks.sqlite"
    table = TaskTable(file)
    table.queue(REQUEST, "v1")
    assert table.start(REQUEST.task)
    assert not table.start(REQUEST.task)
    table.note_process(REQUEST.task, 42)
    table.close()
    again = TaskTable(file)
    (row,) = again.running()
    assert (row.request, row.version, row.pid, row.cancelled, row.state) == (REQUEST, "v1", 42, False, "running")
    again.note_cancel(REQUEST.task)
    assert again.find(REQUEST.task).cancelled
    assert again.end(REQUEST.task, "complete", outputs=[OUTPUT])
    assert not again.end(REQUEST.task, "failed", FAULT), "an end does not change"
    row = again.find(REQUEST.task)
    assert (row.state, row.outputs, row.fault) == ("complete", (OUTPUT,), None)


def test_a_later_attempt_takes_the_place_of_a_failed_one(tmp_path):
    table = TaskTable(tmp_path / "tasks.sqlite")
    table.queue(REQUEST, "v1")
    table.end(REQUEST.task, "failed", FAULT)
    assert table.find(REQUEST.task).fault == FAULT
    table.queue(REQUEST.model_copy(update={"attempt": 2}), "v2")
    row = table.find(REQUEST.task)
    assert (row.state, row.request.attempt, row.version, row.fault) == ("queued", 2, "v2", None)


def test_a_task_that_was_about_to_start_is_queued_again(tmp_path):
    table = TaskTable(tmp_path / "tasks.sqlite")
    table.queue(REQUEST, "v1")
    table.start(REQUEST.task)
    table.queue_again(REQUEST.task)
    assert (table.next().request, table.running(), table.next().started_at) == (REQUEST, [], None)


def test_what_goes_on_is_found_by_deployment_and_by_keys(tmp_path):
    table = TaskTable(tmp_path / "tasks.sqlite")
    older, other = REQUEST, asked("measure", run="another")
    newer = asked("measure", generation=1)
    for request in (older, other):
        table.queue(request, "v1")
    assert [row.request for row in table.others(newer)] == [older]
    assert table.others(older) == []
    assert {row.request.task for row in table.going_on("d")} == {older.task, other.task}
    assert table.going_on("e") == []
    assert table.counts() == {("measure", "queued"): 2}
    table.end(older.task, "cancelled", FAULT)
    assert table.prune(before=0) == 0
    assert table.prune(before=2e10) == 1
    assert table.find(older.task) is None
    assert table.next().request == other
