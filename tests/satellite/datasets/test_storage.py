"""Files of the datasets: complete or absent, and read as they were written."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from include.core.errors import SetupError
from include.satellite.datasets.schemas import TRAIN, TUNE, VALIDATION
from include.satellite.datasets.storage import CHUNK, SplitSamples, begin_array, export_splits, read_index, write_index


def test_an_index_is_read_as_it_was_written(files: Path) -> None:
    columns = {"date": np.array([3, 1, 2]), "label": np.array([0, 3, 0]), "ndvi": np.array([0.5, 0.25, 0.75])}
    write_index(files / "index.parquet", columns)
    stored = read_index(files / "index.parquet")
    assert list(stored) == ["date", "label", "ndvi"]
    assert {name: values.tolist() for name, values in stored.items()} == {
        name: values.tolist() for name, values in columns.items()
    }
    assert [values.dtype for values in stored.values()] == [np.int64, np.int64, np.float32]
    with duckdb.connect() as db:
        rows = db.execute(f"SELECT label FROM '{files / 'index.parquet'}'").fetchall()
    assert rows == [("Healthy",), ("Critical",), ("Healthy",)]
    assert [path.name for path in files.iterdir()] == ["index.parquet"]


def test_an_index_that_cannot_be_written_is_an_error_in_words(files: Path) -> None:
    (files / "file").touch()
    with pytest.raises(SetupError, match=r"index.parquet: cannot be written"):
        write_index(files / "file" / "index.parquet", {"date": np.array([1])})


def test_values_after_the_header_are_an_array(files: Path) -> None:
    values = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    with (files / "array.npy").open("wb") as file:
        begin_array(file, np.uint16, values.shape)
        for part in values:
            file.write(part.data)
    assert np.array_equal(np.load(files / "array.npy"), values)


def test_splits_are_exported_under_the_usual_names_a_chunk_at_a_time(files: Path) -> None:
    count, sizes = CHUNK + 10, []
    samples = SplitSamples(split=np.repeat([TRAIN, TUNE], [count, 1]))
    targets = np.arange(count + 1) * 10

    def inputs_of(rows: np.ndarray) -> np.ndarray:
        sizes.append(len(rows))
        return np.stack([rows, -rows], axis=1).astype(np.float32)

    export_splits(files / "npy", samples, inputs_of, targets)
    names = {path.name for path in (files / "npy").iterdir()}
    assert names == {f"{axis}_{split}.npy" for axis in "Xy" for split in ("train", "tune", "val")}
    x, y = np.load(files / "npy" / "X_train.npy"), np.load(files / "npy" / "y_train.npy")
    assert (x.dtype, x.shape, y.dtype) == (np.float32, (count, 2), np.int64)
    assert np.array_equal(x[:, 0] * 10, y)
    assert np.load(files / "npy" / "X_val.npy").shape == (0, 2)
    assert max(sizes) == CHUNK


def test_the_rows_of_a_split_are_the_positions_of_its_samples() -> None:
    samples = SplitSamples(split=np.array([VALIDATION, TRAIN, VALIDATION]))
    assert len(samples) == 3
    assert [samples.rows(split).tolist() for split in ("train", "tune", "validation")] == [[1], [], [0, 2]]
