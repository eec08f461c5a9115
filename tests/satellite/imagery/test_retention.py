"""Scenes that nobody has used for long may go, and those that exceed the store's size, the longest unused first."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.core.housekeeping import tidy
from include.satellite.imagery.retention import expired_scenes, remove_scene
from include.satellite.imagery.store import scene_path

NOW = datetime.now(UTC)


def scene(data: Path, day: str, unused_days: float, size: int = 1000) -> Path:
    path = data / f"imagery/s2/demo-abc/{day}_1a2b3c4d_5e6f7a8b.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    then = (NOW - timedelta(days=unused_days)).timestamp()
    os.utime(path, (then, then))
    return path


def expired(data: Path) -> list[list[str]]:
    return [[path.name[:10] for path in subject.paths] for subject in expired_scenes(data, NOW)]


def test_scenes_unused_for_a_year_expire_the_longest_unused_first(data_dir):
    for day, unused in (("2024-01-01", 366), ("2024-01-02", 400), ("2024-01-03", 364)):
        scene(data_dir, day, unused)
    assert expired(data_dir) == [["2024-01-02", "2024-01-01"], []]


def test_what_exceeds_the_size_expires_but_nothing_that_was_used_within_a_day(data_dir, monkeypatch):
    monkeypatch.setenv("GROUNDTRUTH_KEEP_IMAGERY_GB", "0.000002")
    for day, unused in (("2024-01-01", 5), ("2024-01-02", 3), ("2024-01-03", 0.5), ("2024-01-04", 0.2)):
        scene(data_dir, day, unused)
    assert expired(data_dir) == [[], ["2024-01-01", "2024-01-02"]]
    monkeypatch.setenv("GROUNDTRUTH_KEEP_IMAGERY_GB", "0.0000001")
    assert expired(data_dir) == [[], ["2024-01-01", "2024-01-02"]]


@pytest.mark.parametrize("name", ["GROUNDTRUTH_KEEP_IMAGERY_DAYS", "GROUNDTRUTH_KEEP_IMAGERY_GB"])
def test_0_keeps_all(data_dir, monkeypatch, name):
    monkeypatch.setenv("GROUNDTRUTH_KEEP_IMAGERY_DAYS", "0")
    monkeypatch.setenv(name, "0")
    scene(data_dir, "2024-01-01", 4000)
    assert expired(data_dir) == [[], []]


def test_a_scene_that_is_used_again_stays_and_one_that_is_removed_is_fetched_again(world, data_dir):
    kept = world.add()
    path = scene_path(kept)
    os.utime(path, (1, 1))
    assert expired(data_dir) == [[path.name[:10]], []]
    [found] = world.store.between(kept.datetime, kept.datetime + timedelta(days=1))
    assert expired(data_dir) == [[], []], "it was used now"
    os.utime(path, (1, 1))
    list(tidy(expired_scenes(data_dir, NOW), dry_run=False))
    assert not path.exists()
    assert world.store.between(found.datetime, found.datetime + timedelta(days=1)) == []
    assert not list(world.store.folder.glob("*.json"))


def test_the_acquisition_of_a_newer_scene_of_the_same_products_stays(world):
    path = scene_path(world.add())
    older = path.with_name(f"{path.stem.rpartition('_')[0]}_00000000.tif")
    older.write_bytes(b"")
    remove_scene(older)
    assert path.exists()
    assert len(list(world.store.folder.glob("*.json"))) == 1
