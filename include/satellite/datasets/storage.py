"""Files of the datasets: their index as Parquet, and arrays as `.npy` that are written a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from include.core.errors import ContractError, SetupError
from include.core.files import atomic_file
from include.core.tables import connect, file_argument, literal
from include.satellite.datasets.schemas import CLASSES, SPLITS

Columns = Mapping[str, NDArray[Any]]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
EXPORT_NAMES = {"train": "train", "tune": "tune", "validation": "val"}
"""Name of each split in the exported files."""
NAMES = {"label": CLASSES, "split": SPLITS}
"""Names of the values of these columns, by position."""
CHUNK = 512


@dataclass(frozen=True)
class SplitSamples:
    """Samples of a dataset, N in all, and the split of each.

    Args:
        split: (N,) position in `SPLITS`.
    """

    split: Ints

    def __len__(self) -> int:
        return len(self.split)

    def rows(self, split: str) -> Ints:
        """Return the samples of `train`, `tune` or `validation`."""
        return np.flatnonzero(self.split == SPLITS.index(split))


def write_index(path: Path, columns: Columns) -> None:
    """Write columns of equal length as Parquet, one row a sample; labels and splits, given as positions, by name.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    import duckdb

    with atomic_file(path) as partial, connect() as db:
        names = {name: np.array(NAMES[name], object)[columns[name]] for name in NAMES.keys() & columns.keys()}
        db.register("rows", {**columns, **names})
        try:
            db.execute(f"COPY (SELECT * FROM rows) TO {literal(partial)} (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.IOException as error:
            raise SetupError(f"{path}: cannot be written: {error}") from error


def read_index(path: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of an index, in its order of rows.

    Returns:
        Integers as int64, labels and splits as positions in `CLASSES` and `SPLITS`, other numbers as float32.
    """
    with connect() as db:
        columns = db.execute(f"SELECT * FROM read_parquet({file_argument(path)})").fetchnumpy()
    return {name: _numbers(name, np.asarray(values)) for name, values in columns.items()}


def _numbers(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if name in NAMES:
        return np.asarray((values[:, None] == np.array(NAMES[name], object)).argmax(axis=1))
    return values.astype(np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32)


def begin_array(file: IO[bytes], dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Write the header of a `.npy` file, whose values follow in C order."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def export_splits(
    folder: Path, samples: SplitSamples, inputs: Callable[[Ints], NDArray[Any]], targets: NDArray[Any]
) -> None:
    """Write a dataset as `X_train.npy`, `y_train.npy`, `X_tune.npy`, `y_tune.npy`, `X_val.npy` and `y_val.npy`.

    Args:
        folder: The folder, created where it is missing.
        samples: The dataset.
        inputs: From samples to their inputs.
        targets: Targets of all samples.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    for split in SPLITS:
        rows, name = samples.rows(split), EXPORT_NAMES[split]
        _write(folder / f"X_{name}.npy", rows, inputs)
        _write(folder / f"y_{name}.npy", rows, targets.__getitem__)


def check_export(
    files: Path, folder: str, samples: SplitSamples, inputs: Callable[[Ints], NDArray[Any]], targets: NDArray[Any]
) -> None:
    """Check that exported arrays hold the values of a dataset (arguments as of `export_splits`).

    Args:
        files: A folder with the files of the step.
        folder: The exported files' folder below it.
        samples: The dataset.
        inputs: From samples to their inputs.
        targets: Targets of all samples.

    Raises:
        ContractError: A file is missing, or holds other values; names the file and the first sample that differs.
    """
    for split in SPLITS:
        rows, name = samples.rows(split), EXPORT_NAMES[split]
        _compare(files, f"{folder}/X_{name}.npy", rows, inputs)
        _compare(files, f"{folder}/y_{name}.npy", rows, targets.__getitem__)


def _compare(files: Path, name: str, rows: Ints, values_of: Callable[[Ints], NDArray[Any]]) -> None:
    """Compare the values of the rows with those of a file, a chunk at a time."""
    if not (files / name).exists():
        raise ContractError(name, "must exist, as export_npy requests", "no such file")
    stored, form = np.load(files / name, mmap_mode="r"), values_of(rows[:0])
    shape = (len(rows), *form.shape[1:])
    if (stored.shape, stored.dtype) != (shape, form.dtype):
        rule = f"must hold {form.dtype} of the shape {shape}, one entry a sample of the split"
        raise ContractError(name, rule, f"{stored.dtype} of the shape {stored.shape}")
    for start in range(0, len(rows), CHUNK):
        own, expected = stored[start : start + CHUNK], values_of(rows[start : start + CHUNK])
        same = (own == expected) | (np.isnan(own) & np.isnan(expected))
        if not same.all():
            first = start + int(np.flatnonzero(~same.reshape(len(own), -1).all(axis=1))[0])
            raise ContractError(name, f"must hold the values of sample {rows[first]}", f"others at position {first}")


def _write(path: Path, rows: Ints, values_of: Callable[[Ints], NDArray[Any]]) -> None:
    """Write the values of the rows, a chunk at a time."""
    form = values_of(rows[:0])
    with atomic_file(path) as partial, partial.open("wb") as file:
        begin_array(file, form.dtype, (len(rows), *form.shape[1:]))
        for start in range(0, len(rows), CHUNK):
            file.write(np.ascontiguousarray(values_of(rows[start : start + CHUNK])).data)
