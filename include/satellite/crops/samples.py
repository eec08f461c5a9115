"""Samples of crop classification: one a field, its features by month, its block and fold.

Months are composites: the mean of the usable dates of a calendar month, linear between months where one has none, and
constant before the first and after the last. Blocks are squares on the ground; the fields of a block are held out
together, and a training leaves out what is nearer than 1 km to a held-out field, so no neighbour is in another fold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from include.core.errors import BadInputError
from include.core.outcome import Finding
from include.satellite.crops.params import CropDataParams, SeriesParams
from include.satellite.crops.schemas import CropData, LeftOutCrop, SampleRow
from include.satellite.crops.series import Series, read_series

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

FOLDS = 5
FEWEST_BLOCKS = 3
"""With fewer nothing can be judged: an interval needs blocks that differ."""
LEAST_MONTHS = 0.7
"""Share of the season's months in which a field must have been seen."""
MOST_MONTHS = 36
NEIGHBOURS_M = 1000.0
PLACE_DEGREES = 0.01
"""The rows of a field may differ by this, about 1 km."""
NAMED = 5
KEY = tuple(SampleRow.model_fields)


class FieldSeries(NamedTuple):
    """Fields with their months.

    Args:
        table: `field_id`, `crop` (None where none is stated), `longitude`, `latitude`, `months`, and the features of
            each month.
        series: What they were made from.
        months: First day of each month.
        findings: What was left out, and why.
    """

    table: pd.DataFrame
    series: Series
    months: list[date]
    findings: list[Finding]


def column_of(feature: str, month: date) -> str:
    """Return the name of a feature's column.

    >>> column_of("ndvi", date(2022, 5, 1))
    'ndvi 2022-05'
    """
    return f"{feature} {month:%Y-%m}"


def field_series(source: Path, params: SeriesParams) -> FieldSeries:
    """Return the fields of a table with their crops, places and months.

    Args:
        source: Folder of the run's input files.
        params: Their names, and how they are understood.

    Raises:
        BadInputError: A file cannot be read, or does not hold what is needed: names it and the remedy.
    """
    if not params.series:
        raise BadInputError("series: name the table of the series (--series FILE)")
    path = source / params.series
    series = read_series(path, params)
    fields, findings = _fields(series, source, params)
    months = _months(series, path.name)
    table, few = _composites(series, fields, months)
    if few:
        message = (
            f"{len(few):,} fields were seen in less than {LEAST_MONTHS:.0%} of the {len(months)} months, or never in a "
            f"feature, and are left out: {_named(few)}"
        )
        findings.append(Finding(severity="warning", message=message))
    if table.empty:
        raise BadInputError(f"{path.name}: no field was seen in {LEAST_MONTHS:.0%} of the {len(months)} months")
    return FieldSeries(table, series, months, findings)


