"""The `.env` transaction: what it keeps, what it records, how it goes back, and that nothing is ever lost."""

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from include.core.errors import BadInputError, SetupError, TransientError
from include.env_file import ChangedMeanwhileError, EnvFile, Reason, replacement, transaction
from include.env_file.history import KEPT_BACKUPS

ROOT = Path(__file__).resolve().parents[2]
WHY = Reason(by="tester", why="a test", run="dag/run", version="v1")
TEXT = "# settings\nPASSWORD=secret\nUSE_AI_MODELS=false  # off\n"
ON = {"USE_AI_MODELS": "true", "AI_MODEL_VERSION": "v1"}


@pytest.fixture
def env(tmp_path):
    path = tmp_path / ".env"
    path.write_text(TEXT)
    return EnvFile(path)


def visible(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_change_is_made_backed_up_and_recorded(env):
    entry = env.update(ON, WHY)
    assert env.path.read_text() == "# settings\nPASSWORD=secret\nUSE_AI_MODELS=true  # off\nAI_MODEL_VERSION=v1\n"
    assert env.history() == [entry]
    assert (entry.by, entry.why, entry.run, entry.version) == ("tester", "a test", "dag/run", "v1")
    assert {key: (change.old, change.new) for key, change in entry.changes.items()} == {
        "USE_AI_MODELS": ("false", "true"),
        "AI_MODEL_VERSION": (None, "v1"),
    }
    assert (env.path.parent / entry.backup).read_text() == TEXT
    assert "secret" not in env.path.with_name(".env.history.jsonl").read_text()
    assert visible(env.path.parent) == [".env", ".env.backups", ".env.history.jsonl", ".env.lock"]


def test_the_diff_is_what_the_change_then_does(env):
    diff = env.diff(ON)
    assert diff == env.update(ON, WHY).diff
    assert env.diff(ON) == ""


def test_a_change_that_changes_nothing_leaves_no_trace(env):
    before = env.path.stat()
    assert env.update({"USE_AI_MODELS": "false", "ABSENT": None}, WHY) is None
    assert (env.path.stat().st_ino, env.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert env.history() == []


def test_a_missing_file_is_made_for_its_owner_alone(tmp_path):
    env = EnvFile(tmp_path / "config" / "pipeline.env")
    assert env.read() == {}
    entry = env.update(ON, WHY)
    assert dotenv_values(env.path) == ON
    assert stat.S_IMODE(env.path.stat().st_mode) == 0o600
    assert entry.backup is None
    env.rollback(None, WHY)
    assert env.read() == {}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400])
def test_the_mode_stays(env, mode):
    env.path.chmod(mode)
    env.update(ON, WHY)
    assert stat.S_IMODE(env.path.stat().st_mode) == mode
    assert {stat.S_IMODE(path.stat().st_mode) for path in env.path.parent.glob(".env.*") if path.is_file()} == {0o600}


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@as_root
def test_the_owner_stays_and_owns_the_history_too(env):
    os.chown(env.path, 1234, 1235)
    env.update(ON, WHY)
    owned = [env.path, *env.path.parent.glob(".env.*"), *env.path.parent.glob(".env.backups/*")]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in owned} == {(1234, 1235)}


@pytest.fixture
def reachable():
    """An env file in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="groundtruth-env-"))
    folder.chmod(0o755)
    (folder / ".env").write_text(TEXT)
    (folder / ".env").chmod(0o644)
    yield EnvFile(folder / ".env")
    shutil.rmtree(folder)


UPDATE = """
from pathlib import Path
from include.core.errors import SetupError
from include.env_file import EnvFile, Reason
try:
    EnvFile(Path({path!r})).update({{"USE_AI_MODELS": "true"}}, Reason(by="x", why="y"))
except SetupError as error:
    print(error)
