"""The HTTP side: paths, sessions, what is remembered, and who may inject faults."""

from datetime import date

import numpy as np
import pytest
import requests
import uvicorn
from fastapi.testclient import TestClient
from oauthlib.oauth2.rfc6749.errors import InvalidClientError
from sentinelhub import SentinelHubSession

from include.standins.sentinel_hub.server import ServerSettings, make_app, running, serve
from tests.standins.sentinel_hub.api import SEARCH, Api, process_body


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
