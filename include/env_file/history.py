"""The history of an env file: what changed, when, by whom and why, and a backup of the file before each change."""

from __future__ import annotations

import getpass
import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from include.core.errors import BadInputError, SetupError
from include.core.files import copy_owner, write_atomically
from include.env_file.replacement import private_mode

KEPT_BACKUPS = 50
HIDDEN = "(not shown)"


class Change(BaseModel, extra="forbid", frozen=True):
    """The value of a key before and after a change; None: it was not set."""

    old: str | None
    new: str | None


class Entry(BaseModel, extra="forbid", frozen=True):
    """One change of the file, as its history keeps it."""

    id: str
    at: AwareDatetime
    by: str = Field(description="Who changed it: user, and command or task.")
    why: str
    run: str | None = Field(None, description="The run that changed it.")
    version: str | None = Field(None, description="Version of the model that the change switches to.")
    changes: dict[str, Change]
    diff: str = Field(description="The changed lines, as unified diff without context.")
    backup: str | None = Field(
        None, description="The file as it was, below the env file's folder; None: there was none."
    )


class Pending(BaseModel, extra="forbid", frozen=True):
    """A change about to be made; a process that was killed may have made it or not."""

    entry: Entry
    sha256: str = Field(description="Of the file after the change.")


@dataclass(frozen=True)
class Reason:
    """Who changes the file, and why: what its history says."""

    by: str
    why: str
    run: str | None = None
    version: str | None = None


def current_user() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid {os.getuid()}"


def shown_value(own: Collection[str], key: str, value: str | None) -> str:
    """Return a value of the env file for users.

    Args:
        own: Keys whose values may be shown; those of others may be secrets.
        key: Its key.
        value: None where the key is not set.

    >>> shown_value({"MODEL"}, "MODEL", "/data/models/v1/cnn.safetensors"), shown_value({"MODEL"}, "PASSWORD", "x")
    ('…/v1/cnn.safetensors', '(not shown)')
    """
    if key not in own:
        return HIDDEN
    if value is None:
        return "(not set)"
    return f"…/{'/'.join(Path(value).parts[-2:])}" if value.startswith("/") else value


def shown_changes(entry: Entry, own: Collection[str]) -> str:
    """Return the lines that an entry changed, as a diff without the values of keys other than some.

    Args:
        entry: The entry.
        own: Keys whose values may be shown.
    """
    lines = []
    for key, change in entry.changes.items():
        for sign, value in (("-", change.old), ("+", change.new)):
            if value is not None:
                lines.append(f"{sign}{key}={value if key in own else HIDDEN}")
    return "\n".join(lines)


class History:
    """The files beside an env file, `.env.history.jsonl` and `.env.backups/`, readable by its owner alone.

    Args:
        env_file: The env file.
    """

    def __init__(self, env_file: Path) -> None:
        self.env_file = env_file
        self.path = env_file.with_name(f"{env_file.name}.history.jsonl")
        self.backups = env_file.with_name(f"{env_file.name}.backups")
        self._pending = env_file.with_name(f"{env_file.name}.pending.json")

    @property
    def pending(self) -> Pending | None:
        """The change that was begun and neither committed nor discarded.

        Raises:
            SetupError: Its file cannot be read.
        """
        try:
            return Pending.model_validate_json(self._pending.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise SetupError(f"{self._pending}: cannot be read; move it away: {error}") from error

    def entries(self) -> list[Entry]:
        """Return all changes, oldest first.

        Raises:
            BadInputError: A line is not an entry.
            SetupError: The file cannot be read.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SetupError(f"{self.path}: cannot be read: {error.strerror}") from error
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(Entry.model_validate_json(line))
            except ValidationError as error:
                raise BadInputError(f"{self.path}, line {number}: is not an entry of the history") from error
        return entries

    def begin(self, entry: Entry, before: bytes, after: bytes) -> None:
        """Back up the file and record what is about to change, before it does.

        Raises:
            SetupError: The folder cannot be written.
        """
        if entry.backup:
            try:
                mode = private_mode(self.env_file)
                self.backups.mkdir(mode=mode | mode >> 2 & 0o110, exist_ok=True)  # who may read it may enter it
                copy_owner(self.env_file, self.backups)
            except OSError as error:
                raise SetupError(f"{self.backups}: cannot be written: {error.strerror}") from error
            self._write(self.env_file.parent / entry.backup, before)
        self._write(self._pending, Pending(entry=entry, sha256=_sha256(after)).model_dump_json().encode())

    def commit(self) -> None:
        """Record the pending change as made.

        Raises:
            SetupError: The folder cannot be written.
        """
        pending, entries = self.pending, self.entries()
        if pending is not None and pending.entry not in entries:
            lines = (entry.model_dump_json() + "\n" for entry in (*entries, pending.entry))
            self._write(self.path, "".join(lines).encode())
        self.discard()

    def discard(self) -> None:
        """Forget the pending change, and remove backups beyond the latest 50."""
        self._pending.unlink(missing_ok=True)
        for backup in sorted(self.backups.glob("*.env"))[:-KEPT_BACKUPS]:
            backup.unlink()

    def clean_up(self) -> None:
        """Remove temporary files of killed processes; what may be an edit by others stays."""
        hidden = f".{self.env_file.name}"
        leftovers = [*self.env_file.parent.glob(f"{hidden}.*"), *self.backups.glob(".*")]
        if not leftovers:
            return
        hashes = {_sha256(path.read_bytes()) for path in (*self.backups.glob("*.env"), self.env_file) if path.exists()}
        if pending := self.pending:
            hashes.add(pending.sha256)
        ours = (f"{hidden}.history", f"{hidden}.pending")
        for leftover in leftovers:
            is_ours = leftover.parent == self.backups or leftover.name.startswith(ours)
            if is_ours or _sha256(leftover.read_bytes()) in hashes:
                leftover.unlink()

    def _write(self, path: Path, content: bytes) -> None:
        write_atomically(path, content, mode=private_mode(self.env_file), owner_of=self.env_file)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
