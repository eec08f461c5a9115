"""Faults on request: each kind does what it says, where it is aimed, and no more often."""

import io
from datetime import date

import numpy as np
import pytest
import rasterio
import requests
from oauthlib.oauth2.rfc6749.errors import InvalidClientError
from rasterio.errors import RasterioIOError
from sentinelhub.exceptions import DownloadFailedException, OutOfRequestsException

from include.standins.sentinel_hub.faults import Fault, Faults, Target, spoilt
from include.standins.sentinel_hub.process import tiff
from include.standins.sentinel_hub.scenes import Grid
from tests.standins.sentinel_hub.api import SMALL

LOOK = """//VERSION=3
function setup() { return { input: ["SCL", "dataMask"], output: { bands: 2, sampleType: "UINT8" } }; }
function evaluatePixel(s) { return [s.SCL, s.dataMask]; }"""


def statuses(api, operation="process"):
    return [line["status"] for line in api.served() if line["operation"] == operation]


@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        ({"kind": "server_error", "status": 500}, 500, "RENDERER_EXCEPTION"),
        ({"kind": "expired_token"}, 401, "COMMON_UNAUTHORIZED"),
        ({"kind": "quota"}, 403, "COMMON_INSUFFICIENT_PERMISSIONS"),
        ({"kind": "rate_limit"}, 429, "RATE_LIMIT_EXCEEDED"),
    ],
)
def test_an_error_has_the_services_body_and_ends_after_its_times(api, rule, status, code):
    api.fault(**rule, times=1)
    search = {"collections": ["sentinel-2-l2a"], "datetime": "2024-01-01/2024-02-01", "bbox": [75.8, 30.9, 75.9, 31]}
    answers = [api.post("/catalog/v1/search", search) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status, 200]
    if status != 500:  # the catalog words 5xx in its own form
        assert answers[0].json()["error"]["code"] == code
    assert api.faults()[0]["struck"] == 1


def test_the_client_survives_a_passing_server_error(api):
    api.fault(kind="server_error", times=1, operation="process")
    assert api.pixels()[..., 5].all()
    assert statuses(api) == [503, 200]


def test_quota_and_wrong_credentials_fail_at_once(api):
    api.fault(kind="quota", operation="process")
    with pytest.raises(DownloadFailedException, match="not authorized to perform this action"):
        api.pixels()
    assert statuses(api) == [403]
    api.fault(kind="wrong_credentials")
    with pytest.raises(InvalidClientError):
        api.session()


@pytest.mark.filterwarnings("ignore:Download rate limit hit")
def test_a_rate_limit_states_the_wait_of_the_rule(api):
    api.fault(kind="rate_limit", retry_after=30, operation="process")
    assert api.post("/process/v1", _body(api)).headers["Retry-After"] == "30"
    with pytest.raises(OutOfRequestsException):
        api.pixels()


def test_a_dropped_connection_is_retried_by_the_client(api):
    api.fault(kind="dropped", times=1, operation="process")
    assert api.pixels()[..., 5].all()
    assert statuses(api) == [0, 200]
    api.fault(kind="dropped", operation="process")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.post("/process/v1", _body(api))


def test_a_dropped_connection_at_the_token_or_the_catalog(api):
    api.fault(kind="dropped", operation="token")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        api.token()
    requests.delete(f"{api.url}/control/faults", timeout=30)
    api.fault(kind="dropped", operation="catalog", times=1)
    assert api.search(end="2024-02-01")


def test_a_truncated_tiff_cannot_be_read(api):
    whole = api.answer().content
    api.fault(kind="truncated", times=1)
    cut = api.answer().content
    assert whole.startswith(cut)
    assert len(cut) < len(whole) / 2
    with pytest.raises(RasterioIOError), rasterio.open(io.BytesIO(cut)) as file:
        file.read()


def test_garbage_is_no_tiff(api):
    api.fault(kind="garbage", seed=3)
    answer = api.answer()
    assert answer.headers["content-type"] == "image/tiff"
    with pytest.raises(RasterioIOError):
        rasterio.open(io.BytesIO(answer.content))
    assert answer.content == api.answer().content


def test_an_all_zero_tile_has_the_right_form(api):
    api.fault(kind="zeros", times=1)
    with rasterio.open(io.BytesIO(api.answer().content)) as file:
        assert (file.count, file.shape, file.crs.to_epsg()) == (6, (SMALL.height, SMALL.width), 32643)
        assert not file.read().any()
    assert api.pixels().any()


def test_a_wrong_size(api):
    api.fault(kind="wrong_size")
    assert api.pixels().shape == (80, 50, 6)


