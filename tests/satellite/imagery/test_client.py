"""What the client sends, and to whom; the official client's gaps are closed."""

import json
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
import requests

from include.core.errors import SetupError, TransientError
from include.satellite.imagery import client, demo, deployment, slots
from include.satellite.imagery.client import Hub
from include.satellite.imagery.demo import URL_VARIABLE, demo_url
from include.satellite.imagery.evalscript import download_script
from include.satellite.imagery.fetch import day_interval, two_at_once
from include.satellite.imagery.slots import request_slot

START, END = datetime(2025, 6, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)


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
    assert asked["evalscript"] == download_script(plan.bands)


def test_the_catalog_is_asked_for_the_window_with_a_loose_cloud_filter(api, make_run, sent):
    make_run().search()
    url, asked = sent[0]
    assert url == f"{api.url}/api/v1/catalog/1.0.0/search"
    assert asked["collections"] == ["sentinel-2-l2a"]
    assert asked["datetime"] == "2025-05-02T00:00:00Z/2025-07-01T00:00:00Z"
    assert asked["filter"] == "eo:cloud_cover <= 90"


def test_copernicus_data_space_is_another_host_with_another_token(api, make_run, monkeypatch, sent):
    assert deployment._REAL["cdse"] == (
        "https://sh.dataspace.copernicus.eu",
        "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
    )
    monkeypatch.setitem(
        deployment._REAL, "cdse", (api.url, f"{api.url}/auth/realms/CDSE/protocol/openid-connect/token")
    )
    monkeypatch.setenv("SH_CLIENT_ID", "demo")
    monkeypatch.setenv("SH_CLIENT_SECRET", "demo")
    run = make_run(source="cdse")
    plan = run.search()
    assert plan.source == "cdse"
    assert all(url.startswith(api.url) for url, _ in sent)
    assert run.download(0)[0].file.startswith("sentinel-2-l2a/cdse-")


def test_the_real_service_gets_the_credentials_of_the_environment(monkeypatch):
    monkeypatch.setenv("SH_CLIENT_ID", "me")
    monkeypatch.setenv("SH_CLIENT_SECRET", "mine")
    found = deployment.deployment("sentinelhub")
    assert (found.client_id, found.client_secret) == ("me", "mine")
    assert found.base_url == "https://services.sentinel-hub.com"
    config = client._config(found)
    assert (config.sh_base_url, config.sh_token_url) == (found.base_url, found.token_url)
    assert config.max_retries == client.BOUNDS.rate_limit_attempts  # the client's default retries 429 for ever


def test_a_users_configuration_of_the_client_is_left_alone(api, make_run, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    make_run().search()
    assert not (tmp_path / "config").exists()


def test_a_service_that_never_gives_a_token_is_not_waited_for_for_ever(make_run, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(client, "BOUNDS", client.Bounds(wall=0.5))
        started = time.monotonic()
        with pytest.raises(TransientError, match="/token: no token within"):
            make_run().search()
        assert time.monotonic() - started < 2


def test_a_service_that_falls_silent_is_a_transient_fault(api, make_run, monkeypatch):
    monkeypatch.setattr(client, "BOUNDS", client.Bounds(attempts=2, first_wait=0.01, answer=0.3))
    run = make_run()
    run.search()
    api.fault("latency", operation="process", seconds=1.5)
    with pytest.raises(TransientError, match="cannot be reached: no answer in time"):
        run.download(0)


def test_hubs_are_made_by_threads_side_by_side(api, data_dir):
    with ThreadPoolExecutor(8) as pool:
        hubs = list(pool.map(lambda _: Hub("demo"), range(16)))
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
        assert len(order) == slots.AT_ONCE
        free.set()
        for thread in threads:
            thread.join()
        assert sorted(order) == ["a", "b", "c"]

    def test_a_holder_that_dies_frees_it(self, tmp_path):
        children = []
        for _ in range(slots.AT_ONCE):
            if (child := os.fork()) == 0:
                slot = request_slot(tmp_path)
                slot.__enter__()
                (tmp_path / f"held{os.getpid()}").touch()
                time.sleep(60)
            children.append(child)
        while len(list(tmp_path.glob("held*"))) < slots.AT_ONCE:
            time.sleep(0.01)
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)
        with request_slot(tmp_path):
            pass

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(SetupError, match="cannot be written"), request_slot(tmp_path / "file" / "slots"):
            pass


class TestTwoAtOnce:
    """Two threads, results in order, nothing begun after a fault."""

    def test_the_results_keep_the_order(self):
        assert list(two_at_once(lambda n: (time.sleep(0.01 * (3 - n % 3)), n)[1], range(20))) == list(range(20))

    def test_the_first_fault_ends_it(self):
        begun = []

        def fail_at_three(number):
            begun.append(number)
            time.sleep(0.02)
            if number == 3:
                raise RuntimeError("three")

        with pytest.raises(RuntimeError, match="three"):
            list(two_at_once(fail_at_three, range(100)))
        assert len(begun) <= 6


@pytest.mark.parametrize(
    ("day", "interval"),
    [
        (date(2025, 6, 10), ("2025-06-10T00:00:00", "2025-06-10T23:59:59")),
        (date(2025, 6, 1), ("2025-06-01T00:00:00", "2025-06-01T23:59:59")),
    ],
)
def test_a_day_is_asked_for_whole(day, interval):
    assert [each.isoformat()[:19] for each in day_interval(day, START, END)] == list(interval)


def test_the_windows_edges_cut_a_day():
    start, end = START.replace(hour=5), END.replace(day=1, hour=12)
    assert day_interval(start.date(), start, end)[0] == start
    assert day_interval(end.date(), start, end)[1] == end.replace(hour=11, minute=59, second=59)


class TestDemo:
    """The stand-in as a child process."""

    def test_it_is_started_once_and_answers(self, monkeypatch):
        monkeypatch.delenv(URL_VARIABLE, raising=False)
        url = demo_url()
        assert demo_url() == url
        assert requests.get(f"{url}/control/requests", timeout=5).json() == []
        demo._stop(demo._children.pop().process)
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)

    def test_the_running_one_is_taken_where_it_is_named(self, monkeypatch):
        monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:4711/")
        assert demo_url() == "http://127.0.0.1:4711"

    def test_it_ends_with_its_parent(self, tmp_path):
        program = "import os, include.satellite.imagery.demo as d; print(d.demo_url(), flush=True); os._exit(1)"
        import subprocess

        environment = {name: value for name, value in os.environ.items() if name != URL_VARIABLE}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60,
            cwd=Path(__file__).parents[3], check=False,
        )  # fmt: skip
        url = done.stdout.strip()
        assert url.startswith("http://127.0.0.1:")
        for _ in range(100):
            try:
                requests.get(f"{url}/control/requests", timeout=5)
            except requests.ConnectionError:
                return
            time.sleep(0.1)
        pytest.fail("the stand-in outlived its parent")

    def test_one_that_does_not_start_is_a_matter_of_the_machine(self):
        with pytest.raises(SetupError, match="did not start"), demo.stand_in("--scenes", "/nowhere/at/all"):
            pass


def test_documents_of_the_run_are_plain_json(api, make_run):
    run = make_run()
    run.go()
    for name in ("search.json", "imagery.json", "acquisitions/000.json"):
        assert json.loads((run.files / name).read_text())
