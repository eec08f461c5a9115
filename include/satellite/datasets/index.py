"""The index of a dataset: one row a sample, as Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.core.errors import SetupError
from include.core.sql import file_literal, literal

Columns = Mapping[str, NDArray[Any]]


def write_index(path: Path, columns: Columns) -> None:
    """Write columns of equal length, renamed into place when complete.

    Raises:
        SetupError: The folder cannot be written, or the disk is full.
    """
    import duckdb

    partial = path.with_name(f".{path.name}.partial")
    try:
        with duckdb.connect() as db:
            db.register("rows", dict(columns))
            db.execute(f"COPY (SELECT * FROM rows) TO {literal(partial)} (FORMAT parquet, COMPRESSION zstd)")
        partial.replace(path)
    except (OSError, duckdb.IOException) as error:
        raise SetupError(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def read_index(path: Path) -> dict[str, NDArray[Any]]:
    """The columns of an index, in its order of rows."""
    import duckdb

    with duckdb.connect() as db:
        found = db.execute(f"SELECT * FROM read_parquet({file_literal(path)})").fetchnumpy()
    return {name: np.asarray(values) for name, values in found.items()}
