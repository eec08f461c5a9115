"""The HTTP side: paths, sessions, tokens, limits, what is remembered, and who may inject faults."""

import json
from datetime import date

import jwt
import numpy as np
import pytest
import requests
import uvicorn
from fastapi.testclient import TestClient
from oauthlib.oauth2.rfc6749.errors import InvalidClientError
from sentinelhub import SentinelHubSession
from sentinelhub.exceptions import OutOfRequestsException

from include.standins.sentinel_hub.errors import ApiError
from include.standins.sentinel_hub.scenes import Grid
from include.standins.sentinel_hub.server import Hub, Limits, ServerSettings, Tokens, make_app, running, serve
from tests.standins.sentinel_hub.api import SEARCH, SMALL, Api, process_body


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


@pytest.mark.filterwarnings("ignore:Using .httpx. with .starlette.testclient.")
def test_the_control_is_for_this_machine_alone(simulator):
    far = TestClient(make_app(simulator), client=("192.0.2.7", 5000))
    near = TestClient(make_app(simulator), client=("127.0.0.1", 5000))
    for path in ("/control/faults", "/control/requests"):
        assert far.get(path).status_code == 403
        assert near.get(path).status_code == 200
    assert far.post("/control/faults", json={"kind": "zeros"}).status_code == 403
    assert far.delete("/control/faults").status_code == 403


def test_the_server_remembers_what_it_served(api):
    api.pixels(day=date(2024, 7, 28))
    line = api.served()[-1]
    assert (line["operation"], line["status"], line["date"]) == ("process", 200, "2024-07-28")
    assert line["bands"][:2] == ["B02", "B03"]
    assert line["units"] == pytest.approx(80 * 100 / 512**2 * 5 / 3)
    assert np.isfinite(line["units"])


def test_an_app_answers_for_its_scenes_without_a_socket(simulator):
    client = TestClient(make_app(simulator))
    form = {"grant_type": "client_credentials", "client_id": "demo", "client_secret": "demo"}
    token = client.post("/oauth/token", data=form).json()["access_token"]
    answer = client.post("/catalog/v1/search", json=SEARCH, headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["context"]["returned"] == 10
    assert client.get("/nowhere").status_code == 404


def test_a_running_server_ends_with_its_block(simulator):
    with running(simulator) as url:
        assert requests.get(f"{url}/control/requests", timeout=30).json() == []
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/control/requests", timeout=5)


def test_a_served_address_is_printed_before_it_serves(simulator, monkeypatch, capsys):
    ports = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda _, sockets: ports.append(sockets[0].getsockname()[1]))
    serve(simulator, ServerSettings(), 0)
    assert capsys.readouterr().out == f"listening on http://127.0.0.1:{ports[0]}\n"


def test_a_hub_forgets_its_answers(simulator):
    hub = Hub(simulator, ServerSettings())
    hub.served.append({"operation": "token", "status": 200})
    assert hub.answers() == [{"operation": "token", "status": 200}]
    assert hub.forget() == hub.answers() == []


def test_a_token_expires(serve, simulator):
    api = serve(simulator, token_seconds=0)
    answer = api.post("/api/v1/process", process_body())
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "COMMON_UNAUTHORIZED"
    assert answer.json()["error"]["message"].startswith("You are not authorized! Please provide a valid access token")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.AAAA"])
def test_a_token_of_another_issuer_is_refused(api, token):
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


@pytest.mark.filterwarnings("ignore:Download rate limit hit")
def test_the_client_comes_through_a_limit_by_waiting(serve, simulator):
    api = serve(simulator, rate_limit=600, latency=0.3)
    api.config.max_retries = 50
    requested = [api.request(grid=Grid(32643, SMALL.bounds, 5, 4)).download_list[0] for _ in range(6)]
    assert len(api.client().download(requested, max_threads=4)) == 6
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
    tokens.check(f"Bearer {token}")
    expired = Tokens(0)
    for other, authorization in (
        (Tokens(60), f"Bearer {token}"),
        (expired, f"Bearer {expired.issue('demo')}"),
        (tokens, f"Basic {token}"),
        (tokens, ""),
    ):
        with pytest.raises(ApiError) as error:
            other.check(authorization)
        assert error.value.status == 401


def test_a_bucket_of_requests_empties_and_two_run_at_once():
    limits = Limits(3)
    with limits.request(), limits.request(), pytest.raises(ApiError) as error, limits.request():
        pass
    assert error.value.headers["X-RateLimit-ViolatedPolicy"] == '{"concurrentRequests": 2}'
    assert error.value.headers["Retry-After"] == "200"
    with limits.request():
        pass
    with pytest.raises(ApiError) as error, limits.request():
        pass
    assert json.loads(error.value.headers["X-RateLimit-ViolatedPolicy"]) == {"samplingPeriod": "PT1M", "limit": 3}


def test_without_a_limit_any_number_runs_at_once():
    limits = Limits(0)
    with limits.request(), limits.request(), limits.request():
        pass
