"""Metrics of a deployment in Prometheus' text format, made of the reports of its runs.

They are read from the data folder, so they survive every process, and a step that runs for a second is not missed
between two scrapes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.core.pipeline import Pipeline
from include.reporting.archive import RunEntry, run_entries

FORGOTTEN_AFTER = timedelta(days=2)
"""A run without a report that began earlier was lost; it no longer counts as running."""
SPENT = "_spent"
"""Ends the name of a metric that a quota limits; it is added up over the month."""
Sample = tuple[str, dict[str, str], float]
HELP = {
    "run_last_end_timestamp_seconds": "When the last run of a DAG ended.",
    "run_last_success_timestamp_seconds": "When the last successful run of a DAG ended.",
    "run_last_failed": "Whether the last run of a DAG failed.",
    "run_last_duration_seconds": "How long the last run of a DAG took.",
    "run_last_records": "Records that the last run of a DAG read.",
    "run_last_records_rejected": "Records that the last run of a DAG rejected.",
    "run_last_metric": "A metric of the last successful run of a DAG, by name.",
    "run_running_seconds": "How long the oldest unfinished run of a DAG has been at work.",
    "run_deadline_seconds": "How long a run of a DAG may take before it is late.",
    "runs": "Runs of a DAG in the data folder, by outcome.",
    "spent_this_month": "What runs of a DAG have spent of a quota this month (UTC).",
    "disk_size_bytes": "Size of the file system of the data folder.",
    "disk_free_bytes": "Free space of the file system of the data folder.",
}


def exposition(data: Path, pipelines: Iterable[Pipeline], now: datetime) -> str:
    """Return the metrics as text.

    Args:
        data: The data folder.
        pipelines: Those of the deployment.
        now: The present.
    """
    samples = [*_of_disk(data), *_of_runs(list(run_entries(data / "runs")), pipelines, now)]
    lines: list[str] = []
    for name, text in HELP.items():
        own = [(labels, value) for metric, labels, value in samples if metric == name]
        if own:
            lines += [f"# HELP groundtruth_{name} {text}", f"# TYPE groundtruth_{name} gauge"]
            lines += [f"groundtruth_{name}{_labels(labels)} {value:.17g}" for labels, value in own]
    return "\n".join(lines) + "\n"


def _of_disk(data: Path) -> Iterator[Sample]:
    usage = shutil.disk_usage(next(path for path in (data, *data.absolute().parents) if path.exists()))
    yield "disk_size_bytes", {}, usage.total
    yield "disk_free_bytes", {}, usage.free


def _of_runs(entries: list[RunEntry], pipelines: Iterable[Pipeline], now: datetime) -> Iterator[Sample]:
    for pipeline in pipelines:
        if pipeline.definition.deadline_minutes:
            yield "run_deadline_seconds", {"dag": pipeline.definition.dag_id}, pipeline.definition.deadline_minutes * 60
    for dag in sorted({entry.dag_id for entry in entries}):
        runs = sorted((entry for entry in entries if entry.dag_id == dag), key=lambda entry: entry.started_at)
        yield from _of_dag({"dag": dag}, runs, now)


def _of_dag(labels: dict[str, str], runs: list[RunEntry], now: datetime) -> Iterator[Sample]:
    ended = [run for run in runs if run.outcome is not None and run.seconds is not None]
    going_on = [now - run.started_at for run in runs if run.outcome is None and now - run.started_at < FORGOTTEN_AFTER]
    yield "run_running_seconds", labels, max((age.total_seconds() for age in going_on), default=0)
    for outcome in sorted({run.outcome or "unfinished" for run in runs}):
        yield "runs", {**labels, "outcome": outcome}, sum((run.outcome or "unfinished") == outcome for run in runs)
    if ended:
        last = ended[-1]
        yield "run_last_end_timestamp_seconds", labels, _end(last)
        yield "run_last_failed", labels, last.outcome != "success"
        yield "run_last_duration_seconds", labels, last.seconds or 0
        if last.records is not None:
            yield "run_last_records", labels, last.records
            yield "run_last_records_rejected", labels, last.rejected or 0
    good = [run for run in ended if run.outcome == "success"]
    if good:
        yield "run_last_success_timestamp_seconds", labels, _end(good[-1])
        for name, value in good[-1].metrics.items():
            yield "run_last_metric", {**labels, "name": name}, value
    this_month = [run for run in ended if (run.started_at.year, run.started_at.month) == (now.year, now.month)]
    for name in sorted({name for run in this_month for name in run.metrics if name.endswith(SPENT)}):
        yield "spent_this_month", {**labels, "name": name}, sum(run.metrics.get(name, 0) for run in this_month)


def _end(run: RunEntry) -> float:
    return run.started_at.astimezone(UTC).timestamp() + (run.seconds or 0)


def _labels(labels: dict[str, str]) -> str:
    r"""Return labels as Prometheus reads them.

    >>> _labels({"dag": 'a"b\n'})
    '{dag="a\\"b\\n"}'
    """
    texts = (
        (name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for name, value in labels.items()
    )
    return "{" + ",".join(f'{name}="{value}"' for name, value in texts) + "}" if labels else ""
