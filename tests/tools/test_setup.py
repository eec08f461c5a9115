"""What the set-up keeps secret: keys, passwords and connections are for their owner, also in an older set-up."""

import fcntl
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
case "$*" in
  *Fernet* | *secrets*) exec {python} "$@" ;;
  *tools.encrypt*) echo encrypt >>"$AIRFLOW_HOME/calls" ;;
esac
"""
AIRFLOW = '#!/bin/sh\necho database >>"${AIRFLOW__DATABASE__SQL_ALCHEMY_CONN#sqlite:///}"\n'


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose virtual environment is up to date, with programs in place of Python and Airflow."""
    root = tmp_path / "checkout"
    for name, content in (("python", PYTHON.format(python=sys.executable)), ("airflow", AIRFLOW)):
        program = root / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(content)
        program.chmod(0o755)
    (root / "tools").mkdir()
    (root / "include").mkdir()
    shutil.copy(ROOT / "tools" / "setup", root / "tools" / "setup")
    shutil.copy(ROOT / "env.sh", root)
    for name in ("requirements.txt", "include/domains.py"):
        (root / name).touch()
    (root / ".venv" / ".installed").touch()
    return root


def set_up(checkout):
    before = os.umask(0o022)
    try:
        done = subprocess.run([checkout / "tools" / "setup"], capture_output=True, text=True, check=False)
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    return checkout / ".airflow"


def modes(home):
    return {
        path.relative_to(home.parent).as_posix(): oct(stat.S_IMODE(path.stat().st_mode))
        for path in (home, *home.rglob("*"))
    }


def setting(home, name):
    lines = (home / "airflow.cfg").read_text().splitlines()
    return next(line.partition("=")[2].strip() for line in lines if line.startswith(f"{name} ="))


def test_a_new_set_up_is_for_its_owner_alone(checkout):
    home = set_up(checkout)
    files = ("airflow.cfg", "airflow.db", "fernet.key", "passwords.json", "setup.lock", "setup.log", "template.db")
    assert modes(home) == {".airflow": "0o700"} | {f".airflow/{name}": "0o600" for name in files}
    Fernet(setting(home, "fernet_key").encode())
    assert setting(home, "file_task_handler_new_file_permissions") == "0o600"
    assert setting(home, "file_task_handler_new_folder_permissions") == "0o700"


def an_old_set_up(checkout, config="[core]\n"):
    """One of an earlier release: files for everyone to read, connections in plain text."""
    home = checkout / ".airflow"
    (home / "logs" / "dag").mkdir(parents=True)
    for name in ("airflow.db", "template.db", "passwords.json", "ui.log", "logs/dag/attempt=1.log"):
        (home / name).write_text("old\n")
    (home / "airflow.cfg").write_text(config)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return home


def test_an_old_set_up_is_brought_up_to_date(checkout):
    home = an_old_set_up(checkout)
    set_up(checkout)
    assert {mode for name, mode in modes(home).items() if (checkout / name).is_dir()} == {"0o700"}
    assert {mode for name, mode in modes(home).items() if not (checkout / name).is_dir()} == {"0o600"}
    assert (home / "calls").read_text() == "encrypt\n", "connections in plain text are encrypted with the new key"
    assert (home / "airflow.db").read_text() == "old\ndatabase\n", "and stay"
    assert (home / "passwords.json").read_text() == "old\n"


def test_the_key_stays_when_the_configuration_is_written_again(checkout):
    home = set_up(checkout)
    key = (home / "fernet.key").read_text()
    os.utime(home / "airflow.cfg", (1, 1))
    set_up(checkout)
    assert (home / "fernet.key").read_text() == key
    assert setting(home, "fernet_key") == key.strip()


def test_a_key_that_someone_put_into_the_configuration_is_kept(checkout):
    key = Fernet.generate_key().decode()
    home = an_old_set_up(checkout, f"[core]\nfernet_key = {key}\n")
    set_up(checkout)
    assert setting(home, "fernet_key") == (home / "fernet.key").read_text().strip() == key


