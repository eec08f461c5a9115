"""A STAC API as source: what is asked for, which pixels are read, and what cannot be told is refused."""

from datetime import UTC, datetime

import numpy as np
import pytest

from include.core.errors import BadInputError, SetupError, TransientError
from include.satellite.artifacts import IMAGERY
from include.satellite.imagery import stac
from include.satellite.imagery.client import Bounds
from include.satellite.imagery.scenes import NotDataError, read_layers
from include.satellite.imagery.schemas import Catalog
from include.satellite.imagery.stac import StacApi, catalog_of
from include.satellite.imagery.store import scene_path
from include.satellite.params import ImageryParams
from include.satellite.sensors.evalscript import DATA_MASK
from include.satellite.sensors.sentinel2 import SENTINEL2
from tests.satellite.imagery.conftest import BANDS, SMALL
from tests.satellite.imagery.stac_server import COLLECTION, local_stac

WINDOW = (datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC))
DECLARED = {"scale": 1e-4, "offset": -0.1, "nodata": 0}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with local_stac(tmp_path_factory.mktemp("stac")) as local:
        yield local


@pytest.fixture
def local(running, data_dir, monkeypatch):
    """The API without items; what fails fails soon."""
    monkeypatch.setattr(
        stac, "BOUNDS", Bounds(attempts=3, first_wait_s=0.02, least_wait_s=0.02, silence_s=20, wall_time_s=1.5)
    )
    running.page = 100
    for kept in (running.items, running.requests, running.faults):
        kept.clear()
    return running


@pytest.fixture
def api(local):
    return StacApi(Catalog(url=local.url, collection=COLLECTION), SENTINEL2)


def numbers(world, seed, offset=1000):
    """Layers of an item: plausible reflectances × 10000 with the product's offset left in, all vegetation."""
    scene = world.scene(seed)
    return {name: layer if name == "SCL" else layer + offset for name, layer in zip(BANDS, scene, strict=True)}


def stored(layers, offset=1000):
    """What the imagery store holds of them."""
    return np.stack([layers[name] - (0 if name == "SCL" else offset) for name in BANDS])


def without(layers, columns):
    cut = {name: layer.copy() for name, layer in layers.items()}
    for layer in cut.values():
        layer[:, columns] = 0
    return cut


def test_a_run_takes_its_imagery_from_a_stac_api(local, world, make_run):
    scenes = {day: numbers(world, number) for number, day in enumerate(("05-10", "05-20", "06-04"))}
    for day, layers in scenes.items():
        local.add(f"S2A_{day}", f"2025-{day}T05:40:00Z", world.grid, layers, raster=DECLARED)
    imagery = make_run(source="stac", stac_url=local.url, stac_collection=COLLECTION).go()
    assert [f"{day.date:%m-%d}" for day in imagery.acquisitions] == list(scenes)
    for day, layers in zip(imagery.acquisitions, scenes.values(), strict=True):
        assert np.array_equal(read_layers(scene_path(day)), stored(layers))
    (item,) = imagery.acquisitions[0].items
    assert (item.id, item.collection, item.baseline, item.offset) == ("S2A_05-10", COLLECTION, "05.11", -0.1)
    assert item.urls["B04"] == f"{local.url}/files/S2A_05-10/B04.tif"
    assert (imagery.catalog.url, imagery.units_spent, imagery.units_estimated) == (local.url, 0, 0)
    assert not imagery.synthetic
    again = make_run(source="stac", stac_url=local.url, stac_collection=COLLECTION)
    local.requests.clear()
    assert [day.sha256 for day in again.go().acquisitions] == [day.sha256 for day in imagery.acquisitions]
    assert not [request for request in local.requests if "/files/" in request], "all of it is in the store"
    assert IMAGERY.read(again.files).acquisitions[0].items == [item]


def test_an_area_without_imagery_is_told_where_there_is_some(local, world, make_run):
    local.add("a", "2025-05-10T05:40:00Z", world.grid, {"SCL": numbers(world, 0)["SCL"]})
    source = {"source": "stac", "stac_url": local.url, "stac_collection": COLLECTION}
    west, south, east, north = SMALL
    with pytest.raises(BadInputError, match=r"lists no product .* with latitude and longitude swapped.*ogr2ogr"):
        make_run(**source, bbox=(south, west, north, east)).search()
    with pytest.raises(
        BadInputError, match=r"the nearest lie between \(75\.79.., 30\.\d+\) and \(75\.80.., 30\.90..\)"
    ):
        make_run(**source, bbox=(west - 0.5, south - 0.5, east - 0.5, north - 0.5)).search()


