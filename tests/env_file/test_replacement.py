"""A file is replaced atomically, and what others write to it meanwhile is merged or kept beside it."""

import errno
import fcntl
import os
import stat
import threading
import time

import pytest

from include.core.errors import SetupError, TransientError
from include.env_file import replacement
from include.env_file.replacement import private_mode, read_settled, replace_content

TEXT = b"A=1\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / ".env"
    path.write_bytes(TEXT)
    return path


def add_line(content):
    return content + b"NEW=1\n"


def names(folder):
    return sorted(child.name for child in folder.iterdir())


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_replaced_by_its_changed_content_and_keeps_its_mode(path, mode):
    path.chmod(mode)
    replace_content(path, add_line)
    assert path.read_bytes() == b"A=1\nNEW=1\n"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert names(path.parent) == [".env"]


def test_a_change_that_changes_nothing_leaves_the_file_alone(path):
    before = path.stat()
    replace_content(path, lambda content: content)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    replace_content(path.with_name("absent"), lambda content: content)
    assert names(path.parent) == [".env"]


@pytest.mark.parametrize(("mode", "private"), [(0o600, 0o600), (0o644, 0o600), (0o640, 0o600), (0o660, 0o660)])
def test_what_lies_beside_it_is_the_groups_where_the_group_may_write_it(path, mode, private):
    path.chmod(mode)
    assert private_mode(path) == private
    assert private_mode(path.with_name("missing")) == 0o600


@pytest.mark.parametrize("mode", [0o660, 0o640])
def test_a_file_of_another_user_is_replaced_if_its_group_may_write_it(path, monkeypatch, mode):
    path.chmod(mode)
    monkeypatch.setattr(replacement, "copy_owner", lambda *_: False)  # as for every user but root
    if mode == 0o660:
        replace_content(path, add_line)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
    else:
        with pytest.raises(SetupError, match="only they can replace it"):
            replace_content(path, add_line)


def test_a_missing_file_is_created_for_its_owner_alone(tmp_path):
    replace_content(tmp_path / ".env", add_line)
    assert (tmp_path / ".env").read_bytes() == b"NEW=1\n"
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert names(tmp_path) == [".env"]


@pytest.mark.parametrize("moment", ["_copy_attributes", "_exchange"])
@pytest.mark.parametrize("kind", ["in place", "replaced"])
def test_an_edit_before_the_exchange_is_merged(path, monkeypatch, moment, kind):
    real, edits = getattr(replacement, moment), iter([b"A=2\n"])

    def edited_first(*arguments):
        for edit in edits:
            if kind == "in place":
                path.write_bytes(edit)
            else:
                path.with_name("mine").write_bytes(edit)
                path.with_name("mine").replace(path)
        return real(*arguments)

    monkeypatch.setattr(replacement, moment, edited_first)
    replace_content(path, add_line)
    assert path.read_bytes() == b"A=2\nNEW=1\n"
    assert names(path.parent) == [".env"]


def test_a_file_that_is_removed_before_the_exchange_is_created_from_nothing(path, monkeypatch):
    real, removals = replacement._exchange, iter([path.unlink])

    def removed_first(*arguments):
        for remove in removals:
            remove()
        return real(*arguments)

    monkeypatch.setattr(replacement, "_exchange", removed_first)
    replace_content(path, add_line)
    assert path.read_bytes() == b"NEW=1\n"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path, real, texts = tmp_path / ".env", replacement._create, iter([TEXT])

    def made_first(*arguments):
        for text in texts:
            path.write_bytes(text)
        return real(*arguments)

    monkeypatch.setattr(replacement, "_create", made_first)
    replace_content(path, add_line)
    assert path.read_bytes() == b"A=1\nNEW=1\n"


def test_a_second_edit_during_the_merge_is_kept_beside_and_reported(path, monkeypatch):
    real, edits = replacement._exchange, iter([b"FIRST=1\n", b"SECOND=2\n"])

    def edited_first(*arguments):
        path.write_bytes(next(edits))
        return real(*arguments)

    monkeypatch.setattr(replacement, "_exchange", edited_first)
    with pytest.raises(SetupError, match="two others changed it at the same time; merge it by hand") as error:
        replace_content(path, add_line)
    (kept,) = path.parent.glob(".env.other-*")
    assert str(kept) in str(error.value)
    assert (path.read_bytes(), kept.read_bytes()) == (b"FIRST=1\nNEW=1\n", b"SECOND=2\n")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_file_that_never_rests_is_given_up_on(path, monkeypatch):
    monkeypatch.setattr(replacement, "REPLACE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(replacement, "_current", lambda path: b"always something else")
    with pytest.raises(TransientError, match=r"\.env: others keep changing it; given up after 0.2 s"):
        replace_content(path, add_line)
    assert path.read_bytes() == TEXT


def test_where_the_kernel_cannot_exchange_files_they_are_replaced(path, monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    replace_content(path, add_line)
    assert path.read_bytes() == b"A=1\nNEW=1\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EBUSY, "is mounted as a single file .* mount the folder"),
        (errno.ENOSPC, "cannot be replaced: No space left on device"),
    ],
)
def test_a_file_that_cannot_be_replaced_stays(path, monkeypatch, code, message):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(replacement, "exchange", fail)
    with pytest.raises(SetupError, match=message):
        replace_content(path, add_line)
    assert path.read_bytes() == TEXT
    assert names(path.parent) == [".env"]


def test_a_file_is_read_when_its_writer_has_closed_it(path):
    with path.open("wb") as file:
        file.write(b"half")
        file.flush()
        timer = threading.Timer(0.2, lambda: (file.write(b" and half"), file.close()))
        timer.start()
        assert read_settled(path) == b"half and half"
        timer.join()


def test_what_cannot_be_read_is_none_or_an_error(tmp_path):
    assert read_settled(tmp_path / "absent") is None
    with pytest.raises(SetupError, match="cannot be read: Is a directory"):
        read_settled(tmp_path)


def test_without_leases_a_file_is_settled_when_it_rests(path, monkeypatch):
    def no_leases(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fcntl, "fcntl", no_leases)
    path.touch()
    began = time.monotonic()
    assert read_settled(path) == TEXT
    assert time.monotonic() - began > replacement.QUIET_S / 2
