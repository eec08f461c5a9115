"""The official client over loopback: token, catalog, process; and the errors as the service words them."""

import io
import json
import tarfile
from datetime import date

import numpy as np
import pytest
import rasterio
import requests
from oauthlib.oauth2.rfc6749.errors import InvalidClientError
from sentinelhub import CRS, Geometry, SentinelHubSession
from sentinelhub.exceptions import DownloadFailedException, OutOfRequestsException
from shapely.geometry import box

from include.standins.sentinel_hub.grid import Grid
from tests.standins.sentinel_hub.api import BANDS, LUDHIANA, SMALL, Api

SEARCH = {
    "collections": ["sentinel-2-l2a"],
    "datetime": "2024-01-01T00:00:00Z/2024-03-01T00:00:00Z",
    "bbox": list(LUDHIANA),
}


def process_body(**changes):
    body = {
        "input": {
            "bounds": {
                "bbox": list(SMALL.bounds),
                "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32643"},
            },
            "data": [
                {
                    "type": "sentinel-2-l2a",
                    "dataFilter": {"timeRange": {"from": "2024-07-28T00:00:00Z", "to": "2024-07-28T23:59:59Z"}},
                }
            ],
        },
        "evalscript": BANDS,
        "output": {"width": 10, "height": 8},
    }
    return {**body, **changes}


def test_the_clients_session_names_its_client_and_is_authorised(api):
    session = api.session()
    assert session.info()["azp"] == "demo"
    assert session.token["expires_in"] == 3600
    assert api.search()


def test_copernicus_data_space_has_another_token_path(api):
    cdse = Api(api.url, login="/auth/realms/CDSE/protocol/openid-connect/token")
    assert cdse.search() == api.search()
    assert np.array_equal(cdse.pixels(), api.pixels())


def test_both_path_styles_answer_alike(api):
    assert api.post("/catalog/v1/search", SEARCH).json() == api.post("/api/v1/catalog/1.0.0/search", SEARCH).json()
    assert api.post("/process/v1", process_body()).content == api.post("/api/v1/process", process_body()).content


def test_a_wrong_secret_is_refused_as_keycloak_does(api):
    api.config.sh_client_secret = "wrong"  # noqa: S105 - on purpose
    with pytest.raises(InvalidClientError, match="Invalid client or Invalid client credentials"):
        SentinelHubSession(api.config)
    assert [line["status"] for line in api.served() if line["operation"] == "token"] == [401]


def test_a_token_expires(serve, simulator):
    api = serve(simulator, token_seconds=0)
    answer = api.post("/api/v1/process", process_body())
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "COMMON_UNAUTHORIZED"
    assert answer.json()["error"]["message"].startswith("You are not authorized! Please provide a valid access token")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.AAAA"])
def test_a_made_up_token_is_refused(api, token):
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.post(f"{api.url}/process/v1", json=process_body(), headers=headers, timeout=30).status_code == 401


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
    assert "geometry" in without


def test_distinct_dates(api):
    dates = api.search(distinct="date")
    assert dates == sorted({one["properties"]["datetime"][:10] for one in api.search()}, reverse=True)


def test_an_area_may_be_a_geometry(api):
    triangle = Geometry(
        {"type": "Polygon", "coordinates": [[(75.8, 30.9), (75.9, 30.9), (75.9, 31.0), (75.8, 30.9)]]}, CRS.WGS84
    )
    assert api.search(geometry=triangle) == api.search(bbox=(75.8, 30.9, 75.9, 31.0))


def test_where_tiles_overlap_a_day_has_a_product_of_each(api):
    overlap = api.search(bbox=(76.10, 30.9, 76.12, 30.92))  # 43REQ ends at 609 780 m, 43RFQ begins at 599 980 m
    tiles = {}
    for one in overlap:
        tiles.setdefault(one["properties"]["datetime"][:10], set()).add(one["id"].split("_")[5])
    assert all(names == {"T43REQ", "T43RFQ"} for names in tiles.values())


def test_some_tiles_are_published_twice(api):
    passes = [(one["properties"]["datetime"], one["id"].split("_")[5]) for one in api.search()]
    assert 70 <= len(set(passes)) <= 74
    assert len(set(passes)) < len(passes) < 1.4 * len(set(passes))


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


