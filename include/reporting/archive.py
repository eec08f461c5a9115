"""Every run that the data folder holds, in a few words each: what the pages list, filter and draw.

A run's report is read once. After that a look costs one directory entry a run: a report, a plan and a new step
folder each change the modification time of the run's own folder.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

SETTLED_SECONDS = 2.0
"""A folder that changed later than this before it was read may have changed again within the clock's grain."""
FIGURES_OF_A_STEP = 4
COUNTS = frozenset(
    {"total_steps", "completed_steps", "failed_steps", "skipped_steps", "total_duration_seconds", "step_durations"}
)


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run.

    Args:
        dag_id: Name of its DAG's folder; permissions are asked by it.
        folder: Name of its own folder.
        run_id: As Airflow knows it.
        pipeline: The pipeline's name.
        outcome: What its report says (`success`, `failed`, `skipped`, …), `damaged` where that cannot be read, None
            where there is no report.
        started_at: Its start; without a report or a plan, the time of its folder.
        seconds: How long it took; None without a report.
        failure: The sentence of its failure point.
        records: Records that its first counting step read.
        rejected: Records that its steps rejected.
        figures: Key figures by name: those of the domain, then the first ones of the last step.
    """

    dag_id: str
    folder: str
    run_id: str
    pipeline: str
    outcome: str | None
    started_at: datetime
    seconds: float | None = None
    failure: str | None = None
    records: int | None = None
    rejected: int | None = None
    figures: dict[str, float] = field(default_factory=dict)


class RunArchive:
    """The runs below a folder, read again only where they have changed. Safe to ask from several threads.

    Args:
        runs: The folder `runs/` of a data folder; it need not exist.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[int, RunEntry]] = {}

    def entries(self) -> list[RunEntry]:
        """All runs, in no order."""
        with self._lock:
            settled = time.time_ns() - int(SETTLED_SECONDS * 1e9)
            seen: dict[tuple[str, str], tuple[int, RunEntry]] = {}
            for dag in _folders(self.runs):
                for run in _folders(dag):
                    key, changed = (dag.name, run.name), _changed(run)
                    if changed is None:
                        continue
                    known = self._known.get(key)
                    if known is None or known[0] != changed:
                        known = (changed if changed < settled else -1, read_entry(Path(run.path)))
                    seen[key] = known
            self._known = seen
            return [entry for _, entry in seen.values()]


def latest_report(run: Path) -> Path | None:
    """The JSON of a run's latest report; its page has the same name with `.html`."""
    return max(_reports(run), key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def read_entry(run: Path) -> RunEntry:
    """Read what the archive keeps of a run.

    Args:
        run: Its folder, `runs/<dag>/<run>`.
    """
    report = latest_report(run)
    if report is None:
        return _without_report(run)
    try:
        document = _Report.model_validate(from_json(report.read_bytes()))
    except (ValueError, OSError):
        return _without_report(run, outcome="damaged")
    return RunEntry(
        dag_id=run.parent.name,
        folder=run.name,
        run_id=document.run_id,
        pipeline=document.pipeline_name,
        outcome=document.overall_status,
        started_at=document.start_time.astimezone(UTC),
        seconds=document.total_duration_seconds,
        failure=document.failure_point.message if document.failure_point else None,
        records=document.record_accounting[0].read if document.record_accounting else None,
        rejected=sum(each.rejected for each in document.record_accounting) if document.record_accounting else None,
        figures=_figures(document),
    )


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Failure(_Part):
    message: str


class _Records(_Part):
    read: int
    rejected: int = 0


class _Step(_Part):
    output_summary: dict[str, Any] | None = None


class _Report(_Part):
    """What the archive reads of a report: less than the whole model, so that thousands are read in seconds."""

    pipeline_name: str
    run_id: str
    overall_status: str
    start_time: AwareDatetime
    total_duration_seconds: float
    summary_statistics: dict[str, Any] = {}
    failure_point: _Failure | None = None
    record_accounting: list[_Records] = []
    steps: list[_Step] = []


class _Plan(_Part):
    pipeline: str
    run_id: str
    created_at: AwareDatetime


def _without_report(run: Path, outcome: str | None = None) -> RunEntry:
    try:
        plan = _Plan.model_validate_json((run / "run.json").read_bytes())
    except (OSError, ValidationError):
        changed = run.stat().st_mtime if run.exists() else 0.0
        plan = _Plan(pipeline=run.parent.name, run_id=run.name, created_at=datetime.fromtimestamp(changed, UTC))
    return RunEntry(run.parent.name, run.name, plan.run_id, plan.pipeline, outcome, plan.created_at.astimezone(UTC))


def _figures(document: _Report) -> dict[str, float]:
    """Numbers by name: the domain's own statistics, and the first ones that the last step tells."""
    figures: dict[str, float] = {}
    for name, value in document.summary_statistics.items():
        if name not in COUNTS:
            figures |= _numbers(value if isinstance(value, dict) else {name: value})
    told = [step.output_summary for step in document.steps if step.output_summary]
    last = _numbers(told[-1]) if told else {}
    return figures | dict(list(last.items())[:FIGURES_OF_A_STEP])


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in values.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _folders(path: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """Folders below a folder, no links; none where there is no such folder."""
    try:
        with os.scandir(path) as found:
            return [each for each in found if each.name[0] != "." and each.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _changed(run: os.DirEntry[str]) -> int | None:
    try:
        return run.stat(follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return None


def _reports(run: Path) -> list[Path]:
    try:
        found = list(run.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in found if path.name.startswith("pipeline_report_") and path.suffix == ".json"]