def test_a_shell_that_uses_airflow_closes_its_home(checkout):
    home = an_old_set_up(checkout)
    done = subprocess.run(
        ["bash", "-c", 'source "$0"; echo "$AIRFLOW_HOME"', checkout / "env.sh"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(home)
    assert modes(home)[".airflow"] == "0o700"


PIP = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in *"$BROKEN"*) exit 1 ;; esac
"""
VENV = """#!/bin/sh
case "$*" in "-m venv"*) exit 0 ;; *) exec {python} "$@" ;; esac
"""


@pytest.fixture
def installing(checkout, tmp_path):
    """Call the set-up of a checkout with two domains, of which nothing is installed yet; returns how it ended.

    `calls` lists what pip was asked for, which fails where it names `broken`.
    """
    (checkout / ".venv" / ".installed").unlink()
    for domain, locks in (("meters", ["requirements.txt"]), ("images", ["requirements.txt", "torch.txt"])):
        (checkout / "include" / domain).mkdir()
        for name in ("domain.py", *locks):
            (checkout / "include" / domain / name).touch()
    python, calls = tmp_path / "python", tmp_path / "calls"
    for program, content in ((python, VENV.format(python=sys.executable)), (checkout / ".venv/bin/pip", PIP)):
        program.write_text(content)
        program.chmod(0o755)

    def call(*arguments, broken="nothing", **variables):
        calls.write_text("")
        environment = os.environ | {"CALLS": str(calls), "BROKEN": broken, "PYTHON": str(python)} | variables
        return subprocess.run(
            [checkout / "tools/setup", *arguments], env=environment, capture_output=True, text=True, check=False
        )

    call.asked = lambda: [line.rpartition(" -r ")[2] for line in calls.read_text().splitlines()]
    call.calls = calls
    return call


def test_a_domain_is_set_up_without_what_others_need(installing):
    assert installing("meters").returncode == 0
    assert installing.asked() == ["requirements.txt", "include/meters/requirements.txt"]
    assert installing("meters").returncode == 0
    assert installing.asked() == []
    assert installing().returncode == 0
    assert set(installing.asked()) == {"include/images/requirements.txt", "include/images/torch.txt"}


def test_a_domain_that_does_not_exist_is_refused_with_those_that_do(installing):
    done = installing("metres")
    assert (done.returncode, done.stderr) == (2, "setup: there is no domain metres; there are: images meters\n")


CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"


def test_the_cpu_build_of_pytorch_comes_from_its_own_index(installing):
    done = installing("images", TORCH="cpu")
    assert "with PyTorch for the CPU (1 GB, a minute; 5 GB where its index cannot be reached)" in done.stderr
    assert installing.asked().count("include/images/torch.txt") == 1
    assert CPU_INDEX in installing.calls.read_text()


def test_where_that_index_cannot_be_reached_pip_chooses(installing):
    assert installing("images", TORCH="cpu", broken=CPU_INDEX).returncode == 0
    first, second = [line for line in installing.calls.read_text().splitlines() if "torch.txt" in line]
    assert (CPU_INDEX in first, CPU_INDEX in second) == (True, False)


def test_a_build_for_cuda_is_what_pip_chooses(installing):
    done = installing("images", TORCH="cuda")
    assert "with PyTorch for CUDA (5 GB, several minutes)" in done.stderr
    assert CPU_INDEX not in installing.calls.read_text()
    assert installing("images", TORCH="gpu").stderr == "setup: TORCH=gpu: must be cpu or cuda\n"


def test_a_set_up_that_failed_goes_on_where_it_stopped(installing, checkout):
    done = installing("meters", broken="include/meters")
    assert done.returncode == 1
    assert "check the connection to the package index" in done.stderr
    assert not (checkout / ".airflow" / "airflow.db").exists()
    assert installing("meters").returncode == 0
    assert installing.asked() == ["include/meters/requirements.txt"]
    assert (checkout / ".airflow" / "airflow.db").exists()


def test_two_set_ups_of_one_checkout_do_not_meet(installing, checkout):
    (checkout / ".airflow").mkdir(mode=0o700)
    with (checkout / ".airflow" / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = installing("meters")
        assert (done.returncode, installing.asked()) == (1, [])
        assert done.stderr == "setup: another set-up is at work in this checkout; wait until it has ended\n"
    assert installing("meters").returncode == 0


def test_set_ups_that_find_nothing_to_do_wait_for_each_other(installing, checkout):
    assert installing("meters").returncode == 0
    with ThreadPoolExecutor(4) as pool:
        assert [done.returncode for done in pool.map(installing, ["meters"] * 8)] == [0] * 8


def test_a_python_that_was_named_is_used_or_refused(installing):
    done = installing("meters", PYTHON="/bin/false")
    assert (done.returncode, installing.asked()) == (1, [])
    assert done.stderr == "setup: PYTHON=/bin/false: is no Python 3.11 or 3.12 that starts\n"
