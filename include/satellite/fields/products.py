"""The step `map_fields`: the fields with their latest values, and the latest pass as an index raster with a STAC item.

`fields.parquet` is GeoParquet and `fields.gpkg` a GeoPackage (OGC 12-128r19) of the same rows. `indices.tif` is the
index raster of the latest pass; `item.json` is a STAC item (1.1.0) whose assets are all of these.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.core.contracts import Artifact
from include.core.errors import BadInputError, ContractError
from include.core.files import atomic_file, write_atomically
from include.core.outcome import Finding, StepMetrics, StepOutcome, Table
from include.core.tables import connect, file_argument, literal
from include.satellite.artifacts import (
    ALERTS,
    ANALYSIS,
    ANOMALIES,
    EVENTS,
    FIELD_SEASONS,
    FIELD_SERIES,
    FIELDS,
    FIELDS_ITEM,
    FIELDS_PACKAGE,
    FIELDS_TABLE,
    INDEX_RASTER,
    OBSERVATIONS,
    VALIDATED,
)
from include.satellite.fields.collection import (
    as_json,
    key_of,
    mapped_passes,
    recompute_passes,
    waiting,
    write_passes,
)
from include.satellite.fields.measurement import indices_of
from include.satellite.fields.params import MapParams
from include.satellite.fields.rasters import check_raster, index_raster, pass_item
from include.satellite.fields.schemas import KEY, CropField
from include.satellite.fields.store import read_table

if TYPE_CHECKING:
    import pandas as pd

    from include.satellite.imagery.schemas import Acquisition, Imagery

COLUMNS = (
    "field_id", "crop", "valid_from", "valid_to", "area_ha", "state", "status", "pixels", "clear_share", "latest",
    "alert", "alert_date",
)  # fmt: skip
DATES = ("valid_from", "valid_to", "latest", "alert_date")
TEXTS = ("field_id", "crop", "state", "status", "alert")
NOT_SEEN: dict[str, Any] = {"status": "not valid", "pixels": 0, "clear_share": math.nan}
"""Of a field that is not valid on the day of the pass."""
STATES = {"ok": "in order", "cloudy": "cloudy"}
"""State of a field without a current alert, by its status on the latest pass; every other one is `no data`."""
ROWS_SHOWN = 50
MEDIA_TYPES = {
    FIELDS_TABLE.path: "application/vnd.apache.parquet",
    FIELDS_PACKAGE.path: "application/geopackage+sqlite3",
    OBSERVATIONS.path: "application/vnd.apache.parquet",
    **{artifact.path: "application/vnd.apache.parquet" for artifact in ANALYSIS},
}
TITLES = {
    FIELDS_TABLE.path: "Fields with their latest values (GeoParquet)",
    FIELDS_PACKAGE.path: "Fields with their latest values (GeoPackage)",
    OBSERVATIONS.path: "Observations of every field on every pass",
    FIELD_SERIES.path: "Smoothed NDVI of every field",
    FIELD_SEASONS.path: "Seasons of every field: start, peak, end, amplitude",
    ANOMALIES.path: "Every field against its own seasons and its neighbours",
    EVENTS.path: "Harvests and mowings",
    ALERTS.path: "Alerts with their evidence",
}


class MapMetrics(StepMetrics, extra="forbid"):
    """Metrics of the step `map_fields`."""

    latest_pass: date
    fields_with_value: int
    ndvi_median: float | None
    passes_mapped: int


def map_fields(files: Path, params: MapParams) -> None:
    """Write the products (`fields.parquet`, `fields.gpkg`, `indices.tif`, `item.json`, `passes.zip`).

    Args:
        files: The run's `files/` folder.
        params: Whether every pass has an index raster of its own.

    Raises:
        BadInputError: No pass was accepted.
        SetupError: The folder cannot be written.
    """
    fields, imagery = FIELDS.read(files), VALIDATED.read(files)
    acquisition = latest_pass(files)
    table = latest_values(fields.fields, read_table(OBSERVATIONS.at(files)), read_table(ALERTS.at(files)), acquisition)
    write_geoparquet(FIELDS_TABLE.at(files), table)
    write_geopackage(FIELDS_PACKAGE.at(files), table)
    raster = index_raster(acquisition, imagery)
    write_atomically(INDEX_RASTER.at(files), raster)
    write_atomically(FIELDS_ITEM.at(files), as_json(item_of(acquisition, imagery)))
    write_passes(files, params, {acquisition.date: raster})


def latest_pass(files: Path) -> Acquisition:
    """Return the latest accepted pass.

    Raises:
        BadInputError: There is none.
    """
    imagery = VALIDATED.read(files)
    if not imagery.acquisitions:
        raise BadInputError(
            f"no pass between {imagery.start:%Y-%m-%d} and {imagery.end:%Y-%m-%d} was accepted; "
            "validation_report.json says why; a longer window (days_back) may hold one"
        )
    return max(imagery.acquisitions, key=lambda acquisition: acquisition.datetime)


def latest_values(
    fields: Sequence[CropField], observations: pd.DataFrame, alerts: pd.DataFrame, acquisition: Acquisition
) -> pd.DataFrame:
    """Return one row a field: its crop on the day of a pass, the state on it, and the values of its latest clear one.

    Args:
        fields: The fields; of several rows of one field that of the day counts, else the last one before it.
        observations: Of all passes.
        alerts: Of all fields; the latest current one of each is stated with its date.
        acquisition: The latest pass.

    Returns:
        `COLUMNS`, the statistics of each index, and `geometry` as WKB; by field.
    """
    import pandas as pd
    from shapely import normalize, to_wkb
    from shapely.geometry import shape

    day = acquisition.date
    current: dict[str, CropField] = {}
    for field in sorted(fields, key=lambda field: field.valid_from or date.min):
        if field.field_id not in current or (field.valid_from or date.min) <= day:
            current[field.field_id] = field
    statistics = [name for name in observations.columns if name not in KEY]
    past = observations[observations["date"] <= day].sort_values("date", kind="stable")
    of_pass = _by_field(past[past["date"] == day])
    clear = _by_field(past[past["status"] == "ok"])
    alert_of = _by_field(alerts[alerts["is_current"]].sort_values("date", kind="stable"))
    rows = []
    for name, field in sorted(current.items()):
        seen, latest, alert = of_pass.get(name, NOT_SEEN), clear.get(name, {}), alert_of.get(name, {})
        rows.append(
            {
                "field_id": name,
                "crop": field.crop,
                "valid_from": field.valid_from,
                "valid_to": field.valid_to,
                "area_ha": field.area_ha,
                "state": "alert" if alert else STATES.get(seen["status"], "no data"),
                **{column: seen[column] for column in NOT_SEEN},
                "latest": latest.get("date"),
                "alert": alert.get("kind"),
                "alert_date": alert.get("date"),
                **{column: latest.get(column, math.nan) for column in statistics},
                "geometry": to_wkb(normalize(multi(shape(field.geometry)))),
            }
        )
    return pd.DataFrame(rows, columns=[*COLUMNS, *statistics, "geometry"])


def _by_field(observations: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the last observation of each field."""
    rows: list[Any] = observations.drop_duplicates("field_id", keep="last").to_dict("records")
    return {row["field_id"]: row for row in rows}


