"""The products of a run: the fields with their latest values, and the latest pass with its STAC item."""

import json
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pyogrio.raw
import pytest
import rasterio
from shapely import from_wkb
from shapely.geometry import shape

from include.core.errors import BadInputError, ContractError
from include.satellite.artifacts import (
    ALERTS,
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
from include.satellite.fields.observations import measure_fields
from include.satellite.fields.params import MapParams, MeasureParams
from include.satellite.fields.products import (
    latest_pass,
    latest_values,
    map_fields,
    map_fields_outcome,
    read_products,
    recompute_products,
    write_geoparquet,
)
from include.satellite.fields.schemas import AlertRow, FieldSet
from include.satellite.fields.store import read_table, write_table
from tests.satellite.fields.squares import field, make_imagery, outline, three_fields

PARAMS, MAP = MeasureParams(), MapParams()


@pytest.fixture
def files(data_dir, tmp_path):
    imagery = make_imagery(data_dir, tmp_path)
    geometry = outline(imagery.grid, 5, 25, 12, 14)
    crops = [
        field("C", geometry, crop="wheat", valid_to=date(2026, 4, 12)),
        field("C", geometry, crop="maize", valid_from=date(2026, 4, 13)),
    ]
    fields = [*three_fields(imagery.grid), *crops]
    FIELDS.write(tmp_path, FieldSet(file="my farm.gpkg", fields=fields, findings=[]))
    measure_fields(tmp_path, PARAMS)
    write_table(ALERTS.at(tmp_path), alerts(), AlertRow)
    for artifact in (FIELD_SERIES, FIELD_SEASONS, ANOMALIES, EVENTS):
        artifact.at(tmp_path).touch()
    map_fields(tmp_path, MAP)
    return tmp_path


def alerts():
    """Two alerts of one field."""
    days = [date(2026, 4, 11), date(2026, 4, 21)]
    texts = {name: ["A"] * 2 for name in ("field_id", "crop", "unit", "compared_with", "text")}
    numbers = {name: [0.5] * 2 for name in ("value", "expected", "change", "z", "threshold")}
    own = {"kind": ["no data", "fall"], "date": days, "since": days, "compared": [5, 5]}
    own |= {"is_current": [True, True], "past_because": [None, None], "is_new": [False, True]}
    return pd.DataFrame(texts | numbers | own)[list(AlertRow.model_fields)]


def test_both_tables_hold_the_latest_clear_values_of_each_field_with_its_crop_of_the_day(files):
    observations = read_table(OBSERVATIONS.at(files))
    for table in read_products(files):
        assert table["field_id"].tolist() == ["A", "B", "C", "tiny"]
        assert table["crop"].tolist() == ["wheat", "wheat", "maize", "wheat"]
        assert table["state"].tolist()[0] == "alert"
        assert set(table["state"][1:]) <= {"in order", "cloudy", "no data"}
        assert table["alert"].notna().tolist() == [True, False, False, False]
        assert (table["alert"][0], str(table["alert_date"][0])[:10]) == ("fall", "2026-04-21")
        for row in table.to_dict("records"):
            own = observations[(observations["field_id"] == row["field_id"]) & (observations["status"] == "ok")]
            if own.empty:
                assert np.isnan(row["ndvi_mean"])
                continue
            last = own.sort_values("date").iloc[-1]
            assert str(row["latest"])[:10] == str(last["date"])
            assert row["ndvi_mean"] == last["ndvi_mean"]
            assert row["evi_p90"] == last["evi_p90"]
    outlines = {item.field_id: shape(item.geometry) for item in FIELDS.read(files).fields}
    for row in read_products(files)[0].to_dict("records"):
        assert from_wkb(row["geometry"]).equals(outlines[row["field_id"]])


def test_the_parquet_file_is_geoparquet_in_wgs_84(files):
    query = f"SELECT value FROM parquet_kv_metadata('{FIELDS_TABLE.at(files)}') WHERE key = 'geo'"
    geo = json.loads(duckdb.execute(query).fetchall()[0][0])
    assert geo["primary_column"] == "geometry"
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert "crs" not in column or column["crs"]["id"] == {"authority": "OGC", "code": "CRS84"}
    bounds = np.array([shape(item.geometry).bounds for item in FIELDS.read(files).fields])
    expected = [*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)]
    assert column["bbox"] == pytest.approx(expected)


