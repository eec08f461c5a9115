"""Imagery of earlier runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from include.core.errors import BadInputError
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


def imagery_params(triggers: Sequence[Path], data_dir: Path) -> dict[str, str]:
    """Return the manifest of the newest run that triggered this one, else that of the latest validated run.

    Args:
        triggers: `files/` folders of the runs that triggered this one, newest first.
        data_dir: The data folder.

    Raises:
        BadInputError: No run has validated imagery yet.
    """
    manifests = (folder / "validated.json" for folder in triggers)
    manifest = next((path for path in manifests if path.is_file()), None) or latest_manifest(data_dir)
    if manifest is None:
        raise BadInputError("there is no validated imagery yet: run satellite_pipeline first, or name a manifest")
    return {"imagery": str(manifest)}