def write_geoparquet(
    path: Path, table: pd.DataFrame, dates: Sequence[str] = DATES, texts: Sequence[str] = TEXTS
) -> None:
    """Write rows with a WKB geometry in WGS 84 as GeoParquet, complete or not at all.

    Args:
        path: The file.
        table: Its rows.
        dates: Columns that hold dates.
        texts: Columns that hold texts; an empty one becomes null.
    """
    import pandas as pd

    with atomic_file(path) as partial, connect() as db:
        typed: dict[str, Any] = {name: pd.to_datetime(table[name]) for name in dates}
        typed |= {name: table[name].astype("str") for name in texts}
        db.register("rows", table.assign(**typed))
        columns = ", ".join(
            f"{_sql(name, str(kind), name in dates)} AS {_quoted(name)}" for name, kind in table.dtypes.items()
        )
        db.execute(f"COPY (SELECT {columns} FROM rows) TO {literal(partial)} (FORMAT parquet, COMPRESSION zstd)")


def _sql(name: object, kind: str, is_date: bool) -> str:
    if name == "geometry":
        return "ST_GeomFromWKB(geometry::BLOB)"
    if is_date:
        return f"CAST({_quoted(name)} AS DATE)"
    if kind.startswith("float"):
        return f"CASE WHEN isnan({_quoted(name)}) THEN NULL ELSE {_quoted(name)} END"
    return _quoted(name)