def test_pixels_come_in_the_asked_size_type_and_georeference(api):
    answer = api.answer()
    with rasterio.open(io.BytesIO(answer.content)) as file:
        assert (file.count, file.height, file.width, file.dtypes[0]) == (6, 80, 100, "uint16")
        assert file.crs.to_epsg() == 32643
        assert tuple(file.bounds) == SMALL.bounds
        assert (file.read(6) == 1).all()
        assert 0 < file.read(4).mean() < 10_000


def test_processing_units_follow_the_rules(api):
    whole = api.answer(grid=Grid(32643, (576_000, 3_420_000, 581_120, 3_425_120), 512, 512))
    assert float(whole.headers["x-processingunits-spent"]) == pytest.approx(5 / 3)  # dataMask is free
    floats = BANDS.replace("UINT16", "FLOAT32")
    small = api.answer(script=floats, grid=Grid(32643, (576_000, 3_420_000, 578_560, 3_422_560), 256, 256))
    assert float(small.headers["x-processingunits-spent"]) == pytest.approx(5 / 3 / 4 * 2)
    tiny = 'return { input: ["SCL"], output: { bands: 1 } }; }\nfunction evaluatePixel(s) { return [s.SCL / 255]; }'
    least = api.answer(script=f"//VERSION=3\nfunction setup() {{ {tiny}", grid=Grid(32643, SMALL.bounds, 5, 4))
    assert float(least.headers["x-processingunits-spent"]) == 0.005


def test_several_outputs_come_as_tar(api):
    script = BANDS.replace(
        'output: { bands: 6, sampleType: "UINT16" }',
        'output: [{ id: "red", bands: 1, sampleType: "FLOAT32" }, { id: "scl", bands: 1, sampleType: "UINT8" }]',
    )
    script = script[: script.index("return [")] + "return { red: [s.B04], scl: [s.SCL] };\n}"
    answer = api.answer(script=script, identifiers=("red", "scl"))
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert sorted(archive.getnames()) == ["red.tif", "scl.tif"]
    both = api.pixels(script=script, identifiers=("red", "scl"))
    plain = api.pixels()
    assert np.allclose(both["red.tif"], plain[..., 2] / 10_000, atol=1e-4)
    assert np.array_equal(both["scl.tif"], plain[..., 4])


def test_a_day_without_a_pass_has_no_data(api):
    assert not api.pixels(day=date(2024, 7, 29)).any()


def test_the_mosaic_takes_the_asked_order(api):
    month = {"day": date(2024, 7, 1), "days": 31}
    latest, first = api.pixels(**month), api.pixels(**month, mosaicking_order="leastRecent")
    least = api.pixels(**month, mosaicking_order="leastCC")
    assert np.array_equal(latest, api.pixels(day=date(2024, 7, 28)))
    assert np.array_equal(first, api.pixels(day=date(2024, 7, 3)))
    clouds = {one["properties"]["eo:cloud_cover"]: one for one in api.search(start="2024-07-01", end="2024-07-31")}
    clearest = date.fromisoformat(clouds[min(clouds)]["properties"]["datetime"][:10])
    assert np.array_equal(least, api.pixels(day=clearest))
    assert not api.pixels(**month, maxcc=min(clouds) / 100 - 0.001).any()


def test_pixels_outside_of_a_geometry_hold_no_data(api):
    west, south, _, _ = SMALL.bounds
    half = {"type": "Polygon", "coordinates": [list(box(west, south, west + 500, south + 800).exterior.coords)]}
    body = process_body(output={"resx": 10, "resy": 10})
    body["input"]["bounds"]["geometry"] = half
    with rasterio.open(io.BytesIO(api.post("/process/v1", body).content)) as file:
        assert file.shape == (80, 100)
        mask = file.read(6)
    assert mask[:, :50].all()
    assert not mask[:, 50:].any()


