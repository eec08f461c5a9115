"""A file counts as an artifact only if it is there, whole, of its format, and true to its schema."""

import hashlib
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from include.core.artifact_store import FolderStore
from include.core.artifacts import check_artifact, check_unchanged, remove, seal, sha256
from include.core.contracts import Artifact
from include.core.errors import ContractError
from include.core.run_folder import FileRecord
from include.core.work_folder import view
from tests.core.small_pipeline import PNG, READINGS, TOTALS, Reading, Totals, table


def put(files: Path, name: str, content: str | bytes) -> Path:
    path = files / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sealed(files: Path, artifact: Artifact) -> FileRecord | None:
    """Seal an output beside its folder, and check it."""
    store = FolderStore(files.parent / "artifacts")
    record = seal(store, files, artifact)
    if record is None:
        return None
    with view(files.parent, {artifact.path: store.materialise(record.sha256)}) as shown:
        return check_artifact(shown, artifact, record)


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
        path=artifact.path, sha256=checksum, bytes=path.stat().st_size, records=records
    )


@pytest.mark.parametrize(
    ("artifact", "content", "rule", "value"),
    [
        (Artifact("out.csv", Reading), b"", "must not be empty", "0 bytes"),
        (Artifact("out.csv", Reading), table(), "must hold at least one record", "a header alone"),
        (Artifact("out.csv"), READINGS[:-9], "must end with a line break (a file that was cut short does not)", None),
        (Artifact("totals.json", Totals), TOTALS[:-4], "must be valid JSON", "Invalid JSON: EOF while parsing"),
        (
            Artifact("totals.json", Totals),
            '{"energy": "much", "households": []}',
            "must keep to its schema: $.energy: Input should be a valid number",
            "much",
        ),
        (
            Artifact("totals.json", Totals),
            '{"energy": 1, "households": ["a", 5]}',
            "must keep to its schema: $.households[1]: Input should be a valid string",
            "5",
        ),
        (Artifact("any.json"), "{", "must be valid JSON", "Expecting property name"),
        (Artifact("any.json"), "[" * 100_000, "must be valid JSON", "maximum recursion depth"),
        (Artifact("any.json"), b'"\xff"', "must be valid JSON", "'utf-8' codec can't decode"),
        (Artifact("any.json"), "{ }", "must hold something", "{ }"),
        (Artifact("any.json"), "null", "must hold something", "null"),
        (Artifact("plot.png"), PNG[:-1], "must be a complete PNG image", f"{len(PNG) - 1} bytes that are not"),
        (Artifact("plot.png"), READINGS, "must be a complete PNG image", f"{len(READINGS)} bytes that are not"),
        (Artifact("out.parquet"), READINGS, "must open as PARQUET", "Invalid Input Error: No magic bytes"),
        (Artifact("notes.txt"), "", "must not be empty", "0 bytes"),
    ],
)
def test_a_bad_file_is_refused_with_the_rule_and_what_was_found(tmp_path, artifact, content, rule, value):
    put(tmp_path, artifact.path, content)
    error = refusal(tmp_path, artifact)
    assert error.rule.startswith(rule)
    assert error.value is None if value is None else str(error.value).startswith(value)


def test_every_further_fault_of_a_document_is_counted(tmp_path):
    put(tmp_path, "totals.json", '{"energy": "much", "households": []}')
    assert refusal(tmp_path, Artifact("totals.json", Totals)).rule.endswith("(and 1 more)")


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


# ── arrays, weights, rasters ─────────────────────────────────────────────────────────────────────────────────────────


def array(path: Path) -> None:
    np.save(path, np.arange(12, dtype=np.uint16).reshape(3, 4))


def weights(path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))


def raster(path: Path) -> None:
    import rasterio

    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16", "crs": "EPSG:32643"}
    with rasterio.open(path, "w", transform=rasterio.Affine(10, 0, 500000, 0, -10, 3400000), **profile) as file:
        file.write(np.random.default_rng(0).integers(0, 9999, (1, 64, 64), dtype=np.uint16))


@pytest.mark.parametrize(("name", "write"), [("a.npy", array), ("a.safetensors", weights), ("a.tif", raster)])
def test_arrays_weights_and_rasters_are_complete_or_refused(tmp_path, name, write):
    write(tmp_path / name)
    assert sealed(tmp_path, Artifact(name)).bytes == (tmp_path / name).stat().st_size
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2 + 3])
    assert "must be a complete" in refusal(tmp_path, Artifact(name)).rule
    (tmp_path / name).write_bytes(b"not what the suffix says")
    assert "must be a complete" in refusal(tmp_path, Artifact(name)).rule


def test_an_array_without_elements_is_no_result(tmp_path):
    np.save(tmp_path / "a.npy", np.empty((0, 4)))
    assert refusal(tmp_path, Artifact("a.npy")).rule == "must hold at least one element"


def test_an_array_of_python_objects_is_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert refusal(tmp_path, Artifact("a.npy")).rule == "must be a complete NumPy array"


def test_a_raster_must_say_where_it_lies(tmp_path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rasterio says so too
        assert refusal(tmp_path, Artifact("a.tif")).rule == "must be georeferenced"