def _quoted(name: object) -> str:
    return '"' + str(name).replace('"', '""') + '"'


def write_geopackage(path: Path, table: pd.DataFrame, dates: Sequence[str] = DATES) -> None:
    """Write rows with a WKB geometry in WGS 84 as the layer `fields` of a GeoPackage; `dates` name its dates."""
    import numpy as np
    import pyogrio.raw
    from shapely import from_wkb, to_wkb

    values = {str(name): column for name, column in table.items() if name != "geometry"}
    data = [
        np.array(column, "datetime64[D]") if name in dates else column.to_numpy(object if _is_text(column) else None)
        for name, column in values.items()
    ]
    shapes = [multi(shape) for shape in from_wkb(table["geometry"].to_numpy())]
    path.unlink(missing_ok=True)
    pyogrio.raw.write(
        path,
        to_wkb(np.array(shapes, object)),
        data,
        list(values),
        layer="fields",
        driver="GPKG",
        geometry_type="MultiPolygon",
        crs="EPSG:4326",
    )


def _is_text(column: pd.Series[Any]) -> bool:
    return column.dtype.kind not in "if"


def plain(value: Any) -> Any:
    """Return a value as JSON has it, None for one that is missing."""
    import pandas as pd

    if value is None or (not isinstance(value, bytes) and pd.isna(value)):
        return None
    if isinstance(value, date):
        return value.isoformat()[:10]
    return value.item() if hasattr(value, "item") else value


def item_of(acquisition: Acquisition, imagery: Imagery) -> dict[str, Any]:
    """Return the STAC item of the latest pass; its assets lie beside it."""
    item = pass_item(acquisition, imagery)
    item["assets"] |= {
        Path(name).stem if name != FIELDS_PACKAGE.path else "fields_gpkg": {
            "href": f"./{name}",
            "title": TITLES[name],
            "type": media_type,
            "roles": ["data"],
        }
        for name, media_type in MEDIA_TYPES.items()
    }
    return item


def map_fields_outcome(files: Path) -> StepOutcome:
    """Return the latest values of the fields, the lowest NDVI first."""
    imagery = VALIDATED.read(files)
    table = read_products(files)[0]
    names = [f"{index.name}_mean" for index in indices_of(imagery.sensor, imagery.bands)]
    shown = table.sort_values(names[0], na_position="last").head(ROWS_SHOWN)
    rows = tuple(
        (
            row["field_id"],
            row["state"],
            _rounded(row[names[0]]),
            row["crop"],
            row["area_ha"],
            plain(row["latest"]),
            *(_rounded(row[name]) for name in names[1:]),
        )
        for row in shown.to_dict("records")
    )
    columns = (
        "field",
        "state",
        _heading(names[0]),
        "crop",
        "ha",
        "latest clear pass",
        *map(_heading, names[1:]),
    )
    with_value = table["latest"].notna()
    ndvi = table.loc[with_value, "ndvi_mean"].median() if "ndvi_mean" in table else math.nan
    title = "Fields" if len(table) <= ROWS_SHOWN else f"Fields ({ROWS_SHOWN} of {len(table)}, the lowest first)"
    left = waiting(files)
    later = (
        f"{left} earlier passes have no index raster yet: one run makes at most 8 GiB of them, the next ones the others"
    )
    return StepOutcome(
        findings=(Finding(severity="info", message=later),) if left else (),
        metrics=MapMetrics(
            latest_pass=latest_pass(files).date,
            fields_with_value=int(with_value.sum()),
            ndvi_median=None if math.isnan(ndvi) else round(float(ndvi), 3),
            passes_mapped=len(mapped_passes(files)),
        ),
        tables=(Table(title=title, columns=columns, rows=rows),),
        published_as=f"{key_of(FIELDS.read(files).file)}/{imagery.end:%Y-%m-%d}",
        synthetic=imagery.synthetic,
        stand_in=imagery.source == "demo",
    )


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def _heading(column: str) -> str:
    return column.removesuffix("_mean").upper()


