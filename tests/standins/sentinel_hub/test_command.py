"""The command: says where it listens, and ends with its parent."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import requests

from tests.standins.sentinel_hub.api import Api

COMMAND = [sys.executable, "-m", "include.standins.sentinel_hub"]


def run(*options):
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def start():
    started = []

    def begin(*options):
        process = subprocess.Popen([*COMMAND, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        return process, line.removeprefix("listening on ").strip()

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_it_serves_and_ends_when_its_standard_input_closes(start):
    process, url = start("--world", "simple", "--seed", "7919", "--rate-limit", "60", "--latency-ms", "50")
    feature = Api(url).search(end="2024-02-01")[0]
    assert "SIM-simple-7919" in feature["id"]
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/control/faults", timeout=5)


def test_it_serves_a_folder(start, tmp_path):
    (tmp_path / "scenes").mkdir()
    profile = {"driver": "GTiff", "count": 1, "width": 4, "height": 4, "dtype": "uint16", "crs": "EPSG:32643"}
    transform = rasterio.Affine(10, 0, 576_000, 0, -10, 3_420_040)
    with rasterio.open(tmp_path / "scenes" / "S2_20240103.tif", "w", **profile, transform=transform) as file:
        file.write(np.full((1, 4, 4), 900, np.uint16))
        file.descriptions = ("B04",)
    (tmp_path / "index.json").write_text(
        json.dumps({"items": [{"date": "2024-01-03", "file": "scenes/S2_20240103.tif"}]})
    )
    _, url = start("--scenes", str(tmp_path))
    [feature] = Api(url).search(bbox=(75.79, 30.90, 75.80, 30.92))
    assert feature["properties"]["cloud_unknown"] is True


def test_a_folder_without_scenes_is_said_in_one_line(tmp_path):
    done = run("--scenes", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}: there are no scenes (scenes/*.tif, ")
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run("--port", str(other.getsockname()[1]))
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert done.stderr.count("\n") == 1
