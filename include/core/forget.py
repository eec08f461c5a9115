"""Forget a subject, such as a meter: remove it from published results, runs, the inbox and feeds, and record that.

- **Published results**: tables are written again without the subject; files that hold totals over it are removed, for a
  total less the rest is the subject's. The published folder of a day of a feed is removed, and the day is due again.
- **Runs**: a sealed artifact is named by its content, so it is not written again. All artifacts of a run that held the
  subject are removed, with its logs and reports. The plan and the results of its steps stay, without figures, and say
  so; checksums stay as evidence.
- **Input files**: written again without the subject; removed, where nothing else is in them; named, where neither can
  be done.

The record (`data/forgotten/`) names the subject by its checksum alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.core.artifacts import sha256
from include.core.contracts import imported
from include.core.domain import Domain, Erasure
from include.core.errors import ContractError
from include.core.feeds import DECLARATION, LEDGER, Examined, Feed, TakenFile, find_feeds
from include.core.files import locked, replace_folder
from include.core.inbox import INBOX, checked_options
from include.core.leftovers import goes_on
from include.core.outcome import Finding, StepOutcome
from include.core.pipeline import Pipeline
from include.core.publications import REPLACED, Forgotten, Publication, read_publication
from include.core.revisions import REVISION
from include.core.run_folder import (
    PUBLICATION,
    SOURCE_FOLDER,
    FileRecord,
    RunFolder,
    StepResult,
    read_model,
    write_json,
)
from include.core.work_folder import remove_tree

RECORDS = "forgotten"
"""Folder of the records, below the data folder."""
HIDDEN = "(forgotten)"
MIXED = "it holds others, too, and cannot be written again without the subject: correct or remove it"
NOT_SEARCHED = (
    "Airflow's database: parameters of runs and small results; housekeeping removes them with their runs",
    "copies that were made outside this deployment",
)


class Place(BaseModel):
    """A place that held the subject, and what was done there."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="Below the data folder, without the subject's name.")
    done: Literal["removed", "rewritten", "kept"]
    files: list[str] = Field([], description="Of a published folder or a run: the files that were removed.")
    why: str = Field("", description="Why it was kept.")