def read_products(
    files: Path, table: Artifact[Any] = FIELDS_TABLE, package: Artifact[Any] = FIELDS_PACKAGE
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of a GeoParquet file and of a GeoPackage, both with normalised MultiPolygons as WKB."""
    import pandas as pd
    import pyogrio.raw
    from shapely import from_wkb, normalize, to_wkb

    with connect() as db:
        path = file_argument(table.at(files))
        parquet = db.execute(f"SELECT * REPLACE (ST_AsWKB(geometry) AS geometry) FROM read_parquet({path})").df()
    meta, _, shapes, columns = pyogrio.raw.read(package.at(files))
    packed = pd.DataFrame(dict(zip(meta["fields"], columns, strict=True)))
    packed["geometry"] = shapes
    for rows in (parquet, packed):
        rows["geometry"] = [to_wkb(normalize(multi(from_wkb(bytes(value))))) for value in rows["geometry"]]
    return parquet, packed


def multi(polygon: Any) -> Any:
    """Return a polygon as the MultiPolygon that it is the only part of."""
    from shapely import MultiPolygon

    return polygon if polygon.geom_type == "MultiPolygon" else MultiPolygon([polygon])


def recompute_products(files: Path, params: MapParams, *, audit: bool = False) -> tuple[str, ...]:
    """Check the latest values, the items, and the index rasters in drawn windows.

    Raises:
        ContractError: A product states something else than the observations and the latest pass give.
    """
    import rasterio

    fields, imagery, acquisition = FIELDS.read(files), VALIDATED.read(files), latest_pass(files)
    alerts = read_table(ALERTS.at(files))
    expected = latest_values(fields.fields, read_table(OBSERVATIONS.at(files)), alerts, acquisition)
    for artifact, stated in zip((FIELDS_TABLE, FIELDS_PACKAGE), read_products(files), strict=True):
        if (difference := difference_of(stated, expected)) is not None:
            rule = "must hold the latest values of the observations"
            raise ContractError(artifact.path, rule, difference)
    if json.loads(FIELDS_ITEM.at(files).read_bytes()) != json.loads(json.dumps(item_of(acquisition, imagery))):
        raise ContractError(FIELDS_ITEM.path, "must describe the products of the latest pass", "another item")
    with rasterio.open(INDEX_RASTER.at(files)) as raster:
        corners = check_raster(raster, acquisition, imagery, INDEX_RASTER.path, audit=audit)
    made = recompute_passes(files, params, audit=audit)
    return (*(f"rows {row}, columns {column}" for row, column in corners), *(f"the pass of {day}" for day in made))


def difference_of(stated: pd.DataFrame, expected: pd.DataFrame) -> str | None:
    """Return how the rows of a table of fields differ from what they must be; None where they do not."""
    if set(stated.columns) != set(expected.columns):
        return "other columns"
    if len(stated) != len(expected):
        return f"{len(stated)} rows, not {len(expected)}"
    for one, other in zip(stated.to_dict("records"), expected.to_dict("records"), strict=True):
        for name, value in other.items():
            if plain(one[name]) != plain(value):
                return f"{name} {plain(one[name])!r} of field {other['field_id']}, not {plain(value)!r}"
    return None
