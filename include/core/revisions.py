"""Revisions: a day of a feed is published again when its readings change, with what changed and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from include.core.contracts import imported
from include.core.errors import BadInputError, ContractError
from include.core.feeds import FEED, Changes, DayState, Declaration, Feed, TakenFile, find_feeds, window_of
from include.core.inbox import INBOX, checked_options, content_of
from include.core.outcome import Finding
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.run_folder import SOURCE_FOLDER, Run, read_model

REVISION = "revision.json"
"""In the published folder of a day of a feed: its revision, and those before."""
Result = Literal["published", "unchanged", "overtaken"]


class Source(BaseModel):
    """A file that a revision was made from."""

    model_config = ConfigDict(extra="forbid")

    name: str
    sha256: str
    taken_at: AwareDatetime


class Revision(BaseModel):
    """A revision of a day of a feed."""

    model_config = ConfigDict(extra="forbid")

    feed: str
    day: date
    revision: int = Field(ge=1)
    published_at: AwareDatetime
    dag_id: str
    run_id: str
    reason: str = Field(description="Why it was published: new, late or revised readings.")
    added: int = Field(description="Readings that the revision before did not have.")
    changed: int = Field(description="Readings with another value than before.")
    removed: int = Field(description="Readings of the revision before that there are no more.")
    totals: dict[str, JsonValue]
    totals_before: dict[str, JsonValue] | None = Field(None, description="Those of the revision before.")
    sources: list[Source] = Field(description="In the order of arrival.")


class Revisions(Revision):
    """`revision.json`: the published revision of a day, and those before it, latest first."""

    earlier: list[Revision] = []


@dataclass
class Revising:
    """What is to be done with the results of a day.

    Args:
        key: The key of the published folder.
        result: Whether they are published, are what is published already, or newer files have arrived meanwhile.
        changes: How they differ from the published ones.
        revisions: What `revision.json` will hold; of an unchanged day, what it holds.
        files: More files of the published folder, by name.
    """

    key: str
    result: Result
    changes: Changes | None = None
    revisions: Revisions | None = None
    files: Mapping[str, bytes | Path] = field(default_factory=dict)

    @property
    def finding(self) -> Finding:
        """What was done, for the report."""
        return Finding(severity="info", message=self._sentence())

    def _sentence(self) -> str:
        if self.result == "overtaken" or self.revisions is None:
            return f"{self.key} was not published: other files have arrived since, and the inbox runs the day again."
        number = self.revisions.revision
        if self.result == "unchanged":
            return f"{self.key} was not published again: its readings are those of revision {number}."
        return f"Revision {number} of {self.key}: {self.revisions.reason}{_shown_totals(self.revisions)}."


@contextmanager
def revising(
    run: Run, pipeline: Pipeline, results: Mapping[str, Path], data_dir: Path, now: datetime
) -> Iterator[Revising]:
    """Decide what the results of a day of a feed are; when the block ends, the feed's ledger records what happened.

    The feed's lock is held all the time, so that no file arrives between the decision and the record.

    Args:
        run: The run's plan; its parameter `feed` names the feed and the day.
        pipeline: What ran.
        results: The sealed results to publish, by name.
        data_dir: The data folder.
        now: The present.

    Raises:
        ContractError: There is no such feed, or the run covers another interval than the day.
    """
    feed, day = _feed_of(run, data_dir)
    with feed.lock():
        ledger, options = feed.ledger(), _options(feed, pipeline)
        files = ledger.of_day(day)
        decided = Revising(f"{feed.name}/{day}", "overtaken")
        if _is_current(run, pipeline, files, options):
            folder = data_dir / "published" / pipeline.definition.pipeline / feed.name / str(day)
            decided = _decide(run, pipeline, feed, day, files, results, folder, now)
        yield decided
        if decided.revisions is not None:
            ledger.days[day] = _state(decided.revisions, files, run, now)
            feed.write(ledger)


def _feed_of(run: Run, data_dir: Path) -> tuple[Feed, date]:
    name, _, text = str(run.params[FEED]).partition("/")
    feed = next((feed for feed in find_feeds(data_dir / INBOX) if feed.name == name), None)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        feed = None
    if feed is None:
        hint = "The inbox sets it. Leave it out to run files of your own."
        raise ContractError(
            "run.json", "feed must name a feed and a day, such as home/2026-03-01", run.params[FEED], hint=hint
        )
    window = window_of(day, run.params.get("timezone"))
    if (run.interval_start, run.interval_end) != window:
        start, end = (f"{instant:%Y-%m-%dT%H:%M:%SZ}" for instant in window)
        found = f"{run.interval_start} to {run.interval_end}"
        raise ContractError("run.json", f"must cover the day of the feed, {start} to {end}", found)
    return feed, day


def _options(feed: Feed, pipeline: Pipeline) -> dict[str, JsonValue] | None:
    """Return how files are read now; None where that cannot be said, and no run can be what it should be."""
    try:
        declaration: Declaration = feed.declaration()
        return checked_options(pipeline, feed, declaration)
    except BadInputError:
        return None


def _is_current(run: Run, pipeline: Pipeline, files: list[TakenFile], options: Mapping[str, JsonValue] | None) -> bool:
    """Return whether a run read all files of its day, in their order, as the feed is declared."""
    sources = {record.path: record.sha256 for record in run.sources}
    read = [sources.get(f"{SOURCE_FOLDER}/{name}") for name in run.params.get(INPUT_FILES, [])]
    if options is None or read != [file.sha256 for file in files]:
        return False
    named = {name: sources.get(f"{SOURCE_FOLDER}/{run.params.get(name)}") for name in pipeline.file_params}
    params = run.params | {name: checksum for name, checksum in named.items() if checksum}
    return all(params.get(name) == value for name, value in content_of(pipeline, options).items())


def _decide(
    run: Run,
    pipeline: Pipeline,
    feed: Feed,
    day: date,
    files: list[TakenFile],
    results: Mapping[str, Path],
    folder: Path,
    now: datetime,
) -> Revising:
    if pipeline.feed_reader is None:
        raise ContractError("run.json", f"feed: {pipeline.definition.pipeline} reads no feeds", feed.name)
    before = read_revisions(folder)
    changes: Changes = imported(pipeline.feed_reader.compare)(results, folder if before else None)
    key = f"{feed.name}/{day}"
    if before is not None and changes.same:
        return Revising(key, "unchanged", changes, before)
    number = before.revision + 1 if before else 1
    revisions = Revisions(
        feed=feed.name,
        day=day,
        revision=number,
        published_at=now,
        dag_id=run.dag_id,
        run_id=run.run_id,
        reason=reason_of(changes, number),
        added=changes.added,
        changed=changes.changed,
        removed=changes.removed,
        totals=dict(changes.totals),
        totals_before=before.totals if before else None,
        sources=[Source(name=file.name, sha256=file.sha256, taken_at=file.taken_at) for file in files],
        earlier=[Revision(**before.model_dump(exclude={"earlier"})), *before.earlier] if before else [],
    )
    more: dict[str, bytes | Path] = {REVISION: revisions.model_dump_json(indent=2).encode() + b"\n"}
    if before is not None:
        more |= {path.name: path for path in sorted(folder.glob("changes-*.csv"))}
        more[f"changes-{number}.csv"] = changes.table
    return Revising(key, "published", changes, revisions, more)


def read_revisions(folder: Path) -> Revisions | None:
    """Return what the published folder of a day states of its revisions; None where it is not there.

    Raises:
        ContractError: It is damaged.
    """
    try:
        return read_model(folder / REVISION, Revisions)
    except ValidationError as error:
        hint = f"Restore {folder} from a backup, or remove it: then the day begins with revision 1 again."
        raise ContractError(
            str(folder / REVISION), "must be readable, for it counts the revisions", hint=hint
        ) from error


def reason_of(changes: Changes, number: int) -> str:
    """Return why a revision is published.

    >>> reason_of(Changes({}, added=4, changed=1, removed=0, table=b""), 2)
    '4 late readings, 1 revised reading'
    """
    if number == 1:
        return f"{_counted(changes.added, 'new')}"
    counts = ((changes.added, "late"), (changes.changed, "revised"), (changes.removed, "withdrawn"))
    return ", ".join(_counted(count, what) for count, what in counts if count)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what} reading{'s' * (count != 1)}"


def _shown_totals(revisions: Revisions) -> str:
    before, now = revisions.totals_before, revisions.totals
    if before is None:
        return ""
    changed = [f"{name} {before.get(name)} → {value}" for name, value in now.items() if before.get(name) != value]
    return f"; {', '.join(changed)}" if changed else ""


def _state(revisions: Revisions, files: list[TakenFile], run: Run, now: datetime) -> DayState:
    return DayState(
        sources=[file.sha256 for file in files],
        revision=revisions.revision,
        published_at=revisions.published_at.astimezone(UTC),
        checked_at=now,
        run_id=run.run_id,
        reason=revisions.reason,
        totals=revisions.totals,
    )
