"""The proof of the observations: drawn fields on drawn passes, measured again one by one.

Nothing of the step's measurement is used: each field has its own mask over its own window of a scene, cloud is found by
distances, and statistics are those of NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.artifacts import sha256
from include.core.contracts import StepParams
from include.core.errors import ContractError
from include.satellite.artifacts import FIELDS, OBSERVATIONS, VALIDATED
from include.satellite.fields.schemas import INDICES, KEY, CropField
from include.satellite.fields.store import MEASURED, read_measurements, read_table
from include.satellite.imagery.store import scene_path
from include.satellite.sensors.indices import INDICES as FORMULAS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from include.satellite.imagery.schemas import Acquisition, Imagery

DRAWN_PASSES, DRAWN_FIELDS = 3, 20
DIFFERENCE = 1.5e-6
"""Stated values have six decimals, and percentiles are those of values in single precision."""
HIDDEN = (3, 8, 9, 10, 11)
NEAR_M, SHRUNK_M, LEAST_PIXELS, LEAST_SHARE = 20.0, 10.0, 8, 0.7


def recompute_observations(files: Path, params: StepParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check which observations there are, and the values of some.

    Args:
        files: Inputs and outputs of the step `measure_fields`.
        params: None that matter.
        audit: Measure every field on every pass again.

    Returns:
        The passes and fields that were drawn.

    Raises:
        ContractError: An observation is missing, is none of a valid field on an accepted pass, or states other values.
    """
    fields, imagery = FIELDS.read(files).fields, VALIDATED.read(files)
    table = read_table(OBSERVATIONS.at(files))
    in_window = table["date"] >= imagery.start.date()
    _check_rows(table[in_window], fields, imagery)
    _check_earlier(table[~in_window], fields, imagery)
    random = np_random()
    passes = [acquisition for acquisition in imagery.acquisitions if acquisition.date in set(table["date"])]
    drawn = passes if audit else _drawn(random, passes, DRAWN_PASSES)
    names: set[str] = set()
    for acquisition in drawn:
        rows: list[Any] = table[table["scene_sha256"] == acquisition.sha256].to_dict("records")
        some = rows if audit else _drawn(random, rows, DRAWN_FIELDS)
        _check_values(acquisition, imagery, fields, some)
        names |= {str(row["field_id"]) for row in some}
    return (*sorted(str(acquisition.date) for acquisition in drawn), *sorted(names))


def np_random() -> np.random.Generator:
    """Return random numbers that nobody can foresee."""
    import numpy as np

    return np.random.default_rng(int.from_bytes(os.urandom(16)))


def _drawn(random: np.random.Generator, items: Sequence[Any], count: int) -> list[Any]:
    return [items[number] for number in sorted(random.permutation(len(items))[:count].tolist())]


def _check_rows(table: pd.DataFrame, fields: Sequence[CropField], imagery: Imagery) -> None:
    """Check that there is one row for each field on each accepted pass of its days, and no other."""
    expected = {
        (field.field_id, field.crop, field.outline, acquisition.date, str(acquisition.sha256))
        for acquisition in imagery.acquisitions
        for field in fields
        if field.is_valid_on(acquisition.date)
    }
    columns = ["field_id", "crop", "outline", "date", "scene_sha256"]
    stated = list(table[columns].astype(object).where(table[columns].notna(), None).itertuples(index=False, name=None))
    if len(stated) != len(expected) or set(stated) != expected:
        different = sorted(map(str, expected.symmetric_difference(stated))) or ["a repeated row"]
        rule = "must hold each field once on each accepted pass of its days, and nothing else"
        raise ContractError(OBSERVATIONS.path, rule, f"{len(different)} rows differ, the first: {different[0]}")


def _check_earlier(table: pd.DataFrame, fields: Sequence[CropField], imagery: Imagery) -> None:
    """Check that rows before the window are those of the store, of fields that were valid then."""
    if table.empty:
        return
    stored = read_measurements(imagery)
    keys = ["outline", "date"]
    columns = [name for name in table.columns if name in MEASURED or name not in KEY]
    own = table[columns].drop_duplicates(keys).set_index(keys).sort_index()
    kept = None if stored is None else stored[columns].set_index(keys).sort_index().reindex(own.index)
    rule = "must hold before the window what earlier runs measured"
    if kept is None or not own.equals(kept):
        raise ContractError(OBSERVATIONS.path, rule, "other values")
    by_key: dict[tuple[Any, ...], list[CropField]] = {}
    for field in fields:
        by_key.setdefault((field.outline, field.field_id, field.crop), []).append(field)
    rows: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
    for row in rows:
        valid = by_key.get((row["outline"], row["field_id"], row["crop"]), [])
        if not any(field.is_valid_on(row["date"]) for field in valid):
            raise ContractError(OBSERVATIONS.path, rule, f"field {row['field_id']} on {row['date']}")


def _check_values(
    acquisition: Acquisition, imagery: Imagery, fields: Sequence[CropField], rows: Sequence[dict[str, Any]]
) -> None:
    import numpy as np
    import rasterio

    path = scene_path(acquisition)
    if sha256(path) != acquisition.sha256:
        rule = "must be as the validation left it (its checksum was recorded)"
        raise ContractError(str(acquisition.file), rule, "other content")
    geometries = {field.outline: field.geometry for field in fields}
    with rasterio.open(path) as dataset:
        for row in rows:
            expected = measure_alone(dataset, imagery, geometries[str(row["outline"])])
            for name, value in expected.items():
                stated = row[name]
                same = (
                    stated == value
                    if isinstance(value, str)
                    else (np.isnan(stated) and np.isnan(value)) or abs(stated - value) <= DIFFERENCE
                )
                if not same:
                    rule = f"must state the {name} of field {row['field_id']} on {acquisition.date}: {value}"
                    raise ContractError(OBSERVATIONS.path, rule, stated)


