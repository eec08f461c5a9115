"""The runs of a data folder: a summary of each for lists and trends, and its artifacts for download.

A run's report is read once. After that, listing costs one directory entry a run: a report, a plan and a new step folder
each change the modification time of the run's own folder.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import AfterValidator, AliasPath, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from include.core.errors import BadInputError, ContractError, explain
from include.core.files import open_below
from include.core.overview import Headline, Level
from include.core.run_folder import FileRecord, RunFolder
from include.reporting.model import SummaryStatistics

SETTLED_S = 2.0
"""A folder that changed this short before it was read may change again within the resolution of its file times."""
METRICS_OF_A_STEP = 4
LISTED_RUNS = 10_000
"""A list shows this many of the latest runs."""
CACHED_RUNS = 4 * LISTED_RUNS
LARGEST_REPORT_BYTES = 64 * 1024 * 1024
"""A larger report, or page of a report, is neither read nor served: it would fill memory."""
LONGEST_REASON = 300
OF_ONE_RUN = frozenset({"start", "end", "files", "feed", "audit", "publish"})
"""Parameters that differ from run to run of one schedule, or change no result."""
CHUNK_BYTES = 1024 * 1024


class RunEntry(BaseModel):
    """The summary of a run, most of it as its report states it."""

    model_config = ConfigDict(frozen=True, validate_by_name=True)

    dag_id: str = Field(description="Name of its DAG's folder, and what permissions are checked for.")
    folder: str = Field(description="Name of its own folder.")
    run_id: str = Field(description="Its id in Airflow.")
    pipeline: str = Field(validation_alias="pipeline_name")
    outcome: str | None = Field(
        validation_alias="overall_status",
        description="`success`, `failed`, `skipped`, …; `damaged` for a report that cannot be read, None without one.",
    )
    started_at: Annotated[AwareDatetime, AfterValidator(lambda start: start.astimezone(UTC))] = Field(
        validation_alias="start_time", description="Without a report or a plan, the time of its folder."
    )
    seconds: float | None = Field(validation_alias="total_duration_seconds", description="None without a report.")
    active_seconds: float | None = Field(
        None, description="Time in which a task was at work: without the wait between a failure and a clear."
    )
    interval_start: AwareDatetime | None = Field(None, validation_alias=AliasPath("interval", "start"))
    interval_end: AwareDatetime | None = Field(None, validation_alias=AliasPath("interval", "end"))
    settings: str = Field("", description="Checksum of its parameters, without interval and files: such runs compare.")
    failure: str | None = Field(None, validation_alias=AliasPath("failure_point", "message"))
    records: int | None = Field(None, description="Records that its first counting step read.")
    rejected: int | None = Field(None, description="Records that its steps rejected.")
    assessment: Level | None = Field(None, description="Of its data; None where its report states none.")
    headlines: tuple[Headline, ...] = Field((), validation_alias=AliasPath("overview", "headlines"))
    metrics: dict[str, float] = Field({}, description="Those of the run, then the first ones of the last step.")


class RunEntries(list[RunEntry]):
    """Summaries of runs, and how many older runs were left out."""

    left_out: int = 0


def run_entries(runs: Path, dags: Collection[str] | None = None) -> RunEntries:
    """Return the summaries of the latest runs, in no particular order; what has not changed is not read again.

    Of more than 10,000 runs only those that changed last are read, so that a list stays affordable.

    Args:
        runs: The folder `runs/` of a data folder; it need not exist.
        dags: Only runs of these DAGs (names of their folders); None for all.
    """
    settled = time.time_ns() - int(SETTLED_S * 1e9)
    changes: list[tuple[int, str]] = []
    for run in (run for dag in _folders(runs) if dags is None or dag.name in dags for run in _folders(dag)):
        with suppress(FileNotFoundError):  # removed a moment ago
            changes.append((run.stat(follow_symlinks=False).st_mtime_ns, run.path))
    latest = heapq.nlargest(LISTED_RUNS, changes) if len(changes) > LISTED_RUNS else changes
    entries = RunEntries(
        _settled_entry(path, changed) if changed < settled else read_entry(Path(path)) for changed, path in latest
    )
    entries.left_out = len(changes) - len(latest)
    return entries


@lru_cache(maxsize=CACHED_RUNS)
def _settled_entry(run: str, _changed: int) -> RunEntry:
    return read_entry(Path(run))


def latest_report(folder: Path, run: str = "") -> Path | None:
    """Return the JSON of the latest report, if there is one; its page has the same name with `.html`.

    Args:
        folder: The folder of a run, or one above it.
        run: Pattern of the runs' folders below it (`*/manual__1`); default: the folder is that of the run.
    """
    reports = folder.glob(f"{run}/pipeline_report_*.json" if run else "pipeline_report_*.json")
    return max(reports, key=lambda path: path.name, default=None)  # which states when; a file's time can be set


def read_entry(run: Path) -> RunEntry:
    """Read the summary of a run.

    Args:
        run: Its folder, `runs/<dag>/<run>`.
    """
    report = latest_report(run)
    if report is None:
        return _without_report(run)
    try:
        document = read_report(report)
        parts = _Parts.model_validate(document)
        counts = parts.record_accounting
        own = {
            "dag_id": run.parent.name,
            "folder": run.name,
            "records": counts[0].read if counts else None,
            "rejected": sum(step.rejected for step in counts) if counts else None,
            "metrics": _metrics(parts),
            "active_seconds": _active_seconds(parts),
            "settings": _settings(document.get("params")),
        }
        return RunEntry.model_validate(document | own)
    except (ValueError, OSError, BadInputError):
        return _without_report(run, outcome="damaged")


def read_report(path: Path) -> dict[str, Any]:
    """Return the document of a report, also one of an earlier release.

    Args:
        path: Its JSON, in the folder of its run.

    Raises:
        BadInputError: It is damaged or too large; names the file.
    """
    try:
        with open_below(path.parent, path, most_bytes=LARGEST_REPORT_BYTES) as file:
            document = from_json(file.read(LARGEST_REPORT_BYTES + 1))
        RunEntry.model_validate({"dag_id": "", "folder": ""} | document)
    except (OSError, ValueError, TypeError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else str(error)
        raise BadInputError(f"{path}: is damaged, so it cannot be shown: {reason[:LONGEST_REASON]}") from error
    return dict(document)


def open_page(path: Path) -> BinaryIO:
    """Open the page of a report, in the folder of its run; the caller closes it.

    Raises:
        BadInputError: It is too large to be shown.
        OSError: There is none; a link is none.
    """
    return open_below(path.parent, path, most_bytes=LARGEST_REPORT_BYTES)


def run_metrics(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics of the whole run among a report's summary statistics; those in groups appear one by one.

    >>> run_metrics({"total_steps": 3, "records_in": 20, "training": {"epochs": 4}})
    {'records_in': 20, 'epochs': 4}
    """
    metrics: dict[str, Any] = {}
    for name, value in statistics.items():
        if name not in SummaryStatistics.model_fields:
            metrics |= value if isinstance(value, dict) else {name: value}
    return metrics