def test_latency_comes_beside_other_faults(api):
    api.fault(kind="latency", seconds=0.3)
    api.fault(kind="server_error", status=502)
    answer = api.post("/process/v1", _body(api))
    assert answer.status_code == 502
    assert answer.elapsed.total_seconds() > 0.3


def test_a_fault_is_aimed_at_dates(api):
    api.fault(kind="zeros", dates=["2024-07-23", "2024-09-06"])
    assert not api.pixels(day=date(2024, 7, 23)).any()
    assert api.pixels(day=date(2024, 7, 28)).any()
    assert not api.pixels(day=date(2024, 9, 6)).any()


def test_a_fault_is_aimed_at_the_download_and_spares_the_look(api):
    api.fault(kind="server_error", band="B08")
    assert api.pixels(script=LOOK).any()
    with pytest.raises(DownloadFailedException):
        api.pixels()


def test_a_fault_may_begin_later(api):
    api.fault(kind="zeros", skip=2, times=1)
    assert [bool(api.pixels().any()) for _ in range(4)] == [True, True, False, True]


def test_chance_is_seeded(api):
    def struck(seed):
        requests.delete(f"{api.url}/control/faults", timeout=30)
        api.fault(kind="zeros", probability=0.5, seed=seed)
        return [not api.pixels(script=LOOK).any() for _ in range(16)]

    first = struck(1)
    assert first == struck(1)
    assert first != struck(2)
    assert 2 < sum(first) < 14


def test_an_unknown_kind_is_refused(api):
    answer = requests.post(f"{api.url}/control/faults", json={"kind": "earthquake"}, timeout=30)
    assert answer.status_code == 422
    assert api.faults() == []


def _body(api):
    return api.request().download_list[0].post_values


def test_a_rule_matches_what_it_is_aimed_at():
    july, wide = Target("process", date(2024, 7, 1), date(2024, 7, 5), ("B04",)), Target("process", date.min, date.max)
    assert Fault(kind="quota").matches(Target("catalog"))
    assert not Fault(kind="quota").matches(Target("token"))
    assert Fault(kind="wrong_credentials").matches(Target("token"))
    assert not Fault(kind="zeros").matches(Target("catalog"))
    assert Fault(kind="zeros", band="B04").matches(july)
    assert not Fault(kind="zeros", band="B08").matches(july)
    assert Fault(kind="zeros", dates=[date(2024, 7, 5)]).matches(july)
    assert not Fault(kind="zeros", dates=[date(2024, 7, 6)]).matches(july)
    assert not Fault(kind="zeros", dates=[date(2024, 7, 5)]).matches(wide)


def test_rules_strike_in_order_and_are_listed_and_cleared():
    faults = Faults()
    assert [rule["kind"] for rule in faults.add(Fault(kind="latency", seconds=0))] == ["latency"]
    faults.add(Fault(kind="quota", times=1))
    faults.add(Fault(kind="server_error"))
    assert [fault.kind for fault in faults.strike(Target("catalog"))] == ["latency", "quota"]
    assert [fault.kind for fault in faults.strike(Target("catalog"))] == ["latency", "server_error"]
    assert [rule["struck"] for rule in faults.listed()] == [2, 1, 1]
    assert faults.clear() == faults.listed() == []
    assert faults.strike(Target("catalog")) == []


def test_a_rule_counts_what_it_matches_and_strikes():
    fault = Fault(kind="quota", skip=1, times=1)
    assert [fault.strikes(Target("catalog")) for _ in range(3)] == [False, True, False]
    assert not fault.strikes(Target("token"))
    assert (fault.listed()["struck"], fault.listed()["skip"]) == (1, 1)
    assert "band" not in fault.listed()


def test_spoilt_content_is_cut_or_random():
    assert spoilt(b"0123456789", "truncated", 0) == b"0123"
    assert len(spoilt(b"0123456789", "garbage", 1)) == 10
    assert spoilt(b"0123456789", "garbage", 1) != spoilt(b"0123456789", "garbage", 2)


@pytest.mark.parametrize(
    ("kind", "expected"), [("zeros", [[0] * 3] * 2), ("wrong_size", [[0], [3]]), ("quota", [[0, 1, 2], [3, 4, 5]])]
)
def test_spoilt_pixels_are_zero_or_half_as_wide_and_others_are_unchanged(kind, expected):
    content = tiff(np.arange(6, dtype=np.uint16).reshape(1, 2, 3), Grid(32643, (0, 0, 30, 20), 3, 2))
    with rasterio.open(io.BytesIO(spoilt(content, kind, 0))) as file:
        assert file.read(1).tolist() == expected
        assert (file.dtypes, file.crs.to_epsg()) == (("uint16",), 32643)