def measure_alone(dataset: Any, imagery: Imagery, geometry: dict[str, Any]) -> dict[str, Any]:
    """Measure one field on an open scene, without the step's code.

    Args:
        dataset: The scene, as rasterio opens it.
        imagery: Names its bands.
        geometry: The outline, GeoJSON in WGS 84.

    Returns:
        `pixels`, `clear_share`, `status` and each statistic; NaN where there is no value.
    """
    import numpy as np

    window, inside = _own_pixels(dataset, geometry)
    names = [f"{name}_{part}" for name in _measurable(imagery) for part in ("mean", "median", "std", "p10", "p90")]
    nothing: dict[str, Any] = dict.fromkeys(names, np.nan)
    count = int(inside.sum())
    if count == 0:
        return {"pixels": 0, "clear_share": 0.0, "status": "too small", **nothing}
    bands, clear = clear_pixels(dataset, imagery, window)
    reflectance = {
        band.common_name: bands[band.name] * imagery.sensor.scale for band in imagery.sensor.bands if band.name in bands
    }
    used = {band for name in _measurable(imagery) for band in FORMULAS[name].bands}
    data = inside & np.all([bands[imagery.sensor.name_of(band)] > 0 for band in used], axis=0)
    clear &= data
    share = clear.sum() / count
    status = "ok"
    if count < LEAST_PIXELS:
        status = "too small"
    elif data.sum() / count < LEAST_SHARE:
        status = "no data"
    elif share < LEAST_SHARE:
        status = "cloudy"
    stated = {"pixels": count, "clear_share": float(share), "status": status, **nothing}
    if status != "ok":
        return stated
    for name in _measurable(imagery):
        index = FORMULAS[name]
        values = index(*(reflectance[band][clear] for band in index.bands))
        values = values[np.isfinite(values) & (np.abs(values) <= index.limit + 0.01)]
        if len(values) >= LEAST_SHARE * count:
            low, middle, high = np.percentile(values, (10, 50, 90))
            parts = {"mean": values.mean(), "median": middle, "std": values.std(), "p10": low, "p90": high}
            stated |= {f"{name}_{part}": float(value) for part, value in parts.items()}
    return stated


def _measurable(imagery: Imagery) -> list[str]:
    common = {band.common_name for band in imagery.sensor.bands if band.name in imagery.bands}
    return [name for name in INDICES if common.issuperset(FORMULAS[name].bands)]


def _own_pixels(dataset: Any, geometry: dict[str, Any]) -> tuple[Any, NDArray[np.bool_]]:
    """Return the window of a field, and which of its pixels are the field's."""
    import numpy as np
    from pyproj import Transformer
    from rasterio.windows import Window
    from shapely import contains_xy, transform
    from shapely.geometry import shape

    project = Transformer.from_crs("EPSG:4326", dataset.crs, always_xy=True)
    outline = transform(shape(geometry), project.transform, interleaved=False).buffer(-SHRUNK_M)
    if outline.is_empty:
        return None, np.zeros((0, 0), bool)
    xmin, ymin, xmax, ymax = outline.bounds
    size, (left, _, _, top) = dataset.res[0], dataset.bounds
    first_column = max(0, int(np.floor((xmin - left) / size)))
    last_column = min(dataset.width, int(np.ceil((xmax - left) / size)))
    first_row = max(0, int(np.floor((top - ymax) / size)))
    last_row = min(dataset.height, int(np.ceil((top - ymin) / size)))
    x = left + (np.arange(first_column, last_column) + 0.5) * size
    y = top - (np.arange(first_row, last_row) + 0.5) * size
    inside = contains_xy(outline, *np.meshgrid(x, y))
    return Window(first_column, first_row, len(x), len(y)), inside


def clear_pixels(dataset: Any, imagery: Imagery, window: Any) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Return the bands of a window of an open scene, and which of its pixels are clear by its classes."""
    import numpy as np
    from rasterio.windows import Window

    margin = int(NEAR_M // imagery.grid.resolution) + 1
    left, top = max(0, window.col_off - margin), max(0, window.row_off - margin)
    right = min(dataset.width, window.col_off + window.width + margin)
    bottom = min(dataset.height, window.row_off + window.height + margin)
    wide = dataset.read(window=Window(left, top, right - left, bottom - top))
    rows = slice(window.row_off - top, window.row_off - top + window.height)
    columns = slice(window.col_off - left, window.col_off - left + window.width)
    bands = dict(zip(imagery.bands, wide[:, rows, columns], strict=True))
    classes = wide[list(imagery.bands).index("SCL")]
    hidden = _near(np.isin(classes, HIDDEN), NEAR_M / imagery.grid.resolution) | np.isin(classes, (0, 1))
    return bands, ~hidden[rows, columns]


def _near(mask: NDArray[np.bool_], distance: float) -> NDArray[np.bool_]:
    """Return which pixels have a masked pixel within a distance in pixels, centre to centre."""
    import numpy as np

    rows, columns = np.indices(mask.shape)
    near, padded = mask.copy(), np.pad(mask, 1, constant_values=True)
    surrounded = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    for row, column in np.argwhere(mask & ~surrounded):
        near |= np.hypot(rows - row, columns - column) <= distance
    return near
