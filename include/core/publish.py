"""Promotes a run's results to where others read them: all of them at once, never half."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ConfigDict, Field

from include.core.artifacts import check_unchanged
from include.core.errors import ContractError
from include.core.files import path_inside, replace_folder
from include.core.outcome import Scalar, StepMetrics, StepOutcome
from include.core.pipeline import Pipeline
from include.core.run_folder import FileRecord, Run, RunFolder

PUBLISHED_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*(/[A-Za-z0-9_-][A-Za-z0-9._+-]*)?")
"""A key below `published/<pipeline>/`: one or two names that are not hidden."""


@dataclass(frozen=True)
class Published:
    """What was published, where, and the metrics of the run."""

    path: Path
    key: str
    metrics: dict[str, Scalar]


class PublishMetrics(StepMetrics):
    """The metrics of the task that publishes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    published: str = Field(description="The folder.")
    key: str


def publish_run(folder: RunFolder, pipeline: Pipeline, data_dir: Path) -> Published | None:
    """Verify every artifact of a run and promote what the definition publishes.

    Args:
        folder: The run.
        pipeline: What ran.
        data_dir: Results go to `published/<pipeline>/<key>/` below it.

    Returns:
        What was published, or None where the definition publishes nothing.

    Raises:
        ContractError: A step has no accepted result, an artifact is no longer as it was accepted, or the key would
            leave the pipeline's folder.
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
    verify(folder)
    names = pipeline.definition.publish
    if not names:
        return None
    key = next((outcome.published_as for outcome in outcomes if outcome.published_as), None)
    key = key or publishing_key(run, outcomes)
    root = data_dir / "published" / pipeline.definition.pipeline
    target = path_inside(root, key, PUBLISHED_KEY, stated_by="the key of the published results")
    replace_folder(target, {name: folder.files / name for name in names})
    return Published(target, key, {name: value for outcome in outcomes for name, value in outcome.scalars().items()})


def verify(folder: RunFolder) -> list[FileRecord]:
    """Check that every accepted artifact of a run is still as it was accepted, and that all belong together.

    Raises:
        ContractError: One is missing or differs, or was made from another file than the one that is there now.
    """
    verified: dict[str, FileRecord] = {}
    results = folder.accepted_results()
    for result in results:
        for record in result.outputs:
            check_unchanged(folder.files, record, result.step)
            verified[record.path] = record
    for result in results:
        for record in result.inputs:
            if verified.get(record.path, record) != record:
                raise ContractError(record.path, f"must be the file that {result.step} worked with", "a newer one")
    return list(verified.values())


def publishing_key(run: Run, outcomes: Sequence[StepOutcome]) -> str:
    """Return `<date>` for one day, `<start>_<end>` for another interval, below `<source>/` for input files.

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
    if not run.sources:
        return f"{start:%Y-%m-%d}" if whole_day else f"{_stamp(start)}_{_stamp(end)}"
    first = Path(run.sources[0].path).name.removesuffix(".gz").removesuffix(".csv")
    more = f"+{len(run.sources) - 1}" if len(run.sources) > 1 else ""
    source = re.sub(r"[^A-Za-z0-9._-]", "-", first).lstrip(".")[:200] or "source"
    if re.match(r"\d{4}-\d{2}-\d{2}", source):  # a key of its own would be that of a day, and replace it
        source = f"file-{source}"
    return f"{source}{more}/{_stamp(start)}_{_stamp(end)}"


def _stamp(instant: datetime) -> str:
    if instant.time() == datetime.min.time():
        return f"{instant:%Y-%m-%d}"
    return f"{instant:%Y-%m-%dT%H%M%S}" if instant.second else f"{instant:%Y-%m-%dT%H%M}"
