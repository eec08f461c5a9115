"""A feed: a folder of the inbox into which files of one source arrive, its declaration, and its ledger.

`data/inbox/<feed>/` holds files that wait, and

| | |
|---|---|
| `feed.toml` | the declaration; without one, defaults |
| `archive/<date>/<checksum>/<name>` | files that were taken, kept as evidence |
| `rejected/<name>`, `rejected/<name>.txt` | files that cannot be used, and why |
| `ledger.json` | which files were taken, and which days of them are published |

A domain says what its files hold (`FeedReader`). Days are those of the feed's own clock, the parameter `timezone`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from include.core.errors import BadInputError, explain
from include.core.files import locked
from include.core.outcome import Scalar
from include.core.run_folder import damage_of, read_model, write_json
from include.core.windows import read_zone

DECLARATION, LEDGER, ARCHIVE, REJECTED = "feed.toml", "ledger.json", "archive", "rejected"
FEED = "feed"
"""The parameter that names the feed and the day whose revision a run makes: `home/2026-03-01`."""
FEED_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
OWN_PARAMS = ("files", "start", "end", FEED)
"""Parameters that the inbox sets itself."""
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
LOCK_S = 600.0


def parse_duration(value: object) -> object:
    """Return a duration such as `30m` or `1d` as a timedelta, and anything else as it is.

    >>> parse_duration("36h")
    datetime.timedelta(days=1, seconds=43200)
    """
    match = re.fullmatch(r"\s*(\d{1,5})\s*([smhdw])\s*", value) if isinstance(value, str) else None
    if match:
        return timedelta(**{UNITS[match[2]]: int(match[1])})
    if isinstance(value, timedelta):
        return value
    raise ValueError("must be a number with s, m, h, d or w, such as 90s, 30m, 6h or 1d")


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Declaration(BaseModel):
    """`feed.toml`: how a feed's files are read, and what is expected of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str | None = Field(
        None, description="The pipeline that runs its days. Default: the one that reads feeds."
    )
    expected_every: Duration | None = Field(
        None, description="How often a file arrives; without, silence is no finding."
    )
    tolerance: Duration = Field(timedelta(hours=6), description="How much later than that it may arrive.")
    settle: Duration = Field(timedelta(minutes=1), description="How long a file must be unchanged before it is taken.")
    max_days: int = Field(92, ge=1, description="How many days one file may touch; each is a run.")
    notify: str | None = Field(
        None, description="Airflow connection that is notified. Default: that of GROUNDTRUTH_NOTIFY_CONNECTION."
    )
    options: dict[str, Any] = Field({}, description="Parameters of the pipeline: how the files are read.")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TakenFile(_Entry):
    """A file that was taken; the position in the ledger is the order of arrival."""

    name: str
    sha256: str
    bytes: int
    taken_at: AwareDatetime
    archived: str = Field(description="Where it lies, below the feed's folder.")
    records: int
    days: dict[date, str] = Field(
        description="Days of the feed's clock that it touches, each with a checksum of its readings; not those whose "
        "readings are those of the file before it."
    )
    borders: list[date] = Field([], description="Days that it completes where another file holds readings of them.")
    timezone: str | None = Field(None, description="That clock; None is UTC.")
    until: AwareDatetime | None = Field(None, description="End of its last reading; None where it was not recorded.")


class Repeated(_Entry):
    """A file whose content had been taken before."""

    name: str
    sha256: str
    of: str = Field(description="The name under which the content was taken.")
    taken_at: AwareDatetime


class RejectedFile(_Entry):
    """A file that cannot be used."""

    name: str
    sha256: str
    rejected_at: AwareDatetime
    moved: str = Field(description="Where it lies, below the feed's folder.")
    reason: str


class DayState(_Entry):
    """What the last run of a day came to."""

    sources: list[str] = Field(description="Checksums of the files that it was made from, in the order of arrival.")
    revision: int
    published_at: AwareDatetime
    checked_at: AwareDatetime = Field(description="Later than `published_at` where the readings were the same.")
    run_id: str
    reason: str
    totals: dict[str, JsonValue] = {}


class Ledger(_Entry):
    """Which files a feed has taken, and which of their days are published."""

    opened_at: AwareDatetime
    files: list[TakenFile] = []
    repeated: list[Repeated] = []
    rejected: list[RejectedFile] = []
    days: dict[date, DayState] = {}

    def of_day(self, day: date) -> list[TakenFile]:
        """Return the files that hold readings of a day, or complete it, in the order of arrival."""
        return [file for file in self.files if day in file.days or day in file.borders]

    def touched(self, days: Mapping[date, str]) -> dict[date, str]:
        """Return the days that a file touches, without those of which the latest file holds the same readings."""
        latest = {day: checksum for file in self.files for day, checksum in file.days.items()}
        return {day: checksum for day, checksum in days.items() if latest.get(day) != checksum}

    @property
    def due(self) -> list[date]:
        """The days whose published revision was not made from all their files, oldest first."""
        touched: dict[date, list[str]] = {day: [] for file in self.files for day in file.days}
        for file in self.files:
            for day in {*file.days, *file.borders} & touched.keys():
                touched[day].append(file.sha256)
        states = {day: state.sources for day, state in self.days.items()}
        return sorted(day for day, sources in touched.items() if states.get(day) != sources)


