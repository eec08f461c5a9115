"""Read a table of series: fields, dates, bands or indices, as field monitoring publishes it or as users have it.

What a column means is its name, or a parameter. What the numbers mean is tested: bands are reflectance, or become it by
a stated scale; a number that no surface reflects is refused unless the user states that it stands for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.errors import BadInputError, ContractError
from include.core.outcome import Finding
from include.core.tables import connect, identifier, literal, number_sql, open_table, readable, table_format
from include.satellite.crops.params import SeriesParams
from include.satellite.sensors.indices import INDICES
from include.satellite.sensors.sentinel2 import SENTINEL2

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from duckdb import DuckDBPyConnection
    from numpy.typing import NDArray

    from include.core.tables import Table

OTHER_BANDS = {"B06": "rededge075", "B07": "rededge078", "B12": "swir22"}
"""Of Sentinel-2, beside those that pipelines fetch: a table may have them."""
BANDS = {band.name: band.common_name for band in SENTINEL2.bands} | OTHER_BANDS
LOWEST, HIGHEST = -0.2, 2.0
"""Reflectance beyond these is none: dark pixels are corrected to just below 0, snow and cloud reach 1.6."""
DARKEST_LAND = 0.02
"""Median of the brightest band; land is brighter in the near infrared."""
DEFAULT_COLUMNS = {
    "id": ("field_id", "id"),
    "date": ("date",),
    "crop": ("crop",),
    "longitude": ("lon", "longitude"),
    "latitude": ("lat", "latitude"),
}
MONITORED = {"status", "clear_share"}
"""Columns of field monitoring's observations, whose rows count where their status is `ok`."""
SIMULATED = "_SIM-"
"""In the ids of simulated products (column `scene`)."""


@dataclass(frozen=True)
class Series:
    """The usable rows of a table.

    Args:
        rows: `field_id`, `date` and the features, as reflectance or index, NaN where a value is missing; `crop`,
            `longitude` and `latitude` where the table has them. By field and date, each once.
        features: Names of bands and indices among the columns.
        total: Rows of the table.
        synthetic: Whether a row was measured on a simulated product.
        findings: How the table was understood.
    """

    rows: pd.DataFrame
    features: tuple[str, ...]
    total: int
    synthetic: bool
    findings: tuple[Finding, ...]


def read_series(path: Path, params: SeriesParams) -> Series:
    """Return the series of a table.

    Args:
        path: CSV (also gzip) or Parquet.
        params: Names of columns, scale, number for missing values, season.

    Raises:
        BadInputError: The file cannot be read, a column is missing, or a number cannot be what its column says: names
            the record, and the parameter that resolves it.
    """
    name = path.name
    if table_format(name) not in ("csv", "parquet"):
        raise BadInputError(f"{name}: series are read from CSV (.csv, .csv.gz) or Parquet (.parquet)")
    try:
        with connect() as db, readable(path, name):
            table = open_table(db, path, name)
            columns = _columns(name, list(table.columns), params)
            features = _features(name, table.columns)
            rows, total, dropped, synthetic = _rows(db, table, name, columns, features)
    except ContractError as error:
        raise BadInputError(str(error)) from None
    findings = [_understood(name, columns, features, table.columns)]
    if dropped:
        message = f"{dropped:,} rows of {name} whose status is not ok (cloud, no data) do not count"
        findings.append(Finding(severity="info", message=message))
    rows = _within(rows, params, name)
    missing = _to_reflectance(rows, list(features), params, name)
    empty = rows[list(features)].isna().all(axis=1)
    if missing or empty.any():
        message = f"{missing:,} numbers of {name} stand for missing values; {int(empty.sum()):,} rows hold nothing else"
        findings.append(Finding(severity="info", message=message))
    rows = rows[~empty]
    without = [feature for feature in features if rows[feature].isna().all()]
    if without:
        message = f"{name} holds no value of {', '.join(without)}, so they are no features"
        findings.append(Finding(severity="warning", message=message))
    kept = [feature for feature in features if feature not in without]
    if rows.empty or not kept:
        raise BadInputError(f"{name}: holds no value within the season")
    _check_once(rows, name)
    rows, kept = _with_indices(rows.drop(columns=[*without, "record"]), kept)
    rows = rows.sort_values(["field_id", "date"], kind="stable", ignore_index=True)
    return Series(rows, tuple(kept), total, synthetic, tuple(findings))


