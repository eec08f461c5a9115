"""The Process API: pixels, mosaics, units and files, through the official client and with bare requests."""

import io
import tarfile
from datetime import UTC, date, datetime

import numpy as np
import pytest
import rasterio
import requests
from sentinelhub.exceptions import DownloadFailedException
from shapely.geometry import box

from include.standins.sentinel_hub.errors import ApiError
from include.standins.sentinel_hub.process import packed, process, read_crs, read_request, read_time, tiff
from include.standins.sentinel_hub.scenes import Grid
from tests.standins.sentinel_hub.api import BANDS, SMALL, process_body


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
        (
            {"output": {"width": 0, "height": 10}},
            "`output.width` is not valid: Input should be greater than or equal to 1",
        ),
        ({"output": {"resx": 0.1, "resy": 10}}, "`width = 10000`, calculated from resx, is larger than allowed 2500."),
        ({"evalscript": "//VERSION=3\nfunction"}, "Failed to evaluate script!"),
        ({"evalscript": BANDS.replace("B03", "B13")}, "Requested band 'B13' is not present in Sentinel 2 tile"),
        ({"evalscript": BANDS.replace("B03", "B13")}, "It has B01, B02, B03, B04, B05"),
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


def test_other_errors_are_not_retried_by_the_client(api):
    with pytest.raises(DownloadFailedException, match="Failed to evaluate script"):
        api.pixels(script="//VERSION=3\nfunction setup() {}")
    assert [line["status"] for line in api.served() if line["operation"] == "process"] == [400]


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        (None, 4326),
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", 4326),
        ("http://www.opengis.net/def/crs/EPSG/0/32643", 32643),
        ("urn:ogc:def:crs:EPSG:9.1:3035".replace("urn:ogc:def:crs:", ""), 3035),
    ],
)
def test_a_crs_is_read_from_its_uri(uri, code):
    assert read_crs(uri) == code


@pytest.mark.parametrize("uri", ["EPSG:1", "Mars", 4326, "http://www.opengis.net/def/crs/EPSG/0/"])
def test_an_unknown_crs_is_refused(uri):
    with pytest.raises(ApiError) as error:
        read_crs(uri)
    assert error.value.message == f"Unknown CRS: {uri}\n"


def test_a_time_without_a_zone_is_utc_and_an_open_end_is_the_default():
    default = datetime(2015, 1, 1, tzinfo=UTC)
    assert read_time("2024-07-28T10:00:00", default) == datetime(2024, 7, 28, 10, tzinfo=UTC)
    assert read_time("2024-07-28T10:00:00+02:00", default) == datetime(2024, 7, 28, 8, tzinfo=UTC)
    assert read_time("..", default) == read_time(None, default) == default
    with pytest.raises(ApiError, match=r"."):
        read_time("soon", default)


def test_a_request_is_read_with_its_defaults():
    body = process_body(output={"resx": 100, "resy": 100})
    del body["input"]["data"][0]["dataFilter"]["timeRange"]["to"]
    request = read_request(body, ("sentinel-2-l2a",))
    assert request.grid == Grid(32643, SMALL.bounds, 10, 8)
    limits, processing = request.source.data_filter, request.source.processing
    assert (limits.max_cloud_coverage, limits.mosaicking_order) == (100, "mostRecent")
    assert limits.time_range.start == datetime(2024, 7, 28, tzinfo=UTC)
    assert limits.time_range.end.year == 9990
    assert (processing.resampling, processing.harmonize_values) == ("NEAREST", True)
    assert request.identifiers == ("default",)
    body["input"]["data"][0]["processing"] = {"upsampling": "BILINEAR"}
    assert read_request(body, ("sentinel-2-l2a",)).source.processing.resampling == "BILINEAR"
    with pytest.raises(ApiError) as error:
        read_request(body, ("sentinel-2-l1c",))
    assert error.value.message == "Collection 'sentinel-2-l2a' is not served here.\n"


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("dataFilter", {"mosaickingOrder": "worst"}, "`input.data.0.dataFilter.mosaickingOrder` is not valid: "),
        ("processing", {"upsampling": "CUBIC"}, "`input.data.0.processing.upsampling` is not valid: "),
        ("dataFilter", {"timeRange": {"from": "soon"}}, "'soon' is not a valid instant (ISO 8601)."),
    ],
)
def test_a_parameter_that_is_not_valid_is_named(part, value, words):
    body = process_body()
    body["input"]["data"][0][part] = value
    with pytest.raises(ApiError) as error:
        read_request(body, ("sentinel-2-l2a",))
    assert error.value.message.startswith(words)


def test_an_evalscript_of_another_form_is_refused_with_the_accepted_one():
    with pytest.raises(ApiError) as error:
        read_request(process_body(evalscript=BANDS.replace("return [s", "let x = 1; return [s")), ("sentinel-2-l2a",))
    assert (error.value.status, error.value.code) == (400, "RENDERER_EXCEPTION")
    assert error.value.message.startswith("Failed to evaluate script!\nthe script does not have the accepted form\n")
    assert "The stand-in accepts scripts of this form: //VERSION=3" in error.value.message


def test_a_process_yields_a_file_for_each_output(simulator):
    files = process(read_request(process_body(), simulator.collections), simulator)
    assert list(files) == ["default"]
    with rasterio.open(io.BytesIO(files["default"])) as file:
        assert (file.count, file.shape) == (6, (8, 10))


def test_one_file_is_sent_as_it_is_and_several_as_tar():
    assert packed({"default": b"II*"}) == (b"II*", "image/tiff")
    content, media_type = packed({"red": b"1", "scl": b"22"})
    assert media_type == "application/tar"
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert [(member.name, member.size) for member in archive] == [("red.tif", 1), ("scl.tif", 2)]


def test_a_tiff_holds_the_array_and_its_place():
    bands = np.arange(6, dtype=np.int16).reshape(1, 2, 3)
    with rasterio.open(io.BytesIO(tiff(bands, Grid(32643, (0, 0, 30, 20), 3, 2)))) as file:
        assert np.array_equal(file.read(), bands)
        assert (tuple(file.bounds), file.crs.to_epsg()) == ((0, 0, 30, 20), 32643)
