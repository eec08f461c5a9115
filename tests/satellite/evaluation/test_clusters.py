"""Intervals count blocks and spells, not samples, and are as wide as few of them demand."""

import numpy as np
import pytest
from scipy.stats import t

from include.satellite.evaluation.clusters import (
    Clusters,
    balanced_influence,
    mean_influence,
    spells_of,
)


def grid(blocks, dates, samples, apart=30):
    block, date, _ = np.meshgrid(np.arange(blocks), np.arange(dates), np.arange(samples), indexing="ij")
    return block.ravel() + 7, date.ravel() * apart


def test_spells_are_of_thirty_days_from_the_first_date():
    assert spells_of(np.array([10, 39, 40, 100])).tolist() == [0, 0, 1, 3]


def test_the_variance_of_one_sample_a_block_and_spell_is_that_of_both_means_less_the_cells():
    """By hand: 3 blocks × 6 spells of one sample; each variance from the sums of its clusters."""
    block, days = grid(3, 6, 1)
    values = np.random.default_rng(0).normal(size=18)
    influence = mean_influence(values)
    cells = influence.reshape(3, 6)
    by_block = 3 / 2 * (cells.sum(axis=1) ** 2).sum() / 18**2
    by_spell = 6 / 5 * (cells.sum(axis=0) ** 2).sum() / 18**2
    by_cell = 18 / 17 * (cells**2).sum() / 18**2
    expected = np.sqrt(max(by_block + by_spell - by_cell, by_block, by_spell))
    clusters = Clusters.of(block, days)
    assert clusters.standard_error(influence) == pytest.approx(expected)
    low, high = clusters.interval(values.mean(), influence)
    assert (high - low) / 2 == pytest.approx(t.ppf(0.975, 2) * expected)
    assert (high + low) / 2 == pytest.approx(values.mean())


def test_samples_of_one_season_are_clustered_by_block_alone():
    """By hand: the sums of 4 blocks, t with 3 degrees of freedom."""
    block, values = np.repeat(np.arange(4), 5), np.random.default_rng(0).normal(size=20)
    clusters, influence = Clusters.of_blocks(block + 9), mean_influence(values)
    expected = np.sqrt(4 / 3 * (influence.reshape(4, 5).sum(axis=1) ** 2).sum()) / 20
    assert clusters.standard_error(influence) == pytest.approx(expected)
    low, high = clusters.interval(values.mean(), influence)
    assert (high - low) / 2 == pytest.approx(t.ppf(0.975, 3) * expected)
    assert clusters.spells is None
    assert Clusters.of_blocks(np.array([0, 1])).interval(0.0, np.zeros(2)) == (None, None)


def test_what_differs_between_blocks_or_spells_widens_the_interval():
    block, days = grid(6, 8, 20)
    noise = np.random.default_rng(1).normal(0, 0.1, len(block))
    clusters = Clusters.of(block, days)

    def width(values):
        low, high = clusters.interval(values.mean(), mean_influence(values))
        return high - low

    assert width(noise + 0.3 * block) > 5 * width(noise)
    assert width(noise + 0.01 * days) > 5 * width(noise)


@pytest.mark.parametrize(("blocks", "spells"), [(11, 10), (5, 6)])
def test_an_interval_covers_the_truth_as_often_as_it_says(blocks, spells):
    draw, covered = np.random.default_rng(3), 0
    block, days = grid(blocks, spells, 3)
    clusters = Clusters.of(block, days)
    for _ in range(400):
        effects = draw.normal(size=blocks)[block - 7] + draw.normal(size=spells)[days // 30]
        values = effects + draw.normal(size=len(block))
        low, high = clusters.interval(values.mean(), mean_influence(values))
        covered += low <= 0 <= high
    assert covered / 400 >= 0.93


@pytest.mark.parametrize(("blocks", "spells", "judged"), [(3, 6, True), (2, 6, False), (3, 5, False), (1, 1, False)])
def test_too_few_blocks_or_spells_have_no_interval(blocks, spells, judged):
    block, days = grid(blocks, spells, 4)
    clusters = Clusters.of(block, days)
    values = np.random.default_rng(0).normal(size=len(block))
    assert clusters.can_judge is judged
    assert (clusters.interval(0.0, mean_influence(values)) != (None, None)) is judged


def test_dates_of_one_month_are_one_spell():
    block, days = grid(4, 8, 3, apart=3)
    assert Clusters.of(block, days).spells == 1


def test_balanced_accuracy_has_the_influence_of_a_jackknife():
    """Leaving one sample out moves the mean recall by about its influence over N."""
    draw = np.random.default_rng(0)
    label, hits = draw.integers(0, 3, 600), draw.random(600) < 0.7

    def balanced(keep):
        return np.mean([hits[keep & (label == position)].mean() for position in range(3)])

    everything = np.ones(600, bool)
    influence = balanced_influence(hits, label)
    for sample in (0, 17, 300):
        without = everything.copy()
        without[sample] = False
        moved = balanced(everything) - balanced(without)
        assert moved == pytest.approx(influence[sample] / 600, rel=0.02)


def test_effective_samples_are_few_where_dates_decide():
    block, days = grid(5, 8, 50)
    clusters = Clusters.of(block, days)
    noise = np.random.default_rng(2).normal(size=len(block))
    assert clusters.effective_samples(mean_influence(noise)) > 300
    shared = noise * 0.01 + np.random.default_rng(4).normal(size=8)[days // 30]
    assert clusters.effective_samples(mean_influence(shared)) < 9
    assert clusters.effective_samples(np.zeros(len(block))) is None
