"""The datasets as plain `.npy` files, for those who train elsewhere.

`cnn_npy/` and `lstm_npy/` each hold `X_train.npy`, `y_train.npy`, `X_tune.npy`, `y_tune.npy`, `X_val.npy` and
`y_val.npy`: patches (N, C, p, p) float32, normalised, with labels (N,) int64; sequences (N, L, F) float32 with NDVI
(N,) float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import SetupError
from include.satellite.datasets.documents import SPLITS

if TYPE_CHECKING:
    from include.satellite.datasets.patches import PatchDataset
    from include.satellite.datasets.sequences import SequenceDataset

CNN_FOLDER, LSTM_FOLDER = "cnn_npy", "lstm_npy"
NAMES = {"train": "train", "tune": "tune", "validation": "val"}
CHUNK = 512
Ints = NDArray[np.int64]


def export_patches(files: Path, dataset: PatchDataset) -> None:
    """Write `cnn_npy/`; a sample stands in it once, however often an epoch draws it.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    size, bands = dataset.info.patch_size, len(dataset.info.bands)
    for split in SPLITS:
        rows, name = dataset.rows(split), NAMES[split]
        _write(files / CNN_FOLDER / f"X_{name}.npy", rows, (bands, size, size), np.float32, dataset.batch)
        _write(files / CNN_FOLDER / f"y_{name}.npy", rows, (), np.int64, dataset.label.__getitem__)


def export_sequences(files: Path, dataset: SequenceDataset) -> None:
    """Write `lstm_npy/`.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    for split in SPLITS:
        rows, name = dataset.rows(split), NAMES[split]
        _write(files / LSTM_FOLDER / f"X_{name}.npy", rows, dataset.x.shape[1:], np.float32, dataset.x.__getitem__)
        _write(files / LSTM_FOLDER / f"y_{name}.npy", rows, (), np.float32, dataset.y.__getitem__)


def _write(
    path: Path, rows: Ints, shape: tuple[int, ...], dtype: type[np.generic], take: Callable[[Ints], NDArray[Any]]
) -> None:
    """Write what `take` gives of the rows, a chunk at a time; the file appears when it is complete."""
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": (len(rows), *shape),
    }
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(exist_ok=True)
        with partial.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(rows), CHUNK):
                file.write(np.ascontiguousarray(take(rows[start : start + CHUNK]), dtype).data)
        partial.replace(path)
    except OSError as error:
        raise SetupError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
