"""What a step says: JSON with its task's keys where a task started it, plain text where a person did."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.core.errors import BadInputError, GroundtruthError
from include.core.process import exit_error, run_command, step_environment
from include.core.step_log import event_of, read_line
from tests.core.small_pipeline import Params

TASK = {"dag_id": "d", "run_id": 'manual__"1"', "task_id": "measure", "map_index": -1, "try_number": 2}
PROGRAM = """
import logging, sys, warnings
from include.core.contracts import Step
from include.core.errors import BadInputError
from include.core.process import run_step_main
from tests.core.small_pipeline import MEASURE

def step(files, params):
    {body}

Step.load = lambda self: step
sys.exit(run_step_main(MEASURE))
"""


def program(body):
    return [sys.executable, "-c", PROGRAM.format(body=body)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a step's body as a program; its exit code, its stdout, and the lines of its stderr."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def run(body, task=None):
        environment = os.environ | step_environment(str(tmp_path), Params(), task)
        done = subprocess.run(program(body), env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr.splitlines()

    return run


@pytest.mark.parametrize(
    ("body", "level", "event", "logger"),
    [
        ("logging.getLogger('scenes').info('%d scenes in Köln', 3)", "info", "3 scenes in Köln", "scenes"),
        ("logging.getLogger('scenes').debug('not asked for'); print('half', end=' '); print('a line')", "info",
         "half a line", "step"),
        ("sys.stderr.write('no newline')", "warning", "no newline", "step"),
        ("warnings.warn('old', stacklevel=1)", "warning", "UserWarning: old", "py.warnings"),
    ],
)  # fmt: skip
def test_whatever_a_task_s_step_says_is_json_with_the_task_s_keys(run, body, level, event, logger):
    code, out, lines = run(body, TASK)
    assert (code, out) == (0, "")
    found = json.loads(lines[-1])
    assert found["timestamp"].endswith("Z")
    assert (found["level"], found["logger"]) == (level, logger)
    assert event in found["event"]
    assert {name: found[name] for name in TASK} == TASK


def test_a_fault_stays_the_task_s_error(run):
    code, _, lines = run("raise BadInputError('meter.csv: line 3\\n is odd')", TASK)
    assert json.loads(lines[-1])["level"] == "error"
    error = exit_error(code, lines[-1])
    assert (type(error), str(error)) == (BadInputError, "meter.csv: line 3 is odd")


def test_a_bug_is_one_line_too_and_keeps_its_traceback(run):
    code, _, lines = run("1 / 0", TASK)
    [line] = [json.loads(line) for line in lines]
    assert "in step" in line["exception"]
    error = exit_error(code, lines[-1])
    assert type(error) is GroundtruthError
    assert str(error) == "ended with exit code 1; its last line: ZeroDivisionError: division by zero"


def test_started_by_hand_a_step_speaks_plainly(run):
    assert run("print('3 scenes'); raise BadInputError('odd')") == (65, "3 scenes\n", ["error: odd"])


def test_a_local_command_gets_its_task_s_keys(tmp_path):
    heard: list[str] = []
    command = [sys.executable, "-c", "import os; print(os.environ['STEP_LOG'])"]
    run_command(command, tmp_path, Params(), heard.append, TASK)
    assert [json.loads(line) for line in heard] == [TASK]


def line(**changed):
    found = {"timestamp": "2026-01-01T00:00:00+00:00", "level": "warning", "event": "odd", "logger": "scenes", **TASK}
    return json.dumps(found | changed)


def test_a_line_is_read_with_its_level_and_its_own_keys():
    found = read_line(line(scenes=3))
    assert found is not None
    assert (found.level, found.event) == (logging.WARNING, "odd")
    assert found.more == {"timestamp": "2026-01-01T00:00:00+00:00", "logger": "scenes", "scenes": 3}


@pytest.mark.parametrize(
    "text",
    [
        "3 scenes", "", "{", "{}", "[1]", '{"event": "odd"}', "{" * 100_000,
        line(level="loud"), line(level=3), line(event={}), line(timestamp="soon"), line(timestamp=1),
        line(**{"a b": 1}),
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_anything_else_is_text_as_it_is(text):
    assert read_line(text) is None
    assert event_of(text) == text


def test_a_program_cannot_speak_for_another_task_nor_with_keys_that_a_logger_acts_on():
    found = read_line(line(dag_id="other", exc_info=True, stack_info=True, _record=1))
    assert found is not None
    assert set(found.more) == {"timestamp", "logger"}
