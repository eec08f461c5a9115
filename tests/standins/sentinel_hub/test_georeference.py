"""Where rasters lie, and those that do not say so."""

import math

import numpy as np
import pytest
import rasterio

from include.standins.sentinel_hub.georeference import degrees_of
from tests.satellite.scene_folders import NORTH, WEST, write_raster

LAYERS = np.ones((1, 60, 60), "uint16")
PLACE = rasterio.Affine(10, 0, WEST, 0, -10, NORTH)


def test_the_rectangle_of_a_raster_is_in_degrees(tmp_path):
    with rasterio.open(write_raster(tmp_path / "a.tif", LAYERS)) as file:
        assert degrees_of(file, "a.tif") == pytest.approx((4.413, 50.719, 4.422, 50.725), abs=0.01)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"crs": None}, "has no CRS; state it with gdal_edit.py"),
        ({"crs": 'LOCAL_CS["x",UNIT["metre",1]]'}, "has no CRS"),
        ({"transform": rasterio.Affine.identity()}, "has no geotransform"),
        ({"transform": rasterio.Affine(math.nan, 0, WEST, 0, math.nan, NORTH)}, "has no geotransform"),
        ({"crs": "EPSG:4326"}, "do not exist in its CRS, EPSG:4326"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_says_not_where_it_lies_is_refused(tmp_path, profile, words):
    path = write_raster(tmp_path / "a.tif", LAYERS, **({"transform": PLACE} | profile))
    with rasterio.open(path) as file, pytest.raises(ValueError, match=words):
        degrees_of(file, "a.tif")
