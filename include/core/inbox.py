"""The inbox: takes the files that arrived in feeds, and says which of their days have to be run.

A file is taken once, by its content, when it has not changed for a while (`settle`) and does not look unfinished (a
hidden name, or one that ends like a partial copy). What is due follows from the ledger alone: the days whose published
revision was not made from all their files. So whatever is killed, at any moment, the next call continues.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from include.core.artifacts import sha256
from include.core.contracts import imported
from include.core.errors import BadInputError, SetupError
from include.core.feeds import (
    ARCHIVE,
    DECLARATION,
    FEED,
    LEDGER,
    REJECTED,
    Declaration,
    Ended,
    Examined,
    Feed,
    Ledger,
    RejectedFile,
    Repeated,
    TakenFile,
    day_key,
    find_feeds,
    window_of,
)
from include.core.files import setup_errors, write_atomically
from include.core.leftovers import COMMAND_LINE, goes_on
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.run_folder import StepResult, read_model

LOG = logging.getLogger(__name__)
INBOX = "inbox"
"""Name of the folder below the data folder, and of the DAG that takes its files."""
UNFINISHED = re.compile(r"\..*|.*(\.(part|partial|filepart|tmp|crdownload)|~)", re.IGNORECASE)
"""Names of files that are still being written."""
MOST_DAYS = 100
"""How many days are started at once; the rest follows with the next call."""
PASSING = frozenset({"transient", "interrupted", "lost"})
"""Faults after which a run of the command line is made again; Airflow does so itself for its own."""
Standing = Literal["due", "running", "failed"]


@dataclass(frozen=True)
class DueDay:
    """A day that has to be run.

    Args:
        feed: Name of the feed.
        day: Of the feed's clock.
        pipeline: What runs it.
        params: The parameters of its run.
        run_name: What its run is called; one of the command line has a prefix.
        standing: Whether it is still to be started, or its last run is under way or failed.
        run: Name of that last run's folder.
        problem: Why it failed.
    """

    feed: str
    day: date
    pipeline: Pipeline
    params: Mapping[str, Any]
    run_name: str
    standing: Standing = "due"
    run: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class FeedFinding:
    """Something about a feed that an operator should know.

    Args:
        feed: Its name.
        mark: What tells it from other findings of the feed: users are notified once for each.
        subject: In a few words.
        message: The file, the rule and the remedy.
        notify: Whether users are notified here; the run of a day that failed has a notice of its own.
    """

    feed: str
    mark: str
    subject: str
    message: str
    notify: bool = True


@dataclass
class FeedStatus:
    """How a feed stands.

    Args:
        feed: The feed.
        declaration: What is declared of it; None where that cannot be read.
        pipeline: What runs its days.
        ledger: What was taken.
        waiting: Files that were not taken yet, with the reason.
        due: Days that are not published from all their files.
        findings: What an operator should know.
    """

    feed: Feed
    declaration: Declaration | None = None
    pipeline: Pipeline | None = None
    ledger: Ledger | None = None
    waiting: dict[str, str] = field(default_factory=dict)
    due: list[DueDay] = field(default_factory=list)
    findings: list[FeedFinding] = field(default_factory=list)

    @property
    def last_file(self) -> TakenFile | None:
        """The file that was taken last."""
        return max(self.ledger.files, key=lambda file: file.taken_at, default=None) if self.ledger else None

    @property
    def last_reading(self) -> datetime | None:
        """The end of the latest reading of all files, UTC."""
        return max((file.until for file in self.ledger.files if file.until), default=None) if self.ledger else None

    @property
    def last_arrival(self) -> datetime | None:
        """When the last file was taken; before the first, when the feed was made."""
        if self.ledger is None:
            return None
        return self.last_file.taken_at if self.last_file else self.ledger.opened_at

    @property
    def expected_by(self) -> datetime | None:
        """When the next file has to be there; None where none is expected."""
        if self.last_arrival is None or self.declaration is None or self.declaration.expected_every is None:
            return None
        return self.last_arrival + self.declaration.expected_every + self.declaration.tolerance

    def silent_since(self, now: datetime) -> datetime | None:
        """Return since when nothing has arrived; None while the next file is not late."""
        return self.last_arrival if self.expected_by and now > self.expected_by else None


class Inbox:
    """The inbox of a deployment.

    Args:
        data_dir: The data folder.
        pipelines: All pipelines; those with a `feed_reader` run days of feeds.
        has_ended: Of the folder of a run of the deployment's Airflow: whether it has ended. Without, one that has no
            result yet counts as running.
    """

    def __init__(self, data_dir: Path, pipelines: Sequence[Pipeline], has_ended: Ended = lambda _: False) -> None:
        self.folder, self.runs, self.has_ended = data_dir.resolve() / INBOX, data_dir.resolve() / "runs", has_ended
        self.pipelines = [pipeline for pipeline in pipelines if pipeline.feed_reader]

    def feeds(self, name: str | None = None) -> list[Feed]:
        """Return the feeds, or the one of a name.

        Raises:
            BadInputError: There is no such feed.
        """
        feeds = find_feeds(self.folder)
        chosen = [feed for feed in feeds if name in (None, feed.name)]
        if name is not None and not chosen:
            names = ", ".join(feed.name for feed in feeds) or "none yet"
            raise BadInputError(f"there is no feed {name!r}; a feed is a folder of {self.folder} (there are: {names})")
        return chosen

    def look(self, feed: Feed, now: datetime) -> FeedStatus:
        """Return how a feed stands; nothing is changed.

        Args:
            feed: The feed.
            now: The present.
        """
        status = FeedStatus(feed)
        try:
            status.ledger = feed.ledger()
            status.declaration = feed.declaration()
            pipeline, options = self._reading(feed, status.declaration)
            status.pipeline = pipeline
            waiting = _waiting(feed, status.declaration, pipeline, now)
            status.waiting = {path.name: why or "it is complete, and will be taken" for path, why in waiting}
            status.due = [self._day(feed, status.ledger, pipeline, options, day) for day in status.ledger.due]
        except BadInputError as error:
            mark = f"unreadable-{_short(str(error))}"
            status.findings.append(FeedFinding(feed.name, mark, "cannot be read", str(error)))
        status.findings += _findings(status, now)
        return status

    def take(self, feed: Feed, now: datetime) -> list[str]:
        """Take the files of a feed that are complete, and return what was done, a sentence for each.

        Raises:
            BadInputError: The declaration or the ledger cannot be used; nothing was taken.
            SetupError: The folder cannot be written.
            TransientError: Another process takes files of this feed.
        """
        done = []
        with feed.lock():
            declaration = feed.declaration()
            pipeline, options = self._reading(feed, declaration)
            ready = [path for path, why in _waiting(feed, declaration, pipeline, now) if not why]
            for path in sorted(ready, key=lambda path: (path.stat().st_ctime_ns, path.name)):
                sentence = _take(feed, path, pipeline, options, declaration, now)
                if sentence:
                    done.append(sentence)
        return done

    def due(self, feed: Feed, *, retry: bool = False) -> list[DueDay]:
        """Return the days of a feed to start now, oldest first.

        Args:
            feed: The feed.
            retry: Also days whose last run failed with the same files.

        Raises:
            BadInputError: The declaration or the ledger cannot be used.
        """
        ledger = feed.ledger()
        pipeline, options = self._reading(feed, feed.declaration())
        days = (self._day(feed, ledger, pipeline, options, day) for day in ledger.due)
        return [day for day in days if day.standing == "due" or (retry and day.standing == "failed")][:MOST_DAYS]

    def _reading(self, feed: Feed, declaration: Declaration) -> tuple[Pipeline, dict[str, Any]]:
        """Return the pipeline of a feed and the checked parameters that its declaration states."""
        path, names = feed.folder / DECLARATION, [pipeline.definition.pipeline for pipeline in self.pipelines]
        chosen = [
            pipeline for pipeline in self.pipelines if declaration.pipeline in (None, pipeline.definition.pipeline)
        ]
        if not chosen:
            raise BadInputError(
                f"{path}: pipeline: must be one that reads feeds: {', '.join(names) or 'there is none'}"
            )
        return chosen[0], checked_options(chosen[0], feed, declaration)

    def _day(self, feed: Feed, ledger: Ledger, pipeline: Pipeline, options: Mapping[str, Any], day: date) -> DueDay:
        sources = ledger.of_day(day)
        start, end = window_of(day, options.get("timezone"))
        key = day_key(day, [file.sha256 for file in sources], content_of(pipeline, options))
        name = f"{FEED}__{feed.name}__{day}__{key}"
        earlier = sorted(
            (folder for folder in (self.runs / pipeline.definition.dag_id).glob(f"*{name}*") if folder.is_dir()),
            key=lambda folder: int(folder.name.partition(".")[2] or 1),
        )
        standing, problem = self._standing(earlier[-1]) if earlier else ("due", None)
        return DueDay(
            feed=feed.name,
            day=day,
            pipeline=pipeline,
            params={
                **options,
                INPUT_FILES: [str(feed.folder / file.archived) for file in sources],
                "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
                "end": f"{end:%Y-%m-%dT%H:%M:%SZ}",
                FEED: f"{feed.name}/{day}",
            },
            run_name=f"{name}.{len(earlier) + 1}" if earlier else name,
            standing=standing,
            run=earlier[-1].name if earlier else None,
            problem=problem,
        )

    def _standing(self, folder: Path) -> tuple[Standing, str | None]:
        """Return what a run of a day came to, where the day is due all the same."""
        results = [_result(path) for path in folder.glob("steps/*/result.json")]
        own_airflow = folder.name.startswith(COMMAND_LINE)
        error = next((result.error for result in results if result is not None and result.error is not None), None)
        if error is not None:
            passing = own_airflow and error.kind in PASSING
            return ("due", None) if passing else ("failed", error.message)
        if any(result is not None and result.step == "publish" for result in results):
            return "due", None  # it was overtaken by other files or another declaration
        if goes_on(folder) if own_airflow else not self.has_ended(folder):
            return "running", None
        return ("due", None) if own_airflow else ("failed", "the run ended without a result; its log says why")


def _waiting(feed: Feed, declaration: Declaration, pipeline: Pipeline, now: datetime) -> Iterator[tuple[Path, str]]:
    """Yield the files in a feed's folder, each with why it cannot be taken yet, or ""."""
    own = {DECLARATION, LEDGER, *(declaration.options.get(name) for name in pipeline.file_params)}
    for path in sorted(feed.folder.iterdir()):
        if path.name in own or path.name.startswith(".") or path.is_dir():
            continue
        if UNFINISHED.fullmatch(path.name):
            yield path, "its name says that it is not complete"
        elif path.is_symlink() or not path.is_file():
            yield path, "it is not a regular file"
        elif now.timestamp() - path.stat().st_ctime < declaration.settle.total_seconds():
            yield path, f"it changed less than {declaration.settle.total_seconds():.0f} s ago"
        else:
            yield path, ""


