"""A file counts as an artifact only if it is there, whole, of its format, and true to its schema."""

import hashlib
import os
from pathlib import Path

import pytest

from include.core.artifact_store import FolderStore
from include.core.artifacts import check_unchanged, remove, seal, sha256
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.proof import proof_of
from include.core.run_folder import FileRecord
from tests.core.small_pipeline import PNG, READINGS, TOTALS, Reading, Totals, table


def put(files: Path, name: str, content: str | bytes) -> Path:
    path = files / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sealed(files: Path, artifact: Artifact) -> FileRecord | None:
    """Seal an output beside its folder."""
    return seal(FolderStore(files.parent / "artifacts"), files, artifact)


def refusal(files: Path, artifact: Artifact) -> ContractError:
    with pytest.raises(ContractError) as error:
        sealed(files, artifact)
    assert error.value.artifact == artifact.path
    assert str(error.value).startswith(f"{artifact.path}: {error.value.rule}")
    return error.value


@pytest.mark.parametrize(
    ("artifact", "content", "records"),
    [
        (Artifact("out.csv", Reading), READINGS, 3),
        (Artifact("OUT.CSV", Reading), READINGS, 3),
        (Artifact("rejected.csv", Reading, may_be_empty=True), table(), 0),
        (Artifact("below/totals.json", Totals), TOTALS, None),
        (Artifact("any.json"), "[1]", None),
        (Artifact("zero.json"), "0", None),
        (Artifact("plot.png"), PNG, None),
        (Artifact("notes.txt"), "anything", None),
    ],
    ids=lambda value: value.path if isinstance(value, Artifact) else "",
)
def test_a_good_file_is_recorded_with_checksum_size_and_records(tmp_path, artifact, content, records):
    path = put(tmp_path, artifact.path, content)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    assert sealed(tmp_path, artifact) == FileRecord(
        path=artifact.path,
        sha256=checksum,
        bytes=path.stat().st_size,
        records=records,
        proof=proof_of(artifact, "sealed"),
    )


@pytest.mark.parametrize(
    ("artifact", "content", "rule", "value"),
    [
        (Artifact("out.csv", Reading), b"", "must not be empty", "0 bytes"),
        (Artifact("out.csv", Reading), table(), "must hold at least one record", "a header alone"),
        (Artifact("out.csv"), READINGS[:-9], "must end with a line break (a file that was cut short does not)", None),
        (Artifact("totals.json", Totals), TOTALS[:-4], "must be valid JSON", "Unterminated string"),
        (Artifact("plot.png"), READINGS, "must be a complete PNG image", "other bytes at its start"),
        (
            Artifact("model.bin"),
            READINGS,
            "must be of a format that can be checked, or be declared opaque",
            "the suffix",
        ),
        (Artifact("notes.txt"), "", "must not be empty", "0 bytes"),
    ],
)
def test_a_bad_file_is_refused_with_the_rule_and_what_was_found(tmp_path, artifact, content, rule, value):
    put(tmp_path, artifact.path, content)
    error = refusal(tmp_path, artifact)
    assert error.rule.startswith(rule)
    assert error.value is None if value is None else str(error.value).startswith(value)


def test_a_missing_file_is_refused_unless_it_is_optional(tmp_path):
    assert refusal(tmp_path, Artifact("out.csv")).rule == "must exist"
    assert sealed(tmp_path, Artifact("out.csv", optional=True)) is None


def test_a_file_whose_folder_is_a_file_is_missing(tmp_path):
    put(tmp_path, "below", "a file")
    assert refusal(tmp_path, Artifact("below/out.csv")).rule == "must exist"


def test_an_optional_file_that_exists_is_checked_like_any_other(tmp_path):
    put(tmp_path, "out.csv", "")
    assert refusal(tmp_path, Artifact("out.csv", optional=True)).rule == "must not be empty"


def recorded(path: Path) -> FileRecord:
    return FileRecord(path=path.name, sha256=sha256(path), bytes=path.stat().st_size)


def test_a_file_that_stayed_as_it_was_passes_whatever_its_time_stamp(tmp_path):
    path = put(tmp_path, "out.csv", READINGS)
    record = recorded(path)
    os.utime(path, (0, 0))
    check_unchanged(path, record, "Analyze")


@pytest.mark.parametrize("content", [READINGS.replace("1.5", "1.6"), READINGS + "\n", ""])
def test_a_change_after_the_checksum_was_recorded_is_found(tmp_path, content):
    path = put(tmp_path, "out.csv", READINGS)
    record = recorded(path)
    path.write_text(content)
    with pytest.raises(ContractError, match=r"out\.csv: must be as Analyze left it .*; found other content"):
        check_unchanged(path, record, "Analyze")


def test_a_file_that_is_gone_or_became_a_link_is_not_unchanged(tmp_path):
    path = put(tmp_path, "out.csv", READINGS)
    record = recorded(path)
    path.rename(tmp_path / "moved.csv")
    with pytest.raises(ContractError, match="must still be there, as Analyze left it"):
        check_unchanged(path, record, "Analyze")
    path.symlink_to(tmp_path / "moved.csv")
    with pytest.raises(ContractError, match="a regular file"):
        check_unchanged(path, record, "Analyze")


def test_removing_takes_whatever_is_there_and_follows_no_link(tmp_path):
    files, outside = tmp_path / "files", put(tmp_path, "elsewhere/out.csv", READINGS)
    put(files, "file/out.csv", READINGS)
    put(files, "folder/out.csv/inner", READINGS)
    (files / "link").symlink_to(outside.parent)
    (files / "dangling.csv").symlink_to("nowhere")
    put(files, "blocked", "a file in the place of a folder")
    for name in ("file/out.csv", "folder/out.csv", "link/out.csv", "dangling.csv", "blocked/out.csv", "absent.csv"):
        remove(files, name)
    assert sorted(path.name for path in files.iterdir()) == ["file", "folder"]
    assert not any((files / "file").iterdir())
    assert not any((files / "folder").iterdir())
    assert outside.read_text() == READINGS
