"""The accepted files of a run, for tests of what domains state in a report."""

from pathlib import Path

from include.core.artifacts import sha256
from include.core.overview import AcceptedFiles
from include.core.run_folder import FileRecord


def accepted(files: Path) -> AcceptedFiles:
    """All files of a folder, as if their steps' checks had accepted them."""
    names = [path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()]
    records = {
        name: FileRecord(path=name, sha256=sha256(files / name), bytes=(files / name).stat().st_size) for name in names
    }
    return AcceptedFiles(files, records)
