"""A definition's command runs under the contract that containers have: environment, live output, exit code, an end."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from include.core import output, process
from include.core.contracts import Step
from include.core.errors import (
    BY_EXIT_CODE,
    BadInputError,
    GroundtruthError,
    InterruptedStepError,
    SetupError,
    TransientError,
)
from include.core.process import (
    exit_error,
    main,
    read_line,
    run_command,
    run_step_main,
    step_environment,
)
from include.core.work_folder import WorkFolder
from tests.core.small_pipeline import ANALYZE, MEASURE, Params

STEPS = {"measure": MEASURE, "analyze": replace(ANALYZE, mapped=True)}


def shell(script: str, files: Path, log=lambda line: None) -> None:
    run_command(["sh", "-c", script], WorkFolder(files), Params(), log)


def alive(pid_file: Path) -> bool:
    """Whether the process that wrote its id there still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid_file: Path) -> bool:
    deadline = time.monotonic() + 2
    while alive(pid_file) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid_file)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 5
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.005)


def test_a_command_finds_its_folder_and_its_parameters(tmp_path):
    said: list[str] = []
    shell('pwd; echo "$DATA_DIR"; echo "$STEP_PARAMS"; test -n "$PATH"', tmp_path, said.append)
    assert said == [str(tmp_path), str(tmp_path), json.dumps({"factor": 2.0})]


SECRETS = {
    "SH_CLIENT_SECRET": "s3cret", "AIRFLOW_CONN_SENTINEL_HUB": "http://u:p@h", "AIRFLOW__CORE__FERNET_KEY": "key",
    "GROUNDTRUTH_SENTINEL_HUB_URL": "http://u:p@h", "MLFLOW_TRACKING_URI": "http://u:p@h", "AWS_SECRET_ACCESS_KEY": "x",
    "https_proxy": "http://u:p@proxy", "MY_SERVICE_TOKEN": "x",
}  # fmt: skip


def test_a_command_inherits_no_secret_of_the_worker(tmp_path, monkeypatch):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_NUMERIC", "C")
    said: list[str] = []
    shell("env", tmp_path, said.append)
    names = {line.partition("=")[0] for line in said}
    assert not names & set(SECRETS)
    assert {"PATH", "DATA_DIR", "STEP_PARAMS", "LC_NUMERIC"} <= names


def test_a_command_gets_the_variables_that_its_definition_names(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "abc")
    said: list[str] = []
    command, names = ["sh", "-c", 'echo "$MY_SERVICE_TOKEN$HOW"'], {"MY_SERVICE_TOKEN": None, "HOW": "-fixed"}
    run_command(command, WorkFolder(tmp_path), Params(), said.append, variables=names)
    assert said == ["abc-fixed"]
    monkeypatch.delenv("MY_SERVICE_TOKEN")
    with pytest.raises(SetupError, match=r"^MY_SERVICE_TOKEN: not set in the environment of the Airflow worker"):
        run_command(command, WorkFolder(tmp_path), Params(), said.append, variables=names)


def test_a_secret_is_hidden_in_the_log_and_in_the_error(tmp_path):
    said: list[str] = []
    command = ["sh", "-c", 'echo "token=$TOKEN"; echo "error: $TOKEN was refused"; exit 1']
    with pytest.raises(GroundtruthError, match=r"^\*\*\* was refused$"):
        run_command(command, WorkFolder(tmp_path), Params(), said.append, None, {"TOKEN": "s3cret"}, ["s3cret"])
    assert said == ["token=***", "error: *** was refused"]


def test_a_line_without_an_end_comes_in_pieces(tmp_path, monkeypatch):
    """Read as one, it would fill the worker's memory."""
    monkeypatch.setattr(output, "LONGEST_LINE", 1000)
    said: list[str] = []
    shell("head -c 2500 /dev/zero | tr '\\0' x; echo; echo end", tmp_path, said.append)
    assert [len(line) for line in said] == [1000, 1000, 500, 3]


def test_a_command_has_nobody_to_ask(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, b"somebody\n")
    os.close(writer)
    own = os.dup(0)
    os.dup2(reader, 0)
    said: list[str] = []
    try:
        shell('read answer || answer=nobody; echo "$answer"', tmp_path, said.append)
    finally:
        os.dup2(own, 0)
        os.close(own)
        os.close(reader)
    assert said == ["nobody"]


