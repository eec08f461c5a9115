"""A proxy that does not know what to allow does not start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from include.docker_proxy.settings import ProxySettings, is_plain, parse_images, parse_networks, parse_stores

ROOT = Path(__file__).parents[2]
GOOD = {"IMAGES": "a:1 b/c:2", "HOST_DATA_DIR": "/srv/data", "STEP_UID": "50003", "WORKER_UID": "50001"}


@pytest.fixture
def environment(monkeypatch):
    for name, value in GOOD.items():
        monkeypatch.setenv(f"DOCKER_PROXY_{name}", value)
    return monkeypatch


def test_settings_come_from_the_environment(environment):
    environment.setenv("DOCKER_PROXY_MAX_CPUS", "0.5")
    environment.setenv("DOCKER_PROXY_STORES", "scenes  library/public")
    settings = ProxySettings()
    assert settings.images == {"a:1", "b/c:2"}
    assert settings.stores == ("scenes", "library/public")
    assert (settings.host_data_dir, settings.step_uid, settings.max_cpus) == (Path("/srv/data"), 50003, 0.5)


def test_without_the_setting_there_are_no_stores(environment):
    assert ProxySettings().stores == ()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("IMAGES", " ", "must name images as in `docker run`"),
        ("IMAGES", "a:1,b:2", "must name images as in `docker run`"),
        ("IMAGES", "../x", "must name images as in `docker run`"),
        ("STORES", "/scenes", "/scenes: must be a path below the data folder"),
        ("HOST_DATA_DIR", "data", "must be an absolute path"),
        ("HOST_DATA_DIR", "/srv/../data", "must be an absolute path"),
        ("STEP_UID", "0", "greater than or equal to 1"),
        ("WORKER_UID", "0", "greater than or equal to 1"),
        ("MAX_CPUS", "inf", "finite number"),
        ("MAX_MEMORY_MB", "0", "greater than or equal to 64"),
    ],
)
def test_unusable_settings_are_refused_by_name(environment, name, value, sentence):
    environment.setenv(f"DOCKER_PROXY_{name}", value)
    with pytest.raises(ValidationError) as refused:
        ProxySettings()
    (fault,) = refused.value.errors()
    assert fault["loc"] == (name.lower(),)
    assert sentence in fault["msg"]


def test_images_are_named_as_in_docker_run():
    assert parse_images(" registry.example:5000/team/image:1.2 a ") == {"registry.example:5000/team/image:1.2", "a"}


def test_networks_are_those_that_were_made_for_steps():
    assert parse_networks(" crm  meters_net ") == {"crm", "meters_net"}
    for name in ("host", "crm bridge", "container:db", "none"):
        with pytest.raises(ValueError, match="must be networks that were made for steps"):
            parse_networks(name)


MALFORMED = "must be a path below the data folder, in plain letters"
MALFORMED_STORES = (
    "a:", "a:rw", "/a", "a/", "a//b", "../a", "a/..", "a,b", "."
)  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        *((entry, MALFORMED) for entry in MALFORMED_STORES),
        ("runs", "must not lie in `runs`, where a step may see its own run alone"),
        ("runs/dag", "must not lie in `runs`, where a step may see its own run alone"),
        ("mounts", "must not lie in `mounts`, which is the policy server's"),
        ("kept", "must not repeat, contain or lie within the store kept"),
        ("kept/part", "must not repeat, contain or lie within the store kept"),
        ("library", "must not repeat, contain or lie within the store library/public"),
    ],
)
def test_an_unusable_store_is_refused_with_a_sentence(entry, rule):
    with pytest.raises(ValueError, match="must") as refused:
        parse_stores(f"kept library/public {entry}")
    assert str(refused.value) == f"{entry}: {rule}"


def test_each_unusable_store_has_a_sentence():
    with pytest.raises(ValueError, match=r"a:: must be .*; b:: must be .*") as refused:
        parse_stores("a: kept b:")
    assert "kept" not in str(refused.value)


def test_stores_of_similar_names_do_not_overlap():
    assert parse_stores("scenes scenes-old") == ("scenes", "scenes-old")


@pytest.mark.parametrize("part", ["", ".", "..", "a b", "a\n", "a:b", "a" * 256])
def test_a_part_of_a_path_with_a_meaning_of_its_own_is_not_plain(part):
    assert not is_plain(["runs", part])
    assert is_plain(["runs", "manual__2026-03-01T00-00-00+00-00"])


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("/srv/data/runs/a", ["runs", "a"]),
        ("/srv/data/a", ["a"]),
        ("/srv/data", []),
        ("/srv/data/", []),
        ("/srv/data/a/../b", []),
        ("/srv/database/a", []),
        ("runs/a", []),
        (None, []),
    ],
)
def test_a_path_of_the_host_is_read_below_the_data_folder(environment, source, parts):
    settings = ProxySettings()
    assert settings.below_data(source) == parts
    assert not parts or settings.on_host(*parts) == source


def test_every_setting_is_described():
    guide = (ROOT / "docs/guides/docker-proxy.md").read_text()
    for name, field in ProxySettings.model_fields.items():
        assert field.description
        assert f"| `DOCKER_PROXY_{name.upper()}` |" in guide
