"""`./pipeline watch`: which run, its events as they happen, and how it ends."""

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from include.cli import watch as module
from include.cli.app import app
from include.cli.watch import find_run, follow, line, watch
from include.core.errors import BadInputError
from include.core.events import Failed, Notified, Proven, RunEnded, RunStarted, StepStarted
from include.core.run_folder import RunFolder
from include.reporting.report import build_report, write_report
from tests.reporting.runs import NOW, good_run, plan

END = RunEnded(status="success", seconds=3)


@pytest.fixture
def run(data_dir):
    """A run that Airflow is running."""
    folder = RunFolder.of(data_dir, "energy_pipeline", "scheduled__2026-03-01")
    plan(folder, run_id="scheduled__2026-03-01")
    folder.sink.emit(RunStarted(pipeline="energy", steps=3))
    return folder


@pytest.fixture
def unhurried(monkeypatch):
    """Let a run count as silent at once."""
    monkeypatch.setattr(module, "YOUNG_SECONDS", 0)


def watched(folder, **options):
    out, err = Console(file=io.StringIO(), width=200), Console(file=io.StringIO(), width=200)
    code = watch(folder.path, as_json=False, out=out, err=err, **options)
    return code, out.file.getvalue(), err.file.getvalue()


def test_events_come_as_they_happen_until_the_run_ends(run):
    happens = iter([StepStarted(step="generate"), Proven(step="generate", seconds=2), END, Notified(subject="late")])
    events = list(follow(run.path, sleep=lambda _: run.sink.emit(next(happens))))
    assert [event.kind for event in events] == ["run_started", "step_started", "proven", "run_ended"]


def test_a_run_that_was_cleared_is_watched_to_its_second_end(run):
    for event in (END, StepStarted(step="generate", attempt=2)):
        run.sink.emit(event)
    events = list(follow(run.path, sleep=lambda _: run.sink.emit(END)))
    assert [event.kind for event in events] == ["run_started", "run_ended", "step_started", "run_ended"]


def test_the_exit_code_is_that_of_the_run_and_each_event_is_a_line(run):
    run.sink.emit(Failed(step="generate", cause="error", message="no [red]rows\x1b[2J"))
    run.sink.emit(RunEnded(status="failed", seconds=3, message="no rows"))
    code, out, err = watched(run)
    assert code == 1
    assert [text[9:] for text in out.splitlines()] == [
        "run of energy started: 3 steps",
        "generate: failed: no [red]rows\\x1b[2J",
        "run ended after 3.0 s: failed: no rows",
    ]
    assert err == ""


def test_a_run_of_an_earlier_release_says_so_and_ends_with_its_result(data_dir, unhurried):
    folder = good_run(data_dir)
    write_report(folder, build_report(folder, now=NOW))
    (folder.path / "events.jsonl").unlink()
    code, out, err = watched(folder)
    assert (code, out) == (0, "")
    assert "ended (success); no event says so" in err


def test_a_run_of_the_command_line_that_was_killed_is_not_waited_for(data_dir, unhurried):
    folder = RunFolder.of(data_dir, "energy_pipeline", "cli__1")
    plan(folder, run_id="cli__1")
    code, _, err = watched(folder)
    assert code == 1
    assert "the run cli__1 was killed: nothing runs it, and it has no report" in err


def test_a_run_is_found_by_its_id_its_beginning_its_folder_or_its_pipeline(run, data_dir):
    for name in ("scheduled__2026-03-01", "sched", "2026-03", str(run.path), "energy", None):
        assert find_run(name) == run.path, name


def test_a_beginning_of_several_runs_names_them(run, data_dir):
    other = RunFolder.of(data_dir, "energy_pipeline", "scheduled__2026-03-011")
    plan(other, run_id="scheduled__2026-03-011")
    assert find_run("scheduled__2026-03-01") == run.path, "an id in full is no beginning"
    with pytest.raises(BadInputError, match=r"2 runs begin with 2026-03: scheduled__2026-03-01\d?, scheduled"):
        find_run("2026-03")


def test_an_unknown_run_is_refused_in_words(run):
    result = CliRunner().invoke(app, ["watch", "nothing"])
    assert result.exit_code == 2
    assert "there is no run named nothing" in result.stderr
    assert "./pipeline runs lists the runs" in result.stderr


def test_json_is_a_line_an_event(run):
    run.sink.emit(END)
    result = CliRunner().invoke(app, ["watch", "--json"])
    assert result.exit_code == 0
    assert [json.loads(text)["kind"] for text in result.stdout.splitlines()] == ["run_started", "run_ended"]


def test_ctrl_c_ends_watching(run, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupted)
    monkeypatch.setattr(follow, "__defaults__", (interrupted,))
    assert CliRunner().invoke(app, ["watch"]).exit_code == 130


def test_a_line_states_time_step_and_what_happened():
    printed = io.StringIO()
    Console(file=printed, width=200).print(line(StepStarted(step="generate", attempt=2)))
    assert printed.getvalue().endswith(" generate: started (attempt 2)\n")