def training_samples(source: Path, params: CropDataParams) -> tuple[pd.DataFrame, CropData]:
    """Return the samples of a training and what was understood.

    Args:
        source: Folder of the run's input files.
        params: Their names, and which crops count.

    Returns:
        The columns of `SampleRow`, then the features, by field; and the document.

    Raises:
        BadInputError: As `field_series`; or fewer than two crops have enough fields, or fields lie in too few blocks.
    """
    found = field_series(source, params)
    table, findings, name = found.table, found.findings, str(params.series)
    unlabelled = int(table["crop"].isna().sum())
    if unlabelled == len(table):
        raise BadInputError(
            f"{name}: no field states a crop; name the column (crop_column), or give the outlines of the fields with a "
            "property crop (--fields FILE)"
        )
    if unlabelled:
        message = f"{unlabelled:,} fields state no crop, so they take no part in the training"
        findings.append(Finding(severity="info", message=message))
    table = table[table["crop"].notna()].reset_index(drop=True)
    block = blocks_of(table["longitude"].to_numpy(), table["latitude"].to_numpy(), params.block_km)
    learnt, left_out = _crops(table["crop"], block, params.min_fields)
    if left_out:
        listed = _named([f"{crop.crop} ({crop.fields} fields, {crop.blocks} blocks)" for crop in left_out])
        message = (
            f"{len(left_out)} crops have fewer than {params.min_fields} fields (min_fields) or lie in fewer than "
            f"{FEWEST_BLOCKS} blocks, and are left out: {listed}"
        )
        findings.append(Finding(severity="warning", message=message))
    if len(learnt) < 2:
        raise BadInputError(
            f"{name}: two crops are needed with {params.min_fields} fields (min_fields) in {FEWEST_BLOCKS} blocks of "
            f"{params.block_km:g} km (block_km); there are: "
            + _named([f"{name} ({count} fields)" for name, count in learnt.items()]
                     + [f"{crop.crop} ({crop.fields} fields, {crop.blocks} blocks)" for crop in left_out])
        )  # fmt: skip
    kept = table["crop"].isin(list(learnt)).to_numpy()
    table, block = table[kept].reset_index(drop=True), block[kept]
    block = _renumbered(block)
    table = table.assign(block=block, fold=folds_of(block, table["crop"].to_numpy(str)))
    features = [column for column in table.columns if column not in KEY]
    document = CropData(
        file=name,
        sha256=hashlib.sha256((source / name).read_bytes()).hexdigest(),
        features=list(found.series.features),
        months=found.months,
        rows=found.series.total,
        rows_used=len(found.series.rows),
        fields=len(table),
        crops=learnt,
        left_out=left_out,
        blocks=int(block.max()) + 1,
        block_km=params.block_km,
        synthetic=found.series.synthetic,
        findings=[*found.series.findings, *findings],
    )
    return table[[*KEY, *features]], document


def blocks_of(longitude: NDArray[np.float64], latitude: NDArray[np.float64], side_km: float) -> NDArray[np.int64]:
    """Return the (N,) block of each place: squares of an equal-area projection about their middle, numbered from 0."""
    import numpy as np

    squares = np.floor(np.stack(metres(longitude, latitude), axis=1) / (1000 * side_km)).astype(np.int64)
    return np.unique(squares, axis=0, return_inverse=True)[1].reshape(-1)


