"""The Catalog API, through the official client and with bare requests."""

from datetime import UTC, datetime

import pytest
from sentinelhub import CRS, Geometry

from include.standins.sentinel_hub.catalog import feature, search
from tests.standins.sentinel_hub.api import LUDHIANA, SEARCH


def test_a_search_is_filtered_by_cloud_area_and_time(api):
    every = api.search()
    few = api.search(filter="eo:cloud_cover < 20")
    assert 0 < len(few) < len(every)
    assert {one["id"] for one in few} == {one["id"] for one in every if one["properties"]["eo:cloud_cover"] < 20}
    between = api.search(filter="eo:cloud_cover >= 20 AND eo:cloud_cover < 60")
    assert {one["id"] for one in between} == {
        one["id"] for one in every if 20 <= one["properties"]["eo:cloud_cover"] < 60
    }
    march = api.search(start="2024-03-01", end="2024-03-31")
    assert {one["id"] for one in march} == {
        one["id"] for one in every if one["properties"]["datetime"].startswith("2024-03")
    }


def test_pages_follow_each_other_by_number_and_lose_nothing(api):
    whole = api.search(limit=100)
    assert len(whole) > 70
    assert api.search(limit=7) == whole
    assert [line["returned"] for line in api.served()[-2:]] == [7, len(whole) % 7 or 7]
    page = api.post("/catalog/v1/search", {**SEARCH, "limit": 5}).json()
    assert page["context"] == {"limit": 5, "returned": 5, "next": 5}
    last = api.post("/catalog/v1/search", {**SEARCH, "limit": 100}).json()
    assert "next" not in last["context"]


def test_a_feature_is_what_the_service_describes(api):
    feature = api.search(end="2024-02-01")[0]
    properties = feature["properties"]
    assert feature["type"] == "Feature"
    assert feature["geometry"]["type"] == "MultiPolygon"
    assert properties["datetime"].endswith("Z")
    assert properties["constellation"] == "sentinel-2"
    assert properties["proj:epsg"] == 32643
    assert properties["synthetic"] is True
    assert "SIM-standard-0" in feature["id"]
    west, south, east, north = feature["bbox"]
    assert west < LUDHIANA[0] < LUDHIANA[2] < east
    assert south < LUDHIANA[1] < LUDHIANA[3] < north


def test_fields_are_included_and_excluded(api):
    slim = api.search(end="2024-02-01", fields={"include": ["id", "properties.datetime"], "exclude": []})[0]
    assert set(slim["properties"]) == {"datetime"}
    assert "geometry" not in slim
    without = api.search(end="2024-02-01", fields={"include": [], "exclude": ["properties.synthetic"]})[0]
    assert "synthetic" not in without["properties"]
    parts = api.search(end="2024-02-01", fields={"include": ["properties", "bbox.0"], "exclude": ["id.0", "links"]})[0]
    assert "synthetic" in parts["properties"]
    assert set(parts) == {"id", "type", "properties"}
    assert "geometry" in without


def test_distinct_dates(api):
    dates = api.search(distinct="date")
    assert dates == sorted({one["properties"]["datetime"][:10] for one in api.search()}, reverse=True)


def test_an_area_may_be_a_geometry(api):
    triangle = Geometry(
        {"type": "Polygon", "coordinates": [[(75.8, 30.9), (75.9, 30.9), (75.9, 31.0), (75.8, 30.9)]]}, CRS.WGS84
    )
    assert api.search(geometry=triangle) == api.search(bbox=(75.8, 30.9, 75.9, 31.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"filter": "platform = 'a'"}, "Invalid filter"),
        ({"limit": 101}, "between 1 and 100"),
        ({"limit": 0}, "between 1 and 100"),
        ({"next": "2"}, "whole number"),
        ({"collections": []}, "one collection"),
        ({"collections": ["landsat"]}, "not served"),
        ({"datetime": "yesterday"}, "not a valid instant"),
        ({"bbox": [1, 2]}, "area"),
        ({"intersects": {"type": "Point", "coordinates": [1, 2]}}, "one of bbox and intersects"),
        ({"colour": "red"}, "Unknown parameter: colour"),
    ],
)
def test_a_malformed_search_is_refused_in_words(api, change, words):
    answer = api.post("/catalog/v1/search", {**SEARCH, **change})
    assert answer.status_code in (400, 404)
    assert answer.json()["code"] == answer.status_code
    assert words in answer.json()["description"]


def test_a_search_pages_through_the_products(simulator):
    page = search({**SEARCH, "limit": 3, "next": 2}, simulator, "http://hub")
    assert page["context"] == {"limit": 3, "returned": 3, "next": 5}
    whole = search({**SEARCH, "limit": 100}, simulator, "http://hub")["features"]
    assert page["features"] == whole[2:5]
    [one] = search({**SEARCH, "ids": [whole[4]["id"]]}, simulator, "http://hub")["features"]
    assert one == whole[4]
    until = {**SEARCH, "datetime": "../2014-12-31T00:00:00Z"}
    assert search(until, simulator, "http://hub")["features"] == [], "an interval may be open"


def test_a_feature_links_to_its_collection(simulator):
    product = next(
        iter(simulator.products(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), LUDHIANA))
    )
    described = feature(product, "sentinel-2-l2a", "http://hub")
    catalog = "http://hub/api/v1/catalog/1.0.0/collections/sentinel-2-l2a"
    assert [link["href"] for link in described["links"]] == [f"{catalog}/items/{product.id}", catalog]
    assert described["properties"]["eo:cloud_cover"] == product.cloud
    assert described["geometry"]["coordinates"][0][0] == [list(corner) for corner in product.ring]