def _result(path: Path) -> StepResult | None:
    try:
        return read_model(path, StepResult)
    except ValidationError:
        return None


def checked_options(pipeline: Pipeline, feed: Feed, declaration: Declaration) -> dict[str, Any]:
    """Return the parameters that a declaration states, checked as those of a run.

    Args:
        pipeline: What runs the feed's days.
        feed: The feed; files that parameters name lie in its folder.
        declaration: The feed's.

    Raises:
        BadInputError: A parameter is unknown or impossible, or a file is missing.
    """
    path = feed.folder / DECLARATION
    try:
        options = pipeline.complete_params(declaration.options)
        for name in pipeline.file_params:
            if options.get(name):
                options[name] = _named_file(feed, name, str(options[name]))
        checked = pipeline.check_params({INPUT_FILES: ["any"], **options})
    except BadInputError as error:
        raise BadInputError(f"{path}: options: {error}") from error
    zones = {file.timezone for file in feed.ledger().files} - {checked.get("timezone")}
    if zones:
        raise BadInputError(
            f"{path}: options: timezone: was {zones.pop() or 'not stated (UTC)'} when files were taken, and the days "
            "of the feed are those of that clock; set it back, or begin another feed with the files of the archive"
        )
    return {name: checked[name] for name in options}


def _named_file(feed: Feed, name: str, value: str) -> str:
    file = (feed.folder / value).resolve()
    if file.parent != feed.folder.resolve() or not file.is_file():
        raise BadInputError(f"{name}: there is no file {value!r} beside {DECLARATION}")
    return str(file)