def artifacts(folder: RunFolder) -> list[FileRecord]:
    """Return what the run's accepted steps wrote, by path; a result that cannot be read lists nothing."""
    records = {record.path: record for result in folder.recorded_successes() for record in result.outputs}
    return [records[path] for path in sorted(records)]


def open_artifact(folder: RunFolder, path: str) -> tuple[FileRecord, BufferedReader]:
    """Open an artifact whose content is what was accepted; the caller closes it.

    A step may have changed its files since, or put a link in their place: the content of the open file itself is
    compared with the recorded checksum.

    Args:
        folder: The run.
        path: Below its `files/` folder, as its results list it.

    Raises:
        BadInputError: No result lists it.
        ContractError: It was removed or changed after it was accepted.
    """
    record = next((record for record in artifacts(folder) if record.path == path), None)
    if record is None:
        raise BadInputError(f"no step of this run lists an artifact {path!r}")
    file = _open(folder.locate(record), record)
    if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:
        file.close()
        raise ContractError(record.path, "must be as it was accepted", "other content")
    file.seek(0)
    return record, file


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of an open file in chunks, and close it."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class _Records(BaseModel):
    read: int
    rejected: int = 0


class _Step(BaseModel):
    output_summary: dict[str, Any] | None = None
    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None


class _Parts(BaseModel):
    """The parts of a report that a summary combines; the complete model would be slow for thousands of runs."""

    summary_statistics: dict[str, Any] = {}
    record_accounting: list[_Records] = []
    steps: list[_Step] = []


def _without_report(folder: Path, outcome: str | None = None) -> RunEntry:
    try:
        run = RunFolder(folder).run()
    except (OSError, ValidationError):
        run = None
    changed = folder.stat().st_mtime if folder.exists() else 0.0
    return RunEntry(
        dag_id=folder.parent.name,
        folder=folder.name,
        run_id=run.run_id if run else folder.name,
        pipeline=run.pipeline if run else folder.parent.name,
        outcome=outcome,
        started_at=run.created_at if run else datetime.fromtimestamp(changed, UTC),
        seconds=None,
        interval_start=run.interval_start if run else None,
        interval_end=run.interval_end if run else None,
        settings=_settings(run.params) if run else "",
    )


def _active_seconds(document: _Parts) -> float | None:
    """Return how long at least one step was at work; None where no step states when."""
    spans = sorted((step.start_time, step.end_time) for step in document.steps if step.start_time and step.end_time)
    total, until = timedelta(), None
    for start, end in spans:
        total += max(timedelta(), end - (start if until is None else max(start, until)))
        until = end if until is None else max(until, end)
    return total.total_seconds() if spans else None


def _settings(params: object) -> str:
    """Return a checksum of parameters by which runs of different days can be compared."""
    own = {name: value for name, value in params.items() if name not in OF_ONE_RUN} if isinstance(params, dict) else {}
    return hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _metrics(document: _Parts) -> dict[str, float]:
    """Return the run's own metrics, then the first ones of the last step that has some."""
    summaries = [step.output_summary for step in document.steps if step.output_summary]
    last = _numbers(summaries[-1]) if summaries else {}
    return _numbers(run_metrics(document.summary_statistics)) | dict(list(last.items())[:METRICS_OF_A_STEP])


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _folders(path: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """Return the folders below a folder, without links and hidden ones; none where there is no such folder."""
    try:
        with os.scandir(path) as children:
            return [child for child in children if child.name[0] != "." and child.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _open(path: Path, record: FileRecord) -> BufferedReader:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ContractError(record.path, "must exist as it was accepted", "no such file") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_size != record.bytes:
        os.close(handle)
        raise ContractError(record.path, "must be as it was accepted", "another size or type of file")
    return os.fdopen(handle, "rb")
