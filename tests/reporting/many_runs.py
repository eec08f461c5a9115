"""Thousands of run folders as energy and satellite runs leave them, for measuring the list of runs.

python -m tests.reporting.many_runs FOLDER 10000
"""

import json
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.core.run_folder import RunFolder, safe_name

FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def make_runs(data: Path, count: int, seed: int = 1) -> None:
    """Write `count` runs below `data/runs`: nine in ten of energy, one in twenty without a report."""
    chance = random.Random(seed)  # noqa: S311 - test data
    for number in range(count):
        start = FIRST + timedelta(hours=number)
        dag_id = "satellite_pipeline" if number % 10 == 9 else "energy_pipeline"
        run_id = f"scheduled__{start.isoformat()}"
        folder = RunFolder.of(data, dag_id, run_id).path
        (folder / "steps").mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(plan(dag_id, run_id, start)))
        if chance.random() >= 0.05:
            document = report(dag_id, run_id, start, chance)
            (folder / f"pipeline_report_{start:%Y%m%d_%H%M%S}.json").write_text(json.dumps(document, indent=2))
            (folder / f"pipeline_report_{start:%Y%m%d_%H%M%S}.html").write_text(f"<!DOCTYPE html><p>{run_id}")


def plan(dag_id: str, run_id: str, start: datetime) -> dict:
    steps = [{"id": name, "title": name.title(), "description": ""} for name in ("one", "two", "three")]
    return {
        "pipeline": dag_id.replace("_", "-"),
        "dag_id": dag_id,
        "run_id": run_id,
        "runtime": "local",
        "created_at": start.isoformat(),
        "steps": steps,
    }


def report(dag_id: str, run_id: str, start: datetime, chance: random.Random) -> dict:
    """About as large as a real one (10 kB), most of it a list of artifacts."""
    failed = chance.random() < 0.08
    seconds = chance.lognormvariate(1.0, 0.4)
    step = {
        "step_number": 1,
        "id": "one",
        "output_summary": {"households": 20, "energy_kwh": chance.uniform(180, 260), "peak_kw": chance.uniform(20, 30)},
    }
    statistics = {"cnn_accuracy": chance.uniform(0.8, 0.95)} if dag_id.startswith("satellite") else {}
    return {
        "pipeline_name": dag_id.replace("_", "-"),
        "start_time": start.isoformat(),
        "end_time": (start + timedelta(seconds=seconds)).isoformat(),
        "total_duration_seconds": round(seconds, 3),
        "overall_status": "failed" if failed else "success",
        "summary_statistics": {"total_steps": 3, "completed_steps": 3, "step_durations": {"one": 1.0}} | statistics,
        "steps": [step, {**step, "id": "two", "output_summary": None}],
        "dag_id": dag_id,
        "run_id": run_id,
        "failure_point": {"message": f"no such file: {safe_name(run_id)}.csv"} if failed else None,
        "record_accounting": [{"step": "one", "read": 1920, "accepted": 1900, "rejected": 20}],
        "artifacts": [
            {"path": f"file_{n}.csv", "sha256": "0" * 64, "bytes": n, "records": n, "step": "one"} for n in range(45)
        ],
    }


if __name__ == "__main__":
    make_runs(Path(sys.argv[1]), int(sys.argv[2]))
