"""`python -m include.docker_proxy` starts with usable settings only, and names every fault."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from include.docker_proxy.__main__ import missing
from include.docker_proxy.check import is_healthy

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "include.docker_proxy"]


def start(**settings):
    environment = {f"DOCKER_PROXY_{name}": str(value) for name, value in settings.items()}
    return subprocess.run(COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_start_without_settings_names_them_all():
    process = start()
    assert process.returncode == 1
    assert process.stderr == (
        "error: DOCKER_PROXY_IMAGES: Field required; DOCKER_PROXY_HOST_DATA_DIR: Field required; "
        "DOCKER_PROXY_STEP_UID: Field required; DOCKER_PROXY_WORKER_UID: Field required\n"
    )


def test_a_start_with_unusable_stores_has_a_sentence_for_each():
    process = start(IMAGES="a", HOST_DATA_DIR="/srv/data", STEP_UID=50003, WORKER_UID=50001, STORES="/scenes runs kept")
    assert process.returncode == 1
    assert process.stderr == (
        "error: DOCKER_PROXY_STORES: /scenes: must be a path below the data folder, in plain letters; "
        "runs: must not lie in `runs`, where a step may see its own run alone\n"
    )


def test_a_missing_socket_or_folder_is_named(settings, tmp_path):
    engine_socket = tmp_path / "engine.sock"

    users = {"worker_uid": os.getuid() + 1, "step_uid": os.getuid() + 2}

    def faults(**changes):
        return missing(settings.model_copy(update={"engine_socket": engine_socket, **users, **changes}))

    assert faults() == [f"{engine_socket}: is not a socket; mount the engine's socket there"]
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(engine_socket))
        assert faults() == []
        absent = tmp_path / "absent"
        assert faults(data_dir=absent) == [f"{absent}: is not a folder; mount the data folder there"]
        own = faults(worker_uid=os.getuid())
        assert own == [f"user {os.getuid()}: is the workers' or the steps'; run this service as a user of its own"]


def test_the_server_listens_for_its_group_alone_and_stops_when_asked(tmp_path):
    listen, engine_socket = tmp_path / "policy.sock", tmp_path / "engine.sock"
    settings = {
        "IMAGES": "a", "HOST_DATA_DIR": "/srv/data", "STEP_UID": "50003", "WORKER_UID": "50001",
        "DATA_DIR": tmp_path, "LISTEN": listen, "ENGINE_SOCKET": engine_socket,
    }  # fmt: skip
    environment = {f"DOCKER_PROXY_{name}": str(value) for name, value in settings.items()}
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(engine_socket))
        process = subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            deadline = time.monotonic() + 10
            while not listen.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert '"verdict": "started"' in line
            assert os.stat(listen).st_mode & 0o777 == 0o660  # noqa: PTH116
            assert not is_healthy(listen), "the engine refuses connections"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            process.stdout.close()
