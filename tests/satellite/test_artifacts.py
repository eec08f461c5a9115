"""The imagery of the run that validated last."""

from datetime import UTC, datetime
from pathlib import Path

from include.core.run_folder import RunFolder, StepResult, write_json
from include.satellite.artifacts import VALIDATED, latest_manifest


def validated(data_dir: Path, name: str, day: int, status: str = "success") -> Path:
    """A run whose validation ended on a day of January."""
    folder = RunFolder(data_dir / "runs" / "satellite_pipeline" / name)
    moment = datetime(2026, 1, day, tzinfo=UTC)
    result = StepResult(
        step="validate", title="", description="", version="1", status=status, started_at=moment, ended_at=moment,
        duration_seconds=0,
    )  # fmt: skip
    write_json(folder.step("validate") / "result.json", result)
    manifest = VALIDATED.at(folder.files)
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    return manifest


def test_the_manifest_of_the_latest_accepted_validation_is_found(tmp_path: Path) -> None:
    assert latest_manifest(tmp_path) is None
    older, newer = validated(tmp_path, "b", 1), validated(tmp_path, "a", 2)
    validated(tmp_path, "c", 3, "failed")
    assert latest_manifest(tmp_path) == newer.resolve()
    newer.unlink()
    assert latest_manifest(tmp_path) == older.resolve()
