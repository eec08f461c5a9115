"""Imagery of earlier runs."""

from __future__ import annotations

from pathlib import Path

from include.core.run_folder import RunFolder


def latest_manifest(data_dir: Path) -> Path | None:
    """`validated.json` of the run that validated its imagery last; None if no run has.

    Args:
        data_dir: With the runs.
    """
    folders = [RunFolder(path) for path in (data_dir / "runs" / "satellite_pipeline").glob("*") if path.is_dir()]
    verdicts = [(folder, folder.result("validate")) for folder in folders]
    accepted = [(verdict.ended_at, folder) for folder, verdict in verdicts if verdict and verdict.status == "success"]
    manifests = [folder.files / "validated.json" for _, folder in sorted(accepted, key=lambda each: each[0])]
    return next((path.resolve() for path in reversed(manifests) if path.is_file()), None)
