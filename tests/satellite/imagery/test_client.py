"""What the client sends, and to whom; the official client's gaps are closed."""

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event, Thread

import pytest
import requests

from include.core.errors import SetupError, TransientError
from include.satellite.imagery import client, service
from include.satellite.imagery.client import Hub, request_slot
from include.satellite.imagery.demo import URL_VARIABLE
from include.satellite.sensors.evalscript import download_script
from include.satellite.sensors.sentinel2 import SENTINEL2


@pytest.fixture
def sent(monkeypatch):
    """The requests that leave this process."""
    seen = []
    send = requests.request

    def record(method, url, **options):
        seen.append((url, options["json"]))
        return send(method, url, **options)

    monkeypatch.setattr(requests, "request", record)
    return seen


def test_a_scene_is_asked_for_as_the_contract_says(api, make_run, sent):
    run = make_run(target_count=1, min_dates=1)
    plan = run.search()
    sent.clear()
    run.download(0)
    [(url, asked)] = sent
    assert url == f"{api.url}/api/v1/process"
    assert asked["input"]["bounds"] == {
        "bbox": list(plan.grid.bounds),
        "properties": {"crs": "http://www.opengis.net/def/crs/EPSG/0/32643"},
    }
    [data] = asked["input"]["data"]
    day = plan.chosen[0]
    assert data["type"] == "sentinel-2-l2a"
    assert data["dataFilter"]["timeRange"] == {"from": f"{day}T00:00:00Z", "to": f"{day}T23:59:59Z"}
    assert data["processing"] == {"harmonizeValues": True, "upsampling": "NEAREST", "downsampling": "NEAREST"}
    assert asked["output"]["width"] == plan.grid.width
    assert asked["output"]["height"] == plan.grid.height
    assert asked["output"]["responses"] == [{"identifier": "default", "format": {"type": "image/tiff"}}]
    assert asked["evalscript"] == download_script(SENTINEL2, plan.bands)


def test_the_catalog_is_asked_for_the_window_with_a_loose_cloud_filter(api, make_run, sent):
    make_run().search()
    url, asked = sent[0]
    assert url == f"{api.url}/api/v1/catalog/1.0.0/search"
    assert asked["collections"] == ["sentinel-2-l2a"]
    assert asked["datetime"] == "2025-05-02T00:00:00Z/2025-07-01T00:00:00Z"
    assert asked["filter"] == "eo:cloud_cover <= 90"


def test_copernicus_data_space_is_another_host_with_another_token(api, make_run, monkeypatch, sent):
    assert service._REAL["cdse"] == (
        "https://sh.dataspace.copernicus.eu",
        "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
    )
    monkeypatch.setitem(service._REAL, "cdse", (api.url, f"{api.url}/auth/realms/CDSE/protocol/openid-connect/token"))
    monkeypatch.setenv("SH_CLIENT_ID", "demo")
    monkeypatch.setenv("SH_CLIENT_SECRET", "demo")
    run = make_run(source="cdse")
    plan = run.search()
    assert plan.source == "cdse"
    assert all(url.startswith(api.url) for url, _ in sent)
    assert run.download(0)[0].file.startswith("sentinel-2-l2a/cdse-")


def test_a_request_is_repeated_within_bounds(api):
    config = Hub("demo", SENTINEL2)._config
    assert (config.sh_base_url, config.sh_client_id) == (api.url, "demo")
    assert config.max_retries == client.BOUNDS.rate_limit_attempts  # the client's default retries 429 for ever


def test_a_users_configuration_of_the_client_is_left_alone(api, make_run, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    make_run().search()
    assert not (tmp_path / "config").exists()


def test_a_service_that_never_gives_a_token_is_not_waited_for_for_ever(make_run, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(client, "BOUNDS", client.Bounds(wall_time_s=0.5))
        started = time.monotonic()
        with pytest.raises(TransientError, match="/token: no token within"):
            make_run().search()
        assert time.monotonic() - started < 2


def test_a_service_that_falls_silent_is_a_transient_fault(api, make_run, monkeypatch):
    run = make_run()
    run.search()
    monkeypatch.setattr(client, "BOUNDS", client.Bounds(attempts=2, first_wait_s=0.01, silence_s=0.3))
    api.fault("latency", operation="process", seconds=1.5)
    with pytest.raises(TransientError, match="cannot be reached: no answer in time"):
        run.download(0)


def test_hubs_are_made_by_threads_side_by_side(api, data_dir):
    with ThreadPoolExecutor(8) as pool:
        hubs = list(pool.map(lambda _: Hub("demo", SENTINEL2), range(16)))
    assert len({id(hub._collection) for hub in hubs}) == 1


class TestSlots:
    """Two requests at once on a machine."""

    def test_a_third_waits_until_one_is_free(self, tmp_path):
        order, free = [], Event()

        def hold(name):
            with request_slot(tmp_path):
                order.append(name)
                free.wait(5)

        threads = [Thread(target=hold, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        assert len(order) == client.AT_ONCE
        free.set()
        for thread in threads:
            thread.join()
        assert sorted(order) == ["a", "b", "c"]

    def test_a_free_slot_is_taken_without_waiting(self, tmp_path, monkeypatch):
        monkeypatch.setattr(client.time, "sleep", lambda _: pytest.fail("a slot is free"))
        with ExitStack() as slots:
            for _ in range(client.AT_ONCE):
                slots.enter_context(request_slot(tmp_path))

    def test_a_holder_that_dies_frees_it(self, tmp_path):
        children = []
        for _ in range(client.AT_ONCE):
            if (child := os.fork()) == 0:
                slot = request_slot(tmp_path)
                slot.__enter__()
                (tmp_path / f"held{os.getpid()}").touch()
                time.sleep(60)
            children.append(child)
        while len(list(tmp_path.glob("held*"))) < client.AT_ONCE:
            time.sleep(0.01)
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)
        with request_slot(tmp_path):
            pass

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").touch()
        with (
            pytest.raises(SetupError, match="cannot be locked: Not a directory"),
            request_slot(tmp_path / "file" / "slots"),
        ):
            pass


def test_documents_of_the_run_are_plain_json(api, make_run):
    run = make_run()
    run.go()
    for name in ("search.json", "imagery.json", "acquisitions/000.json"):
        assert json.loads((run.files / name).read_text())