def test_gdal_reads_the_package_with_its_types(files):
    info = pyogrio.read_info(FIELDS_PACKAGE.at(files), layer="fields")
    assert (info["crs"], info["features"], info["geometry_type"]) == ("EPSG:4326", 4, "MultiPolygon")
    types = dict(zip(info["fields"], info["dtypes"], strict=True))
    assert types["latest"] == types["valid_from"] == "datetime64[D]"
    assert (types["ndvi_mean"], types["pixels"], types["field_id"]) == ("float64", "int64", "object")


def test_the_item_describes_files_that_lie_beside_it(files):
    item = json.loads(FIELDS_ITEM.at(files).read_text())
    assert (item["type"], item["stac_version"]) == ("Feature", "1.1.0")
    assert item["properties"]["datetime"] == "2026-04-21T05:30:00Z"
    assert item["properties"]["proj:code"] == VALIDATED.read(files).grid.crs
    assert shape(item["geometry"]).bounds == pytest.approx(item["bbox"], abs=1e-6)
    assert {asset["href"].removeprefix("./") for asset in item["assets"].values()} == {
        "indices.tif", "fields.parquet", "fields.gpkg", "observations.parquet", "series.parquet", "seasons.parquet",
        "anomalies.parquet", "events.parquet", "alerts.parquet",
    }  # fmt: skip
    assert all((files / asset["href"]).is_file() for asset in item["assets"].values())


def test_products_hold_and_are_published_below_the_name_of_the_file(files):
    drawn = recompute_products(files, MAP)
    assert [text.partition(" ")[0] for text in drawn] == ["rows"] * 4 + ["the"] * 3
    recompute_products(files, MAP, audit=True)
    outcome = map_fields_outcome(files)
    assert outcome.published_as == "my-farm/2026-04-22"
    assert outcome.metrics.latest_pass == date(2026, 4, 21)
    assert outcome.metrics.passes_mapped == 3
    assert [row[0] for row in outcome.tables[0].rows][-1] == "tiny"
    assert outcome.tables[0].columns[:5] == ("field", "state", "NDVI", "crop", "ha")


def spoil_table(files):
    table, _ = read_products(files)
    table.loc[0, "ndvi_mean"] = 0.123
    write_geoparquet(FIELDS_TABLE.at(files), table)


def spoil_raster(files):
    with rasterio.open(INDEX_RASTER.at(files)) as raster:
        values, profile, names = raster.read(), raster.profile, raster.descriptions
    values[2, 30, 30] += 1
    with rasterio.open(INDEX_RASTER.at(files), "w", **profile | {"driver": "GTiff"}) as file:
        file.write(values)
        file.descriptions, file.scales = names, [1e-4] * len(names)


def spoil_item(files):
    item = json.loads(FIELDS_ITEM.at(files).read_text())
    item["properties"]["datetime"] = "2026-04-20T05:30:00Z"
    FIELDS_ITEM.at(files).write_text(json.dumps(item))


@pytest.mark.parametrize(
    ("spoil", "name"), [(spoil_table, "fields.parquet"), (spoil_raster, "indices.tif"), (spoil_item, "item.json")]
)
def test_a_product_that_states_something_else_is_refused(files, spoil, name):
    spoil(files)
    with pytest.raises(ContractError) as error:
        recompute_products(files, MAP, audit=True)
    assert error.value.artifact == name


def test_values_later_than_the_pass_are_not_the_latest(files):
    acquisition = VALIDATED.read(files).acquisitions[0]
    observations = read_table(OBSERVATIONS.at(files))
    table = latest_values(FIELDS.read(files).fields, observations, alerts().head(0), acquisition)
    assert set(table["latest"].dropna()) == {date(2026, 4, 1)}
    assert table["crop"].tolist() == ["wheat"] * 4


def test_a_past_alert_is_not_the_state_of_a_field(files):
    past = alerts().assign(is_current=False)
    observations = read_table(OBSERVATIONS.at(files))
    table = latest_values(FIELDS.read(files).fields, observations, past, latest_pass(files))
    assert table["alert"].isna().all()
    status = {"ok": "in order", "cloudy": "cloudy"}
    assert table["state"].tolist() == [status.get(name, "no data") for name in table["status"]]


def test_without_an_accepted_pass_there_is_nothing_to_map(files):
    VALIDATED.write(files, VALIDATED.read(files).model_copy(update={"acquisitions": []}))
    with pytest.raises(BadInputError, match="was accepted"):
        latest_pass(files)
