"""The store of measurements: what a scene showed of an outline, so that no later run measures it again.

```
data/fields/<collection>/<source>-<hash of grid, bands and version>.parquet
```

A row is one observation without the field's id and crop, which may change: its key is the outline and the checksum of
the scene. A corrected scene has another checksum and replaces what was measured on that date before.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from include.core.files import atomic_file, locked
from include.core.settings import get_settings
from include.core.tables import connect, file_argument, literal
from include.satellite.fields.measurement import VERSION
from include.satellite.fields.schemas import KEY, ObservationRow

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel

    from include.satellite.imagery.schemas import Scope

STORE = "fields"
OF_THE_RUN = ("field_id", "crop", "is_new")
"""Columns of an observation that are not kept."""
MEASURED = [name for name in KEY if name not in OF_THE_RUN]


def store_file(scope: Scope) -> str:
    """Return the path of an area's measurements, below the data folder."""
    key = hashlib.sha256(json.dumps(scope.recipe | {"version": VERSION}, sort_keys=True).encode()).hexdigest()[:12]
    return f"{STORE}/{scope.collection}/{scope.source}-{key}.parquet"


def read_measurements(scope: Scope) -> pd.DataFrame | None:
    """Return the stored measurements of an area, None where there are none."""
    path = get_settings().data_dir / store_file(scope)
    return read_table(path) if path.is_file() else None


def keep_measurements(scope: Scope, observations: pd.DataFrame) -> None:
    """Add new observations to the store; they replace those of the same outline and date.

    Raises:
        SetupError: The store cannot be written.
    """
    import pandas as pd

    new = observations[observations["is_new"]].drop(columns=list(OF_THE_RUN))
    if new.empty:
        return
    path = get_settings().data_dir / store_file(scope)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(f".{path.name}.lock"), timeout_s=None):
        stored = read_measurements(scope)
        rows = new if stored is None else pd.concat([stored, new], ignore_index=True)
        rows = rows.drop_duplicates(["outline", "date"], keep="last").sort_values(["date", "outline"])
        write_table(path, rows, ObservationRow)


def read_table(path: Path) -> pd.DataFrame:
    """Return a Parquet file; dates are those of Python, missing ones NaT."""
    with connect() as db:
        found = db.execute(f"SELECT * FROM read_parquet({file_argument(path)})")
        dates = [name for name, kind, *_ in found.description or () if str(kind) == "DATE"]
        table: pd.DataFrame = found.df()
    for name in dates:
        table[name] = table[name].dt.date
    return table


def write_table(path: Path, table: pd.DataFrame, model: type[BaseModel]) -> None:
    """Write a table as Parquet, complete or not at all; what is missing, or an empty text, becomes null.

    Args:
        path: The file.
        table: Its rows.
        model: One row; columns that it has not are numbers.

    Raises:
        SetupError: The folder cannot be written.
    """
    import pandas as pd

    kinds = {name: kind_of(model, name) for name in table.columns}
    typed = table.assign(
        **{name: pd.to_datetime(table[name]) for name, kind in kinds.items() if kind == "DATE"},
        **{name: table[name].astype("str") for name, kind in kinds.items() if kind == "VARCHAR"},
        **{name: table[name].astype(float) for name, kind in kinds.items() if kind == "DOUBLE"},
    )
    columns = ", ".join(_column(name, kind) for name, kind in kinds.items())
    with atomic_file(path) as partial, connect() as db:
        db.register("rows", typed)
        db.execute(f"COPY (SELECT {columns} FROM rows) TO {literal(partial)} (FORMAT parquet, COMPRESSION zstd)")


def kind_of(model: type[BaseModel], name: str) -> str:
    """Return the SQL type of a column of a model; DOUBLE for one that it has not.

    >>> from include.satellite.fields.schemas import ObservationRow
    >>> [kind_of(ObservationRow, name) for name in ("date", "crop", "pixels", "is_new", "ndvi_mean")]
    ['DATE', 'VARCHAR', 'BIGINT', 'BOOLEAN', 'DOUBLE']
    """
    if name not in model.model_fields:
        return "DOUBLE"
    annotation: Any = model.model_fields[name].annotation
    kinds = {annotation, *get_args(annotation)}
    types = {date: "DATE", float: "DOUBLE", bool: "BOOLEAN", int: "BIGINT"}
    return next((sql for kind, sql in types.items() if kind in kinds), "VARCHAR")


def _column(name: object, kind: str) -> str:
    quoted = '"' + str(name).replace('"', '""') + '"'
    missing = {"DOUBLE": "'nan'::DOUBLE", "VARCHAR": "''"}
    value = f"nullif({quoted}, {missing[kind]})" if kind in missing else quoted
    return f"CAST({value} AS {kind}) AS {quoted}"
