"""Run folders as a run leaves them, for the tests of the report."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from include.core.run_folder import (
    Failure,
    FileRecord,
    Records,
    Run,
    RunFolder,
    Started,
    StepInfo,
    StepResult,
    write_json,
)

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
NOW = START + timedelta(minutes=10)
TITLES = {"collect": "Collect meter data", "analyze": "Analyze meter data", "describe": "Report on meter data"}


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def plan(folder: RunFolder, **fields: Any) -> None:
    run = {
        "pipeline": "energy-pipeline",
        "dag_id": "energy_pipeline",
        "run_id": "manual__2026-03-01",
        "runtime": "local",
        "created_at": START,
        "interval_start": START.replace(hour=0) - timedelta(days=1),
        "interval_end": START.replace(hour=0),
        "params": {"households": 20, "high_usage_kw": 5.0, "required": ["timestamp", "household_id"], "files": []},
        "steps": [StepInfo(id=name, title=title, description=f"Does: {title}.") for name, title in TITLES.items()],
    }
    write_json(folder.path / "run.json", Run.model_validate(run | fields))


def artifact(folder: RunFolder, path: str, content: bytes, records: int | None = None) -> FileRecord:
    file = folder.files / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return FileRecord(path=path, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), records=records)


def started(folder: RunFolder, step: str, minute: float, **fields: Any) -> None:
    write_json(folder.step(step) / "started.json", Started(step=step, started_at=at(minute), **fields))


def ended(folder: RunFolder, step: str, minutes: tuple[float, float], **fields: Any) -> None:
    started(folder, step, minutes[0], **{k: v for k, v in fields.items() if k in ("attempt", "generation", "runtime")})
    verdict = {
        "step": step,
        "started_at": at(minutes[0]),
        "ended_at": at(minutes[1]),
        "duration_seconds": 60 * (minutes[1] - minutes[0]),
        "title": TITLES.get(step, step.capitalize()),
        "description": f"Does: {step}.",
        "version": "1",
        "status": "success",
        "command": f"include.energy.{step}:run",
        "versions": {"python": "3.11.9", "duckdb": "1.4.0"},
    }
    write_json(folder.step(step) / "result.json", StepResult.model_validate(verdict | fields))


def broke(folder: RunFolder, step: str, minutes: tuple[float, float], kind: str, message: str, **fields: Any) -> None:
    error = Failure.model_validate({"kind": kind, "message": message, "hint": fields.pop("hint", None)})
    ended(folder, step, minutes, status="failed", error=error, **fields)


def good_run(path: Path) -> RunFolder:
    """Three steps, all of which succeeded, with everything that a report can show."""
    folder = RunFolder(path / "runs" / "energy_pipeline" / "manual__2026-03-01")
    plan(folder)
    ended(folder, "prepare", (0, 0.1))
    ended(folder, "collect", (0.5, 1), outputs=[artifact(folder, "energy_data.csv", b"a,b\n1,2\n", 1)])
    reasons = {"missing": 10, "late": 5}
    counts = Records(read=1920, accepted=1900, rejected=15, outside=5, rejected_by_reason=reasons)
    ended(
        folder,
        "analyze",
        (1, 3),
        records=counts,
        params={"high_usage_kw": 5.0, "required": ["timestamp"], "nominal": None},
        outputs=[artifact(folder, "output1.json", b"{}"), artifact(folder, "plot_load_curve.png", tiny_png())],
        summary={
            "records_in": 1920,
            "energy_kwh": 203.456,
            "rejected_by_reason": reasons,
            "findings": [{"severity": "warning", "message": "One household has no data at night."}],
            "tables": [{"title": "Households", "columns": ["household_id", "energy_kwh"], "rows": [["H1", 12.5]]}],
        },
    )
    ended(folder, "describe", (3, 4), outputs=[artifact(folder, "energy_report.csv", b"a\n1\n", 1)])
    ended(folder, "publish", (4, 4.1), summary={"published": "data/published/energy/2026-02-28", "key": "2026-02-28"})
    return folder


def proven_run(path: Path, *, audited: bool | None = None, **params: Any) -> RunFolder:
    """A run like `good_run`, whose records state how far each file is proven; one file is opaque, one doubtful."""
    folder = good_run(path)
    plan(folder, params=params)
    checked: dict[str, Any] = {"proof": ["sealed", "format"]}
    data = artifact(folder, "energy_data.csv", b"a,b\n1,2\n", 1).model_copy(update=checked)
    ended(folder, "collect", (0.5, 1), outputs=[data], isolation="our own function in the worker")
    ended(
        folder,
        "analyze",
        (1, 3),
        records=Records(read=1, accepted=1),
        audited=params.get("audit", False) if audited is None else audited,
        stored=[FileRecord(path="imagery/scene.tif", sha256="ef" * 32, bytes=7)],
        outputs=[
            artifact(folder, "energy_records.parquet", b"records", 1).model_copy(update=checked),
            artifact(folder, "output1.json", b"{}").model_copy(update=checked),
        ],
        summary={
            "records_in": 1,
            "proofs": [
                {"artifact": "energy_records.parquet", "sampled": "anomalies of 2 households", "draw": ["H2", "H7"]},
                {"artifact": "energy_records.parquet", "recomputed": "1 records"},
                {"artifact": "energy_data.csv", "not_checked": "it states no seed"},
            ],
        },
    )
    model = artifact(folder, "model.bin", b"x").model_copy(update={"proof": ["opaque", "sealed"]})
    ended(folder, "describe", (3, 4), outputs=[model])
    return folder


@cache
def tiny_png() -> bytes:
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([1, 3, 2])
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
