"""Samples: months of each field, whole blocks in a fold, crops that are too few left out and listed."""

import json
from datetime import date

import numpy as np
import pytest

from include.core.errors import BadInputError
from include.satellite.crops.params import CropDataParams, SeriesParams
from include.satellite.crops.samples import blocks_of, field_series, folds_of, metres, training_samples
from tests.satellite.crops.fields_table import MONTHS, rows, write_csv


@pytest.fixture
def sample(tmp_path):
    """Return the samples of rows as the step makes them."""

    def sampling(table, **params):
        write_csv(tmp_path / "series.csv", table)
        return training_samples(tmp_path, CropDataParams(series="series.csv", **params))

    return sampling


def test_a_month_is_the_mean_of_its_dates_and_gaps_are_linear(tmp_path):
    table = [row for row in rows(1) if not row["date"].startswith("2022-06")]
    write_csv(tmp_path / "series.csv", [*table, *rows(2)[8:]])
    found = field_series(tmp_path, SeriesParams(series="series.csv"))
    assert found.months == [date.fromisoformat(f"{month}-01") for month in MONTHS]
    first = found.table.iloc[0]
    may, july = (np.mean([row["B04"] for row in table if row["date"].startswith(month)]) for month in MONTHS[1::2])
    assert first["B04 2022-05"] == pytest.approx(may)
    assert first["B04 2022-06"] == pytest.approx((may + july) / 2)
    assert (first["months"], found.table.iloc[1]["months"]) == (3, 4)


def test_a_field_that_was_seldom_seen_is_left_out_by_name(sample):
    table = [row for row in rows() if row["field_id"] != "F000" or row["date"].startswith("2022-04")]
    samples, data = sample(table)
    assert "F000" not in set(samples["field_id"])
    assert data.fields == 71
    assert any("1 fields were seen in less than 70%" in f.message and "F000" in f.message for f in data.findings)


def test_crops_with_too_few_fields_are_listed_and_left_out(sample):
    table = [row | {"crop": "hops" if row["field_id"] in ("F003", "F004") else row["crop"]} for row in rows()]
    samples, data = sample(table)
    assert "hops" not in set(samples["crop"])
    [left] = data.left_out
    assert (left.crop, left.fields, left.reason) == ("hops", 2, "too few fields")
    assert any("hops (2 fields, 2 blocks)" in finding.message for finding in data.findings)
    assert data.crops == {"grass": 24, "maize": 23, "wheat": 23}


def test_a_crop_in_one_place_is_left_out_and_one_crop_alone_is_refused(sample):
    """Maize stands in one corner, so it cannot be held out and learnt at once."""
    table = [row | ({"lon": 10.0, "lat": 45.0} if row["crop"] == "maize" else {}) for row in rows()]
    assert [(crop.crop, crop.reason) for crop in sample(table)[1].left_out] == [("maize", "too few blocks")]
    with pytest.raises(BadInputError, match=r"two crops are needed with 20 fields .*wheat \(24 fields\)"):
        sample([row for row in rows() if row["crop"] == "wheat"])


def test_blocks_are_whole_and_every_crop_is_spread_over_the_folds(sample):
    samples, data = sample(rows(), block_km=8)
    assert samples.groupby("block")["fold"].nunique().max() == 1
    assert sorted(samples["fold"].unique()) == [0, 1, 2, 3, 4]
    assert samples.groupby(["fold", "crop"]).size().min() >= 2
    assert data.blocks == samples["block"].nunique()


def test_blocks_are_squares_on_the_ground():
    longitude, latitude = np.meshgrid(np.linspace(10, 11, 60), np.linspace(60, 60.5, 60))
    block = blocks_of(longitude.ravel(), latitude.ravel(), 10)
    east, north = metres(longitude.ravel(), latitude.ravel())
    for number in np.unique(block):
        own = block == number
        assert np.ptp(east[own]) < 10_000
        assert np.ptp(north[own]) < 10_000
    assert np.ptp(east) == pytest.approx(1 * 111.32e3 * np.cos(np.radians(60)), rel=0.03)


def test_there_are_no_more_folds_than_blocks():
    assert sorted(set(folds_of(np.array([0, 0, 1, 1, 2, 2]), np.array(list("ababab"))))) == [0, 1, 2]


def outlines(fields, **changes):
    features = []
    for row in {row["field_id"]: row for row in fields}.values():
        west, south = row["lon"], row["lat"]
        ring = [[west, south], [west + 0.002, south], [west + 0.002, south + 0.002], [west, south]]
        properties = {"id": row["field_id"], "crop": row["crop"]} | changes.get(row["field_id"], {})
        polygon = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": properties, "geometry": polygon})
    return json.dumps({"type": "FeatureCollection", "features": features})


def test_crops_and_places_may_come_from_the_outlines_of_the_fields(sample, tmp_path):
    table = rows()
    (tmp_path / "farm.geojson").write_text(outlines(table))
    bare = [{name: value for name, value in row.items() if name not in ("crop", "lon", "lat")} for row in table]
    samples, data = sample(bare, fields="farm.geojson")
    assert data.crops == {"grass": 24, "maize": 24, "wheat": 24}
    assert samples["longitude"].iloc[0] == pytest.approx(10.001, abs=1e-3)
    with pytest.raises(BadInputError, match="the place of each field is needed"):
        sample(bare)
    (tmp_path / "farm.geojson").write_text(outlines(table, F000={"crop": "hops"}))
    with pytest.raises(BadInputError, match=r"field F000: series.csv states the crop maize, farm.geojson hops"):
        sample(table, fields="farm.geojson")
    (tmp_path / "farm.geojson").write_text(outlines([row | {"field_id": "X" + row["field_id"]} for row in table]))
    with pytest.raises(BadInputError, match=r"holds none of the fields of series.csv; it has XF000"):
        sample(table, fields="farm.geojson")


def test_a_field_with_two_crops_in_the_season_counts_as_without_one(sample):
    table = [
        row | {"crop": "hops" if row["field_id"] == "F000" and row["date"] > "2022-06" else row["crop"]}
        for row in rows()
    ]
    samples, data = sample(table)
    assert "F000" not in set(samples["field_id"])
    assert any("1 fields had several crops" in finding.message for finding in data.findings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lon": ""}, "field F000 has no longitude or latitude"),
        ({"lon": 610_000}, "field F000: longitude and latitude must be degrees"),
    ],
)
def test_places_that_are_none_are_refused(sample, change, message):
    with pytest.raises(BadInputError, match=message):
        sample([row | change if row["field_id"] == "F000" else row for row in rows(30)])


def test_a_moving_field_and_an_endless_season_are_refused(sample):
    table = rows(30)
    with pytest.raises(BadInputError, match="field F000 lies at several places"):
        sample([table[0] | {"lon": 11.0}, *table[1:]])
    with pytest.raises(BadInputError, match=r"spans 52 months, and a season has 36 at most.*season_start"):
        sample([*table, table[0] | {"date": "2018-04-01"}])
    with pytest.raises(BadInputError, match="no field states a crop"):
        sample([row | {"crop": ""} for row in table])
