"""The collection of passes: an item with a raster for each, added once, kept, and replaced where its scene changed."""

import json
import shutil
from datetime import date
from zipfile import ZipFile

import pytest
import rasterio
from stac_pydantic import Collection, Item

from include.core.errors import ContractError
from include.satellite.artifacts import FIELDS, PASSES, VALIDATED
from include.satellite.fields import collection as module
from include.satellite.fields.collection import (
    PUBLISHED,
    as_json,
    collection_of,
    keep_passes,
    key_of,
    mapped_passes,
    mapped_path,
    new_passes,
    recompute_passes,
    waiting,
    write_passes,
)
from include.satellite.fields.params import MapParams
from include.satellite.fields.schemas import FieldSet
from include.satellite.pipeline import FIELD_MONITORING
from tests.satellite.fields.squares import make_imagery, three_fields

MAP = MapParams()
DAYS = [date(2026, 4, 1), date(2026, 4, 11), date(2026, 4, 21)]


@pytest.fixture
def files(data_dir, tmp_path):
    imagery = make_imagery(data_dir, tmp_path)
    FIELDS.write(tmp_path, FieldSet(file="my farm.gpkg", fields=three_fields(imagery.grid), findings=[]))
    return tmp_path


@pytest.fixture
def folder(data_dir):
    return data_dir / PUBLISHED / "my-farm" / "passes"


def run(files):
    """Map, check and publish as a run does; returns what it mapped."""
    PASSES.at(files).unlink(missing_ok=True)
    write_passes(files, MAP, {})
    recompute_passes(files, MAP, audit=True)
    mapped = mapped_passes(files)
    keep_passes(files, MAP)
    return mapped


def content(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*.*"))}


def window(files, days):
    """A run whose window holds only some of the passes."""
    imagery = VALIDATED.read(files)
    kept = [item for item in imagery.acquisitions if item.date in days]
    VALIDATED.write(files, imagery.model_copy(update={"acquisitions": kept}))


def test_every_pass_is_published_as_an_item_with_its_raster(files, folder):
    assert run(files) == DAYS
    collection = json.loads((folder / "collection.json").read_text())
    Collection.model_validate(collection)
    assert collection["extent"]["temporal"]["interval"] == [["2026-04-01T05:30:00Z", "2026-04-21T05:30:00Z"]]
    items = [folder / link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert [path.parent.name for path in items] == [str(day) for day in DAYS]
    for path in items:
        item = json.loads(path.read_text())
        Item.model_validate(item)
        assert item["collection"] == collection["id"]
        assert all((path.parent / link["href"]).resolve() == folder / "collection.json" for link in item["links"])
        with rasterio.open(path.parent / item["assets"]["indices"]["href"]) as raster:
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert raster.tags()["DATETIME"].startswith(path.parent.name)


def test_a_repeated_run_makes_and_changes_nothing(files, folder):
    run(files)
    before = content(folder)
    assert run(files) == []
    assert not PASSES.at(files).exists()
    assert content(folder) == before


def test_a_later_run_adds_its_pass_and_keeps_the_others(files, folder):
    imagery = VALIDATED.read(files)
    window(files, DAYS[:2])
    assert run(files) == DAYS[:2]
    before = content(folder / str(DAYS[0]))
    VALIDATED.write(files, imagery)
    window(files, DAYS[1:])
    assert run(files) == [DAYS[2]]
    assert content(folder / str(DAYS[0])) == before
    links = json.loads((folder / "collection.json").read_text())["links"]
    assert [link["href"] for link in links[1:]] == [f"./{day}/item.json" for day in DAYS]


def test_a_corrected_scene_replaces_the_item_of_its_date(files, folder, data_dir):
    run(files)
    imagery = VALIDATED.read(files)
    first, second = imagery.acquisitions[:2]
    corrected = second.model_copy(update={"file": first.file, "sha256": first.sha256})
    VALIDATED.write(files, imagery.model_copy(update={"acquisitions": [first, corrected]}))
    assert [item.date for item in new_passes(files, MAP)] == [second.date]
    assert run(files) == [second.date]
    item = json.loads((folder / str(second.date) / "item.json").read_text())
    assert item["id"].endswith(first.sha256[:8])
    assert (folder / str(DAYS[2])).is_dir(), "what the window does not hold is kept"


def test_a_folder_that_was_removed_is_made_again_by_the_run_after_next(files, folder):
    run(files)
    shutil.rmtree(folder / str(DAYS[1]))
    assert run(files) == []
    assert run(files) == [DAYS[1]]


def test_large_passes_are_made_over_several_runs_the_latest_first(files, folder, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    assert [item.date for item in new_passes(files, MAP)] == [DAYS[2]]
    write_passes(files, MAP, {})
    assert waiting(files) == 2
    assert [run(files), run(files), run(files), run(files)] == [[DAYS[2]], [DAYS[1]], [DAYS[0]], []]
    assert waiting(files) == 0


def test_without_map_every_pass_nothing_is_made(files):
    off = MapParams(map_every_pass=False)
    write_passes(files, off, {})
    assert mapped_passes(files) == []
    assert recompute_passes(files, off) == []
    write_passes(files, MAP, {})
    with pytest.raises(ContractError, match="must not exist where no pass is new"):
        recompute_passes(files, off)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda parts: parts.pop("2026-04-11/item.json"), "must hold item and raster of each new pass"),
        (lambda parts: parts.update({"2026-04-11/item.json": b"{}"}), "must describe its pass"),
        (
            lambda parts: parts.update({"2026-04-11/indices.tif": parts["2026-04-01/indices.tif"]}),
            "must hold the indices of 2026-04-11",
        ),
    ],
    ids=["an item is missing", "another item", "the raster of another pass"],
)
def test_an_archive_that_states_something_else_is_refused(files, change, rule):
    write_passes(files, MAP, {})
    with ZipFile(PASSES.at(files)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with ZipFile(PASSES.at(files), "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(ContractError, match=rule):
        recompute_passes(files, MAP, audit=True)


def test_rasters_that_were_made_already_are_not_made_again(files):
    write_passes(files, MAP, {DAYS[0]: b"made"})
    with ZipFile(PASSES.at(files)) as archive:
        assert archive.read(f"{DAYS[0]}/indices.tif") == b"made"


def test_names_follow_from_the_file_of_the_fields(files, data_dir):
    assert key_of(FIELDS.read(files).file) == "my-farm"
    assert key_of("über.gpkg") == "-ber"
    assert f"published/{FIELD_MONITORING.definition.pipeline}" == PUBLISHED
    assert mapped_path(FIELDS.read(files), VALIDATED.read(files)).endswith("-passes-my-farm.parquet")


def test_a_collection_spans_its_items(files, folder):
    run(files)
    collection = collection_of(folder, FIELDS.read(files))
    item = json.loads((folder / str(DAYS[0]) / "item.json").read_text())
    assert collection["extent"]["spatial"]["bbox"] == [item["bbox"]]
    assert as_json(collection).endswith(b"\n")
