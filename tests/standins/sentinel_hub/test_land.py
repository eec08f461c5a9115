"""The land of the simulated world: its frame, fields and covers, the seasons of crops, zones of stress that persist."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.standins.sentinel_hub.land import (
    COMPENSATION,
    CROP,
    LOSS_THRESHOLD,
    Fields,
    growth,
    stress_classes,
    survey,
    world_metres,
)
from include.standins.sentinel_hub.noise import lattice
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


@pytest.mark.parametrize("seed", range(4))
def test_every_date_has_all_classes_over_ten_kilometres(seed):
    x, y = np.meshgrid(np.arange(5e5, 5.1e5, 100), np.arange(3.4e6, 3.41e6, 100))
    for day in range(738_000, 738_365, 40):
        classes = stress_classes(x.ravel(), y.ravel(), day, seed)
        assert (np.bincount(classes, minlength=4) / classes.size > 0.1).all()


def test_stress_persists_and_moves_slowly():
    x, y = np.meshgrid(np.arange(5e5, 5.1e5, 100), np.arange(3.4e6, 3.41e6, 100))
    first = stress_classes(x.ravel(), y.ravel(), 738_000, 0)

    def same(days):
        return np.mean(stress_classes(x.ravel(), y.ravel(), 738_000 + days, 0) == first)

    assert same(5) > 0.9
    assert 0.6 < same(30) < 0.9
    assert same(300) < 0.5


def fields(southern=False):
    count = 400
    x, number = 5e5 + 400.0 * np.arange(count), np.arange(count)
    return Fields(x, np.full(count, 3.4e6), lattice(number, number, 1), np.full(count, southern))


def test_a_chance_is_uniform_and_differs_by_its_parts():
    chance = fields().chance("rotation")
    assert chance.shape == (400,)
    assert (chance.min() >= 0, chance.max() < 1) == (True, True)
    assert chance.mean() == pytest.approx(0.5, abs=0.05)
    assert not np.array_equal(chance, fields().chance("peak", 2024))


def test_growth_covers_a_share_of_the_ground_and_follows_the_season():
    summer, spring = (growth(fields(), day, "standard", 1) for day in (date(2024, 8, 10), date(2024, 5, 20)))
    for grown in (summer, spring):
        assert ((grown.green >= 0) & (grown.dry >= 0) & (grown.green + grown.dry <= 1)).all()
    assert summer.green.mean() > spring.green.mean()
    assert (
        summer.green[:3].tolist() != growth(fields(southern=True), date(2024, 8, 10), "standard", 1).green[:3].tolist()
    )
    assert np.array_equal(summer.colour, growth(fields(), date(2024, 8, 10), "standard", 1).colour)


def test_more_stress_loses_more_canopy_and_the_rest_grows():
    assert pytest.approx([2.0537488, 1.0803193, 0.5244005, 0.0501536]) == LOSS_THRESHOLD
    assert pytest.approx([1.00706, 1.057691, 1.163973, 1.3667026]) == COMPENSATION
