"""Change an env file in transactions: locked, complete or not at all, backed up, recorded, and reversible.

Beside `.env` lie `.env.lock`, `.env.history.jsonl` (one line a change, oldest first) and `.env.backups/`. Everything
else in the file stays as it was, also what others write to it meanwhile (`include.env_file.replacement`).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from include.core.errors import BadInputError
from include.core.files import copy_owner, locked
from include.env_file import text
from include.env_file.history import Change, Entry, History, Reason
from include.env_file.replacement import private_mode, read_settled, replace_content
from include.env_file.text import Changes

LOCK_TIMEOUT_S = 30.0
PASSED_KEYS = "ENV_FILE_VALUES"
"""Environment variable of a container: the keys of the env file that its step reads, as JSON."""


def read_keys(path: Path, keys: Iterable[str]) -> dict[str, str]:
    """Return some keys of an env file, those that it sets.

    A container does not see the file, which may hold secrets; there `ENV_FILE_VALUES` holds the keys of its step.

    Raises:
        BadInputError: The file's quotes do not close.
        SetupError: It cannot be read.
    """
    passed = os.environ.get(PASSED_KEYS)
    values = EnvFile(path).read() if passed is None else json.loads(passed)
    return {key: values[key] for key in keys if key in values}


class ChangedMeanwhileError(BadInputError):
    """The file no longer holds the values that a decision was based on."""


class EnvFile:
    """An env file and its history.

    Args:
        path: The file, or a link to it; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self._history = History(self.path)

    def read(self) -> dict[str, str]:
        """Return the keys that the file sets; none where there is no file.

        Raises:
            BadInputError: Its quotes do not close.
            SetupError: It cannot be read.
        """
        with self._named():
            return text.read_values(self._content())

    def diff(self, changes: Changes) -> str:
        """Return the lines that changes would change, as unified diff without context; empty if there are none.

        Raises:
            BadInputError: A change cannot be written.
            SetupError: The file cannot be read.
        """
        with self._named():
            before = self._content()
            return text.unified_diff(before, text.change(before, changes), self.path.name)

    def update(self, changes: Changes, reason: Reason, expected: Changes | None = None) -> Entry | None:
        """Change keys, all of them at once.

        Args:
            changes: New values by key; None removes the key.
            reason: For the history.
            expected: Values that the file must still hold, unless it holds the new ones already.

        Returns:
            The new entry of the history, or None where the file already held the new values.

        Raises:
            BadInputError: A change cannot be written; nothing is changed.
            ChangedMeanwhileError: The file does not hold the expected values; nothing is changed.
            SetupError: The file cannot be replaced; nothing is changed.
            TransientError: Others hold the lock, or keep changing the file.
        """
        with self._locked():
            return self._commit(changes, reason, expected or {})

    def history(self) -> list[Entry]:
        """Return all changes, oldest first.

        Raises:
            BadInputError: A line of the history is not an entry.
        """
        if self._history.pending is not None:
            with self._locked():
                pass
        return self._history.entries()

    def rollback(self, entry_id: str | None, reason: Reason) -> Entry | None:
        """Restore the values before the last change, or those after a named entry; edits by others stay.

        Returns:
            The entry of the rollback itself, or None where the file already holds these values.

        Raises:
            BadInputError: There is no such entry.
            SetupError: The file cannot be replaced.
        """
        with self._locked():
            return self._commit(self._changes_back(entry_id), reason, {})

    def _changes_back(self, entry_id: str | None) -> dict[str, str | None]:
        entries = self._history.entries()
        if not entries:
            raise BadInputError(f"{self.path}: has no history to roll back")
        ids = [entry.id for entry in entries]
        if entry_id is not None and entry_id not in ids:
            raise BadInputError(
                f"{entry_id}: no such entry in the history of {self.path}; the latest are {', '.join(ids[-3:])}"
            )
        undone = entries[-1:] if entry_id is None else entries[ids.index(entry_id) + 1 :]
        return {key: change.old for entry in reversed(undone) for key, change in entry.changes.items()}

    def _commit(self, changes: Changes, reason: Reason, expected: Changes) -> Entry | None:
        """Back up, record as pending, replace, record as made; the next transaction completes what was interrupted."""
        moment = datetime.now(UTC)
        entry_id = f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        made: Entry | None = None

        def apply(content: bytes) -> bytes:
            nonlocal made
            before = _decoded(content)
            values, after = text.read_values(before), text.change(before, changes)
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
                diff=text.unified_diff(before, after, self.path.name),
                backup=f"{self._history.backups.name}/{entry_id}.env" if self.path.exists() else None,
            )
            fresh = after.encode(errors="surrogateescape")
            self._history.begin(made, content, fresh)
            return fresh

        with self._named():
            replace_content(self.path, apply)
        self._recover()
        return made

    def _recover(self) -> None:
        """Commit the pending change if the file holds it, else discard it."""
        pending = self._history.pending
        if pending is not None:
            values = self.read()
            if all(values.get(key) == change.new for key, change in pending.entry.changes.items()):
                self._history.commit()
            else:
                self._history.discard()

    def _content(self) -> str:
        return _decoded(read_settled(self.path))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.path.with_name(f"{self.path.name}.lock")
        with locked(lock, timeout_s=LOCK_TIMEOUT_S, mode=private_mode(self.path)):
            copy_owner(self.path, lock)
            self._history.clean_up()
            self._recover()
            yield

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BadInputError as error:
            raise type(error)(f"{self.path}: {error}") from error


def _decoded(content: bytes | None) -> str:
    return (content or b"").decode(errors="surrogateescape")
