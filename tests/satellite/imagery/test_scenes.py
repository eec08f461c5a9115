"""Scenes: their masks and shares; answers without data are named, and files are cloud-optimised GeoTIFFs."""

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from include.satellite.imagery.scenes import (
    NotDataError,
    Scene,
    cloud_optimised,
    decode,
    encode,
    form_faults,
    open_scene,
    percent,
    read_layers,
    shares,
)
from include.satellite.imagery.schemas import Grid
from include.satellite.sensors.sentinel2 import SENTINEL2

BANDS = ["B02", "B03", "B04", "B08", "SCL"]
GRID = Grid(crs="EPSG:32643", resolution=10, bounds=(576370, 3418790, 582770, 3427790), width=640, height=900)


@pytest.fixture(scope="module")
def scene():
    scene = np.random.default_rng(1).integers(1, 9000, (5, GRID.height, GRID.width), dtype=np.uint16)
    scene[:, :50] = 0
    scene[4, 50:] = 5
    return scene


@pytest.fixture(scope="module")
def content(scene):
    return encode(Scene(SENTINEL2, BANDS, scene), GRID, {"SYNTHETIC": "YES"})


def test_a_kept_scene_says_everything_about_itself(content, scene, tmp_path):
    path = tmp_path / "scene.tif"
    path.write_bytes(content)
    with rasterio.open(path) as dataset:
        assert dataset.descriptions == tuple(BANDS)
        assert dataset.scales == (1e-4, 1e-4, 1e-4, 1e-4, 1.0)
        assert dataset.nodata == 0
        assert dataset.crs.to_string() == "EPSG:32643"
        assert tuple(dataset.bounds) == GRID.bounds
        assert dataset.tags()["SYNTHETIC"] == "YES"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1) == [2]
        assert (dataset.read() == scene).all()
        overview = dataset.read(5, out_shape=(450, 320))
    assert set(np.unique(overview)) <= {0, 5}  # classes are never averaged


def test_layers_of_any_type_keep_names_scales_and_nodata(tmp_path):
    grid = GRID.model_copy(update={"bounds": (576370, 3427690, 576570, 3427790), "width": 20, "height": 10})
    layers = np.arange(400).astype(np.uint8).reshape(2, 10, 20)
    path = tmp_path / "map.tif"
    path.write_bytes(cloud_optimised(layers, grid, {"class": 1.0, "confidence": 0.01}, {"DATE": "x"}, nodata=255))
    with rasterio.open(path) as dataset:
        assert (dataset.read() == layers).all()
        assert (dataset.descriptions, dataset.scales) == (("class", "confidence"), (1.0, 0.01))
        assert dataset.nodata == 255
        assert tuple(dataset.bounds) == grid.bounds
        assert dataset.tags()["DATE"] == "x"


def test_equal_scenes_are_equal_bytes(content, scene):
    assert encode(Scene(SENTINEL2, BANDS, scene), GRID, {"SYNTHETIC": "YES"}) == content


def test_what_was_asked_for_is_read(content, scene):
    assert (decode(content, GRID, 5, "uint16") == scene).all()


@pytest.mark.parametrize(
    ("grid", "count", "dtype"),
    [
        (GRID.model_copy(update={"width": 641}), 5, "uint16"),
        (GRID.model_copy(update={"height": 899}), 5, "uint16"),
        (GRID, 4, "uint16"),
        (GRID, 5, "uint8"),
    ],
)
def test_another_form_is_no_data_and_both_are_named(content, grid, count, dtype):
    with pytest.raises(NotDataError, match=r"it is 640×900 pixels, 5 bands, uint16, where .* was requested"):
        decode(content, grid, count, dtype)


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_cut_file_is_no_data(content, share):
    with pytest.raises(NotDataError):
        decode(content[: int(len(content) * share)], GRID, 5, "uint16")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"<html>no</html>", b"\x89PNG\r\n\x1a\n", bytes(5000), b"II*\x00" + bytes(5000)]
)
def test_bytes_that_are_no_geotiff_are_no_data(content):
    with pytest.raises(NotDataError, match="no readable GeoTIFF"):
        decode(content, GRID, 5, "uint16")


def test_a_scene_of_another_place_is_no_data(content):
    xmin, ymin, xmax, ymax = GRID.bounds
    moved = GRID.model_copy(update={"bounds": (xmin + 10, ymin, xmax + 10, ymax)})
    with pytest.raises(NotDataError, match=r"it lies at \(576370.0, .* of EPSG:32643, where \(576380"):
        decode(content, moved, 5, "uint16")