def test_its_output_comes_line_by_line_while_it_runs(tmp_path):
    """The command goes on only after its first line was seen."""
    said: list[str] = []

    def log(line: str) -> None:
        said.append(line)
        (tmp_path / "seen").touch()

    shell("echo one; while [ ! -e seen ]; do sleep 0.01; done; echo two >&2; printf 'thr\\377ee'", tmp_path, log)
    assert said == ["one", "two", "thr\ufffdee"]


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ("exit 3", GroundtruthError, "ended with exit code 3; it printed nothing"),
        ("echo working; echo; exit 3", GroundtruthError, "ended with exit code 3; its last line: working"),
        ("echo 'error: no meter'; exit 65", BadInputError, "no meter"),
        ("echo 'error: the disk is full'; exit 78", SetupError, "the disk is full"),
        ("echo 'error: quota' >&2; exit 75", TransientError, "quota"),
        ("echo 'error: stopped'; exit 130", InterruptedStepError, "stopped"),
        ("echo 'error: what it says'; exit 3", GroundtruthError, "what it says"),
        ("echo 'error: x'; echo bye; exit 65", BadInputError, "ended with exit code 65; its last line: bye"),
        ("kill -9 $$", GroundtruthError, "ended with exit code -9; it printed nothing"),
    ],
)  # fmt: skip
def test_an_exit_code_and_the_last_line_become_an_error_of_their_kind(tmp_path, script, kind, message):
    with pytest.raises(GroundtruthError) as error:
        shell(script, tmp_path)
    assert type(error.value) is kind
    assert str(error.value) == message


def test_an_error_line_of_a_command_that_ends_well_is_no_error(tmp_path):
    shell("echo 'error: only talk'", tmp_path)


def test_an_endless_last_line_is_shortened():
    assert len(str(exit_error(1, "x" * 10_000))) < 400


@pytest.mark.parametrize(("command", "why"), [("no-such-program", "No such file"), ("./not-a-program", "Permission")])
def test_a_command_that_cannot_be_started_is_named(tmp_path, command, why):
    (tmp_path / "not-a-program").write_text("text")
    with pytest.raises(SetupError, match=rf"^{command}: cannot be run on this machine: {why}"):
        run_command([command], WorkFolder(tmp_path), Params(), lambda line: None)


def test_what_a_command_leaves_running_ends_with_it(tmp_path):
    """As in a container; and a child that holds the output open does not keep the step waiting."""
    began = time.monotonic()
    shell("sleep 60 & echo $! > loud; (sleep 60 >/dev/null 2>&1 & echo $! > quiet); echo done", tmp_path)
    assert time.monotonic() - began < 5
    assert gone(tmp_path / "loud")
    assert gone(tmp_path / "quiet")


@pytest.fixture
def interrupt(tmp_path):
    """Ask this process to stop as soon as the command has written `ready`."""

    def ask() -> None:
        wait_for(tmp_path / "ready")
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    asker = threading.Thread(target=ask)
    asker.start()
    yield
    asker.join()
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupt")
def test_an_interrupt_stops_a_command_and_all_that_it_started(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        shell("sleep 60 & echo $! > grandchild; echo $$ > child; echo yes > ready; wait", tmp_path)
    assert gone(tmp_path / "child")
    assert gone(tmp_path / "grandchild")


@pytest.mark.usefixtures("interrupt")
def test_a_command_has_time_to_tidy_up_when_it_is_stopped(tmp_path):
    tidy = "trap 'echo tidy > tidied; exit 1' TERM; echo yes > ready; while :; do sleep 0.01; done"
    with pytest.raises(KeyboardInterrupt):
        shell(tidy, tmp_path)
    assert (tmp_path / "tidied").read_text() == "tidy\n"


@pytest.mark.usefixtures("interrupt")
def test_a_command_that_will_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "STOP_SECONDS", 0.1)
    stubborn = (
        "import os, pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "pathlib.Path('child').write_text(str(os.getpid())); pathlib.Path('ready').write_text('yes'); time.sleep(60)"
    )
    with pytest.raises(KeyboardInterrupt):
        run_command([sys.executable, "-c", stubborn], WorkFolder(tmp_path), Params(), lambda line: None)
    assert gone(tmp_path / "child")


