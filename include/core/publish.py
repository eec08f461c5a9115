"""Promotes a run's results to where others read them: all of them at once, never half."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from include.core.artifacts import check_unchanged
from include.core.errors import ContractError
from include.core.feeds import FEED
from include.core.files import locked, path_inside, replace_folder
from include.core.outcome import Finding, Scalar, StepMetrics, StepOutcome
from include.core.pipeline import INPUT_FILES, Pipeline
from include.core.revisions import revising
from include.core.run_folder import PUBLICATION, FileRecord, Run, RunFolder, StepResult, read_model

PUBLISHED_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*(/[A-Za-z0-9_-][A-Za-z0-9._+-]*)?")
"""A key below `published/<pipeline>/`: one or two names that are not hidden."""


@dataclass(frozen=True)
class Published:
    """What was published, where, and the metrics of the run.

    Args:
        path: The folder.
        key: Its name below `published/<pipeline>/`.
        metrics: Of the run.
        is_new: Whether the folder was replaced; a day of a feed whose readings are the same is left as it is.
        finding: What is to be said of a day of a feed: its revision and the reason.
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


class Publication(BaseModel):
    """Whose results a published folder holds (`publication.json` in it)."""

    dag_id: str
    run_id: str
    results_ended_at: AwareDatetime = Field(description="When the last of the run's results was accepted.")
    files: list[FileRecord]


def publish_run(folder: RunFolder, pipeline: Pipeline, data_dir: Path) -> Published | None:
    """Verify every artifact of a run and promote what the definition publishes.

    Args:
        folder: The run.
        pipeline: What ran.
        data_dir: Results go to `published/<pipeline>/<key>/` below it.

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

    def publish(key: str, more: Mapping[str, Path | bytes]) -> Path:
        target = path_inside(published, key, PUBLISHED_KEY, stated_by="the key of the published results")
        publication = Publication(
            dag_id=run.dag_id,
            run_id=run.run_id,
            results_ended_at=max(result.ended_at for result in results),
            files=[records[name] for name in names],
        )

        def check_still_newest() -> None:
            if folder.accepted_results() != results or any(_runs_again(folder, result) for result in results):
                raise ContractError(run.run_id, "must not change while it is published", "a step that was run again")
            _check_newest(target, publication)

        document = publication.model_dump_json(indent=2).encode() + b"\n"
        with locked(published.with_name(f".{published.name}.lock"), timeout_s=None):
            replace_folder(target, {**files, **more, PUBLICATION: document}, check_still_newest)
        return target

    if run.params.get(FEED) is None:
        key = next((outcome.published_as for outcome in outcomes if outcome.published_as), None)
        key = key or publishing_key(run, outcomes)
        return Published(publish(key, {}), key, metrics)
    with revising(run, pipeline, files, data_dir, datetime.now(UTC)) as revision:
        is_new = revision.result == "published"
        target = publish(revision.key, revision.files) if is_new else published / revision.key
    return Published(target, revision.key, metrics, is_new=is_new, finding=revision.finding)


def _runs_again(folder: RunFolder, result: StepResult) -> bool:
    started = folder.started(result.step)
    return started is not None and started.generation > result.generation


def _check_newest(target: Path, publication: Publication) -> None:
    try:
        present = read_model(target / PUBLICATION, Publication)
    except ValidationError:
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

    `<source>` is the first file's name; a checksum of all names follows where it alone does not tell the files.

    Args:
        run: Its plan.
        outcomes: Of its steps; where the plan has no interval, that of the data itself counts.

    Raises:
        ContractError: Neither states an interval.
    """
    data = [outcome for outcome in outcomes if outcome.data_start and outcome.data_end]
    start = run.interval_start or (data[0].data_start if data else None)
    end = run.interval_end or (data[0].data_end if data else None)
    if start is None or end is None:
        raise ContractError("run.json", "must state the interval that the results are published under", "none")
    whole_day = end - start == timedelta(days=1) and start.time() == datetime.min.time()
    names = run.params.get(INPUT_FILES, [Path(record.path).name for record in run.sources])  # not those that explain
    if not names:
        return f"{start:%Y-%m-%d}" if whole_day else f"{_stamp(start)}_{_stamp(end)}"
    first = names[0].removesuffix(".gz").removesuffix(".csv")
    more = f"+{len(names) - 1}" if len(names) > 1 else ""
    source = re.sub(r"[^A-Za-z0-9._-]", "-", first).lstrip(".")[:200] or "source"
    if re.match(r"\d{4}-\d{2}-\d{2}", source):  # a key of its own would be that of a day, and replace it
        source = f"file-{source}"
    if more or source != first:  # other files would have the same key
        more += f"-{sha256('/'.join(names).encode()).hexdigest()[:8]}"
    return f"{source}{more}/{_stamp(start)}_{_stamp(end)}"


def _stamp(instant: datetime) -> str:
    if instant.time() == datetime.min.time():
        return f"{instant:%Y-%m-%d}"
    return f"{instant:%Y-%m-%dT%H%M%S}" if instant.second else f"{instant:%Y-%m-%dT%H%M}"
