"""The artifacts of the satellite steps, each named once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from include.core.contracts import Artifact
from include.core.errors import BadInputError
from include.core.run_folder import RunFolder
from include.satellite.datasets.schemas import PatchInfo, PatchRow, SequenceInfo, SequenceRow
from include.satellite.imagery.schemas import Acquisition, Imagery, SearchResult, ValidationReport

SEARCH = Artifact("search.json", SearchResult)
ACQUISITION = Artifact("acquisitions/{index}.json", Acquisition)
ACQUISITIONS = Artifact("acquisitions/*")
IMAGERY = Artifact("imagery.json", Imagery)
VALIDATED = Artifact("validated.json", Imagery)
VALIDATION_REPORT = Artifact("validation_report.json", ValidationReport)
CONTACT_SHEET = Artifact("plot_contact_sheet.png")
NDVI_PLOT = Artifact("plot_ndvi.png")

CUBE = Artifact("cube.npy")
CUBE_CLASSES = Artifact("scl.npy")
PATCH_INDEX = Artifact("cnn_index.parquet", PatchRow)
PATCH_INFO = Artifact("cnn_dataset.json", PatchInfo)
SERIES = Artifact("lstm_series.npy")
SEQUENCE_INDEX = Artifact("lstm_index.parquet", SequenceRow)
SEQUENCE_INFO = Artifact("lstm_dataset.json", SequenceInfo)


def latest_manifest(data_dir: Path) -> Path | None:
    """Return the manifest of the run that validated its imagery last; None if no run has.

    Args:
        data_dir: The data folder, with the runs.
    """
    folders = [RunFolder(path) for path in (data_dir / "runs" / "satellite_pipeline").glob("*") if path.is_dir()]
    results = [(folder, folder.result("validate")) for folder in folders]
    accepted = [(result.ended_at, folder) for folder, result in results if result and result.status == "success"]
    manifests = [VALIDATED.at(folder.files) for _, folder in sorted(accepted, key=lambda run: run[0])]
    return next((path.resolve() for path in reversed(manifests) if path.is_file()), None)


def imagery_params(triggers: Sequence[Path], data_dir: Path) -> dict[str, str]:
    """Return the manifest of the newest run that triggered this one, else that of the run that validated last.

    Args:
        triggers: `files/` folders of the runs that triggered this one, newest first.
        data_dir: The data folder.

    Raises:
        BadInputError: No run has validated imagery yet.
    """
    manifests = (VALIDATED.at(folder) for folder in triggers)
    manifest = next((path for path in manifests if path.is_file()), None) or latest_manifest(data_dir)
    if manifest is None:
        raise BadInputError("there is no validated imagery yet: run satellite_pipeline first, or name a manifest")
    return {"imagery": str(manifest)}
