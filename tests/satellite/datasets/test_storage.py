"""Files of the datasets: complete or absent, and read as they were written."""

from pathlib import Path

import numpy as np
import pytest

from include.core.errors import SetupError
from include.satellite.datasets.storage import CHUNK, begin_array, export_splits, read_index, write_index


def test_an_index_is_read_as_it_was_written(files: Path) -> None:
    columns = {"date": np.array([3, 1, 2]), "label": np.array(["Healthy", "Critical", "Healthy"], object)}
    write_index(files / "index.parquet", columns)
    stored = read_index(files / "index.parquet")
    assert list(stored) == ["date", "label"]
    assert stored["date"].tolist() == [3, 1, 2]
    assert stored["label"].tolist() == ["Healthy", "Critical", "Healthy"]
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
    rows = {"train": np.arange(count), "tune": np.array([count]), "validation": np.array([], np.int64)}
    targets = np.arange(count + 1) * 10

    def inputs_of(samples: np.ndarray) -> np.ndarray:
        sizes.append(len(samples))
        return np.stack([samples, -samples], axis=1).astype(np.float64)

    export_splits(files / "npy", rows.__getitem__, ((2,), np.float32, inputs_of), (np.int64, targets))
    names = {path.name for path in (files / "npy").iterdir()}
    assert names == {f"{axis}_{split}.npy" for axis in "Xy" for split in ("train", "tune", "val")}
    x, y = np.load(files / "npy" / "X_train.npy"), np.load(files / "npy" / "y_train.npy")
    assert (x.dtype, x.shape, y.dtype) == (np.float32, (count, 2), np.int64)
    assert np.array_equal(x[:, 0] * 10, y)
    assert np.load(files / "npy" / "X_val.npy").shape == (0, 2)
    assert max(sizes) == CHUNK