def content_of(pipeline: Pipeline, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with the checksum of each file that one names, instead of its place."""
    named = {name: sha256(Path(options[name])) for name in pipeline.file_params if options.get(name)}
    return {**options, **named}


def _take(
    feed: Feed, path: Path, pipeline: Pipeline, options: Mapping[str, Any], declaration: Declaration, now: datetime
) -> str | None:
    """Take one file: the ledger is written first, then the file is moved; None where it changed meanwhile."""
    with setup_errors(path, "read"):
        before = path.stat()
        checksum = sha256(path)
        after = path.stat()
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        return None
    ledger = feed.ledger()
    archived = f"{ARCHIVE}/{now:%Y-%m-%d}/{checksum[:12]}/{path.name}"
    known = next((file for file in ledger.files if file.sha256 == checksum), None)
    if known is not None and not (feed.folder / known.archived).exists():
        _move(path, feed.folder / known.archived)  # an earlier call was killed between ledger and move
        return f"{path.name}: was taken before"
    if known is not None:
        ledger.repeated.append(Repeated(name=path.name, sha256=checksum, of=known.name, taken_at=now))
        feed.write(ledger)
        _move(path, feed.folder / archived)
        return f"{path.name}: holds the same as {known.name}, which was taken on {known.taken_at:%Y-%m-%d %H:%M} UTC"
    try:
        examined = _examine(path, pipeline, options, declaration)
    except BadInputError as error:
        return _reject(feed, ledger, path, checksum, str(error), now)
    touched = ledger.touched(examined.days)
    ledger.files.append(
        TakenFile(
            name=path.name,
            sha256=checksum,
            bytes=after.st_size,
            taken_at=now,
            archived=archived,
            records=examined.records,
            days=touched,
            borders=list(examined.borders),
            timezone=options.get("timezone"),
            until=examined.until,
        )
    )
    feed.write(ledger)
    _move(path, feed.folder / archived)
    first, last = min(examined.days), max(examined.days)
    span = f"{first} to {last}" if last > first else f"{first}"
    known_days = len(examined.days) - len(touched)
    same = f"; {known_days} days hold what they held before" if known_days else ""
    return f"{path.name}: taken, {examined.records:,} records of {span}{same}"


def _examine(path: Path, pipeline: Pipeline, options: Mapping[str, Any], declaration: Declaration) -> Examined:
    """Return what a file holds; any fault of it is a BadInputError, so that it never stops the files after it."""
    if pipeline.feed_reader is None:
        raise TypeError(f"{pipeline.definition.pipeline} reads no feeds")
    if path.stat().st_size == 0:
        raise BadInputError(f"{path.name}: is empty (0 bytes)")
    try:
        examined: Examined = imported(pipeline.feed_reader.examine)(path, path.name, options)
    except (BadInputError, SetupError):
        raise
    except Exception as error:
        LOG.exception("%s: a fault of this program", path)
        raise BadInputError(f"{path.name}: cannot be read, by a fault of this program: {error!r}; report it") from error
    if len(examined.days) > declaration.max_days:
        raise BadInputError(
            f"{path.name}: touches {len(examined.days)} days, each of which is a run; at most {declaration.max_days} "
            f"may be: raise max_days in {DECLARATION}, or run it with ./pipeline run {pipeline.definition.pipeline}"
        )
    return examined


def _reject(feed: Feed, ledger: Ledger, path: Path, checksum: str, reason: str, now: datetime) -> str:
    """Move a file to `rejected/`, beside a text that says why and what to do."""
    target, number = feed.folder / REJECTED / path.name, 2
    while target.exists():
        target, number = target.with_name(f"{number}-{path.name}"), number + 1
    text = (
        f"{reason}\n\nRejected on {now:%Y-%m-%d %H:%M:%S} UTC. Nothing of it was used. An option that is named above "
        f'(--name value) goes into [options] of {feed.folder / DECLARATION} (name = "value", with _ for -). Then move '
        f"the file back:\n\n  mv '{target}' '{feed.folder}/{path.name}'\n"
    )
    write_atomically(target.with_name(f"{target.name}.txt"), text.encode())
    moved = target.relative_to(feed.folder).as_posix()
    ledger.rejected = [file for file in ledger.rejected if file.moved != moved]  # of a call that was killed
    ledger.rejected.append(RejectedFile(name=path.name, sha256=checksum, rejected_at=now, moved=moved, reason=reason))
    feed.write(ledger)
    _move(path, target)
    return f"{path.name}: rejected: {reason}"


def _move(path: Path, target: Path) -> None:
    with setup_errors(target, "written"):
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _findings(status: FeedStatus, now: datetime) -> Iterator[FeedFinding]:
    """Yield what an operator should know of a feed: silence, rejected files, days that failed."""
    ledger, declaration, name = status.ledger, status.declaration, status.feed.name
    if ledger is None:
        return
    for file in ledger.rejected:
        if (status.feed.folder / file.moved).exists():
            mark = f"rejected-{file.sha256[:12]}-{file.rejected_at:%Y%m%dT%H%M%S}"
            yield FeedFinding(name, mark, "rejected a file", f"{file.moved}: {file.reason}")
    for day in status.due:
        if day.standing == "failed":
            remedy = f"clear the run in Airflow, or ./pipeline inbox {name} --once --retry"
            message = f"{day.day} is not published, for its run failed: {day.problem} ({day.run}; then {remedy})"
            yield FeedFinding(name, f"failed-{day.run}", "has a day that failed", message, notify=False)
    silent = status.silent_since(now)
    if silent and declaration and declaration.expected_every:
        arrived = "the last file arrived" if status.last_file else "no file has arrived since the feed was made"
        message = (
            f"{arrived} on {silent.astimezone(UTC):%Y-%m-%d %H:%M} UTC; one is expected every "
            f"{_shown(declaration.expected_every.total_seconds())}: ask the sender, or correct "
            f"expected_every in {DECLARATION}"
        )
        yield FeedFinding(name, f"silent-{silent:%Y%m%dT%H%M%S}", "is silent", message)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _shown(seconds: float) -> str:
    """Return a duration as `feed.toml` states it."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
