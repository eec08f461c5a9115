"""A confined command writes to its folders alone, and nothing of it runs on."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from include.core import confinement
from include.core.confinement import END_ALL, can_confine, landlock_abi, main, reaper_command, restrict_writes
from tests.prerequisites import need


def reap(script: str, folder: Path, writable: list[Path] | None = None, **kwargs) -> subprocess.Popen[str]:
    return subprocess.Popen(
        reaper_command(["sh", "-c", script], writable, 2),
        cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True, **kwargs,
    )  # fmt: skip


def run(script: str, folder: Path, writable: list[Path] | None = None) -> tuple[int, str]:
    process = reap(script, folder, writable)
    out, _ = process.communicate(timeout=20)
    return process.returncode, out


def test_the_kernel_says_which_landlock_it_has(monkeypatch):
    assert can_confine() == (landlock_abi() >= confinement.TRUNCATE_ABI)
    monkeypatch.setattr(confinement, "landlock_abi", lambda: confinement.TRUNCATE_ABI - 1)
    assert not can_confine()


@pytest.fixture
def place(tmp_path):
    """`own`, which the command may write, and `sealed` beside it."""
    need(can_confine(), "Landlock", "use a kernel from 6.2 on with Landlock enabled")
    (tmp_path / "own").mkdir()
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "artifact").write_text("sealed")
    (tmp_path / "own" / "input").symlink_to(tmp_path / "sealed" / "artifact")
    return tmp_path


@pytest.mark.parametrize(
    "harm",
    [
        "echo x > input",
        "echo x >> ../sealed/artifact",
        "truncate -s 0 input",
        "chmod 666 input && echo x > input",
        "chmod 666 ../sealed/artifact && truncate -s 0 ../sealed/artifact",
        "rm ../sealed/artifact",
        "mv ../sealed/artifact mine",
        "ln ../sealed/artifact mine && echo x > mine",
        "touch ../sealed/new",
        "mkdir ../sealed/new",
        "ln -s / ../sealed/new",
        "mv ../sealed ../gone",
        "sh -c 'cd /tmp && touch outside'",
    ],
)
def test_a_confined_command_writes_nowhere_else(place, harm):
    code, _ = run(harm, place / "own", [place / "own"])
    assert code != 0
    assert (place / "sealed" / "artifact").read_text() == "sealed"
    assert [path.name for path in (place / "sealed").iterdir()] == ["artifact"]


def test_a_confined_command_reads_its_inputs_and_writes_its_outputs(place):
    script = "cat input > out && mkdir sub && mv out sub/ && ln -s x link && echo >/dev/null && cat sub/out"
    assert run(script, place / "own", [place / "own"]) == (0, "sealed")


def test_of_the_devices_a_confined_command_writes_those_without_content_and_shared_memory(place):
    allowed = "echo x > /dev/null && touch /dev/shm/$$ && rm /dev/shm/$$"
    assert run(allowed, place / "own", [place / "own"])[0] == 0
    assert run(f"touch /dev/groundtruth-{os.getpid()}", place / "own", [place / "own"])[0] != 0


def test_a_confined_command_reaches_no_abstract_socket_of_others(place):
    need(landlock_abi() >= confinement.SIGNAL_ABI, "Landlock of version 6", "use a kernel from 6.12 on")
    name = f"groundtruth-{os.getpid()}"
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')"
    command = f'{sys.executable} -c "{connect}"'
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        assert run(command, place / "own")[0] == 0, "without Landlock it does"
        assert run(command, place / "own", [place / "own"])[0] != 0


def test_a_confined_command_cannot_signal_the_orchestrator(place):
    need(landlock_abi() >= confinement.SIGNAL_ABI, "Landlock's signal scope", "use a kernel from 6.12 on")
    assert run(f"kill -0 {os.getpid()}", place / "own", [place / "own"])[0] != 0


def test_restricting_holds_for_the_process_itself_and_for_ever(place):
    code = (
        "import sys; from include.core.confinement import restrict_writes; restrict_writes([sys.argv[1]])\n"
        "try: restrict_writes(['/'])\nexcept OSError: pass\n"
        "open(sys.argv[1] + '/mine', 'w')\n"
        "try: open(sys.argv[2], 'w')\nexcept PermissionError: print('forbidden')"
    )
    command = [sys.executable, "-c", code, place / "own", place / "sealed/artifact"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout == "forbidden\n"
    assert restrict_writes is confinement.restrict_writes


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9), ("kill -15 $$", -15), ("kill -6 $$", -6)]
)
def test_the_reaper_ends_as_the_command_did(tmp_path, script, code):
    assert run(script, tmp_path)[0] == code


@pytest.mark.parametrize(
    "leave",
    [
        "sleep 60 & echo $! > pid",
        "setsid sleep 60 >/dev/null 2>&1 & echo $! > pid",
        "setsid sh -c 'echo $$ > pid; trap \"\" TERM; while :; do sleep 1; done' >/dev/null 2>&1 & sleep 0.3",
        "(setsid sh -c '(setsid sleep 60 & echo $! > pid) &' &); sleep 0.3",
    ],
    ids=["background", "daemon", "stubborn daemon", "daemon's daemon"],
)
def test_nothing_that_a_command_left_runs_when_the_reaper_has_ended(tmp_path, leave):
    began = time.monotonic()
    assert run(leave, tmp_path)[0] == 0
    assert time.monotonic() - began < 10
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_command_that_ignores_every_request_is_ended_with_all_that_it_started(tmp_path):
    process = reap("trap '' TERM INT; setsid sleep 60 & echo $! > pid; while :; do sleep 0.1; done", tmp_path)
    wait_for(tmp_path / "pid")
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(END_ALL)
    assert process.wait(10) == -signal.SIGKILL
    process.communicate()
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_a_program_that_cannot_be_started_reports_the_error_number(tmp_path):
    reader, writer = os.pipe()
    command = reaper_command(["no-such-program"], None, writer)
    process = subprocess.Popen(command, cwd=tmp_path, pass_fds=(writer,))
    os.close(writer)
    with os.fdopen(reader, "rb") as status:
        assert status.read() == b"2"
    assert process.wait(10) == 127


def test_the_program_of_the_reaper_takes_its_arguments_as_json(tmp_path):
    *_, program, arguments = reaper_command(["true"], [tmp_path], 5)
    assert (Path(program).name, json.loads(arguments)) == ("confinement.py", [["true"], [str(tmp_path)], 5])
    assert callable(main)
