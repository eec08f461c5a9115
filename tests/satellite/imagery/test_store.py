"""The imagery store: intact, atomic, shared."""

import json
import multiprocessing
import os
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from include.core.artifacts import sha256
from include.core.errors import ContractError, GroundtruthError, SetupError
from include.satellite.imagery.area import area_geometry, inside_mask
from include.satellite.imagery.scenes import read_layers
from include.satellite.imagery.schemas import Acquisition, Candidate, Preview
from include.satellite.imagery.store import ImageryStore, scene_path, store_root
from include.satellite.params import AreaParams

WINDOW = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def candidate(acquisition):
    return Candidate(
        date=acquisition.date,
        datetime=acquisition.datetime,
        product_ids=acquisition.product_ids,
        tile_cloud=3.0,
        synthetic=False,
        clear=100,
        cloud=0,
        usable=True,
    )


def test_what_was_put_is_found_with_all_that_is_known_of_it(world):
    kept = world.add()
    found = world.store.find(candidate(kept))
    assert found == kept.model_copy(update={"fetched": False, "units_spent": 0.0})
    assert found.clear == 100
    path = scene_path(found)
    assert (sha256(path), path.stat().st_size) == (found.sha256, found.bytes)
    assert (read_layers(path) == world.scene(0)).all()
    assert not list(world.store.folder.glob(".*"))


def test_the_metadata_beside_a_scene_is_the_acquisition(world):
    kept = world.add(synthetic=True)
    [path] = world.store.folder.glob("*.json")
    assert Acquisition.model_validate_json(path.read_text()) == kept
    assert {"product_ids", "datetime", "tile_cloud", "units_spent", "source", "synthetic", "sha256"} <= set(
        json.loads(path.read_text())
    )


def spoil_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_a_byte,
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: next(path.parent.glob("*.json")).write_text("{"),
        lambda path: next(path.parent.glob("*.json")).write_text("{}"),
        lambda path: next(path.parent.glob("*.json")).unlink(),
    ],
    ids=["a bit", "cut", "empty", "no scene", "half metadata", "other metadata", "no metadata"],
)
def test_what_is_damaged_is_not_there_and_heals_when_put_again(world, spoil):
    kept = world.add()
    spoil(world.path(kept))
    assert world.store.find(candidate(kept)) is None
    assert world.store.between(*WINDOW) == []
    again = world.store.put(world.draft(0), world.scene(0))
    assert again == kept
    assert world.store.find(candidate(kept)) is not None


def test_other_products_of_the_day_are_another_acquisition(world):
    kept = world.add()
    other = candidate(kept).model_copy(update={"product_ids": ["S2B_reprocessed"]})
    assert world.store.find(other) is None
    same = candidate(kept.model_copy(update={"product_ids": list(reversed(kept.product_ids))}))
    assert world.store.find(same) is not None


def test_an_area_with_the_same_grid_is_judged_by_its_own_pixels(world):
    def cloud_in_the_north(scene):
        scene[4, : world.grid.height // 2] = 9

    kept = world.add(cloud_in_the_north)
    assert kept.cloud == pytest.approx(50, abs=2)
    west, south, east, north = 75.80, 30.90, 75.806, 30.905
    ring = [[west, south], [east, south], [east, south + 0.0001], [west + 0.0001, south + 0.0001],
            [west + 0.0001, north], [west, north], [west, south]]  # fmt: skip
    # an L along the west and the south edge: the same bounds, mostly clear or half cloudy
    geometry = area_geometry(AreaParams(geojson={"type": "Polygon", "coordinates": [ring]}))
    inside = inside_mask(geometry, world.grid)
    other = ImageryStore(world.scope.model_copy(update={"geometry": geometry}))
    found = other.find(candidate(kept))
    assert found.file == kept.file
    expected = 100 * (world.scene(0)[0] > 0)[: world.grid.height // 2][inside[: world.grid.height // 2]].sum()
    assert found.cloud == pytest.approx(expected / inside.sum(), abs=0.01)


def test_a_window_lists_the_clearest_acquisition_of_each_date(world):
    for _ in range(3):
        world.add()
    cloudy = world.scene(1)
    cloudy[4, :10] = 9
    world.store.put(world.draft(1, product_ids=["S2B_again"]), cloudy)
    found = world.store.between(*WINDOW)
    assert [each.date for each in found] == [date(2025, 1, 1), date(2025, 1, 11), date(2025, 1, 21)]
    assert found[1].clear == 100
    start = datetime(2025, 1, 11, 5, tzinfo=UTC)
    assert [each.date.day for each in world.store.between(start, start + timedelta(days=10))] == [11]


def test_previews_are_kept_for_the_very_area(world):
    def day(number, *product_ids):
        return world.draft(0, date=date(2025, 1, number), product_ids=list(product_ids))

    preview = Preview(date=date(2025, 1, 1), product_ids=["a", "b"], clear=91.5, cloud=4.5)
    world.store.keep_preview(preview)
    assert world.store.find_preview(day(1, "b", "a")) == preview
    assert world.store.find_preview(day(1, "a")) is None
    assert world.store.find_preview(day(2, "a", "b")) is None
    next(world.store.folder.glob("looks/*/*.json")).write_text("half")
    assert world.store.find_preview(day(1, "a", "b")) is None


def test_a_store_that_cannot_be_written_is_said_by_name(world):
    world.store.folder.parent.mkdir(parents=True)
    world.store.folder.write_text("in the way")
    with pytest.raises(SetupError, match="cannot be written"):
        world.add()


def write_often(world, level, seed):
    for _ in range(15):
        scene = world.scene(0)
        scene[0] += level
        kept = world.store.put(world.draft(0), scene)
        assert sha256(scene_path(kept)) == kept.sha256, seed


def test_two_processes_that_write_one_date_at_once_leave_it_intact(world):
    """Also where they were served different pixels: each run's own record names a whole file."""
    world.store.put(world.draft(0), world.scene(0))
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(world, level, level)) for level in (0, 7)]
    for writer in writers:
        writer.start()
    wanted, looked = candidate(world.draft(0)), 0
    while any(writer.is_alive() for writer in writers):
        found = world.store.find(wanted)
        assert found is not None
        looked += 1
        assert int((read_layers(scene_path(found))[0].astype(int) - world.scene(0)[0]).max()) in (0, 7)
    assert looked > 3
    assert [writer.exitcode for writer in writers] == [0, 0]