def test_a_stored_file_is_compared_with_what_was_asked_for(content, scene, tmp_path):
    path = tmp_path / "scene.tif"
    path.write_bytes(content)
    assert (read_layers(path) == scene).all()
    with rasterio.open(path) as dataset:
        assert form_faults(dataset, BANDS, GRID) == []
        [fault] = form_faults(dataset, BANDS, GRID.model_copy(update={"crs": "EPSG:32644"}))
    assert fault == "CRS EPSG:32643, not EPSG:32644"


def test_a_stored_file_is_opened_or_is_not_data(content, tmp_path):
    path = tmp_path / "scene.tif"
    path.write_bytes(content)
    with open_scene(path) as dataset:
        assert dataset.tags()["SYNTHETIC"] == "YES"
    path.write_bytes(b"II*\x00")
    with pytest.raises(NotDataError, match=r"scene\.tif cannot be read"), open_scene(path):
        pass


def test_a_stored_file_that_is_cut_is_not_data(content, tmp_path):
    (tmp_path / "cut.tif").write_bytes(content[:200])
    with pytest.raises(NotDataError, match=r"cut\.tif cannot be read"):
        read_layers(tmp_path / "cut.tif")


def test_bands_are_found_by_either_name():
    scene = Scene(SENTINEL2, BANDS, np.arange(5, dtype=np.uint16).reshape(5, 1, 1))
    assert [int(scene.band(name)[0, 0]) for name in ("blue", "B02", "red", "nir", "SCL")] == [0, 0, 2, 3, 4]
    with pytest.raises(KeyError, match="no band B99"):
        scene.band("B99")


def test_shares_are_of_the_area_and_pixels_without_data_count_as_nothing_else():
    classes = np.array([[4, 9, 3, 11, 4]], np.uint8)
    data = np.array([[True, True, True, True, False]])
    inside = np.array([[True, True, True, True, True]])
    assert vars(shares(SENTINEL2, classes, data, inside)) == {"clear": 20, "cloud": 20, "shadow": 20, "nodata": 20}
    inside[0, 1:] = False
    assert vars(shares(SENTINEL2, classes, data, inside)) == {"clear": 100, "cloud": 0, "shadow": 0, "nodata": 0}
    scene = Scene(SENTINEL2, ["B02", "SCL"], np.stack([data, classes]).astype(np.uint16))
    assert scene.shares(inside).clear == 100


def test_a_share_is_rounded_and_that_of_nothing_is_zero():
    assert percent(np.array([True, False, False])) == 33.3333
    assert percent(np.array([True, False, False]), 1) == 33.3
    assert percent(np.array([], bool)) == 0


DN = arrays(np.uint16, (4, 5, 6), elements=st.integers(0, 16_000))
SCL = arrays(np.uint16, (1, 5, 6), elements=st.integers(0, 11))


@given(DN, SCL)
def test_a_valid_pixel_is_clear_and_every_index_of_it_is_right(dn, scl):
    scene = Scene(SENTINEL2, BANDS, np.concatenate([dn, scl]))
    assert (scene.valid <= scene.clear).all()
    right = np.ones(scene.clear.shape, bool)
    for index, values in scene.indices(np.ones_like(right)):
        right &= index.in_range(values).reshape(right.shape)
    assert (scene.valid == (scene.clear & right)).all()


def test_a_pixel_is_masked_for_its_class_its_nodata_or_an_impossible_index():
    bands = ["B02", "B03", "B04", "B08", "B05", "SCL"]
    layers = np.full((6, 3, 5), 3000, np.uint16)
    layers[3], layers[5] = 4000, 4
    layers[1, 0, 0] = 0  # nodata
    layers[4, 0, 1] = 0  # nodata in an extra band
    layers[5, 2, 4] = 9
    layers[:4, 1, 1] = (9000, 9000, 100, 3000)  # EVI 2.5·0.29/(0.3+0.06−6.75+1): −0.13, in range
    layers[:4, 1, 2] = (1500, 1000, 100, 1000)  # EVI 2.5·0.09/(0.1+0.06−1.125+1) = 6.4: cannot be
    expected = np.ones((3, 5), bool)
    expected[0, 0] = expected[0, 1] = expected[2, 4] = expected[1, 2] = False
    assert (Scene(SENTINEL2, bands, layers).valid == expected).all()