def test_all_pages_are_read_and_clouds_filtered(api, local, world):
    for number in range(5):
        layers = {"SCL": numbers(world, 0)["SCL"]}
        local.add(
            f"item{number}", f"2025-05-1{number}T05:40:00Z", world.grid, layers, **{"eo:cloud_cover": 25 * number}
        )
    local.page = 2
    assert len(api.search(SMALL, *WINDOW, None)) == 5
    assert [item["id"] for item in api.search(SMALL, *WINDOW, 50)] == ["item0", "item1", "item2"]
    assert api.search((10, 10, 11, 11), *WINDOW, None) == []
    assert api.search(SMALL, datetime(2025, 5, 12, tzinfo=UTC), WINDOW[1], None)[0]["id"] == "item2"


def test_tiles_are_mosaicked_and_the_newest_baseline_counts(api, local, world):
    whole, other, old = numbers(world, 1), numbers(world, 2), numbers(world, 3, offset=0)
    left, right = without(whole, slice(30, None)), without(other, slice(0, 20))
    local.add("left-old", "2025-05-10T05:40:00Z", world.grid, old, tile="43RFQ", baseline="02.14")
    local.add("left", "2025-05-10T05:40:02Z", world.grid, left, tile="43RFQ", baseline="05.11")
    local.add("right", "2025-05-10T05:40:00Z", world.grid, right, tile="43RGQ", baseline="05.10")
    names = [item["id"] for item in api.search(SMALL, *WINDOW, None)]
    assert sorted(names) == ["left", "right"]
    layers, sources = api.read(names, BANDS, world.grid)
    expected = stored(whole)
    expected[:, :, 30:] = stored(other)[:, :, 30:]
    assert np.array_equal(layers, expected)
    assert [source.id for source in sources] == ["left", "right"]
    assert [source.offset for source in sources] == [-0.1, -0.1], "by the baseline, for nothing is declared"


def test_a_pixel_counts_where_one_item_has_all_bands(api, local, world):
    layers = numbers(world, 1)
    layers["B04"][:10] = 0
    local.add("a", "2025-05-10T05:40:00Z", world.grid, layers)
    read, _ = api.read(["a"], [*BANDS, DATA_MASK], world.grid)
    assert (read[:, :10] == 0).all()
    assert (read[-1, 10:] == 1).all()


def test_an_offset_that_would_be_subtracted_twice_excludes_the_date(api, local, world):
    local.add("a", "2025-05-10T05:40:00Z", world.grid, numbers(world, 1, offset=0), raster=DECLARED)
    with pytest.raises(NotDataError, match=r"item a: with its offset of -0.1, 100 % of the clear land is negative"):
        api.read(["a"], BANDS, world.grid)


def test_a_file_that_is_missing_or_damaged_excludes_the_date(api, local, world):
    local.add("a", "2025-05-10T05:40:00Z", world.grid, numbers(world, 1))
    (local.folder / "a" / "B04.tif").write_bytes(b"no raster")
    with pytest.raises(NotDataError, match=r"files/a/B04.tif cannot be read"):
        api.read(["a"], BANDS, world.grid)
    (local.folder / "a" / "B03.tif").unlink()
    with pytest.raises(NotDataError, match=r"files/a/B03.tif does not exist"):
        api.read(["a"], BANDS, world.grid)


def test_a_file_that_needs_an_account_is_a_fault_of_the_set_up(api, local, world):
    local.add("a", "2025-05-10T05:40:00Z", world.grid, numbers(world, 1))
    local.faults += [("/files/a/B02", 403, {})] * 3
    with pytest.raises(SetupError, match=r"B02.tif: refused \(403\)"):
        api.read(["a"], BANDS, world.grid)
    local.items[0]["assets"]["blue"]["href"] = "s3://bucket/B02.tif"
    with pytest.raises(SetupError, match="not read over HTTPS"):
        StacApi(Catalog(url=local.url, collection=COLLECTION), SENTINEL2).read(["a"], BANDS, world.grid)


