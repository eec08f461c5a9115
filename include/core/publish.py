"""Promotes a run's results to where others read them: all of them at once, never half."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from pydantic import ConfigDict, Field

from include.core.artifacts import check_unchanged
from include.core.artifacts import sha256 as checksum_of
from include.core.errors import ContractError
from include.core.feeds import FEED
from include.core.files import locked, path_inside, replace_folder
from include.core.outcome import Finding, Scalar, StepMetrics, StepOutcome
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.publications import (
    MANUAL,
    REPLACED,
    SCHEMA_VERSION,
    Publication,
    Replaced,
    by_hand,
    read_publication,
)
from include.core.revisions import revising
from include.core.run_folder import PUBLICATION, FileRecord, Run, RunFolder, StepResult

_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._+-]*"
PUBLISHED_KEY = re.compile(rf"(?:{MANUAL}/)?{_NAME}(?:/{_NAME})?")
"""A key below `published/<pipeline>/`: one or two names that are not hidden; those of runs by hand below `manual/`."""


@dataclass(frozen=True)
class Published:
    """What was published, where, and the metrics of the run.

    Args:
        path: The folder.
        key: Its name below `published/<pipeline>/`.
        metrics: Of the run.
        is_new: Whether the folder was replaced; a day of a feed whose readings are the same is left as it is.
        finding: What is to be stated: what was replaced, or the revision of a day of a feed and its reason.
    """

    path: Path
    key: str
    metrics: dict[str, Scalar]
    is_new: bool = True
    finding: Finding | None = None


class PublishMetrics(StepMetrics):
    """The metrics of the task that publishes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    published: str = Field(description="The folder.")
    key: str


def publish_run(
    folder: RunFolder, pipeline: Pipeline, data_dir: Path, *, domain: str | None = None, report: str | None = None
) -> Published | None:
    """Verify every artifact of a run and promote what the definition publishes.

    A run that a user started replaces no result of the schedule: it publishes below `manual/`, unless its parameter
    `publish` is set, its pipeline starts on request alone, or it runs a day of a feed. What a folder held before is
    kept below `published/.replaced/`, unless it is the same.

    Args:
        folder: The run.
        pipeline: What ran.
        data_dir: Results go to `published/<pipeline>/<key>/` below it.
        domain: Name of the pipeline's domain, for the manifest.
        report: Address of the run's report. Default: the run's folder, below the data folder.

    Returns:
        What was published, or None where the definition publishes nothing.

    Raises:
        ContractError: A step has no accepted result, an artifact is no longer as it was accepted, a step was run again
            meanwhile, newer results are published under the same key, or the key would leave the pipeline's folder.
        SetupError: The folder cannot be written.
    """
    run = folder.run()
    if run is None:
        raise ContractError("run.json", "must be written before publishing", "no such file")
    outcomes: list[StepOutcome] = []
    for info in pipeline.plan:
        result = folder.step_result(info)
        if result is None or result.status != "success":
            raise ContractError(info.id, "must have succeeded before its run is published", "no accepted result")
        outcomes.append(result.outcome)
    results = folder.accepted_results()
    records = {record.path: record for record in verify(folder)}
    names = pipeline.definition.publish
    if not names:
        return None
    if missing := [name for name in names if name not in records]:
        raise ContractError(missing[0], "must exist to be published", "no such file")
    files = {name: folder.locate(records[name]) for name in names}
    metrics = {name: value for outcome in outcomes for name, value in outcome.scalars().items()}
    published = data_dir / "published" / pipeline.definition.pipeline

    def publish(key: str, more: Mapping[str, Path | bytes]) -> tuple[Path, Replaced | None]:
        target = path_inside(published, key, PUBLISHED_KEY, stated_by="the key of the published results")
        publication = Publication(
            schema_version=SCHEMA_VERSION,
            domain=domain,
            pipeline=pipeline.definition.pipeline,
            key=key,
            dag_id=run.dag_id,
            run_id=run.run_id,
            started_by=run.started_by,
            interval_start=run.interval_start,
            interval_end=run.interval_end,
            params=run.params,
            sources=run.sources,
            report=report or f"runs/{folder.path.parent.name}/{folder.path.name}",
            published_at=datetime.now(UTC),
            results_ended_at=max(result.ended_at for result in results),
            files=[*(records[name] for name in names), *(_record(name, content) for name, content in more.items())],
        )

        def check_still_newest() -> None:
            if folder.accepted_results() != results or any(_runs_again(folder, result) for result in results):
                raise ContractError(run.run_id, "must not change while it is published", "a step that was run again")
            _check_newest(target, publication)

        with locked(published.with_name(f".{published.name}.lock"), timeout_s=None):
            publication.replaced = _replaced(target, publication, data_dir)
            keep = data_dir / publication.replaced.kept if publication.replaced else None
            document = publication.model_dump_json(indent=2).encode() + b"\n"
            replace_folder(target, {**files, **more, PUBLICATION: document}, check_still_newest, keep=keep)
        return target, publication.replaced

    if run.params.get(FEED) is None:
        key = next((outcome.published_as for outcome in outcomes if outcome.published_as), None)
        key = key or publishing_key(run, outcomes)
        if by_hand(run) and pipeline.starts_itself and not run.params.get("publish"):
            key = f"{MANUAL}/{key}"
        target, replaced = publish(key, {})
        return Published(target, key, metrics, finding=_replacement(key, replaced) if replaced else None)
    with revising(run, pipeline, files, data_dir, datetime.now(UTC)) as revision:
        is_new = revision.result == "published"
        target = publish(revision.key, revision.files)[0] if is_new else published / revision.key
    return Published(target, revision.key, metrics, is_new=is_new, finding=revision.finding)