def test_digital_numbers_are_harmonised_unless_asked_otherwise(api):
    script = BANDS.replace('"dataMask"],', '"dataMask"], units: "DN"').replace("input: [", "input: [{ bands: [")
    script = script.replace('units: "DN"', 'units: "DN" }],').replace(" * 10000", "")
    plain = api.pixels()
    assert np.array_equal(api.pixels(script=script), plain)
    raw = api.pixels(script=script, other_args={"processing": {"harmonizeValues": False}})
    assert np.array_equal(raw[..., :4], plain[..., :4] + 1000)
    assert np.array_equal(raw[..., 4:], plain[..., 4:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"output": {"width": 2501, "height": 10}}, "`width = 2501` is larger than allowed 2500."),
        ({"output": {"resx": 0.1, "resy": 10}}, "`width = 10000`, calculated from resx, is larger than allowed 2500."),
        ({"evalscript": "//VERSION=3\nfunction"}, "Failed to evaluate script!"),
        ({"evalscript": BANDS.replace("B03", "B13")}, "Requested band 'B13' is not present in Sentinel 2 tile"),
        ({"input": {}}, "`input.bounds` is missing."),
        ({"output": {"width": 5, "height": 5, "responses": [{"format": {"type": "image/png"}}]}}, "image/png"),
    ],
)
def test_a_malformed_request_is_refused_in_the_services_form(api, change, words):
    answer = api.post("/process/v1", process_body(**change))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["status"], error["reason"]) == (400, "Bad Request")
    assert words in error["message"]


def test_a_request_that_is_too_large_names_the_parameter(api):
    """The body is the service's own, as captured; only the figure is ours."""
    answer = api.post("/process/v1", process_body(output={"resx": 1000 / 2624, "resy": 10}))
    violation = "`width = 2624`, calculated from resx, is larger than allowed 2500."
    assert answer.json() == {
        "error": {
            "status": 400,
            "reason": "Bad Request",
            "message": violation + "\n",
            "code": "COMMON_BAD_PAYLOAD",
            "errors": [{"parameter": "output->resx", "violation": violation}],
        }
    }


def test_an_empty_body_is_refused(api):
    token = api.token()
    answer = requests.post(f"{api.url}/process/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert answer.json()["error"]["message"] == "Request body should be non-empty."


def test_bounds_outside_of_their_crs_are_refused(api):
    body = process_body()
    body["input"]["bounds"]["bbox"] = [5e8, 5e8, 6e8, 6e8]
    answer = api.post("/process/v1", body)
    assert answer.status_code == 400
    assert "outside of EPSG:32643" in answer.json()["error"]["message"]


def test_a_request_limit_answers_429_with_the_time_to_wait(serve, simulator):
    api = serve(simulator, rate_limit=3)
    token = api.token()
    answers = [api.post("/process/v1", process_body(), token) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refused = answers[-1]
    assert 18_000 < int(refused.headers["Retry-After"]) <= 20_000  # milliseconds; 3 a minute
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert json.loads(refused.headers["X-RateLimit-ViolatedPolicy"]) == {"samplingPeriod": "PT1M", "limit": 3}
    assert refused.json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    seconds = serve(simulator, rate_limit=1, retry_after_unit="s")
    token = seconds.token()
    waits = [seconds.post("/process/v1", process_body(), token).headers.get("Retry-After") for _ in range(2)]
    assert waits[0] is None
    assert 59 <= int(waits[1]) <= 60


@pytest.mark.filterwarnings("ignore:Download rate limit hit")
def test_the_client_comes_through_a_limit_by_waiting(serve, simulator):
    api = serve(simulator, rate_limit=600, latency=0.3)
    api.config.max_retries = 50
    asked = [api.request(grid=Grid(32643, SMALL.bounds, 5, 4)).download_list[0] for _ in range(6)]
    assert len(api.client().download(asked, max_threads=4)) == 6
    statuses = [line["status"] for line in api.served() if line["operation"] == "process"]
    assert statuses.count(200) == 6
    assert 429 in statuses


def test_no_more_than_two_requests_run_at_once(serve, simulator):
    from concurrent.futures import ThreadPoolExecutor

    api = serve(simulator, rate_limit=6000, latency=0.3)
    token = api.token()
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: api.post("/catalog/v1/search", SEARCH, token), range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]


def test_other_errors_are_not_retried_by_the_client(api):
    with pytest.raises(DownloadFailedException, match="Failed to evaluate script"):
        api.pixels(script="//VERSION=3\nfunction setup() {}")
    assert [line["status"] for line in api.served() if line["operation"] == "process"] == [400]


@pytest.mark.filterwarnings("ignore:Download rate limit hit")
def test_a_limit_that_stays_exhausts_the_clients_retries(api):
    api.fault(kind="rate_limit", retry_after=10)
    with pytest.raises(OutOfRequestsException):
        api.pixels()
    assert [line["status"] for line in api.served() if line["operation"] == "process"] == [429] * 3
