"""The pixels of a request, and where they lie on Earth."""

import numpy as np
import pytest

from include.standins.sentinel_hub.scenes import Grid, nodes, projection
from tests.standins.sentinel_hub.api import SMALL


def test_a_projection_has_longitude_and_easting_first():
    east, north = projection(4326, 32643).transform(75.0, 31.0)
    assert east == pytest.approx(500_000, abs=1)
    assert north == pytest.approx(3_429_700, abs=100)


def test_a_grid_states_its_shape_pixels_and_transform():
    assert SMALL.shape == (80, 100)
    assert SMALL.pixel_size == (10, 10)
    assert tuple(SMALL.transform)[:6] == (10, 0, 576_000, 0, -10, 3_420_800)


def test_a_grid_states_its_bounds_in_degrees():
    assert SMALL.degrees == pytest.approx((75.795344, 30.910849, 75.805869, 30.918132), abs=1e-6)


def test_centres_are_interpolated_to_millimetres():
    longitude, latitude = SMALL.centres()
    assert longitude.shape == latitude.shape == SMALL.shape
    x, y = np.meshgrid(np.arange(576_005, 577_000, 10), np.arange(3_420_795, 3_420_000, -10))
    exact = projection(32643, 4326).transform(x, y)
    assert np.abs(longitude - exact[0]).max() < 1e-7
    assert np.abs(latitude - exact[1]).max() < 1e-7
    assert SMALL.centres(32)[0].shape == (4, 5)


def test_nodes_reach_behind_the_last_pixel():
    assert nodes(100, 32).tolist() == [0, 32, 64, 96, 128]
    assert nodes(33, 32).tolist() == [0, 32, 64]
    assert nodes(1, 1).tolist() == [0, 1]


def test_degrees_of_a_grid_in_degrees_are_its_bounds():
    assert Grid(4326, (1.0, 2.0, 3.0, 4.0), 2, 2).degrees == pytest.approx((1, 2, 3, 4))


def test_a_grid_has_the_profile_that_rasterio_writes():
    profile = {"crs": "EPSG:32643", "transform": SMALL.transform, "width": 100, "height": 80}
    assert SMALL.profile == profile


def test_a_grid_lies_on_earth_where_its_crs_is_defined():
    assert SMALL.is_on_earth
    assert not Grid(32643, (5e8, 5e8, 6e8, 6e8), 10, 10).is_on_earth


def test_pixels_lie_within_bounds_of_another_crs():
    assert SMALL.within(32643, (500_000, 3_400_000, 600_000, 3_500_000)).all()
    west_half = SMALL.within(32643, (576_000, 3_420_000, 576_500, 3_420_800))
    assert west_half[:, :50].all()
    assert not west_half[:, 50:].any()
    assert not SMALL.within(4326, (0, 0, 1, 1)).any()
