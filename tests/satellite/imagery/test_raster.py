"""Scenes as bytes: what is no data is said so, what is kept is a cloud-optimised GeoTIFF."""

import numpy as np
import pytest
import rasterio

from include.satellite.imagery.model import Grid
from include.satellite.imagery.raster import NotDataError, decode, encode

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
    return encode(scene, BANDS, GRID, {"SYNTHETIC": "YES"})


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


def test_equal_scenes_are_equal_bytes(content, scene):
    assert encode(scene, BANDS, GRID, {"SYNTHETIC": "YES"}) == content


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
    with pytest.raises(NotDataError, match=r"it is 640×900 pixels, 5 bands, uint16, where .* was asked for"):
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