def test_nodata_is_neither_clear_nor_cloud(world):
    def half_of_the_swath(scene):
        scene[:, :, : world.grid.width // 2] = 0
        scene[4, :, : world.grid.width // 2] = 9  # the classes of pixels without data count for nothing

    kept = world.add(half_of_the_swath)
    assert kept.nodata == pytest.approx(50, abs=2)
    assert kept.clear == pytest.approx(100 - kept.nodata, abs=0.01)
    assert (kept.cloud, kept.shadow) == (0, 0)
    assert np.isclose(kept.clear + kept.nodata, 100)


def test_half_written_files_are_swept_once_they_are_old(world):
    kept = world.add()
    old, fresh = world.path(kept).with_name(".old.tif"), world.path(kept).with_name(".fresh.tif")
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    world.store.sweep()
    assert not old.exists()
    assert fresh.exists()
    assert world.path(kept).is_file()


def test_an_acquisition_without_a_scene_has_no_path(world):
    with pytest.raises(ValueError, match="2025-01-01 has no scene: too cloudy"):
        scene_path(world.draft(0, usable=False, reason="too cloudy"))
    assert scene_path(world.draft(0, file="a/b.tif")) == store_root() / "a" / "b.tif"


@pytest.mark.parametrize(
    "file",
    [
        "../models/store/x.tif", "a/../../x.tif", "/etc/passwd.tif", "a/b/c/d.tif", ".hidden.tif", "a/.b/c.tif",
        "a/b.json", "a/b.TIF", "a/b.tif\0", "a\0/b.tif", "a/b.tif\n", "", "a//b.tif",
    ],
)  # fmt: skip
def test_an_acquisition_that_names_a_file_elsewhere_is_refused(world, file):
    with pytest.raises(ContractError, match=r"file of the acquisition of .*: must match .* and lie inside imagery/"):
        scene_path(world.draft(0, file=file))


def test_an_acquisition_of_the_store_that_names_a_file_elsewhere_is_not_intact(world):
    kept = world.add()
    [path] = world.store.folder.glob("*.json")
    path.write_text(kept.model_copy(update={"file": "../../secrets.tif"}).model_dump_json())
    assert world.store.find(candidate(kept)) is None


def test_a_link_out_of_the_store_is_refused(world, tmp_path):
    kept = world.add()
    path = scene_path(kept)
    path.rename(tmp_path / "elsewhere.tif")
    path.symlink_to(tmp_path / "elsewhere.tif")
    with pytest.raises(ContractError, match="lie inside imagery/"):
        scene_path(kept)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"collection": "../other"}, "no sensor describes"),
        ({"collection": "/etc"}, "no sensor describes"),
        ({"source": "a/../../b"}, "search.json: collection and source: must match"),
        ({"source": ""}, "search.json: collection and source: must match"),
    ],
)
def test_a_search_that_names_another_folder_has_no_store(world, changes, rule):
    with pytest.raises(GroundtruthError, match=rule):
        ImageryStore(world.scope.model_copy(update=changes))


def test_the_part_of_a_search_is_that_of_its_grid_and_bands(world, make_run, api):
    run = make_run()
    plan = run.search()
    store = ImageryStore(plan)
    assert (store.grid, store.bands, store.geometry) == (plan.grid, plan.bands, plan.geometry)
    assert store.folder == world.store.folder
    assert store.scene(world.scene(0)).band("SCL").max() == 4
