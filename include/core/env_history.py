"""The history of an env file: what changed, when, by whom and why, with a backup of the file before each change."""

from __future__ import annotations

import getpass
import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.core import swap
from include.core.errors import BadInputError, SetupError

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
    by: str = Field(description="Who changed it: user, and command or task.")
    why: str
    run: str | None = Field(None, description="The run that changed it.")
    version: str | None = Field(None, description="Version of the model that the change switches to.")
    changes: dict[str, Change]
    diff: str = Field(description="The changed lines, as unified diff without context.")
    backup: str | None = Field(
        None, description="The file as it was, below the env file's folder; None: there was none."
    )


class Announcement(BaseModel):
    """A change that is about to be made; a process that was killed may have made it, or not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entry: Entry
    sha256: str = Field(description="Of the file as it shall be.")


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


class History:
    """The files beside an env file: `.env.history.jsonl` and `.env.backups/`, for the eyes of the same people.

    Args:
        env_file: The env file.
    """

    def __init__(self, env_file: Path) -> None:
        self.env_file = env_file
        self.path = env_file.with_name(f"{env_file.name}.history.jsonl")
        self.backups = env_file.with_name(f"{env_file.name}.backups")
        self._announced = env_file.with_name(f"{env_file.name}.pending.json")

    @property
    def announced(self) -> Announcement | None:
        """What nobody has settled yet."""
        try:
            return Announcement.model_validate_json(self._announced.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise SetupError(f"{self._announced}: cannot be read; move it away: {error}") from error

    def entries(self) -> list[Entry]:
        """All changes, oldest first.

        Raises:
            BadInputError: A line is no entry.
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
                raise BadInputError(f"{self.path}, line {number}: is no entry of the history") from error
        return entries

    def announce(self, entry: Entry, before: bytes, after: bytes) -> None:
        """Keep what is about to change, before it does.

        Raises:
            SetupError: The folder cannot be written.
        """
        if entry.backup:
            self._keep(self.env_file.parent / entry.backup, before)
        announcement = Announcement(entry=entry, sha256=_sha256(after))
        self._keep(self._announced, announcement.model_dump_json().encode())

    def settle(self, *, made: bool) -> None:
        """Record the announced change if it was made, else forget it."""
        announced = self.announced
        if announced is None:
            return
        entries = self.entries()
        if made and announced.entry not in entries:
            lines = (each.model_dump_json() + "\n" for each in (*entries, announced.entry))
            self._keep(self.path, "".join(lines).encode())
        self._announced.unlink()
        for old in sorted(self.backups.glob("*.env"))[:-KEPT_BACKUPS]:
            old.unlink()

    def tidy(self) -> None:
        """Remove what a killed process left half-way; what may be somebody's edit stays."""
        leftovers = list(self.env_file.parent.glob(f".{self.env_file.name}.*"))
        if not leftovers:
            return
        known = {_sha256(path.read_bytes()) for path in (*self.backups.glob("*.env"), self.env_file) if path.exists()}
        announced = self.announced
        known |= {announced.sha256} if announced else set()
        for leftover in leftovers:
            if leftover.name.startswith(self._prefix) or _sha256(leftover.read_bytes()) in known:
                leftover.unlink()

    @property
    def _prefix(self) -> str:
        return f".{self.env_file.name}.history-"

    def _keep(self, path: Path, content: bytes) -> None:
        """Write a file as a whole; it belongs to whom the env file belongs to, and is theirs alone to read."""
        fresh = self.env_file.with_name(f"{self._prefix}{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            swap.give_to_owner(path.parent, self.env_file)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, swap.NEW_MODE), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            swap.give_to_owner(fresh, self.env_file)
            fresh.replace(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise SetupError(f"{path}: cannot be written: {error.strerror or error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
