"""An env file as a transaction: locked, changed as a whole, backed up, audited, and rolled back.

Beside `.env` lie `.env.lock`, `.env.history.jsonl` (one line a change, oldest first) and `.env.backups/`. Everything
else in the file stays as it was, also what others write to it meanwhile (`include.core.swap`).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from include.core import env_text, swap
from include.core.env_history import Change, Entry, History, Reason
from include.core.env_text import Changes
from include.core.errors import BadInputError, SetupError, TransientError

LOCK_SECONDS = 30.0


HANDED = "ENV_FILE_VALUES"


def read_keys(path: Path, keys: Iterable[str]) -> dict[str, str]:
    """Some keys of an env file, those that it sets.

    A container does not see the file, which may hold anybody's secrets: there `ENV_FILE_VALUES` holds, as JSON, the
    keys that its step reads.

    Raises:
        BadInputError: The file's quotes do not close.
        SetupError: It cannot be read.
    """
    handed = os.environ.get(HANDED)
    values = EnvFile(path).read() if handed is None else json.loads(handed)
    return {key: values[key] for key in keys if key in values}


class ChangedMeanwhileError(BadInputError):
    """The file no longer says what a decision was based on."""


class EnvFile:
    """An env file and its history.

    Args:
        path: The file, or a link to it; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self._history = History(self.path)

    def read(self) -> dict[str, str]:
        """The keys that the file sets; none where there is no file.

        Raises:
            BadInputError: Its quotes do not close.
            SetupError: It cannot be read.
        """
        with self._named():
            return env_text.read_values(_text(swap.read_settled(self.path)))

    def diff(self, changes: Changes) -> str:
        """What some changes would change: the lines alone, as unified diff; empty if nothing.

        Raises:
            BadInputError: A change cannot be written.
            SetupError: The file cannot be read.
        """
        with self._named():
            before = _text(swap.read_settled(self.path))
            return env_text.unified_diff(before, env_text.change(before, changes), self.path.name)

    def update(self, changes: Changes, reason: Reason, expected: Changes | None = None) -> Entry | None:
        """Change keys, all of them at once.

        Args:
            changes: New values by key; None removes the key.
            reason: What the history says of it.
            expected: What the file must still say, unless it says what it shall already.

        Returns:
            The new entry of the history, or None where the file already said so.

        Raises:
            BadInputError: A change cannot be written; nothing is changed.
            ChangedMeanwhileError: The file says something else than expected; nothing is changed.
            SetupError: The file cannot be replaced; nothing is changed.
            TransientError: Others hold the lock, or keep changing the file.
        """
        with self._locked():
            return self._commit(changes, reason, expected or {})

    def history(self) -> list[Entry]:
        """All changes, oldest first.

        Raises:
            BadInputError: A line of the history is no entry.
        """
        if self._history.announced is not None:
            with self._locked():
                pass
        return self._history.entries()

    def rollback(self, entry_id: str | None, reason: Reason) -> Entry | None:
        """Go back to the values of before the last change, or to those after a named entry; others' edits stay.

        Returns:
            The entry of the rollback itself, or None where the file already says so.

        Raises:
            BadInputError: There is no such entry.
            SetupError: The file cannot be replaced.
        """
        with self._locked():
            return self._commit(self._changes_back(entry_id), reason, {})

    def changes_back(self, entry_id: str | None = None) -> dict[str, str | None]:
        """What a rollback would set.

        Raises:
            BadInputError: There is no such entry.
        """
        self.history()
        return self._changes_back(entry_id)

    def _changes_back(self, entry_id: str | None) -> dict[str, str | None]:
        entries = self._history.entries()
        if not entries:
            raise BadInputError(f"{self.path}: has no history to roll back")
        keep = next((number for number, entry in enumerate(entries) if entry.id == entry_id), None)
        if entry_id is not None and keep is None:
            known = ", ".join(entry.id for entry in entries[-3:])
            raise BadInputError(f"{entry_id}: no such entry in the history of {self.path}; the latest are {known}")
        undone = entries[-1:] if keep is None else entries[keep + 1 :]
        return {key: change.old for entry in reversed(undone) for key, change in entry.changes.items()}

    def _commit(self, changes: Changes, reason: Reason, expected: Changes) -> Entry | None:
        """Back up, announce, replace, record: killed in between, the next transaction completes the record."""
        moment = datetime.now(UTC)
        entry_id = f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        made: Entry | None = None

        def apply(content: bytes) -> bytes:
            nonlocal made
            before = _text(content)
            values, after = env_text.read_values(before), env_text.change(before, changes)
            if before == after:
                made = None
                return content
            for key, value in expected.items():
                if values.get(key) != value:
                    raise ChangedMeanwhileError(f"{key} is {values.get(key)!r} now; it was {value!r}")
            made = Entry(
                id=entry_id,
                at=moment,
                **vars(reason),
                changes={
                    key: Change(old=values.get(key), new=new) for key, new in changes.items() if values.get(key) != new
                },
                diff=env_text.unified_diff(before, after, self.path.name),
                backup=f"{self._history.backups.name}/{entry_id}.env" if self.path.exists() else None,
            )
            fresh = after.encode(errors="surrogateescape")
            self._history.announce(made, content, fresh)
            return fresh

        with self._named():
            before = _text(swap.read_settled(self.path))
            if env_text.change(before, changes) == before:
                return None
            swap.rewrite(self.path, apply)
        self._settle()
        return made

    def _settle(self) -> None:
        announced = self._history.announced
        if announced is not None:
            values, changes = self.read(), announced.entry.changes
            self._history.settle(made=all(values.get(key) == change.new for key, change in changes.items()))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, swap.NEW_MODE)
        except OSError as error:
            raise SetupError(f"{self.path}: cannot be changed: {lock.name} beside it: {error.strerror}") from error
        try:
            swap.give_to_owner(lock, self.path)
            _await_lock(handle, lock)
            self._history.tidy()
            self._settle()
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BadInputError as error:
            raise type(error)(f"{self.path}: {error}") from error


def _await_lock(handle: int, lock: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TransientError(f"{lock}: another process has held it for {LOCK_SECONDS:g} s") from None
            time.sleep(swap.POLL_SECONDS)
        else:
            return


def _text(content: bytes | None) -> str:
    return (content or b"").decode(errors="surrogateescape")