def test_an_item_without_a_band_is_refused_with_its_assets(api, local, world):
    local.add("a", "2025-05-10T05:40:00Z", world.grid, {"B02": numbers(world, 1)["B02"]})
    with pytest.raises(BadInputError, match="item a: has no asset for band B03; its assets: blue"):
        api.read(["a"], BANDS, world.grid)


def test_an_item_that_is_gone_is_said(api, world):
    with pytest.raises(TransientError, match="no longer lists gone"):
        api.read(["gone"], BANDS, world.grid)


def test_urls_of_the_planetary_computer_are_signed_and_reported_without(local, world, monkeypatch):
    known = stac.Preset(local.url, COLLECTION, f"{local.url}/token/{{collection}}")
    monkeypatch.setattr(stac, "PRESETS", {"planetary-computer": known})
    api = StacApi(Catalog(url=local.url, collection=COLLECTION), SENTINEL2)
    url = "https://sentinel2l2a01.blob.core.windows.net/a/B02.tif"
    assert api._signed(url) == f"{url}?sig={COLLECTION}"
    assert api._signed(f"{local.url}/B02.tif") == f"{local.url}/B02.tif"
    assert local.requests == [f"GET /token/{COLLECTION}"]


@pytest.mark.parametrize("status", [429, 503])
def test_the_api_is_asked_again_after_as_long_as_it_wants(api, local, status):
    local.faults += [("/search", status, {"Retry-After": "0"}), ("/search", status, {})]
    assert api.search(SMALL, *WINDOW, None) == []
    assert local.requests.count("POST /search") == 3
    local.faults += [("/search", status, {"Retry-After": "3600"})]
    with pytest.raises(TransientError, match=f"answers {status} after 1 attempts"):
        api.search(SMALL, *WINDOW, None)


def test_loopback_is_reached_without_the_proxy(local, world, monkeypatch):
    for variable in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "")
    local.add("a", "2025-05-10T05:40:00Z", world.grid, numbers(world, 1))
    api = StacApi(Catalog(url=local.url, collection=COLLECTION), SENTINEL2)
    assert len(api.search(SMALL, *WINDOW, None)) == 1
    assert (api.read(["a"], ["SCL"], world.grid)[0] == 4).all()


def test_refusals_name_what_to_change(local, monkeypatch):
    with pytest.raises(BadInputError, match="has no /collections/none"):
        StacApi(Catalog(url=local.url, collection="none"), SENTINEL2).search(SMALL, *WINDOW, None)
    local.faults += [("/search", 401, {})]
    with pytest.raises(SetupError, match="needs an account"):
        StacApi(Catalog(url=local.url, collection=COLLECTION), SENTINEL2).search(SMALL, *WINDOW, None)
    with pytest.raises(TransientError, match="cannot be reached"):
        StacApi(Catalog(url="http://127.0.0.1:9", collection=COLLECTION), SENTINEL2).search(SMALL, *WINDOW, None)


def test_known_apis_have_a_collection_and_others_must_name_one():
    def catalog(**params):
        return catalog_of(ImageryParams(source="stac", **params))

    assert catalog_of(ImageryParams(source="demo")) is None
    assert catalog().collection == "sentinel-2-c1-l2a"
    assert catalog(stac_url="planetary-computer").url == "https://planetarycomputer.microsoft.com/api/stac/v1"
    assert catalog(stac_url="https://a.example/v1/", stac_collection="c") == Catalog(
        url="https://a.example/v1", collection="c"
    )
    with pytest.raises(BadInputError, match="stac_collection: name the collection"):
        catalog(stac_url="https://a.example/v1")
    with pytest.raises(BadInputError, match=r"must be a URL .*earth-search, planetary-computer"):
        catalog(stac_url="earth")
    with pytest.raises(BadInputError, match="the source is demo"):
        catalog_of(ImageryParams(source="demo", stac_collection="c"))
    with pytest.raises(BadInputError, match="take sentinel-2-c1-l2a"):
        catalog(stac_collection="sentinel-2-l2a")