@dataclass(frozen=True)
class Examined:
    """What a file of a feed holds.

    Args:
        records: How many.
        days: The days of the feed's clock that its readings touch, in order, each with a checksum of its readings.
        borders: Days that it completes where another file holds readings of them, as that before the first reading of a
            register.
        until: End of its last reading, UTC.
    """

    records: int
    days: Mapping[date, str]
    borders: Sequence[date] = ()
    until: datetime | None = None


@dataclass(frozen=True)
class Changes:
    """How the results of a day differ from those that are published.

    Args:
        totals: The metrics that a revision states before and after.
        added: Readings that were not published yet.
        changed: Readings with another value.
        removed: Published readings that there are no more.
        table: All these readings as CSV, with the values before and after.
    """

    totals: Mapping[str, Scalar]
    added: int
    changed: int
    removed: int
    table: bytes

    @property
    def same(self) -> bool:
        """Whether all readings are as they are published."""
        return not (self.added or self.changed or self.removed)


@dataclass(frozen=True)
class FeedReader:
    """How a domain reads files of feeds.

    Args:
        examine: `module:function` of `(file, name, params)` that returns an `Examined`, or raises BadInputError where
            the file cannot be used or a question about it is open.
        compare: `module:function` of `(results by name, published folder or None)` that returns the `Changes`.
    """

    examine: str
    compare: str


@dataclass(frozen=True)
class Feed:
    """A feed of the inbox.

    Args:
        folder: Its folder, named after it.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    def declaration(self) -> Declaration:
        """Return what `feed.toml` states; defaults where there is none.

        Raises:
            BadInputError: It cannot be read; names each fault.
        """
        path = self.folder / DECLARATION
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
            declaration = Declaration.model_validate(document)
        except FileNotFoundError:
            return Declaration()
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadInputError(f"{path}: cannot be read as TOML: {error}") from error
        except ValidationError as error:
            raise BadInputError(f"{path}: {explain(error)}; docs/guides/inbox.md lists the keys") from error
        if own := [name for name in OWN_PARAMS if name in declaration.options]:
            raise BadInputError(f"{path}: options: {', '.join(own)}: is set for each day by the inbox; leave it out")
        return declaration

    def ledger(self) -> Ledger:
        """Return the ledger; an empty one, of when the feed was declared, where nothing was taken yet.

        Raises:
            BadInputError: It is damaged.
        """
        path = self.folder / LEDGER
        try:
            ledger = read_model(path, Ledger)
        except ValidationError as error:
            remedy = "restore it from a backup: it says which files were taken and which days are published"
            raise BadInputError(f"{damage_of(path, error)} The feed stands still; {remedy}") from error
        if ledger is None:
            declared = self.folder / DECLARATION
            opened = (declared if declared.exists() else self.folder).stat().st_mtime
            ledger = Ledger(opened_at=datetime.fromtimestamp(opened, UTC).replace(microsecond=0))
        return ledger

    def write(self, ledger: Ledger) -> None:
        """Write the ledger; the caller holds the lock.

        Raises:
            SetupError: The folder cannot be written.
        """
        write_json(self.folder / LEDGER, ledger)

    def lock(self) -> AbstractContextManager[None]:
        """Return the feed's lock: one process at a time takes files, or records what was published."""
        return locked(self.folder / ".lock", timeout_s=LOCK_S)


def find_feeds(inbox: Path) -> list[Feed]:
    """Return the feeds of an inbox by name: its folders whose names can be names of published folders."""
    if not inbox.is_dir():
        return []
    folders = (path for path in sorted(inbox.iterdir()) if path.is_dir() and not path.is_symlink())
    return [Feed(path) for path in folders if FEED_NAME.fullmatch(path.name)]


def window_of(day: date, timezone: str | None) -> tuple[datetime, datetime]:
    """Return a day of a clock in UTC: 23 to 25 hours, start and end.

    Raises:
        BadInputError: The zone does not exist.

    >>> [instant.hour for instant in window_of(date(2026, 3, 29), "Europe/Berlin")]
    [23, 22]
    """
    zone = read_zone(timezone)
    first, last = (datetime.combine(d, time(), zone) for d in (day, day + timedelta(days=1)))
    return first.astimezone(UTC), last.astimezone(UTC)


def day_key(day: date, sources: Sequence[str], options: Mapping[str, Any]) -> str:
    """Return what tells the runs of a day apart: its files, and how they are read."""
    content = json.dumps([day.isoformat(), list(sources), options], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


Ended = Callable[[Path], bool]
"""Says of the folder of a run that is not finished whether it has ended all the same."""
