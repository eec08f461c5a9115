"""Crops and their stress: seasons, zones that persist, four classes everywhere."""

from datetime import date

import numpy as np
import pytest

from include.standins.sentinel_hub.crops import COMPENSATION, LOSS_THRESHOLD, Fields, growth, stress_classes
from include.standins.sentinel_hub.noise import lattice


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