def _columns(name: str, present: Sequence[str], params: SeriesParams) -> dict[str, str]:
    """Return the column of each attribute that the table has."""
    columns: dict[str, str] = {}
    for attribute, defaults in DEFAULT_COLUMNS.items():
        stated = getattr(params, f"{attribute}_column")
        taken = [stated] if stated in present else [column for column in defaults if column in present and not stated]
        if stated and not taken and not (params.fields and attribute in ("id", "crop")):
            raise BadInputError(
                f"{name}: has no column {stated!r} ({attribute}_column); its columns are: {', '.join(present)}"
            )
        if not taken and attribute == "id" and params.fields:
            taken = [column for column in defaults if column in present]
        if taken:
            columns[attribute] = taken[0]
    for attribute in ("id", "date"):
        if attribute not in columns:
            raise BadInputError(
                f"{name}: has no column {' or '.join(DEFAULT_COLUMNS[attribute])}; name it ({attribute}_column) of: "
                f"{', '.join(present)}"
            )
    return columns


def _features(name: str, present: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each feature: bands in the sensor's order, then indices."""
    found: dict[str, list[str]] = {}
    for column in present:
        index = column.lower().removesuffix("_mean")
        feature = column.upper() if column.upper() in BANDS else index if index in INDICES else None
        if feature:
            found.setdefault(feature, []).append(column)
    twice = next((columns for columns in found.values() if len(columns) > 1), None)
    if twice:
        raise BadInputError(f"{name}: the columns {' and '.join(twice)} state the same; leave one")
    if not found:
        raise BadInputError(
            f"{name}: holds no band ({', '.join(BANDS)}) and no index ({', '.join(INDICES)}); its columns are: "
            f"{', '.join(present)}"
        )
    return {feature: found[feature][0] for feature in (*BANDS, *INDICES) if feature in found}


def _rows(
    db: DuckDBPyConnection, table: Table, name: str, columns: Mapping[str, str], features: Mapping[str, str]
) -> tuple[pd.DataFrame, int, int, bool]:
    """Return the rows, the number of all, that of those whose status is not ok, and whether one is simulated."""
    numbers = {column: column for column in features.values()}
    numbers |= {columns[place]: place for place in ("longitude", "latitude") if place in columns}
    text = {column: f"nullif(trim({identifier(column)}::VARCHAR), '')" for column in table.columns}
    as_number = {
        column: number_sql(text[column]) if table.is_text else f"{identifier(column)}::DOUBLE" for column in numbers
    }
    date = text[columns["date"]]
    as_date = f"coalesce(try_cast({date} AS DATE), try_cast({date} AS TIMESTAMP)::DATE)"
    numbered = f"(SELECT *, row_number() OVER () AS record FROM {table.relation})"
    rules = [(columns["id"], f"{text[columns['id']]} IS NOT NULL", "an id")]
    rules += [(columns["date"], f"{as_date} IS NOT NULL", "a date such as 2026-04-30")]
    if table.is_text:
        rules += [(column, f"{text[column]} IS NULL OR {as_number[column]} IS NOT NULL", "a number or nothing")
                  for column in numbers]  # fmt: skip
    sound = " AND ".join(f"({sql})" for _, sql, _ in rules)
    if db.execute(f"SELECT 1 FROM {numbered} WHERE NOT ({sound}) LIMIT 1").fetchone():
        _refuse(db, numbered, name, rules, text)
    usable = f"{text['status']} = 'ok'" if MONITORED.issubset(table.columns) else "true"
    simulated = "false"
    if "scene" in table.columns:
        simulated = f"coalesce(bool_or(contains({text['scene']}, {literal(SIMULATED)})), false)"
    total, kept, synthetic = db.execute(
        f"SELECT count(*), count(*) FILTER ({usable}), {simulated} FROM {numbered}"
    ).fetchall()[0]
    selected = [f"record, {text[columns['id']]} AS field_id, {as_date} AS date"]
    selected += [f"{text[columns['crop']]} AS crop"] if "crop" in columns else []
    selected += [f"{as_number[columns[place]]} AS {place}" for place in ("longitude", "latitude") if place in columns]
    selected += [f"{as_number[column]} AS {identifier(feature)}" for feature, column in features.items()]
    rows = db.execute(f"SELECT {', '.join(selected)} FROM {numbered} WHERE {usable}").df()
    return rows, int(total), int(total - kept), bool(synthetic)


def _refuse(
    db: DuckDBPyConnection, numbered: str, name: str, rules: Sequence[tuple[str, str, str]], text: Mapping[str, str]
) -> None:
    for column, sql, words in rules:
        row = db.execute(f"SELECT record, {text[column]} FROM {numbered} WHERE NOT ({sql}) LIMIT 1").fetchone()
        if row:
            raise BadInputError(f"{name}, record {row[0]}: column {column} must hold {words}; found {row[1]!r}")


def _understood(name: str, columns: Mapping[str, str], features: Mapping[str, str], present: Any) -> Finding:
    used = {*columns.values(), *features.values(), *MONITORED}
    others = [column for column in present if column not in used]
    crops = f"crops by {columns['crop']}" if "crop" in columns else "no column of crops"
    message = f"{name}: fields by {columns['id']}, dates by {columns['date']}, {crops}; features {', '.join(features)}"
    return Finding(severity="info", message=f"{message}; not used: {', '.join(others)}" if others else message)


def _within(rows: pd.DataFrame, params: SeriesParams, name: str) -> pd.DataFrame:
    """Return the rows of the months of the season."""
    import pandas as pd

    first = params.season_start.replace(day=1) if params.season_start else rows["date"].min()
    last = pd.Timestamp(params.season_end) + pd.offsets.MonthEnd(0) if params.season_end else rows["date"].max()
    selected = rows[(rows["date"] >= pd.Timestamp(first)) & (rows["date"] <= pd.Timestamp(last))]
    if selected.empty:
        raise BadInputError(
            f"{name}: holds no row between {first} and {last}; its dates are {rows['date'].min():%Y-%m-%d} to "
            f"{rows['date'].max():%Y-%m-%d} (season_start, season_end)"
        )
    return selected.copy()


def _to_reflectance(rows: pd.DataFrame, features: list[str], params: SeriesParams, name: str) -> int:
    """Turn numbers into reflectance and indices, in place; return how many stand for missing values.

    Raises:
        BadInputError: A number is neither.
    """
    import numpy as np

    missing = 0
    if params.nodata is not None:
        for feature in features:
            nothing = rows[feature] == params.nodata
            missing += int(nothing.sum())
            rows.loc[nothing, feature] = np.nan
    bands = [feature for feature in features if feature in BANDS]
    if bands and params.reflectance_scale is None:
        high = {band: float(np.nanquantile(rows[band], 0.5)) for band in bands if rows[band].notna().any()}
        band = max(high, key=lambda band: high[band], default=None)
        if band is not None and high[band] > HIGHEST:
            raise BadInputError(
                f"{name}: half of the numbers of {band} are above {high[band]:g}, which is no reflectance; state their "
                "scale (--set reflectance_scale=0.0001 where 10,000 is a reflectance of 1)"
            )
    for feature in features:
        limit = (LOWEST, HIGHEST)
        if feature in BANDS:
            rows[feature] *= params.reflectance_scale or 1.0
        else:
            limit = (-INDICES[feature].limit - 0.01, INDICES[feature].limit + 0.01)
        values = rows[feature].to_numpy()
        outside = np.flatnonzero((values < limit[0]) | (values > limit[1]))
        if outside.size:
            row, kind = rows.iloc[outside[0]], "a reflectance" if feature in BANDS else f"an {feature.upper()}"
            stated = values[outside[0]] / (params.reflectance_scale or 1.0 if feature in BANDS else 1.0)
            raise BadInputError(
                f"{name}, record {row['record']}: {feature} is {stated:g}, which is not {kind} ({outside.size:,} such "
                f"numbers); if it stands for a missing value, state it (--set nodata={stated:g})"
            )
    medians = [float(rows[band].median()) for band in bands if rows[band].notna().any()]
    if medians and max(medians) < DARKEST_LAND:
        raise BadInputError(
            f"{name}: the median of the brightest band is a reflectance of {max(medians):.2g}; land is brighter. Check "
            "reflectance_scale"
        )
    return missing


def _check_once(rows: pd.DataFrame, name: str) -> None:
    twice = rows[rows.duplicated(["field_id", "date"])]
    if len(twice):
        row = twice.iloc[0]
        raise BadInputError(
            f"{name}, record {row['record']}: field {row['field_id']} has another row on {row['date']:%Y-%m-%d} "
            f"({len(twice):,} such rows); each field needs one row a day"
        )


def _with_indices(rows: pd.DataFrame, features: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows with the indices that the bands give and the table does not state."""
    import numpy as np

    of_common_name = {BANDS[feature]: feature for feature in features if feature in BANDS}
    columns: dict[str, NDArray[np.float64]] = {}
    for name, index in INDICES.items():
        if name not in features and all(band in of_common_name for band in index.bands):
            values = index(*(rows[of_common_name[band]] for band in index.bands))
            columns[name] = np.where(index.in_range(values), values, np.nan)
    return rows.assign(**columns), [*features, *columns]
