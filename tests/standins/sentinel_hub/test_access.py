"""Tokens expire, and requests beyond the limits wait: as the official client and others see it."""

import json

import jwt
import pytest
import requests
from sentinelhub.exceptions import OutOfRequestsException

from include.standins.sentinel_hub.access import Limits, Tokens
from include.standins.sentinel_hub.errors import ApiError
from include.standins.sentinel_hub.scenes import Grid
from tests.standins.sentinel_hub.api import SEARCH, SMALL, process_body


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


@pytest.mark.filterwarnings("ignore:Download rate limit hit")
def test_a_limit_that_stays_exhausts_the_clients_retries(api):
    api.fault(kind="rate_limit", retry_after=10)
    with pytest.raises(OutOfRequestsException):
        api.pixels()
    assert [line["status"] for line in api.served() if line["operation"] == "process"] == [429] * 3


def test_a_token_holds_its_client_and_is_of_this_process():
    tokens = Tokens(60)
    token = tokens.issue("demo")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["azp"], claims["exp"] - claims["iat"]) == ("demo", 60)
    assert tokens.is_valid(token)
    assert not Tokens(60).is_valid(token)
    assert not Tokens(0).is_valid(Tokens(0).issue("demo"))


def test_a_bucket_of_requests_empties_and_two_run_at_once():
    limits = Limits(3, "ms")
    with limits.request(), limits.request(), pytest.raises(ApiError) as error, limits.request():
        pass
    assert error.value.headers["X-RateLimit-ViolatedPolicy"] == '{"concurrentRequests": 2}'
    with limits.request():
        pass
    with pytest.raises(ApiError) as error, limits.request():
        pass
    assert json.loads(error.value.headers["X-RateLimit-ViolatedPolicy"]) == {"samplingPeriod": "PT1M", "limit": 3}


def test_without_a_limit_any_number_runs_at_once():
    limits = Limits(0, "ms")
    with limits.request(), limits.request(), limits.request():
        pass
