"""A step as a program: what its environment says goes in, and its exit code tells the kind of a fault."""

import json
from pathlib import Path

import pytest

from include.core.contracts import Step
from include.core.errors import BY_EXIT_CODE, BadInputError, GroundtruthError, SetupError, TransientError
from include.core.process import exit_error
from include.core.step_program import run_step_main
from tests.core.small_pipeline import MEASURE, Params


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run a function as a step's program: exit code and what it said on stderr."""

    def run(function, params: str | None = None) -> tuple[int, str]:
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        if params is not None:
            monkeypatch.setenv("STEP_PARAMS", params)
        monkeypatch.setattr(Step, "load", lambda step: function)
        code = run_step_main(MEASURE)
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return run


def raising(error: BaseException):
    def function(files: Path, params: Params) -> None:
        raise error

    return function


def test_a_step_gets_its_folder_and_its_parameters_from_the_environment(run, tmp_path):
    seen = []
    assert run(lambda files, params: seen.append((files, params)), json.dumps({"factor": 3})) == (0, "")
    assert seen == [(tmp_path, Params(factor=3))]


def test_without_parameters_the_defaults_hold(run, monkeypatch):
    monkeypatch.delenv("STEP_PARAMS", raising=False)
    seen = []
    run(lambda files, params: seen.append(params))
    assert seen == [Params()]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadInputError("meter.csv: line 3\n  is odd"), 65, "error: meter.csv: line 3 is odd\n"),
        (SetupError("no image"), 78, "error: no image\n"),
        (TransientError("429"), 75, "error: 429\n"),
        (GroundtruthError("no"), 1, "error: no\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (
            OSError(28, "No space left on device"),
            78,
            "error: the disk is full: free some space and run again ([Errno 28] No space left on device)\n",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_fault_is_one_line_and_an_exit_code_from_which_the_same_fault_is_made_again(run, error, code, said):
    assert run(raising(error)) == (code, said)
    again = exit_error(code, said.strip())
    assert type(again) is BY_EXIT_CODE[code]
    assert str(again) == said.removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ('{"factor": -1, "fctor": 2}', "factor: Input should be greater than 0 (got -1); fctor: Extra inputs are not"),
        ("{", "parameters: Invalid JSON"),
    ],
)
def test_impossible_parameters_are_bad_input(run, params, said):
    code, message = run(raising(AssertionError("the step must not run")), params)
    assert code == 65
    assert message.startswith(f"error: {said}")


def test_a_bug_keeps_its_traceback(run):
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()))