def _runs_again(folder: RunFolder, result: StepResult) -> bool:
    started = folder.started(result.step)
    return started is not None and started.generation > result.generation


def _replacement(key: str, replaced: Replaced) -> Finding:
    message = f"{key} replaced the results of the run {replaced.run_id}, which are kept in {replaced.kept}."
    return Finding(severity="info", message=message)


def _record(name: str, content: Path | bytes) -> FileRecord:
    if isinstance(content, Path):
        return FileRecord(path=name, sha256=checksum_of(content), bytes=content.stat().st_size)
    return FileRecord(path=name, sha256=sha256(content).hexdigest(), bytes=len(content))


def _replaced(target: Path, publication: Publication, data_dir: Path) -> Replaced | None:
    """Return what a publication replaces and where that is kept; None where there is nothing, or the same."""
    try:
        present = read_publication(target)
    except ContractError:
        return None  # nothing is known of what lies there
    if present is None or (present.run_id, present.files) == (publication.run_id, publication.files):
        return None
    place = Path("published", REPLACED, *target.relative_to(data_dir / "published").parts)
    stamp, number = f"{present.published_at or present.results_ended_at:%Y%m%dT%H%M%SZ}", 1
    while (data_dir / place / (name := stamp if number == 1 else f"{stamp}-{number}")).exists():
        number += 1
    return Replaced(
        run_id=present.run_id,
        started_by=present.started_by,
        results_ended_at=present.results_ended_at,
        kept=(place / name).as_posix(),
    )


def _check_newest(target: Path, publication: Publication) -> None:
    try:
        present = read_publication(target)
    except ContractError:
        return  # damaged, so nothing is known of what it stands beside
    if present is not None and present.results_ended_at > publication.results_ended_at:
        rule = (
            f"must not replace newer results, those of the run {present.run_id}; clear the run's steps to make new ones"
        )
        raise ContractError(str(target), rule, f"results of {publication.results_ended_at:%Y-%m-%d %H:%M:%S} UTC")


def verify(folder: RunFolder) -> list[FileRecord]:
    """Check that every accepted artifact of a run is still as it was accepted, and that all belong together.

    Raises:
        ContractError: One is missing or differs, or was made from another file, or with another parameter, than the run
            has now: an input file or a parameter changes when `prepare` is cleared without the steps after it.
    """
    verified: dict[str, FileRecord] = {}
    results, run = folder.accepted_results(), folder.run()
    sources, params = (run.sources, run.params) if run else ([], {})
    for result in results:
        for record in result.outputs:
            check_unchanged(folder.locate(record), record, result.step)
            verified[record.path] = record
    current = {record.path: record for record in sources} | verified
    for result in results:
        for record in result.inputs:
            if current.get(record.path) != record:
                found = "a newer one" if record.path in current else "none"
                raise ContractError(record.path, f"must be the file that {result.step} worked with", found)
        for name, value in result.params.items():
            if params.get(name, value) != value:
                raise ContractError(
                    "run.json", f"must hold the {name} that {result.step} ran with: {value}", params[name]
                )
    return list(verified.values())


def publishing_key(run: Run, outcomes: Sequence[StepOutcome]) -> str:
    """Return `<date>` for one day, `<start>_<end>` for another interval, below `<source>/` for input files.

    Where neither the run nor its steps state an interval of the input files, it is `<source>/all`. `<source>` is the
    first file's name; a checksum of all names follows where it alone does not tell the files.

    Args:
        run: Its plan.
        outcomes: Of its steps; where the plan has no interval, that of the data itself counts.

    Raises:
        ContractError: Neither states an interval.
    """
    data = [outcome for outcome in outcomes if outcome.data_start and outcome.data_end]
    start = run.interval_start or (data[0].data_start if data else None)
    end = run.interval_end or (data[0].data_end if data else None)
    names = run.params.get(INPUT_FILES, [Path(record.path).name for record in run.sources])  # not those that explain
    if start is None or end is None:
        if names and not any(outcome.data_start or outcome.data_end for outcome in outcomes):
            return f"{_source_key(names)}/all"
        raise ContractError("run.json", "must state the interval that the results are published under", "none")
    whole_day = end - start == timedelta(days=1) and start.time() == datetime.min.time()
    if not names:
        return f"{start:%Y-%m-%d}" if whole_day else f"{_stamp(start)}_{_stamp(end)}"
    return f"{_source_key(names)}/{_stamp(start)}_{_stamp(end)}"


def _source_key(names: Sequence[str]) -> str:
    """Return what tells the results of input files from those of others."""
    first = names[0].removesuffix(".gz").removesuffix(".csv")
    more = f"+{len(names) - 1}" if len(names) > 1 else ""
    source = re.sub(r"[^A-Za-z0-9._-]", "-", first).lstrip(".")[:200] or "source"
    if re.match(r"\d{4}-\d{2}-\d{2}", source) or source == MANUAL:  # it would be the key of a day, or of runs by hand
        source = f"file-{source}"
    if more or source != first:  # other files would have the same key
        more += f"-{sha256('/'.join(names).encode()).hexdigest()[:8]}"
    return f"{source}{more}"


def _stamp(instant: datetime) -> str:
    if instant.time() == datetime.min.time():
        return f"{instant:%Y-%m-%d}"
    return f"{instant:%Y-%m-%dT%H%M%S}" if instant.second else f"{instant:%Y-%m-%dT%H%M}"
