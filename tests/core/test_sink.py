"""Events in files: complete lines from many writers, read once by each reader, whatever was cut off."""

import json
import subprocess
import sys

import pytest

from include.core import sink
from include.core.events import Deferred, Notified, Progress, RunEnded, StepStarted
from include.core.run_folder import Started
from include.core.sink import FILE, FileSink, last_event, read_events

END = RunEnded(status="success", seconds=1)


def words(folder, after=0):
    return [event.words for _, event in read_events(folder, after)]


def test_a_record_replaces_the_earlier_one(tmp_path):
    for attempt in (1, 2):
        started = Started(step="analyze", started_at="2026-01-01T00:00:00Z", attempt=attempt)
        FileSink(tmp_path).keep("steps/analyze/started.json", started)
    assert json.loads((tmp_path / "steps/analyze/started.json").read_text())["attempt"] == 2


def test_events_are_read_in_the_order_in_which_they_were_added_and_from_any_of_them_on(tmp_path):
    for number in range(5):
        FileSink(tmp_path).emit(Notified(subject=str(number)))
    events = list(read_events(tmp_path))
    assert [event.subject for _, event in events] == list("01234")
    assert [event.subject for _, event in read_events(tmp_path, events[2].number)] == ["3", "4"]
    assert list(read_events(tmp_path, events[-1].number)) == []


@pytest.mark.parametrize("after", [1, 10_000, 2**53, 10**20])
def test_a_number_that_no_event_has_reads_all_events(tmp_path, after):
    FileSink(tmp_path).emit(Deferred(step="analyze"))
    assert len(words(tmp_path, after)) == 1


def test_a_run_without_events_has_none(tmp_path):
    assert words(tmp_path) == words(tmp_path / "none") == []


def test_a_line_that_was_cut_off_is_passed_over_and_harms_no_other(tmp_path):
    FileSink(tmp_path).emit(StepStarted(step="one"))
    with (tmp_path / FILE).open("a") as file:
        file.write('{"at": "2026-')
    ((last, _),) = read_events(tmp_path)
    FileSink(tmp_path).emit(Deferred(step="one"))
    FileSink(tmp_path).emit(StepStarted(step="two"))
    assert [event.step for _, event in read_events(tmp_path, last)] == ["one", "two"]


def test_a_line_that_is_being_written_is_read_once_it_is_complete(tmp_path):
    line = Deferred(step="analyze").model_dump_json()
    (tmp_path / FILE).write_text(line[:20])
    assert words(tmp_path) == []
    (tmp_path / FILE).write_text(line + "\n")
    assert len(words(tmp_path)) == 1


def test_an_event_of_a_later_release_is_passed_over(tmp_path):
    (tmp_path / FILE).write_text('{"at": "2026-01-01T00:00:00Z", "kind": "rewarded"}\n')
    FileSink(tmp_path).emit(END)
    assert len(words(tmp_path)) == 1


def test_processes_that_write_at_once_lose_and_mix_nothing(tmp_path):
    program = (
        "import sys; from pathlib import Path; from include.core.sink import FileSink; "
        "from include.core.events import Progress\n"
        "for n in range(300): FileSink(Path(sys.argv[1])).emit(Progress(step=sys.argv[2], text='x' * 400, done=n))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    lines = (tmp_path / FILE).read_bytes().split()  # a writer may close a line that another is writing: an empty line
    events = [event for _, event in read_events(tmp_path)]
    assert len(lines) == len(events) == 900
    for name in "abc":
        assert [event.done for event in events if event.step == name] == list(range(300))


def test_an_event_that_cannot_be_written_is_logged_and_harms_nothing(tmp_path, caplog):
    FileSink(tmp_path / "removed").emit(END)
    assert "run_ended of removed was not recorded: No such file or directory" in caplog.text


def test_events_are_not_written_through_a_link(tmp_path):
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    FileSink(tmp_path).emit(END)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(OSError, match="symbolic links"):
        words(tmp_path)


def test_progress_is_bounded_and_what_happens_is_still_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(sink, "MOST_BYTES", 300)
    for number in range(100):
        FileSink(tmp_path).emit(Progress(step="analyze", text=f"{number} records"))
    FileSink(tmp_path).emit(END)
    assert (tmp_path / FILE).stat().st_size < 600
    assert words(tmp_path)[-1] == END.words


def test_the_last_event_is_read_from_the_end_of_the_file(tmp_path, monkeypatch):
    assert last_event(tmp_path) is None
    for number in range(200):
        FileSink(tmp_path).emit(Notified(subject=str(number)))
    monkeypatch.setattr(sink, "LAST_BYTES", 250)
    assert last_event(tmp_path).subject == "199"
    with (tmp_path / FILE).open("a") as file:
        file.write('{"at": "2026-')
    assert last_event(tmp_path).subject == "199"
