"""What is sealed is one file, read once; neither a link nor a late change gets in."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from include.core import artifact_store
from include.core.artifact_store import FolderStore, step_output
from include.core.errors import ContractError, SetupError


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "artifacts")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "out.csv").write_text("a\n1\n")
    return folder


def put(store: FolderStore, work: Path, name: str = "below/out.csv", max_bytes: int | None = None):
    with step_output(work, name) as source:
        return store.put(source, name, max_bytes)


def test_a_file_is_sealed_under_its_checksum_read_only(store, work):
    sealed = put(store, work)
    assert sealed == (hashlib.sha256(b"a\n1\n").hexdigest(), 4)
    assert store.exists(sealed.sha256)
    assert stat.S_IMODE(store.materialise(sealed.sha256).stat().st_mode) == 0o444
    with store.open(sealed.sha256) as file:
        assert file.read() == b"a\n1\n"
    assert [path.name for path in store.folder.iterdir()] == [sealed.sha256]


def test_the_same_content_is_kept_once_and_can_be_deleted(store, work):
    (work / "copy.csv").write_text("a\n1\n")
    assert put(store, work) == put(store, work, "copy.csv")
    [sealed] = store.folder.iterdir()
    store.delete(sealed.name)
    store.delete(sealed.name)
    assert not store.exists(sealed.name)
    with pytest.raises(FileNotFoundError):
        store.open(sealed.name)


def test_a_change_after_sealing_changes_nothing(store, work):
    with (work / "below" / "out.csv").open("a") as late:
        sealed = put(store, work)
        late.write("2\n")
        late.flush()
        assert store.materialise(sealed.sha256).read_text() == "a\n1\n"


def test_a_file_that_grows_while_it_is_sealed_is_refused(store, work, monkeypatch):
    clone = artifact_store._clone

    def grow(source, copy):
        with (work / "below" / "out.csv").open("a") as file:
            file.write("2\n")
        return clone(source, copy)

    monkeypatch.setattr(artifact_store, "_clone", grow)
    with pytest.raises(ContractError, match=r"below/out\.csv: must not change after its step has ended"):
        put(store, work)
    assert list(store.folder.iterdir()) == []


def test_a_file_that_is_too_long_is_refused_at_once_even_if_it_is_sparse(store, work):
    os.truncate(work / "below" / "out.csv", 20 << 30)
    with pytest.raises(ContractError, match=r"below/out\.csv: must be at most 1,000 bytes \(max_bytes\)"):
        put(store, work, max_bytes=1000)
    assert list(store.folder.iterdir()) == []


def test_a_clone_is_hashed_like_a_copy(store, work, monkeypatch):
    def clone(source, copy):
        copy.write(source.read())
        copy.seek(0)
        return True

    monkeypatch.setattr(artifact_store, "_clone", clone)
    assert put(store, work).sha256 == hashlib.sha256(b"a\n1\n").hexdigest()


def test_a_sealed_file_is_flushed_with_its_folder_and_a_fault_of_the_disk_names_it(store, work, monkeypatch):
    sealed, flushed = put(store, work), []

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(artifact_store.os, "fsync", full)
        with pytest.raises(SetupError, match=r"below/out\.csv: cannot be sealed: No space left on device"):
            store.flush({sealed.sha256: "below/out.csv"})
    monkeypatch.setattr(
        artifact_store.os, "fsync", lambda handle: flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
    )
    store.flush({sealed.sha256: "below/out.csv"})
    assert flushed == [str(store.materialise(sealed.sha256)), str(store.folder)]


def test_what_replaces_a_sealed_file_is_on_the_disk_before(store, work, monkeypatch):
    before = put(store, work)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact_store.os, "fsync", full)
    inode = store.materialise(before.sha256).stat().st_ino
    with pytest.raises(SetupError, match=r"below/out\.csv: cannot be sealed: No space left on device"):
        put(store, work)
    assert [(path.name, path.stat().st_ino) for path in store.folder.iterdir()] == [(before.sha256, inode)]


def test_a_missing_file_is_none(work):
    for name in ("absent.csv", "absent/out.csv", "below/out.csv/more.csv"):
        with step_output(work, name) as source:
            assert source is None


@pytest.mark.parametrize(
    ("name", "make", "rule"),
    [
        ("out.csv", lambda path, other: path.symlink_to(other), "reached without a link"),
        ("out.csv", lambda path, other: path.symlink_to("below/out.csv"), "reached without a link"),
        ("sub/out.csv", lambda path, other: path.parent.symlink_to(other.parent), "reached without a link"),
        ("out.csv", lambda path, other: path.hardlink_to(other), "must be a file of its own"),
        ("out.csv", lambda path, other: path.mkdir(), "must be a regular file"),
        ("out.csv", lambda path, other: os.mkfifo(path), "must be a regular file"),
    ],
    ids=["link", "link inside", "linked folder", "hard link", "folder", "fifo"],
)
def test_only_a_regular_file_of_the_work_folder_is_opened(work, tmp_path, name, make, rule):
    other = tmp_path / "elsewhere" / "out.csv"
    other.parent.mkdir()
    other.write_text("secret")
    make(work / name, other)
    with pytest.raises(ContractError, match=rule) as error, step_output(work, name):
        pytest.fail("it must not be opened")
    assert error.value.artifact == name


def test_a_file_of_another_file_system_is_refused(work):
    shared = Path("/dev/shm")  # noqa: S108
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == work.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file into the folder")
    import subprocess

    place = work / "out.csv"
    place.touch()
    outside = shared / f"groundtruth-{os.getpid()}.csv"
    outside.write_text("a\n1\n")
    mounted = not subprocess.call(["mount", "--bind", outside, place], stderr=subprocess.DEVNULL)
    try:
        if not mounted:
            pytest.skip("a bind mount needs a privileged container")
        with pytest.raises(ContractError, match="a file of another device"), step_output(work, "out.csv"):
            pytest.fail("it must not be opened")
    finally:
        if mounted:
            subprocess.check_call(["umount", place])
        outside.unlink()