class Record(BaseModel):
    """What was done to forget a subject (`data/forgotten/<time>.json`)."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(description="What it is, such as a meter.")
    sha256: str = Field(description="Of its name.")
    at: AwareDatetime
    published: list[Place] = []
    runs: list[Place] = []
    inputs: list[Place] = []
    backups: list[str] = Field([], description="Backups that were made before, and may hold it.")
    not_searched: list[str] = list(NOT_SEARCHED)

    @property
    def places(self) -> list[Place]:
        """All of them."""
        return [*self.published, *self.runs, *self.inputs]

    @property
    def complete(self) -> bool:
        """Whether nothing was kept."""
        return all(place.done != "kept" for place in self.places)


@dataclass
class Forgetting:
    """One subject of a deployment that is to be forgotten.

    Args:
        name: The subject, such as the id of a meter.
        domain: Whose subject it is.
        pipelines: Those of the domain.
        data: The data folder.
        now: The present.
        dry_run: Change nothing.
        logs: Airflow's folder of logs.
    """

    name: str
    domain: Domain
    pipelines: Iterable[Pipeline]
    data: Path
    now: datetime
    dry_run: bool = False
    logs: Path | None = None
    erased: list[Path] = field(default_factory=list)
    """Folders of the runs whose reports have to be written again."""

    def run(self, backups: Iterable[Path] = ()) -> Record:
        """Remove the subject everywhere, and return the record, which is also written where something was done.

        Args:
            backups: Archives that were made before.

        Raises:
            ContractError: A manifest, or the ledger of a feed, is damaged.
            SetupError: A folder cannot be written; what was done stays done, and the next call goes on.
        """
        if self.domain.subject is None:
            raise ValueError(f"{self.domain.name} has no subject")
        record = Record(
            subject=self.domain.subject.name,
            sha256=hashlib.sha256(self.name.encode()).hexdigest(),
            at=self.now,
            inputs=[*self._feeds(), *self._inbox()],
            published=list(self._published()),
            runs=list(self._runs()),
            backups=sorted(path.name for path in backups),
        )
        if not self.dry_run and any(place.done != "kept" for place in record.places):
            write_json(self.data / RECORDS / f"{self.now:%Y%m%dT%H%M%SZ}-{record.sha256[:8]}.json", record)
        return record

    # ── published results ────────────────────────────────────────────────────────────────────────────────────────────

    def _published(self) -> Iterator[Place]:
        published = self.data / "published"
        for name in sorted({pipeline.definition.pipeline for pipeline in self.pipelines}):
            folders = [*_published_folders(published / name), *_published_folders(published / REPLACED / name)]
            for folder in folders:
                with locked(published / f".{name}.lock", timeout_s=None):
                    yield from self._publication(folder)

    def _publication(self, folder: Path) -> Iterator[Place]:
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        files.pop(PUBLICATION, None)  # releases before the first manifest have none
        with tempfile.TemporaryDirectory(prefix="groundtruth-forget-") as scratch:
            if not self._results(files, Path(scratch)):
                return
            left = {name: Path(scratch, name) for name in files if Path(scratch, name).is_file()}
            if not left or REVISION in files:
                if not self.dry_run:
                    shutil.rmtree(folder)
                yield self._place(folder, "removed", files)
                return
            if not self.dry_run:
                publication = read_publication(folder)
                manifest = self._manifest(publication, left) if publication else None
                text = {PUBLICATION: manifest.model_dump_json(indent=2).encode() + b"\n"} if manifest else {}
                replace_folder(folder, {**left, **text})
            yield self._place(folder, "rewritten", files.keys() - left.keys())

    def _manifest(self, publication: Publication, left: Mapping[str, Path]) -> Publication:
        stated = {record.path for record in publication.files}
        records = [FileRecord(path=name, sha256=sha256(path), bytes=path.stat().st_size) for name, path in left.items()]
        forgotten = Forgotten(at=self.now, rewritten=sorted(left), removed=sorted(stated - left.keys()))
        return publication.model_copy(
            update={
                "files": records,
                "forgotten": [*publication.forgotten, forgotten],
                "params": self._hidden(publication.params),
                "sources": [self._without_name(source) for source in publication.sources],
            }
        )

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _runs(self) -> Iterator[Place]:
        for pipeline in self.pipelines:
            for path in sorted((self.data / "runs" / pipeline.definition.dag_id).glob("[!.]*")):
                folder = RunFolder(path)
                if not path.is_dir() or not self._in_run(folder):
                    continue
                if not any(path.glob("pipeline_report_*.json")) and self._is_young(path):
                    yield self._place(path, "kept", why="the run goes on; forget the subject again once it has ended")
                    continue
                files = sorted(record.path for record in self._records(folder))
                if not self.dry_run:
                    self._erase(folder)
                    self.erased.append(path)
                yield self._place(path, "removed", files)

    def _records(self, folder: RunFolder) -> list[FileRecord]:
        """Return the artifacts of a run that are still there."""
        with suppress(ValidationError):
            run = folder.run()
            outputs = [record for result in folder.recorded_successes() for record in result.outputs]
            return [r for r in (*(run.sources if run else ()), *outputs) if folder.locate(r).is_file()]
        return []

    def _in_run(self, folder: RunFolder) -> bool:
        records = self._records(folder)
        results = {r.path: folder.locate(r) for r in records if not r.path.startswith(f"{SOURCE_FOLDER}/")}
        with tempfile.TemporaryDirectory(prefix="groundtruth-forget-") as scratch:
            if self._results(results, Path(scratch)):
                return True
            sources = [record for record in records if record.path not in results]
            run = folder.run() if sources else None
            params = run.params if run else {}
            return any(
                self._input(folder.locate(r), Path(r.path).name, params, Path(scratch)) != "absent" for r in sources
            )

    def _erase(self, folder: RunFolder) -> None:
        """Remove what a run holds; its plan and the results of its steps stay, without figures."""
        run = folder.run()
        sentence = (
            f"All artifacts were removed on {self.now:%Y-%m-%d}: they held a {self._what} that was to be forgotten."
        )
        for path in sorted(folder.path.glob("steps/*/result.json")):
            result = read_model(path, StepResult)
            if result is not None:
                write_json(path, self._blank(result, sentence))
        if run is not None:
            hidden = {"params": self._hidden(run.params), "sources": [self._without_name(s) for s in run.sources]}
            write_json(folder.path / "run.json", run.model_copy(update=hidden))
        keep = {"run.json", "steps", "notices"}
        for path in folder.path.iterdir():
            if path.name not in keep:
                remove_tree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if self.logs is not None and run is not None:
            shutil.rmtree(self.logs / f"dag_id={run.dag_id}" / f"run_id={run.run_id}", ignore_errors=True)

    def _blank(self, result: StepResult, sentence: str) -> StepResult:
        error = result.error and result.error.model_copy(
            update={"message": HIDDEN, "value": None, "artifact": None, "rule": None, "hint": None}
        )
        return result.model_copy(
            update={
                "outcome": StepOutcome(findings=(Finding(severity="warning", message=sentence),)),
                "params": self._hidden(result.params),
                "inputs": [self._without_name(record) for record in result.inputs],
                "outputs": [self._without_name(record) for record in result.outputs],
                "records": None,
                "error": error,
            }
        )

    # ── input files ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _inbox(self) -> Iterator[Place]:
        inbox, feeds = self.data / INBOX, {feed.folder for feed in find_feeds(self.data / INBOX)}
        for path in sorted(inbox.rglob("*")):
            is_feeds = any(parent in feeds and (parent / LEDGER).exists() for parent in path.parents)
            if path.is_file() and not path.is_symlink() and not path.name.startswith(".") and not is_feeds:
                yield from self._file(path, {})

    def _feeds(self) -> Iterator[Place]:
        for feed in find_feeds(self.data / INBOX):
            if not (feed.folder / LEDGER).exists():
                continue
            with feed.lock():
                yield from self._feed(feed)

    def _feed(self, feed: Feed) -> Iterator[Place]:
        """Forget the subject in a feed's files; the ledger is written before an old file is removed."""
        ledger, declaration = feed.ledger(), feed.declaration()
        readers = [pipeline for pipeline in self.pipelines if pipeline.feed_reader]
        pipeline = next((p for p in readers if declaration.pipeline in (None, p.definition.pipeline)), None)
        params = checked_options(pipeline, feed, declaration) if pipeline else declaration.options
        for taken in list(ledger.files):
            path = feed.folder / taken.archived
            if not path.is_file():
                continue
            with tempfile.TemporaryDirectory(prefix="groundtruth-forget-") as scratch:
                target = Path(scratch) / taken.name
                done = self._input(path, taken.name, params, target)
                if done in ("rewritten", "removed") and not self.dry_run:
                    again = [self._taken_again(feed, taken, target, params, pipeline)] if done == "rewritten" else []
                    at = ledger.files.index(taken)
                    ledger.files[at : at + 1] = again
                    for day in (*taken.days, *taken.borders):
                        ledger.days.pop(day, None)  # it is due, where a file of it is left
                    feed.write(ledger)
                    path.unlink()
            if done != "absent":
                yield self._place(path, done, why=MIXED if done == "kept" else "")
        known = {feed.folder / taken.archived for taken in ledger.files}
        for path in sorted(feed.folder.rglob("*")):
            own = path.name in (DECLARATION, LEDGER) or path.name.startswith(".") or path.is_symlink()
            if path.is_file() and not own and path not in known:
                yield from self._file(path, params)

    def _taken_again(
        self, feed: Feed, taken: TakenFile, file: Path, params: Mapping[str, Any], pipeline: Pipeline | None
    ) -> TakenFile:
        """Return the entry of a file that was written again, and put the file where it says."""
        checksum = sha256(file)
        archived = f"{Path(taken.archived).parent.parent.as_posix()}/{checksum[:12]}/{taken.name}"
        place = feed.folder / archived
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
        if pipeline is None or pipeline.feed_reader is None:
            raise ContractError(str(feed.folder), "must have a pipeline that reads feeds", "none")
        examined: Examined = imported(pipeline.feed_reader.examine)(place, taken.name, params)
        changes = {"sha256": checksum, "bytes": place.stat().st_size, "archived": archived}
        days = {day: examined.days[day] for day in taken.days if day in examined.days}
        return taken.model_copy(update=changes | {"records": examined.records, "days": days, "until": examined.until})

    def _file(self, path: Path, params: Mapping[str, Any]) -> Iterator[Place]:
        with tempfile.TemporaryDirectory(prefix="groundtruth-forget-") as scratch:
            target = Path(scratch) / "rewritten"
            done = self._input(path, path.name, params, target)
            if done == "absent":
                return
            if done == "kept":
                yield self._place(path, done, why=MIXED)
                return
            if not self.dry_run and done == "removed":
                path.unlink()
            elif not self.dry_run:
                temporary = path.with_name(f".{path.name}.partial")
                shutil.copyfile(target, temporary)
                temporary.replace(path)
            yield self._place(path, done)

    # ── the domain's part, and names ─────────────────────────────────────────────────────────────────────────────────

    def _results(self, files: Mapping[str, Path], target: Path) -> bool:
        subject = self.domain.subject
        return bool(files and subject and imported(subject.results)(files, self.name, target))

    def _input(self, path: Path, name: str, params: Mapping[str, Any], target: Path) -> Erasure:
        subject = self.domain.subject
        done: Erasure = imported(subject.input)(path, name, self.name, params, target) if subject else "absent"
        return done

    @property
    def _what(self) -> str:
        return self.domain.subject.name if self.domain.subject else ""

    def _hidden(self, value: Any) -> Any:
        """Return a value without the subject's name; one of one or two signs stays within longer texts."""
        match value:
            case str():
                return (
                    HIDDEN if value == self.name else value.replace(self.name, HIDDEN) if len(self.name) > 2 else value
                )
            case Mapping():
                return {key: self._hidden(inner) for key, inner in value.items()}
            case list() | tuple():
                return [self._hidden(inner) for inner in value]
        return value

    def _without_name(self, record: FileRecord) -> FileRecord:
        return record.model_copy(update={"path": self._hidden(record.path)})

    def _place(self, path: Path, done: Any, files: Iterable[str] = (), why: str = "") -> Place:
        name = self._hidden(path.relative_to(self.data).as_posix())
        return Place(path=name, done=done, files=sorted(map(self._hidden, files)), why=why)

    def _is_young(self, path: Path) -> bool:
        age = self.now.timestamp() - path.stat().st_mtime
        return goes_on(path) or age < 86_400


def _published_folders(root: Path) -> Iterator[Path]:
    """Yield the folders below a pipeline's that hold files; nothing that is being written."""
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if any(not name.startswith(".") for name in names):
            folders.clear()
            yield Path(place)
