"""The land of the simulated world: fields, covers, and the frame that they lie in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.standins.sentinel_hub.land import CROP, survey, world_metres
from include.standins.sentinel_hub.scenes import Grid
from tests.standins.sentinel_hub.api import SMALL


@settings(max_examples=15, deadline=None)
@given(left=st.integers(0, 60), top=st.integers(0, 50), width=st.integers(1, 40), height=st.integers(1, 30))
def test_a_window_is_a_part_of_the_whole(left, top, width, height):
    whole = survey(SMALL, "standard", 5)
    xmin, _, _, ymax = SMALL.bounds
    corner = xmin + 10 * left, ymax - 10 * top
    window = Grid(32643, (corner[0], corner[1] - 10 * height, corner[0] + 10 * width, corner[1]), width, height)
    part, place = survey(window, "standard", 5), (slice(top, top + height), slice(left, left + width))
    assert np.mean(part.cover == whole.cover[place]) > 0.98 or part.cover.size < 60
    assert np.allclose(part.soil, whole.soil[place], atol=0.01)
    same = part.fields.hashes[part.field] == whole.fields.hashes[whole.field[place]]
    assert np.mean(same) > 0.95 or same.size < 60


def test_fields_are_one_to_eight_hectares():
    land = survey(Grid(32643, (576_000, 3_420_000, 580_000, 3_424_000), 400, 400), "standard", 3)
    interior = np.unique(land.field[60:-60, 60:-60])
    sizes = np.bincount(land.field.ravel())[interior] * 0.01
    assert 3 < np.median(sizes) < 5
    assert np.mean((sizes > 1) & (sizes < 8)) > 0.95
    assert np.mean(land.cover == CROP) > 0.8


def test_world_metres_hardly_shear():
    longitude, latitude = np.array([75.8, 75.8 + 1e-3, 75.8]), np.array([31.0, 31.0, 31.001])
    x, y = world_metres(longitude, latitude)
    assert x[1] - x[0] == pytest.approx(95.3, abs=0.3)
    assert y[2] - y[0] == pytest.approx(111.2, abs=0.3)
    assert abs(x[2] - x[0]) < 2


def test_a_survey_describes_every_pixel():
    land = survey(SMALL, "standard", 3)
    for layer in (land.field, land.cover, land.stand, land.soil, land.patches, land.vigour, land.hashes):
        assert layer.shape == SMALL.shape
    assert land.field.max() + 1 == len(land.fields.x) == 31
    assert np.bincount(land.cover.ravel(), minlength=5).tolist() == [7674, 0, 169, 0, 157]
    simple = survey(SMALL, "simple", 3)
    assert (simple.cover == CROP).all()
    assert (simple.soil == 1).all()
