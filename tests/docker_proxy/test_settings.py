"""A door that does not know what to allow does not open."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from include.docker_proxy.__main__ import unusable
from include.docker_proxy.settings import DoorSettings

ROOT = Path(__file__).parents[2]
GOOD = {"IMAGES": "a:1 b/c:2", "HOST_DATA_DIR": "/srv/data", "STEP_UID": "50000"}


@pytest.fixture
def environment(monkeypatch):
    for name, value in GOOD.items():
        monkeypatch.setenv(f"DOCKER_PROXY_{name}", value)
    return monkeypatch


def test_settings_come_from_the_environment(environment):
    environment.setenv("DOCKER_PROXY_MAX_CPUS", "0.5")
    settings = DoorSettings()
    assert settings.allowed_images == {"a:1", "b/c:2"}
    assert (settings.host_data_dir, settings.step_uid, settings.max_cpus) == (Path("/srv/data"), 50000, 0.5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IMAGES", " ", "images: must name images"),
        ("IMAGES", "a:1,b:2", "images: must name images"),
        ("IMAGES", "../x", "images: must name images"),
        ("HOST_DATA_DIR", "data", "host_data_dir: must be an absolute path"),
        ("HOST_DATA_DIR", "/srv/../data", "host_data_dir: must be an absolute path"),
        ("STEP_UID", "0", "greater than or equal to 1"),
        ("MAX_CPUS", "inf", "finite number"),
        ("MAX_MEMORY_MB", "0", "greater than or equal to 64"),
    ],
)
def test_unusable_settings_are_refused(environment, name, value, said):
    environment.setenv(f"DOCKER_PROXY_{name}", value)
    with pytest.raises(ValidationError, match=said):
        DoorSettings()


def test_a_start_without_settings_names_them_all():
    done = subprocess.run(
        [sys.executable, "-m", "include.docker_proxy"], cwd=ROOT, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: DOCKER_PROXY_IMAGES: Field required; DOCKER_PROXY_HOST_DATA_DIR: Field required; "
        "DOCKER_PROXY_STEP_UID: Field required\n"
    )


def test_a_missing_socket_or_folder_is_named(settings, tmp_path):
    import socket

    def having(**more):
        return settings.model_copy(update={"engine_socket": tmp_path / "engine.sock", **more})

    assert unusable(having()) == f"{tmp_path}/engine.sock: no socket; mount the engine's socket there"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "engine.sock"))
        assert unusable(having()) == ""
        gone = tmp_path / "gone"
        assert unusable(having(data_dir=gone)) == f"{gone}: no folder; mount the data folder there, read-only"


def test_every_setting_is_described():
    guide = (ROOT / "docs/guides/docker-door.md").read_text()
    for name, field in DoorSettings.model_fields.items():
        assert field.description
        assert f"| `DOCKER_PROXY_{name.upper()}` |" in guide
