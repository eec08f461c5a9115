"""An env file as a transaction: locked, changed as a whole, backed up, audited, and rolled back.

Beside `.env` lie `.env.lock`, `.env.history.jsonl` (one line a change, oldest first) and `.env.backups/`. Everything
else in the file stays as it was, also what others write to it meanwhile (`include.core.swap`).
"""

from __future__ import annotations

import fcntl
import getpass
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.core import env_text, swap
from include.core.env_text import Changes
from include.core.errors import BadInputError, SetupError, TransientError

LOCK_SECONDS = 30.0
KEPT_BACKUPS = 50


class Change(BaseModel):
    """What a key held before and after; None: it was not set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    old: str | None
    new: str | None


class Entry(BaseModel):
    """One change of the file, as its history keeps it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    at: AwareDatetime
    by: str = Field(description="Who changed it: user and command or task.")
    run: str | None = Field(None, description="The run that changed it.")
    version: str | None = Field(None, description="Version of the model that the change switches to.")
    why: str
    changes: dict[str, Change]
    diff: str = Field(description="The changed lines, as unified diff without context.")
    backup: str | None = Field(None, description="The file as it was, below the folder of the env file.")


@dataclass(frozen=True)
class Reason:
    """Who changes the file, and why: what its history says."""

    by: str
    why: str
    run: str | None = None
    version: str | None = None


def person() -> str:
    """The user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


class EnvFile:
    """An env file and its history.

    Args:
        path: The file, or a link to it; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.name = self.path.name
        self._history = self.path.with_name(f"{self.name}.history.jsonl")
        self._pending = self.path.with_name(f"{self.name}.pending.json")
        self._backups = self.path.with_name(f"{self.name}.backups")

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
            return env_text.unified_diff(before, env_text.change(before, changes), self.name)

    def update(self, changes: Changes, reason: Reason) -> Entry | None:
        """Change keys, all of them at once.

        Args:
            changes: New values by key; None removes the key.
            reason: What the history says of it.

        Returns:
            The new entry of the history, or None where the file already said so.

        Raises:
            BadInputError: A change cannot be written; nothing is changed.
            SetupError: The file cannot be replaced; nothing is changed.
            TransientError: Others hold the lock, or keep changing the file.
        """
        with self._locked():
            return self._commit(lambda _: changes, reason)

    def history(self) -> list[Entry]:
        """All changes, oldest first.

        Raises:
            BadInputError: A line of the history is no entry.
        """
        if self._pending.exists():
            with self._locked():
                pass
        return self._entries()

    def rollback(self, entry_id: str | None, reason: Reason) -> Entry | None:
        """Go back to the values of before the last change, or to those of a named entry; others' edits stay.

        Returns:
            The entry of the rollback itself, or None where the file already says so.

        Raises:
            BadInputError: There is no such entry.
            SetupError: The file cannot be replaced.
        """
        with self._locked():
            changes = self._changes_back(entry_id)
            return self._commit(lambda _: changes, reason)

    def changes_back(self, entry_id: str | None = None) -> dict[str, str | None]:
        """What a rollback would set.

        Raises:
            BadInputError: There is no such entry.
        """
        self.history()
        return self._changes_back(entry_id)

    def _changes_back(self, entry_id: str | None) -> dict[str, str | None]:
        entries = self._entries()
        if not entries:
            raise BadInputError(f"{self.path}: has no history to roll back")
        keep = next((number for number, entry in enumerate(entries) if entry.id == entry_id), None)
        if entry_id is not None and keep is None:
            known = ", ".join(entry.id for entry in entries[-3:])
            raise BadInputError(f"{entry_id}: no such entry in the history of {self.path}; the latest are {known}")
        undone = entries[-1:] if keep is None else entries[keep + 1 :]
        return {key: change.old for entry in reversed(undone) for key, change in entry.changes.items()}

    def _commit(self, plan: Callable[[Mapping[str, str]], Changes], reason: Reason) -> Entry | None:
        """Back up, announce, replace, record: killed in between, the next transaction completes the record."""
        moment = datetime.now(UTC)
        entry_id = f"{moment:%Y%m%dT%H%M%S}Z-{secrets.token_hex(2)}"
        made: Entry | None = None

        def apply(content: bytes) -> bytes:
            nonlocal made
            before, values = _text(content), env_text.read_values(_text(content))
            changes = {key: value for key, value in plan(values).items() if values.get(key) != value}
            made = None
            if not changes:
                return content
            after = env_text.change(before, changes)
            backup = self._backups / f"{entry_id}.env"
            made = Entry(
                id=entry_id,
                at=moment,
                by=reason.by,
                run=reason.run,
                version=reason.version,
                why=reason.why,
                changes={key: Change(old=values.get(key), new=value) for key, value in changes.items()},
                diff=env_text.unified_diff(before, after, self.name),
                backup=f"{self._backups.name}/{backup.name}" if self.path.exists() else None,
            )
            if made.backup:
                self._keep(backup, content)
            self._keep(self._pending, made.model_dump_json().encode())
            return _bytes(after)

        with self._named():
            current = swap.read_settled(self.path) or b""
            if apply(current) == current:
                return None
            swap.rewrite(self.path, apply)
        self._settle()
        return made