"""


def updated_by_nobody(env):
    """What a user who is not root is told."""

    def update(pipe):
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            pipe.send(str(env.update(ON, WHY)))
        except SetupError as error:
            pipe.send(str(error))

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=update, args=(there,))
    process.start()
    process.join(60)
    return here.recv()


@as_root
def test_a_file_of_somebody_else_is_not_taken_over(reachable):
    reachable.path.parent.chmod(0o777)
    assert "belongs to user 0, group 0; only they can replace it" in updated_by_nobody(reachable)
    assert reachable.path.read_text() == TEXT


@as_root
def test_a_folder_that_cannot_be_written_is_said_and_nothing_changes(reachable):
    said = updated_by_nobody(reachable)
    assert said == f"{reachable.path}.lock: cannot be locked: Permission denied"
    assert visible(reachable.path.parent) == [".env"]


def test_a_link_stays_a_link_and_its_target_changes(env, tmp_path):
    link = tmp_path / "link.env"
    link.symlink_to(env.path)
    EnvFile(link).update(ON, WHY)
    assert link.is_symlink()
    assert env.read()["USE_AI_MODELS"] == "true"
    assert len(env.history()) == 1


def test_a_folder_in_its_place_is_said(tmp_path):
    (tmp_path / ".env").mkdir()
    with pytest.raises(SetupError, match=r"\.env: cannot be read: Is a directory"):
        EnvFile(tmp_path / ".env").update(ON, WHY)


def test_a_file_that_is_a_mount_of_its_own_is_refused_in_words(env, monkeypatch):
    def busy(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(replacement, "_exchange", busy)
    with pytest.raises(SetupError, match=r"is mounted as a single file .* mount the folder"):
        env.update(ON, WHY)
    assert env.path.read_text() == TEXT
    assert env.history() == []


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs mount namespaces",
)
def test_a_real_bind_mount_is_refused(env, tmp_path):
    mounted = tmp_path / "mounted.env"
    mounted.touch()
    script = f'mount --bind "$0" "$1" && exec "{sys.executable}" -c "$2"'
    code = UPDATE.format(path=str(mounted))
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, env.path, mounted, code],
        check=False, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert "is mounted as a single file" in done.stdout, done.stderr
    assert env.path.read_text() == TEXT


def test_a_full_disk_is_said_and_nothing_changes(env, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="No space left on device"):
        env.update(ON, WHY)
    monkeypatch.undo()
    assert env.path.read_text() == TEXT
    assert env.history() == []
    assert visible(env.path.parent) == [".env", ".env.backups", ".env.lock"]


def test_a_broken_file_is_named_and_left_alone(env):
    env.path.write_text('A="1\nB=2\n')
    with pytest.raises(BadInputError, match=r"\.env: line 1: its quotes do not close"):
        env.update(ON, WHY)
    with pytest.raises(BadInputError, match="line 1"):
        env.read()
    assert env.path.read_text() == 'A="1\nB=2\n'


# going back


def test_a_rollback_restores_the_values_of_before_and_is_recorded(env):
    env.update(ON, WHY)
    entry = env.rollback(None, Reason(by="tester", why="it was worse"))
    assert env.path.read_text() == TEXT
    assert [each.why for each in env.history()] == ["a test", "it was worse"]
    assert entry.changes["AI_MODEL_VERSION"].new is None


def test_a_rollback_keeps_what_others_wrote_since(env):
    env.update(ON, WHY)
    env.path.write_text(env.path.read_text().replace("secret", "changed") + "NEW=1\n")
    env.rollback(None, WHY)
    assert env.path.read_text() == TEXT.replace("secret", "changed") + "NEW=1\n"


def test_a_rollback_to_an_entry_gives_the_values_after_it(env):
    entries = [env.update({"AI_MODEL_VERSION": f"v{n}", f"K{n}": "1"}, WHY) for n in range(4)]
    made = env.rollback(entries[1].id, WHY)
    assert {key: change.new for key, change in made.changes.items()} == {
        "AI_MODEL_VERSION": "v1",
        "K2": None,
        "K3": None,
    }
    assert env.read()["AI_MODEL_VERSION"] == "v1"
    assert {"K2", "K3"} & set(env.read()) == set()
    env.rollback(entries[3].id, WHY)
    assert {key: env.read()[key] for key in ("AI_MODEL_VERSION", "K2", "K3")} == {
        "AI_MODEL_VERSION": "v3",
        "K2": "1",
        "K3": "1",
    }


VALUES = st.one_of(st.none(), st.sampled_from(["", "1", "a b", "it's", "#x", 'say "x"']))
CHANGES = st.dictionaries(st.sampled_from(["A", "B", "C"]), VALUES, min_size=1)


@given(st.lists(CHANGES, min_size=1, max_size=5), st.data())
@settings(max_examples=25, deadline=None)
def test_every_state_of_the_past_can_be_had_again(history, data):
    with tempfile.TemporaryDirectory() as folder:
        env = EnvFile(Path(folder) / ".env")
        env.path.write_text("# head\nA=0\nOTHER=kept\n")
        states = {}
        for changes in history:
            entry = env.update(changes, WHY)
            if entry is not None:
                states[entry.id] = env.read()
        for entry_id in data.draw(st.permutations(sorted(states))):
            env.rollback(entry_id, WHY)
            assert env.read() == states[entry_id] == dict(dotenv_values(env.path))
        assert env.path.read_text().startswith("# head\n")


def test_a_change_may_depend_on_what_the_file_said(env):
    with pytest.raises(ChangedMeanwhileError, match=r"\.env: USE_AI_MODELS is 'false' now; it was None"):
        env.update(ON, WHY, {"USE_AI_MODELS": None})
    assert env.path.read_text() == TEXT
    assert env.history() == []
    entry = env.update(ON, WHY, {"USE_AI_MODELS": "false", "AI_MODEL_VERSION": None})
    assert env.history() == [entry]
    assert env.update(ON, WHY, {"USE_AI_MODELS": "false"}) is None, "it says so already: nothing depends on anything"


def test_rolling_back_twice_returns_to_where_one_was(env):
    env.update(ON, WHY)
    env.rollback(None, WHY)
    env.rollback(None, WHY)
    assert env.read()["AI_MODEL_VERSION"] == "v1"


def test_there_must_be_something_to_go_back_to(env):
    with pytest.raises(BadInputError, match="has no history to roll back"):
        env.rollback(None, WHY)
    entry = env.update(ON, WHY)
    with pytest.raises(BadInputError, match=f"nonsense: no such entry .* latest are {entry.id}"):
        env.rollback("nonsense", WHY)
    assert env.rollback(entry.id, WHY) is None, "the file says so already"


def test_a_line_that_is_no_entry_is_named(env):
    env.update(ON, WHY)
    with env.path.with_name(".env.history.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(BadInputError, match=r"\.env\.history\.jsonl, line 2"):
        env.history()


def test_backups_are_bounded_and_the_history_is_not(env):
    for number in range(KEPT_BACKUPS + 3):
        env.update({"N": str(number)}, WHY)
    assert len(list(env.path.parent.glob(".env.backups/*"))) == KEPT_BACKUPS
    assert len(env.history()) == KEPT_BACKUPS + 3


# others at work


def test_the_lock_is_waited_for_and_given_up_on_in_words(env, monkeypatch):
    monkeypatch.setattr(transaction, "LOCK_TIMEOUT_S", 0.1)
    with env.path.with_name(".env.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TransientError, match=r"\.env\.lock: another process has held it"):
            env.update(ON, WHY)
    env.update(ON, WHY)


def _count(path, name, times):
    for _ in range(times):
        EnvFile(path).update({name: str(int(EnvFile(path).read().get(name, 0)) + 1)}, WHY)


def test_many_processes_lose_none_of_each_others_changes(env):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_count, args=(env.path, f"N{number}", 12)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert env.read() == {"PASSWORD": "secret", "USE_AI_MODELS": "false"} | {f"N{number}": "12" for number in range(4)}
    assert len(env.history()) == 48
    values = {}
    for entry in env.history():
        for key, change in entry.changes.items():
            assert values.get(key) == change.old
            values[key] = change.new


def _edit_in_place(path, stop, edits):
    """An editor that takes no lock and truncates the file before it writes it, holding it open for a moment."""
    while not stop.is_set():
        with open(path, "r+") as file:  # noqa: PTH123
            text = file.read()
            time.sleep(0.001)
            file.seek(0)
            file.truncate()
            file.flush()
            time.sleep(0.002)
            file.write(text + f"EDIT{edits.value}=1\n")
        while f"EDIT{edits.value}=1" not in path.read_text():  # what it wrote is there, or comes back
            time.sleep(0.001)
        edits.value += 1
        time.sleep(0.03)


def test_an_editor_without_our_lock_loses_nothing(env):
    context = multiprocessing.get_context("fork")
    stop, edits = context.Event(), context.Value("i", 0)
    editor = context.Process(target=_edit_in_place, args=(env.path, stop, edits), daemon=True)
    editor.start()
    for number in range(12):
        env.update({"N": str(number)}, WHY)
        time.sleep(0.01)
    stop.set()
    editor.join(60)
    assert editor.exitcode == 0
    assert edits.value > 3
    values = env.read()
    assert {f"EDIT{each}" for each in range(edits.value)} <= set(values)
    assert values.items() >= {"PASSWORD": "secret"}.items()


@pytest.mark.parametrize("moment", ["before", "within", "removed"])
def test_an_edit_between_reading_and_replacing_is_merged(env, monkeypatch, moment):
    real, edits = replacement._exchange, iter([TEXT.replace("secret", "changed")])

    def edited_first(temporary, path):
        for text in edits:
            if moment == "within":  # through a file that was opened before
                path.write_text(text)
            elif moment == "removed":
                path.unlink()
            else:
                path.with_name("mine").write_text(text)
                path.with_name("mine").replace(path)
        return real(temporary, path)

    monkeypatch.setattr(replacement, "_exchange", edited_first)
    entry = env.update(ON, WHY)
    if moment == "removed":
        assert env.path.read_text() == "USE_AI_MODELS=true\nAI_MODEL_VERSION=v1\n"
    else:
        assert (
            env.path.read_text() == TEXT.replace("secret", "changed").replace("false", "true") + "AI_MODEL_VERSION=v1\n"
        )
        assert (env.path.parent / entry.backup).read_text() == TEXT.replace("secret", "changed")


# killed

KILLED = """
import os, signal
from pathlib import Path
from include.env_file import EnvFile, Reason, replacement, transaction
def dies(*_):
    os.kill(os.getpid(), signal.SIGKILL)
{patch}
EnvFile(Path({path!r})).update({{"USE_AI_MODELS": "true"}}, Reason(by="x", why="y", version="v1"))
"""


@pytest.mark.parametrize(
    ("patch", "made"),
    [
        ("replacement._current = dies", False),
        ("replacement._exchange = dies", False),
        ("replacement._flush_folder = dies", True),
        ("real = transaction.replace_content\ntransaction.replace_content = lambda *a: (real(*a), dies())", True),
    ],
)
def test_killed_anywhere_the_next_transaction_completes_the_record(env, patch, made):
    done = subprocess.run([sys.executable, "-c", KILLED.format(patch=patch, path=str(env.path))], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert env.path.read_text() == (TEXT.replace("false", "true") if made else TEXT)
    assert [entry.version for entry in env.history()] == (["v1"] if made else [])
    entry = env.update({"USE_AI_MODELS": "true"}, WHY)
    assert (entry is None) == made
    assert len(env.history()) == 1
    assert visible(env.path.parent) == [".env", ".env.backups", ".env.history.jsonl", ".env.lock"]