def metres(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places in metres east and north of their middle (Lambert azimuthal equal-area)."""
    from pyproj import Transformer

    middle = f"+lat_0={latitude.mean():.4f} +lon_0={longitude.mean():.4f}"
    project = Transformer.from_crs(4326, f"+proj=laea {middle} +datum=WGS84", always_xy=True)
    east, north = project.transform(longitude, latitude)
    return east, north


def folds_of(block: NDArray[np.int64], crop: NDArray[Any], folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the (N,) fold of each field: whole blocks, each crop spread over the folds as evenly as blocks allow.

    The largest block comes first; each goes to the fold that leaves the shares of the crops most alike, as the
    stratified group folds of scikit-learn do. There is no chance in it, so no seed decides about the result.

    Args:
        block: (N,) from 0, without gaps.
        crop: (N,) names.
        folds: Most folds; fewer where there are fewer blocks.
    """
    import numpy as np

    names, kind = np.unique(crop, return_inverse=True)
    counts = np.zeros((block.max() + 1, len(names)))
    np.add.at(counts, (block, kind), 1)
    share = counts / counts.sum(axis=0)
    held = np.zeros((min(folds, len(counts)), len(names)))
    fold_of_block = np.zeros(len(counts), np.int64)
    for number in np.argsort(-counts.sum(axis=1), kind="stable"):
        spread = [np.delete(held, fold, 0) for fold in range(len(held))]
        scores = [
            (np.std(np.vstack([rest, held[fold] + share[number]]), axis=0).mean(), held[fold].sum())
            for fold, rest in enumerate(spread)
        ]
        fold = min(range(len(held)), key=lambda fold: tuple(np.round(scores[fold], 12)))
        held[fold] += share[number]
        fold_of_block[number] = fold
    return fold_of_block[block]


def _renumbered(block: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    return np.unique(block, return_inverse=True)[1].reshape(-1)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _months(series: Series, name: str) -> list[date]:
    import pandas as pd

    first, last = series.rows["date"].min(), series.rows["date"].max()
    months = [month.date() for month in pd.date_range(first.replace(day=1).normalize(), last, freq="MS")]
    if len(months) > MOST_MONTHS:
        raise BadInputError(
            f"{name}: spans {len(months)} months, and a season has {MOST_MONTHS} at most; state it (--set "
            "season_start=2025-10-01 --set season_end=2026-09-30)"
        )
    return months


def _composites(series: Series, fields: pd.DataFrame, months: list[date]) -> tuple[pd.DataFrame, list[str]]:
    """Return the fields with the features of each month, and the names of those that were seen too seldom."""
    import numpy as np
    import pandas as pd

    rows = series.rows[series.rows["field_id"].isin(fields["field_id"])]
    start = months[0].year * 12 + months[0].month
    month = rows["date"].dt.year * 12 + rows["date"].dt.month - start
    means = rows[list(series.features)].groupby([rows["field_id"], month.rename("month")]).mean()
    names = fields["field_id"].to_numpy()
    grid = pd.MultiIndex.from_product([names, range(len(months))])
    values = means.reindex(grid).to_numpy().reshape(len(names), len(months), len(series.features))
    seen = ~np.isnan(values).all(axis=2)
    flat = pd.DataFrame(values.transpose(0, 2, 1).reshape(-1, len(months)))
    filled = flat.interpolate(axis=1, limit_direction="both").to_numpy()
    values = filled.reshape(len(names), len(series.features), len(months)).transpose(0, 2, 1)
    kept = (seen.mean(axis=1) >= LEAST_MONTHS) & ~np.isnan(values).any(axis=(1, 2))
    columns = [column_of(feature, month) for month in months for feature in series.features]
    matrix = pd.DataFrame(values[kept].reshape(int(kept.sum()), -1), columns=columns)
    table = fields[kept].assign(months=seen.sum(axis=1)[kept]).reset_index(drop=True)
    return pd.concat([table, matrix], axis=1), [str(name) for name in names[~kept]]


def _crops(crop: pd.Series[str], block: NDArray[np.int64], fewest: int) -> tuple[dict[str, int], list[LeftOutCrop]]:
    """Return the fields of each crop that is learnt, by name, and the crops that are not, the largest first."""
    learnt: dict[str, int] = {}
    left_out: list[LeftOutCrop] = []
    for name in sorted(crop.unique()):
        own = (crop == name).to_numpy()
        fields, blocks = int(own.sum()), len(set(block[own].tolist()))
        if fields >= fewest and blocks >= FEWEST_BLOCKS:
            learnt[name] = fields
        else:
            reason = "too few fields" if fields < fewest else "too few blocks"
            left_out.append(LeftOutCrop(crop=name, fields=fields, blocks=blocks, reason=reason))
    return learnt, sorted(left_out, key=lambda crop: -crop.fields)


def _fields(series: Series, source: Path, params: SeriesParams) -> tuple[pd.DataFrame, list[Finding]]:
    """Return `field_id`, `crop`, `longitude` and `latitude` of each field, by its id.

    Raises:
        BadInputError: The place of the fields is not known, or table and outlines contradict each other.
    """
    import pandas as pd

    rows, name = series.rows, str(params.series)
    findings: list[Finding] = []
    stated = _stated_crops(rows) if "crop" in rows else {}
    places = _stated_places(rows, name) if {"longitude", "latitude"}.issubset(rows) else {}
    names = list(dict.fromkeys(rows["field_id"]))
    if params.fields:
        crops, outlines, more = _outlines(source / params.fields, params, rows["date"].min().date(), _last(rows))
        findings += more
        without = [field for field in names if field not in outlines]
        if len(without) == len(names):
            raise BadInputError(
                f"{params.fields}: holds none of the fields of {name}; it has {_named(sorted(outlines))}, the table "
                f"{_named(names)} (id_column names the column of both)"
            )
        if without:
            message = f"{len(without):,} fields of {name} have no outline in {params.fields}: {_named(without)}"
            findings.append(Finding(severity="warning", message=message))
        names = [field for field in names if field in outlines]
        other = next(
            (field for field in names if field in stated and field in crops and stated[field] != crops[field]), None
        )
        if other is not None:
            raise BadInputError(
                f"field {other}: {name} states the crop {' and '.join(sorted(stated[other]))}, {params.fields} "
                f"{' and '.join(sorted(crops[other]))}; correct one, or name the column of one alone (crop_column)"
            )
        stated, places = crops | stated, outlines
    if not places:
        raise BadInputError(
            f"{name}: the place of each field is needed, so that neighbours are held out together: columns lon and lat "
            "(longitude_column, latitude_column), or the outlines of the fields (--fields FILE)"
        )
    several = [field for field in names if len(stated.get(field, ())) > 1]
    if several:
        message = (
            f"{len(several):,} fields had several crops between {rows['date'].min():%Y-%m-%d} and {_last(rows)}, so "
            f"they count as without a crop: {_named(several)}; a shorter season (season_start, season_end) has one"
        )
        findings.append(Finding(severity="warning", message=message))
    crop = [next(iter(stated[field])) if len(stated.get(field, ())) == 1 else None for field in names]
    table = pd.DataFrame(
        {
            "field_id": names,
            "crop": pd.Series(crop, dtype=object),
            "longitude": [places[field][0] for field in names],
            "latitude": [places[field][1] for field in names],
        }
    )
    return table.sort_values("field_id", ignore_index=True), findings


def _last(rows: pd.DataFrame) -> date:
    last: date = rows["date"].max().date()
    return last


def _stated_crops(rows: pd.DataFrame) -> dict[str, frozenset[str]]:
    known = rows[rows["crop"].notna()]
    return {str(name): frozenset(crops) for name, crops in known.groupby("field_id")["crop"].unique().items()}


def _stated_places(rows: pd.DataFrame, name: str) -> dict[str, tuple[float, float]]:
    """Return longitude and latitude of each field.

    Raises:
        BadInputError: A field has none, or several places.
    """
    grouped = rows.groupby("field_id")[["longitude", "latitude"]]
    low, high = grouped.min(), grouped.max()
    lost = low[low.isna().any(axis=1)].index
    if len(lost):
        raise BadInputError(f"{name}: field {lost[0]} has no longitude or latitude")
    far = (high - low).max(axis=1) > PLACE_DEGREES
    apart = low[far].index
    if len(apart):
        raise BadInputError(f"{name}: field {apart[0]} lies at several places; an id must name one field")
    beyond = low[(low["longitude"].abs() > 180) | (low["latitude"].abs() > 90)].index
    if len(beyond):
        raise BadInputError(f"{name}: field {beyond[0]}: longitude and latitude must be degrees (WGS 84)")
    pairs = zip(low["longitude"].tolist(), low["latitude"].tolist(), strict=True)
    return dict(zip(map(str, low.index), pairs, strict=True))


def _outlines(
    path: Path, params: SeriesParams, first: date, last: date
) -> tuple[dict[str, frozenset[str]], dict[str, tuple[float, float]], Sequence[Finding]]:
    """Return crops within the season and the place of each field of a file of outlines."""
    from shapely.geometry import shape

    from include.satellite.fields.params import FieldsParams
    from include.satellite.fields.reading import field_set
    from include.satellite.outlines.reading import read_outlines

    outlines = read_outlines(path)
    present = {name for outline in outlines.outlines for name in outline.properties}
    stated: Mapping[str, str | None] = {
        name: value if (value := getattr(params, name)) in present else None for name in ("id_column", "crop_column")
    }
    found = field_set(path.name, outlines, FieldsParams(source="demo", **stated))
    crops: dict[str, set[str]] = {}
    places: dict[str, tuple[float, float]] = {}
    for field in found.fields:
        point = shape(field.geometry).representative_point()
        places[field.field_id] = point.x, point.y
        in_season = (field.valid_from is None or field.valid_from <= last) and (
            field.valid_to is None or field.valid_to >= first
        )
        if field.crop and in_season:
            crops.setdefault(field.field_id, set()).add(field.crop)
    return {name: frozenset(values) for name, values in crops.items()}, places, found.findings
