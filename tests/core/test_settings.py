"""Settings come from the environment, are checked, and do not change while a process lives."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from include.core.errors import SetupError
from include.core.settings import ROOT, Settings, get_settings, read_settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"GROUNDTRUTH_{name.upper()}", raising=False)


def test_without_an_environment_everything_lies_in_the_checkout_and_runs_locally(monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 1234)
    settings = Settings()
    assert (settings.runtime, settings.data_dir, settings.step_uid) == ("local", ROOT / "data", 1234)
    assert settings.definitions_dir == ROOT / "include/config"
    assert (settings.host_data_dir, settings.run_folder) == (None, None)


def test_steps_never_run_as_root(monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert Settings().step_uid == 50000
    monkeypatch.setenv("GROUNDTRUTH_STEP_UID", "0")
    with pytest.raises(ValidationError, match="step_uid"):
        Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("runtime", "docker", "docker"),
        ("data_dir", "/srv/data", Path("/srv/data")),
        ("host_data_dir", "/host/data", Path("/host/data")),
        ("input_dirs", "/a:/b", "/a:/b"),
        ("definitions_dir", "/srv/definitions", Path("/srv/definitions")),
        ("step_uid", "1001", 1001),
        ("run_folder", "/srv/run", Path("/srv/run")),
    ],
)
def test_each_setting_is_read_from_the_environment(monkeypatch, name, text, value):
    monkeypatch.setenv(f"GROUNDTRUTH_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_every_setting_is_described():
    assert all(re.search(r"\w.*\.$", field.description or "") for field in Settings.model_fields.values())


def test_an_unknown_runtime_is_refused(monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_RUNTIME", "kubernetes")
    with pytest.raises(ValidationError, match="must be one of local, docker"):
        Settings()


def test_settings_are_frozen_and_read_once():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().runtime = "docker"
    assert get_settings() is get_settings()


def test_runs_may_read_the_inbox_unless_folders_are_named(tmp_path):
    assert Settings(data_dir=tmp_path).allowed_inputs == (tmp_path.resolve() / "inbox",)
    named = Settings(data_dir=tmp_path, input_dirs=f"{tmp_path}/a:{tmp_path}/b/../c:")
    assert named.allowed_inputs == (tmp_path.resolve() / "a", tmp_path.resolve() / "c")


def test_impossible_settings_are_named_all_at_once(monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_STEP_UID", "0")
    monkeypatch.setenv("GROUNDTRUTH_KEEP_RUNS_DAYS", "soon")
    message = r"GROUNDTRUTH_STEP_UID: .* \(got '0'\); GROUNDTRUTH_KEEP_RUNS_DAYS: .* \(got 'soon'\)"
    with pytest.raises(SetupError, match=message):
        read_settings(Settings)


TILES = "https://tile.example.org:8443/{z}/{x}/{y}.png?style=light"


def test_a_basemap_has_an_attribution_and_one_origin():
    assert Settings().basemap is None
    basemap = Settings(basemap_url=TILES, basemap_attribution=" © Example ").basemap
    assert basemap == (TILES, "© Example", "https://tile.example.org:8443")
    with pytest.raises(ValidationError, match="must state whose map"):
        Settings(basemap_url=TILES)


@pytest.mark.parametrize(
    "url",
    [
        "https://tile.example.org/{z}/{x}.png",
        "https://tile.example.org/{z}/{x}/{y}/{y}.png",
        "https://{s}.tile.example.org/{z}/{x}/{y}.png",
        "https://*/{z}/{x}/{y}.png",
        "https://a.example; script-src *//{z}/{x}/{y}.png",
        "javascript:alert(1)//{z}/{x}/{y}",
        "//tile.example.org/{z}/{x}/{y}.png",
    ],
)
def test_an_address_that_is_no_template_of_tiles_is_refused(url):
    with pytest.raises(ValidationError, match="must be an http or https address"):
        Settings(basemap_url=url, basemap_attribution="© Example")


@pytest.mark.parametrize("url", ["ftp://a", "http://user:token@a:1", "http://a:1?key=1", "a:1"])
def test_the_address_of_a_service_holds_no_secret(url):
    with pytest.raises(ValidationError, match="the token belongs into a connection"):
        Settings(service_url=url)
    assert Settings(service_url="https://a:8443/api").service_url == "https://a:8443/api"
