"""Runs of another pipeline whose artifact was accepted."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from include.core.run_folder import FileRecord, RunFolder, StepResult, write_json


def accepted(
    data_dir: Path, run: str, content: bytes, *, day: int = 1, dag: str = "satellite_pipeline", status: str = "success"
) -> Path:
    """Write a run whose step `validate` ended with `validated.json` on a day of January; return that file."""
    folder = RunFolder.of(data_dir, dag, run)
    moment = datetime(2026, 1, day, tzinfo=UTC)
    record = FileRecord(path="validated.json", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    result = StepResult(
        step="validate", title="", description="", version="1", status=status, started_at=moment, ended_at=moment,
        duration_seconds=0, outputs=[record],
    )  # fmt: skip
    write_json(folder.step("validate") / "result.json", result)
    folder.files.mkdir(parents=True)
    path = folder.files / record.path
    path.write_bytes(content)
    return path