def test_a_log_that_fails_stops_the_command_too(tmp_path):
    def log(line: str) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        shell("echo $$ > child; echo hello; sleep 60", tmp_path, log)
    assert gone(tmp_path / "child")


# ── a step as a program ──────────────────────────────────────────────────────────────────────────────────────────────


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


@pytest.mark.parametrize(
    ("arguments", "step"),
    [(["measure"], "measure"), (["analyze", "7"], "analyze.007")],
)
def test_a_step_is_started_by_its_id_and_an_instance_also_by_its_number(monkeypatch, arguments, step):
    monkeypatch.setattr(sys, "argv", ["weather", *arguments])
    started = []
    monkeypatch.setattr(process, "run_step_main", lambda step: started.append(step.id) or 65)
    assert main("include.weather", STEPS) == 65
    assert started == [step]


@pytest.mark.parametrize("arguments", [[], ["other"], ["measure", "7"], ["analyze"], ["analyze", "first"]])
def test_another_command_line_is_answered_with_the_steps_there_are(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["weather", *arguments])
    with pytest.raises(SystemExit, match=r"usage: python -m include\.weather measure\|analyze INDEX"):
        main("include.weather", STEPS)


# ── the log of a step ────────────────────────────────────────────────────────────────────────────────────────────────

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
def run_body(tmp_path, monkeypatch):
    """Run a step's body as a program; its exit code, its stdout, and the lines of its stderr."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))

    def run_body(body, task=None):
        environment = os.environ | step_environment(str(tmp_path), Params(), task)
        done = subprocess.run(program(body), env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr.splitlines()

    return run_body


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
def test_whatever_a_task_s_step_says_is_json_with_the_task_s_keys(run_body, body, level, event, logger):
    code, out, lines = run_body(body, TASK)
    assert (code, out) == (0, "")
    record = json.loads(lines[-1])
    assert record["timestamp"].endswith("Z")
    assert (record["level"], record["logger"]) == (level, logger)
    assert event in record["event"]
    assert {name: record[name] for name in TASK} == TASK


def test_a_fault_stays_the_task_s_error(run_body):
    code, _, lines = run_body("raise BadInputError('meter.csv: line 3\\n is odd')", TASK)
    assert json.loads(lines[-1])["level"] == "error"
    error = exit_error(code, lines[-1])
    assert (type(error), str(error)) == (BadInputError, "meter.csv: line 3 is odd")


def test_a_bug_is_one_line_too_and_keeps_its_traceback(run_body):
    code, _, lines = run_body("1 / 0", TASK)
    [line] = [json.loads(line) for line in lines]
    assert "in step" in line["exception"]
    error = exit_error(code, lines[-1])
    assert type(error) is GroundtruthError
    assert str(error) == "ended with exit code 1; its last line: ZeroDivisionError: division by zero"


def test_started_by_hand_a_step_speaks_plainly(run_body):
    assert run_body("print('3 scenes'); raise BadInputError('odd')") == (65, "3 scenes\n", ["error: odd"])


def test_a_local_command_gets_its_task_s_keys(tmp_path):
    heard: list[str] = []
    command = [sys.executable, "-c", "import os; print(os.environ['STEP_LOG'])"]
    run_command(command, WorkFolder(tmp_path), Params(), heard.append, TASK)
    assert [json.loads(line) for line in heard] == [TASK]


def line(**changed):
    record = {"timestamp": "2026-01-01T00:00:00+00:00", "level": "warning", "event": "odd", "logger": "scenes", **TASK}
    return json.dumps(record | changed)


def test_a_line_is_read_with_its_level_and_its_own_keys():
    record = read_line(line(scenes=3))
    assert record is not None
    assert (record.level, record.event) == (logging.WARNING, "odd")
    assert record.more == {"timestamp": "2026-01-01T00:00:00+00:00", "logger": "scenes", "scenes": 3}


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
    assert text[:300] in str(exit_error(1, text))


def test_a_program_cannot_speak_for_another_task_nor_with_keys_that_a_logger_acts_on():
    record = read_line(line(dag_id="other", exc_info=True, stack_info=True, _record=1))
    assert record is not None
    assert set(record.more) == {"timestamp", "logger"}
