"""Files and folders appear complete under their names or not at all, and a lock admits one process at a time."""

import ctypes
import errno
import multiprocessing
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from include.core.errors import BadInputError, ContractError, SetupError, TransientError
from include.core.files import (
    atomic_file,
    copy_owner,
    exchange,
    flushed_sibling,
    locked,
    open_below,
    path_inside,
    replace_folder,
    setup_errors,
    write_atomically,
)

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
FORK = multiprocessing.get_context("fork")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No process may write files larger than this: as on a full disk, a write ends in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def killed(code: str) -> None:
    """Run a script in which `dies` is a function that kills its process."""
    prelude = (
        "import os, signal\nfrom pathlib import Path\nfrom include.core import files\n"
        "def dies(*_, **__):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", prelude + code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder of this user that every other user may read but not write."""
    folder = Path(tempfile.mkdtemp(prefix="groundtruth-files-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def message_for_another_user(function: Callable[[], object]) -> str:
    """The message of the SetupError that a user without rights gets; empty if there is none."""

    def call() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            function()
        except SetupError as error:
            there.send(str(error))
        else:
            there.send("")

    here, there = FORK.Pipe()
    process = FORK.Process(target=call)
    process.start()
    process.join(60)
    return here.recv() if here.poll() else f"exit code {process.exitcode}"


# ── writing a file ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_holds_what_was_written_last_and_its_folders_are_created(tmp_path):
    path = tmp_path / "new/folder/d.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["d.json"]


@pytest.mark.parametrize(("arguments", "mode"), [({}, 0o644), ({"mode": 0o600}, 0o600)])
def test_a_file_can_be_read_by_everybody_unless_a_mode_is_given(tmp_path, arguments, mode):
    write_atomically(tmp_path / "d.json", b"new", **arguments)
    assert stat.S_IMODE((tmp_path / "d.json").stat().st_mode) == mode


@as_root
def test_a_file_is_given_to_the_owner_of_another(tmp_path):
    (tmp_path / "theirs").touch()
    os.chown(tmp_path / "theirs", 1234, 1235)
    write_atomically(tmp_path / "d.json", b"new", owner_of=tmp_path / "theirs")
    status = (tmp_path / "d.json").stat()
    assert (status.st_uid, status.st_gid) == (1234, 1235)


def test_a_write_that_ends_in_the_middle_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "d.json"
    write_atomically(path, b"old")
    with files_of_at_most(4096), pytest.raises(SetupError, match=r"d\.json: cannot be written: File too large"):
        write_atomically(path, b"x" * 10_000)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["d.json"]


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="needs mount namespaces",
)
def test_a_full_disk_is_reported_and_the_old_file_stays(tmp_path):
    code = f"""
from pathlib import Path
from include.core.errors import SetupError
from include.core.files import write_atomically
path = Path({str(tmp_path)!r}) / "d.json"
write_atomically(path, b"old")
try:
    write_atomically(path, b"x" * 1_000_000)
except SetupError as error:
    print(error, path.read_bytes(), [child.name for child in path.parent.iterdir()])
"""
    script = f'mount -t tmpfs -o size=64k tmpfs "$0" && exec "{sys.executable}" -c "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, tmp_path, code],
        check=False, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    expected = f"{tmp_path}/d.json: cannot be written: No space left on device b'old' ['d.json']\n"
    assert done.stdout == expected, done.stderr


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "d.json", b"new")
    assert not any(tmp_path.iterdir())


def test_a_write_is_on_disk_before_it_is_in_place(tmp_path):
    (tmp_path / "d.json").write_bytes(b"old")
    killed(f"os.fsync = dies\nfiles.write_atomically(Path({str(tmp_path / 'd.json')!r}), b'new')")
    assert (tmp_path / "d.json").read_bytes() == b"old"


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"file/d\.json: cannot be written"):
        write_atomically(tmp_path / "file/d.json", b"new")


@as_root
def test_a_folder_that_may_not_be_written_is_reported_whatever_writes_to_it(shared_folder):
    path = shared_folder / "d.json"

    def under_a_lock() -> None:
        with locked(path, timeout_s=1):
            pass

    with locked(shared_folder / ".lock", timeout_s=1):  # loads the library, which the other user may not read
        denied = "Permission denied"
    assert message_for_another_user(lambda: write_atomically(path, b"new")) == f"{path}: cannot be written: {denied}"
    assert message_for_another_user(lambda: _write(path, "new")) == f"{path}: cannot be written: {denied}"
    assert message_for_another_user(lambda: replace_folder(path, {})) == f"{path}: cannot be replaced: {denied}"
    assert message_for_another_user(under_a_lock) == f"{path}: cannot be locked: {denied}"
    assert names(shared_folder) == [".lock"]


# ── a file that a library writes ─────────────────────────────────────────────────────────────────────────────────────


def test_a_file_appears_when_the_block_that_writes_it_ends(tmp_path):
    path = tmp_path / "new/day.csv"
    with atomic_file(path) as partial:
        assert partial.parent == path.parent
        assert partial.name.startswith(".day.csv.")
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["day.csv"]


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text)


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "day.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as partial:
        partial.write_text(f"half {1 // 0}")
    with files_of_at_most(4096), pytest.raises(SetupError, match=r"day\.csv: cannot be written: File too large"):
        _write(path, "x" * 10_000)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["day.csv"]


def test_what_a_killed_writer_left_is_neither_read_nor_written_through(tmp_path):
    path, outside = tmp_path / "folder/day.csv", tmp_path / "outside"
    killed(f"with files.atomic_file(Path({str(path)!r})) as partial:\n    partial.write_text('half')\n    dies()")
    (leftover,) = path.parent.iterdir()
    leftover.unlink()
    leftover.symlink_to(outside)
    with atomic_file(path) as partial:
        assert not partial.is_symlink()
        partial.write_text("new")
    assert names(path.parent) == ["day.csv"]
    assert not outside.exists()


def test_a_parent_that_is_a_file_is_reported_by_the_name_of_the_file_to_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"file/day\.csv: cannot be written"), atomic_file(tmp_path / "file/day.csv"):
        pass


# ── replacing a folder ───────────────────────────────────────────────────────────────────────────────────────────────


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def generations(tmp_path):
    """Two generations of the same three files."""
    made = []
    for letter in "ab":
        folder = tmp_path / letter
        (folder / "below").mkdir(parents=True)
        paths = ("report.csv", "below/report.csv", "report.json")
        for name in paths:
            (folder / name).write_text(letter + name)
        made.append({name: folder / name for name in paths})
    return made


def test_a_folder_holds_what_was_written_last_and_nothing_else(tmp_path, generations):
    target = tmp_path / "published/energy/home/2026"
    for sources in generations:
        replace_folder(target, sources)
        assert content(target) == {name: path.read_text() for name, path in sources.items()}
    replace_folder(target, {"one.json": generations[0]["report.json"]})
    assert content(target) == {"one.json": "areport.json"}
    assert names(target.parent) == ["2026"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_files_of_one_name_in_two_folders_are_both_copied(tmp_path, generations):
    replace_folder(tmp_path / "target", generations[0])
    assert content(tmp_path / "target")["report.csv"] != content(tmp_path / "target")["below/report.csv"]


def test_a_reader_always_finds_each_file_complete(tmp_path, generations):
    target, done, seen, missed = tmp_path / "published", threading.Event(), set(), []
    replace_folder(target, generations[0])

    def read() -> None:
        while not done.is_set():
            try:
                seen.add((target / "report.csv").read_text())
            except OSError as error:
                missed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        replace_folder(target, generations[number % 2])
    done.set()
    reader.join()
    assert missed == []
    assert seen == {"areport.csv", "breport.csv"}


def unsupported(*_: object) -> int:
    ctypes.set_errno(errno.ENOSYS)
    return -1


@pytest.mark.parametrize("library", [object(), type("", (), {"renameat2": staticmethod(unsupported)})()])
def test_where_the_system_cannot_exchange_folders_two_renames_do(tmp_path, generations, monkeypatch, library):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    assert not exchange(tmp_path / "a", tmp_path / "b")
    for sources in generations:
        replace_folder(tmp_path / "published/key", sources)
    assert content(tmp_path / "published/key")["report.json"] == "breport.json"
    assert names(tmp_path / "published") == ["key"]


def test_two_processes_that_replace_one_folder_at_once_both_succeed(tmp_path, generations):
    target = tmp_path / "published/key"

    def publish(sources: dict[str, Path]) -> None:
        for _ in range(20):
            replace_folder(target, sources)

    processes = [FORK.Process(target=publish, args=(sources,)) for sources in generations]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len({text[0] for text in content(target).values()}) == 1, "of one of them, not a mixture"


def test_the_old_folder_is_kept_where_that_is_asked_for(tmp_path, generations):
    target, keep = tmp_path / "published/key", tmp_path / "replaced/key/1"
    replace_folder(target, generations[0])
    before = content(target)
    replace_folder(target, generations[1], keep=keep)
    assert content(keep) == before != content(target)
    shutil.rmtree(target)
    replace_folder(target, generations[0], keep=tmp_path / "replaced/key/2")
    assert names(keep.parent) == ["1"], "nothing was replaced"
    assert names(target.parent) == ["key"]


def test_when_a_copy_fails_the_old_folder_stays(tmp_path, generations):
    target = tmp_path / "published/key"
    replace_folder(target, generations[0])
    before = content(target)
    generations[1]["report.csv"].write_text("x" * 10_000)
    with files_of_at_most(4096), pytest.raises(SetupError, match=r"key: cannot be replaced: File too large"):
        replace_folder(target, generations[1])
    assert content(target) == before
    assert names(target.parent) == ["key"]


@pytest.mark.parametrize("function", ["exchange", "shutil.copyfile"])
def test_a_process_that_is_killed_in_between_leaves_the_old_folder(tmp_path, generations, function):
    target = tmp_path / "published/key"
    replace_folder(target, generations[0])
    before = content(target)
    sources = {name: str(path) for name, path in generations[1].items()}
    killed(f"files.{function} = dies\nfiles.replace_folder(Path({str(target)!r}), {sources!r})")
    assert content(target) == before
    replace_folder(target, generations[1])
    assert content(target)["report.csv"] == "breport.csv"


def test_a_file_in_the_place_of_the_folder_is_an_error_and_stays(tmp_path, generations):
    (tmp_path / "key").write_text("precious")
    with pytest.raises(SetupError, match="key: cannot be replaced: Not a directory"):
        replace_folder(tmp_path / "key", generations[0])
    assert (tmp_path / "key").read_text() == "precious"


# ── exchanging names ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_files_exchange_their_names(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    assert exchange(one, other)
    assert (one.read_text(), other.read_text()) == ("2", "1")


def test_a_file_that_does_not_exist_cannot_be_exchanged(tmp_path):
    (tmp_path / "one").write_text("1")
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "other")
    assert names(tmp_path) == ["one"]


# ── locks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lock_is_given_up_on_after_its_timeout(tmp_path):
    path, taken, done = tmp_path / "new/.lock", FORK.Event(), FORK.Event()

    def hold() -> None:
        with locked(path, timeout_s=10):
            taken.set()
            done.wait(60)

    holder = FORK.Process(target=hold)
    holder.start()
    assert taken.wait(60)
    began = time.monotonic()
    with (
        pytest.raises(TransientError, match=r"\.lock: another process has held it for 0\.3 s"),
        locked(path, timeout_s=0.3),
    ):
        pass
    assert 0.3 <= time.monotonic() - began < 5
    done.set()
    with locked(path, timeout_s=None):
        assert path.exists()
    holder.join(60)
    with locked(path, timeout_s=0):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / ".lock"
    killed(f"with files.locked(Path({str(path)!r}), timeout_s=1):\n    dies()")
    with locked(path, timeout_s=0):
        pass


def test_a_lock_is_released_when_its_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / ".lock", timeout_s=0):
        raise ZeroDivisionError
    with locked(tmp_path / ".lock", timeout_s=0):
        pass


def test_processes_take_turns(tmp_path):
    count = tmp_path / "count"
    count.write_text("0")

    def work() -> None:
        for _ in range(25):
            with locked(tmp_path / ".lock", timeout_s=60):
                count.write_text(str(int(count.read_text()) + 1))

    processes = [FORK.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert count.read_text() == "100"


@pytest.mark.parametrize(("arguments", "mode"), [({}, 0o644), ({"mode": 0o600}, 0o600)])
def test_a_lock_file_is_created_with_its_mode_and_an_existing_one_keeps_its_own(tmp_path, arguments, mode):
    path = tmp_path / ".lock"
    for expected in (mode, 0o666):
        with locked(path, timeout_s=0, **arguments):
            assert stat.S_IMODE(path.stat().st_mode) == expected
        path.chmod(0o666)


@pytest.mark.parametrize(("folder", "lock"), [(0o755, 0o644), (0o700, 0o644), (0o2775, 0o664), (0o777, 0o666)])
def test_users_who_can_write_a_folder_can_hold_its_locks(tmp_path, folder, lock):
    tmp_path.chmod(folder)
    with locked(tmp_path / ".lock", timeout_s=0):
        assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == lock


# ── siblings and owners ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sibling_is_private_and_gone_after_the_block_unless_it_was_renamed(tmp_path):
    path = tmp_path / ".env"
    with flushed_sibling(path, b"secret") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        assert temporary.read_bytes() == b"secret"
        assert temporary.name.startswith("..env.")
    assert names(tmp_path) == []
    with flushed_sibling(path, b"secret") as temporary:
        temporary.replace(path)
    assert names(tmp_path) == [".env"]


@as_root
def test_an_owner_is_copied_as_far_as_the_process_may(shared_folder):
    theirs, ours = shared_folder / "theirs", shared_folder / "ours"
    theirs.touch()
    ours.touch()
    os.chown(theirs, 1234, 1235)
    assert copy_owner(shared_folder / "absent", ours)
    assert ours.stat().st_uid == 0

    def refused() -> None:
        raise SetupError(str(copy_owner(theirs, ours)))

    assert message_for_another_user(refused) == "False"
    assert copy_owner(theirs, ours)
    assert (ours.stat().st_uid, ours.stat().st_gid) == (1234, 1235)


def test_an_error_of_the_operating_system_names_the_file_and_what_was_done_to_it(tmp_path):
    with (
        pytest.raises(SetupError, match=f"^{tmp_path}: cannot be opened: Is a directory$"),
        setup_errors(tmp_path, "opened"),
    ):
        tmp_path.read_bytes()
    with pytest.raises(SetupError, match=r"cannot be opened: of no number$"), setup_errors(tmp_path, "opened"):
        raise OSError("of no number")
    with pytest.raises(ZeroDivisionError), setup_errors(tmp_path, "opened"):
        raise ZeroDivisionError


# names that are data

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


@pytest.mark.parametrize("name", ["a", "75.800E_30.900N", "place/2026-01-01", "a..b"])
def test_a_name_of_the_pattern_is_a_path_below_its_folder(tmp_path, name):
    assert path_inside(tmp_path, name, KEY, stated_by="map.json: place") == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../other", "a/../../other", "a/..", "/etc", "//etc", "a/b/c", ".hidden", "a/.hidden", "a/",
        "a\\..", "a\0", "a\n", "a\nb", "é", "٣", "a" + "/.." * 40, "~", "%2e%2e", "a b",
    ],
)  # fmt: skip
def test_a_name_that_could_lead_elsewhere_is_refused_with_the_file_and_the_field(tmp_path, name):
    with pytest.raises(ContractError, match=r"^map\.json: place: must match .* and lie inside") as refused:
        path_inside(tmp_path / "published", name, KEY, stated_by="map.json: place")
    assert "\0" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


def test_a_name_that_a_link_leads_out_of_its_folder_is_refused(tmp_path):
    root = tmp_path / "published"
    root.mkdir()
    (root / "elsewhere").symlink_to(tmp_path)
    (root / "itself").symlink_to(root)
    for name in ("elsewhere", "elsewhere/a", "itself"):
        with pytest.raises(ContractError, match="lie inside published/"):
            path_inside(root, name, KEY, stated_by="key")


def test_a_file_is_opened_only_where_no_link_leads_to_it(tmp_path: Path) -> None:
    inside, outside = tmp_path / "root" / "a", tmp_path / "outside"
    inside.mkdir(parents=True)
    outside.mkdir()
    for folder in (inside, outside):
        (folder / "page.html").write_text(folder.name)
    (inside / "link.html").symlink_to(outside / "page.html")
    (tmp_path / "root" / "linked").symlink_to(outside)
    os.mkfifo(inside / "pipe")
    with open_below(tmp_path / "root", inside / "page.html", most_bytes=10) as file:
        assert file.read() == b"a"
    for name in ("a/link.html", "linked/page.html", "a/pipe", "a/none", "a"):
        with pytest.raises(OSError):  # noqa: PT011 - missing, a link, no regular file: each is one
            open_below(tmp_path / "root", tmp_path / "root" / name, most_bytes=10)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(20 * 10**9)
    with pytest.raises(BadInputError, match=r"sparse: has 20,000 MB, more than the 64 MB allowed"):
        open_below(tmp_path, tmp_path / "sparse", most_bytes=64 * 10**6)
