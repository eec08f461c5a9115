"""The history of an env file records what was changed, and survives a process that is killed in between."""

import getpass
import hashlib
import os
import stat
from datetime import UTC, datetime

import pytest

from include.core.errors import BadInputError, SetupError
from include.env_file.history import KEPT_BACKUPS, Change, Entry, History, Pending, current_user, shown_value

BEFORE, AFTER = b"A=1\n", b"A=2\n"


def entry(number=0, backup=True):
    entry_id = f"20260101T0000{number:02}Z-abcd"
    return Entry(
        id=entry_id,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        by="tester",
        why="a test",
        changes={"A": Change(old="1", new="2")},
        diff="-A=1\n+A=2",
        backup=f".env.backups/{entry_id}.env" if backup else None,
    )


@pytest.fixture
def history(tmp_path):
    (tmp_path / ".env").write_bytes(BEFORE)
    return History(tmp_path / ".env")


def names(folder):
    return sorted(child.name for child in folder.iterdir())


def test_the_history_of_a_file_that_a_group_shares_is_shared_too(history):
    history.env_file.chmod(0o660)
    before = os.umask(0o002)
    try:
        history.begin(entry(), BEFORE, AFTER)
        history.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o660
    assert stat.S_IMODE((history.env_file.parent / entry().backup).stat().st_mode) == 0o660
    assert stat.S_IMODE(history.backups.stat().st_mode) == 0o770


def test_a_change_is_pending_until_it_is_committed(history):
    history.begin(entry(), BEFORE, AFTER)
    assert history.pending == Pending(entry=entry(), sha256=hashlib.sha256(AFTER).hexdigest())
    assert history.entries() == []
    history.commit()
    assert history.pending is None
    assert history.entries() == [entry()]
    backup = history.env_file.parent / entry().backup
    assert backup.read_bytes() == BEFORE
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.backups.stat().st_mode) == 0o700
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600


def test_a_discarded_change_leaves_no_entry(history):
    history.begin(entry(), BEFORE, AFTER)
    history.discard()
    assert (history.pending, history.entries()) == (None, [])


def test_a_change_is_recorded_once_also_when_its_commit_was_interrupted(history):
    for number in (0, 1, 1):
        history.begin(entry(number), BEFORE, AFTER)
        history.commit()
    assert history.entries() == [entry(0), entry(1)]


def test_a_file_that_did_not_exist_has_no_backup(history):
    history.begin(entry(backup=False), b"", AFTER)
    assert not history.backups.exists()


def test_only_the_latest_backups_are_kept(history):
    for number in range(KEPT_BACKUPS + 2):
        history.begin(entry(number), BEFORE, AFTER)
        history.commit()
    assert names(history.backups) == [f"{entry(number).id}.env" for number in range(2, KEPT_BACKUPS + 2)]


def test_leftovers_of_killed_processes_are_removed_and_edits_of_others_stay(history):
    folder = history.env_file.parent
    history.begin(entry(), BEFORE, AFTER)
    history.backups.joinpath(".20260101T000000Z-abcd.env.tmp").write_bytes(b"half")
    for name, content in {
        "..env.history.jsonl.tmp": b"half",
        "..env.pending.json.tmp": b"half",
        "..env.aaaa": BEFORE,
        "..env.bbbb": AFTER,
        "..env.cccc": b"A=3\n",
    }.items():
        (folder / name).write_bytes(content)
    history.clean_up()
    assert names(folder) == ["..env.cccc", ".env", ".env.backups", ".env.pending.json"]
    assert names(history.backups) == [f"{entry().id}.env"]


def test_what_is_not_an_entry_is_named_by_its_line(history):
    history.begin(entry(), BEFORE, AFTER)
    history.commit()
    with history.path.open("a") as file:
        file.write("{}\n")
    with pytest.raises(BadInputError, match=r"\.env\.history\.jsonl, line 2: is not an entry of the history"):
        history.entries()


def test_files_that_cannot_be_read_or_written_are_reported(history):
    history.env_file.with_name(".env.pending.json").write_text("{}")
    with pytest.raises(SetupError, match=r"\.env\.pending\.json: cannot be read; move it away"):
        _ = history.pending
    history.path.mkdir()
    with pytest.raises(SetupError, match=r"\.env\.history\.jsonl: cannot be read: Is a directory"):
        history.entries()
    history.backups.write_text("in the way")
    with pytest.raises(SetupError, match=r"\.env\.backups: cannot be written: File exists"):
        history.begin(entry(), BEFORE, AFTER)


def test_the_current_user_is_named_by_name_or_else_by_number(monkeypatch):
    assert current_user() == getpass.getuser()

    def nameless():
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert current_user() == f"uid {os.getuid()}"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("AI_MODEL_VERSION", "v7", "v7"),
        ("AI_MODEL_VERSION", None, "(not set)"),
        ("AI_MODEL_VERSION", "/srv/data/models/store/v7/cnn_model.safetensors", "…/v7/cnn_model.safetensors"),
        ("PASSWORD", "hunter2", "(not shown)"),
        ("PASSWORD", None, "(not shown)"),
    ],
)
def test_only_values_of_named_keys_are_shown_and_paths_are_shortened(key, value, shown):
    assert shown_value({"AI_MODEL_VERSION"}, key, value) == shown
    assert shown_value((), key, value) == "(not shown)"
